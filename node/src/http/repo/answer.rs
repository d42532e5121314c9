//! Answers: a file from disk, a file from elsewhere, or a short text that says why not.

use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::range::{self, Part};
use super::{PublicFile, Remote, Unavailable};

/// Bytes read from the disk at once; the default of 64 KiB costs a tenth of the throughput.
const CHUNK: usize = 256 * 1024;
/// Seconds after which a client should try again when no replica is in reach.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// A short answer in plain text, which no browser takes for anything else.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (status, headers, text.into()).into_response()
}

pub(super) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "there is no such file here\n")
}

pub(super) fn unavailable(reason: Unavailable) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// Serves the file at `path` with ranges and If-Modified-Since. What vanished meanwhile is not found.
pub(super) async fn from_disk(
    path: &Path,
    file: &PublicFile,
    method: Method,
    headers: &HeaderMap,
) -> Response {
    let mut ours = Request::new(Body::empty());
    *ours.method_mut() = method;
    for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        if let Some(value) = headers.get(&name) {
            ours.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(range) = range::requested(headers) {
        ours.headers_mut().insert(header::RANGE, range.clone());
    }
    let served = ServeFile::new(path)
        .with_buf_chunk_size(CHUNK)
        .oneshot(ours)
        .await;
    let Ok(mut response) = served.map(|response| response.map(Body::new));
    match response.status() {
        StatusCode::NOT_FOUND => return not_found(),
        status if status.is_success() => {
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type(file));
        }
        _ => {}
    }
    response
}

/// Passes on what `remote` gives, or the part of it that was asked for.
pub(super) fn from_elsewhere(
    remote: Remote,
    file: &PublicFile,
    method: &Method,
    asked: &HeaderMap,
) -> Response {
    let range = range::requested(asked).and_then(|value| value.to_str().ok());
    let part = match range.map(|range| Part::parse(range, remote.length)) {
        None | Some(Ok(None)) => None,
        Some(Ok(Some(part))) => Some(part),
        Some(Err(range::Unsatisfiable)) => return unsatisfiable(remote.length),
    };
    let (start, length) = part.map_or((0, remote.length), |part| (part.start, part.length));
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(range::slice(remote.bytes, start, length)),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(file));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(part) = part {
        headers.insert(header::CONTENT_RANGE, value(&part.content_range(remote.length)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn unsatisfiable(length: u64) -> Response {
    let mut response = text(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the file is shorter than that\n",
    );
    response
        .headers_mut()
        .insert(header::CONTENT_RANGE, value(&format!("bytes */{length}")));
    response
}

/// A header value of digits and ASCII words, which is always valid.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn content_type(file: &PublicFile) -> HeaderValue {
    HeaderValue::from_static(match file {
        PublicFile::Signature(_) | PublicFile::DatabaseSignature(_) => "application/pgp-signature",
        PublicFile::Archive(name) if name.to_string().ends_with(".zst") => "application/zstd",
        PublicFile::Archive(name) if name.to_string().ends_with(".gz") => "application/gzip",
        PublicFile::Archive(_) | PublicFile::Database(_) => "application/octet-stream",
    })
}
