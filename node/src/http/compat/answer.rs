//! What is answered: bytes of JSON or text, nothing, a stream; and why something is not done.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::compat::{
    json,
    json::BadBody,
    place::UnknownPlace,
    role::{Denied, Role},
    window::BadWindow,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it.
    Whole(Bytes),
    /// As it comes.
    Stream(Body),
}

/// An answer before the rules that hold for all of them.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// What a handler gives.
pub(super) type Outcome = Result<Answer, Failure>;

impl Answer {
    fn whole(status: StatusCode, content_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type);
        Self {
            status,
            headers,
            content: Content::Whole(bytes.into()),
        }
    }

    /// 200 with a value.
    pub(super) fn json(value: &impl Serialize) -> Self {
        Self::whole(StatusCode::OK, JSON, json::bytes(value))
    }

    /// 200 with a value that is JSON already.
    pub(super) fn json_bytes(bytes: Bytes) -> Self {
        Self::whole(StatusCode::OK, JSON, bytes)
    }

    /// 200 with a page.
    pub(super) fn html(text: String) -> Self {
        Self::whole(StatusCode::OK, HTML, text)
    }

    /// A short text.
    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::whole(status, TEXT, text)
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            content: Content::Whole(Bytes::new()),
        }
    }

    /// 302 or 308 to somewhere on this server.
    pub(super) fn redirect(status: StatusCode, to: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        let answer = Self::text(status, format!("{}: {reason}", status.as_u16()));
        match HeaderValue::from_str(to) {
            Ok(to) => answer.with(header::LOCATION, to),
            Err(_) => answer,
        }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }

    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// No package of this name, however it is spelt.
    pub(super) fn unknown_package(name: &str) -> Self {
        Self::unknown(format!(
            "Package {} is unknown",
            name.chars().take(128).collect::<String>()
        ))
    }

    /// The mesh cannot do it now.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// As it is answered.
    pub(super) fn answer(&self) -> Answer {
        Answer::whole(self.status, JSON, json!({"error": self.reason}).to_string())
    }
}

impl From<BadBody> for Failure {
    fn from(error: BadBody) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<BadWindow> for Failure {
    fn from(error: BadWindow) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<UnknownPlace> for Failure {
    fn from(error: UnknownPlace) -> Self {
        Self::unknown(error.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized => Self::new(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Denied::Forbidden(needed) => forbidden(needed),
        }
    }
}

fn forbidden(needed: Role) -> Failure {
    let reason = format!("User does not have '{}' permission", needed.name());
    Failure::new(StatusCode::FORBIDDEN, reason)
}
