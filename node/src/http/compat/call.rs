//! A request that was let in: who asks, about what, with which body.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use pacmesh_protocol::{
    ledger::{kinds::GenerationKey, view::View},
    names::PackageName,
};
use serde::de::DeserializeOwned;

use super::{Door, answer::Failure};
use crate::{
    compat::{json, place, role::Role, window::Window},
    http::listener::Peer,
    settings::Settings,
};

/// Longest body that is not an upload, in bytes.
const BODY_LIMIT: usize = 4 << 20;
/// How long a client may send nothing in the middle of a body.
pub(super) const BODY_STALL: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Somebody.
    Nobody,
    /// A user with a session.
    User {
        /// Its name.
        name: String,
        /// What it may.
        role: Role,
    },
    /// Somebody on this machine, by the socket.
    Local,
}

impl Who {
    /// What it may; `None` for nobody.
    pub(super) fn role(&self) -> Option<Role> {
        match self {
            Self::Nobody => None,
            Self::User { role, .. } => Some(*role),
            Self::Local => Some(Role::Full),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::User { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) door: Arc<Door>,
    pub(super) who: Who,
    pub(super) peer: Peer,
    /// The variable parts of its path, decoded.
    pub(super) parts: Vec<String>,
    query: Vec<(String, String)>,
    pub(super) request: Request<Body>,
}

impl Call {
    pub(super) fn new(
        door: Arc<Door>,
        who: Who,
        peer: Peer,
        parts: Vec<String>,
        request: Request<Body>,
    ) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            door,
            who,
            peer,
            parts,
            query,
            request,
        }
    }

    /// The headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The first value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let named = self.query.iter().find(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.query.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.parameter(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Failure::bad(format!("'{name}' is not a number")))
            })
            .transpose()
    }

    /// Which page is asked for.
    pub(super) fn window(&self) -> Result<Window, Failure> {
        Ok(Window::parse(self.parameter("limit"), self.parameter("offset"))?)
    }

    /// What is in force.
    pub(super) fn view(&self) -> Arc<View> {
        self.door.rooms.ledger.view()
    }

    /// The repository that it is about.
    pub(super) fn place(&self) -> Result<GenerationKey, Failure> {
        let places = Settings(&self.view()).places();
        Ok(place::named(
            &places,
            self.parameter("architecture"),
            self.parameter("repository"),
        )?)
    }

    /// The base in its path. What is no name is no package.
    pub(super) fn base(&self) -> Result<PackageName, Failure> {
        let name = self.parts.first().map_or("", String::as_str);
        name.parse().map_err(|_| Failure::unknown_package(name))
    }

    /// The body, read by what it says, whatever its type is said to be.
    pub(super) async fn body<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let bytes = self.bytes().await?;
        Ok(json::parse(&bytes)?)
    }

    async fn bytes(&mut self) -> Result<Bytes, Failure> {
        let too_long = || Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
        let announced = self.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
            return Err(too_long());
        }
        let body = std::mem::replace(self.request.body_mut(), Body::empty());
        let (mut pieces, mut bytes) = (body.into_data_stream(), BytesMut::new());
        loop {
            match tokio::time::timeout(BODY_STALL, pieces.next()).await {
                Err(_) => return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
                Ok(None) => return Ok(bytes.freeze()),
                Ok(Some(Err(error))) => return Err(Failure::bad(format!("the body broke off: {error}"))),
                Ok(Some(Ok(piece))) if bytes.len() + piece.len() > BODY_LIMIT => return Err(too_long()),
                Ok(Some(Ok(piece))) => bytes.extend_from_slice(&piece),
            }
        }
    }
}
