//! What holds for every answer: the id of its request, ETags, what pages of other servers may read, HEAD.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::answer::{Answer, Content};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a request that is given back.
const ID_LIMIT: usize = 128;

/// What of a request decides over the form of its answer.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    id: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    if_none_match: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let header = |name: HeaderName| request.headers().get(name).cloned();
        Self {
            method: request.method().clone(),
            id: header(REQUEST_ID).filter(|id| id.len() <= ID_LIMIT),
            origin: header(header::ORIGIN),
            if_none_match: header(header::IF_NONE_MATCH),
        }
    }

    fn reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// The answer as it goes out.
pub(super) fn finish(asked: &Asked, origins: &str, answer: Answer) -> Response {
    let Answer {
        mut status,
        mut headers,
        mut content,
    } = answer;
    if asked.method == Method::HEAD {
        content = Content::Whole(Bytes::new());
    }
    if let (Content::Whole(bytes), true, StatusCode::OK) = (&content, asked.reads(), status) {
        let tag = tag_of(bytes);
        if asked
            .if_none_match
            .as_ref()
            .is_some_and(|known| names(known, &tag))
        {
            (status, content) = (StatusCode::NOT_MODIFIED, Content::Whole(Bytes::new()));
            headers.clear();
        }
        headers.insert(header::ETAG, tag);
    }
    // What other servers of this kind raise rather than return passes their id by.
    if status == StatusCode::OK
        || (status.is_client_error() && status != StatusCode::METHOD_NOT_ALLOWED)
        || status.is_server_error()
    {
        headers.insert(REQUEST_ID, asked.id.clone().unwrap_or_else(new_id));
    }
    share(asked, origins, &mut headers);
    let mut response = Response::new(match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Stream(body) => body,
    });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn tag_of(bytes: &[u8]) -> HeaderValue {
    let tag = format!("\"{}\"", hex::encode(Md5::digest(bytes)));
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
        return false;
    };
    let mut tags = known.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn new_id() -> HeaderValue {
    HeaderValue::from_str(&super::process::new_id()).unwrap_or(HeaderValue::from_static("0"))
}

/// Lets pages of other servers read the answer, if they may. Cookies are never sent along with such requests.
fn share(asked: &Asked, origins: &str, headers: &mut HeaderMap) {
    let Some(origin) = asked.origin.as_ref().filter(|origin| may_ask(origin, origins)) else {
        return;
    };
    let exposed: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    if let Ok(exposed) = HeaderValue::from_str(&exposed.join(",")) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
}

fn may_ask(origin: &HeaderValue, origins: &str) -> bool {
    let mut allowed = origins.split_whitespace();
    allowed.any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

/// A browser asks whether it may ask; whether the origin may is said by the rule for all answers.
pub(super) fn preflight(headers: &HeaderMap) -> Answer {
    let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let (Some(method), true) = (method, headers.contains_key(header::ORIGIN)) else {
        return Answer::text(StatusCode::FORBIDDEN, "403: Forbidden");
    };
    let answer =
        Answer::text(StatusCode::OK, Bytes::new()).with(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    match headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        Some(wanted) => answer.with(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, headers: &[(HeaderName, &str)]) -> Asked {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        Asked::of(&request)
    }

    #[test]
    fn the_tag_is_the_md5_of_the_body_and_a_known_one_is_answered_with_itself_alone() {
        let first = finish(
            &asked(Method::GET, &[]),
            "*",
            Answer::text(StatusCode::OK, "word"),
        );
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(tag, "\"c47d187067c6cf953245f128b5fde62a\"");
        let again = asked(Method::GET, &[(header::IF_NONE_MATCH, &tag)]);
        let answer = finish(&again, "*", Answer::text(StatusCode::OK, "word"));
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers().keys().collect::<Vec<_>>(), [header::ETAG]);
        let head = finish(
            &asked(Method::HEAD, &[]),
            "*",
            Answer::text(StatusCode::OK, "word"),
        );
        assert_eq!(
            head.headers()[header::ETAG],
            "\"d41d8cd98f00b204e9800998ecf8427e\""
        );
    }

    #[test]
    fn the_id_of_a_request_comes_back_where_an_answer_is_returned_and_not_raised() {
        let asked = asked(Method::POST, &[(REQUEST_ID, "abc")]);
        for (status, comes) in [
            (200, true),
            (400, true),
            (404, true),
            (500, true),
            (201, false),
            (204, false),
            (302, false),
            (308, false),
            (405, false),
        ] {
            let answer = Answer::text(StatusCode::from_u16(status).unwrap(), "");
            let id = finish(&asked, "*", answer).headers().get(REQUEST_ID).cloned();
            assert_eq!(id, comes.then(|| HeaderValue::from_static("abc")), "{status}");
        }
        let anonymous = finish(
            &super::Asked { id: None, ..asked },
            "*",
            Answer::text(StatusCode::OK, ""),
        );
        assert_eq!(anonymous.headers()[REQUEST_ID].len(), 36);
    }

    #[test]
    fn pages_of_other_servers_read_only_where_they_may() {
        let asked = asked(Method::GET, &[(header::ORIGIN, "http://b")]);
        let allowed = |origins| {
            let answer = finish(&asked, origins, Answer::text(StatusCode::OK, ""));
            answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        assert_eq!(allowed("*"), Some(HeaderValue::from_static("http://b")));
        assert_eq!(
            allowed("http://a http://b"),
            Some(HeaderValue::from_static("http://b"))
        );
        assert_eq!(allowed("http://a"), None);
    }
}
