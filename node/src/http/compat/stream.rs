//! Events as they happen (the HTML standard, "Server-sent events"). A listener that reads too slowly misses some; it
//! holds up nobody.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use bytes::Bytes;
use futures::stream;
use pacmesh_protocol::ledger::kinds::GenerationKey;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

use super::{
    answer::{Answer, Content, Failure, Outcome},
    call::Call,
    teller::Word,
};
use crate::compat::{
    event::EventKind,
    role::{self, Role},
};

/// After so long without an event a comment says that the connection lives.
const PING: Duration = Duration::from_secs(15);

/// What one listener hears.
struct Listener {
    words: Receiver<Word>,
    place: GenerationKey,
    kinds: BTreeSet<EventKind>,
    object: Option<String>,
}

impl Listener {
    fn wants(&self, word: &Word) -> bool {
        let (place, told) = &**word;
        place.as_ref().is_none_or(|place| *place == self.place)
            && (self.kinds.is_empty() || self.kinds.contains(&told.kind))
            && self
                .object
                .as_ref()
                .is_none_or(|object| told.object_id.as_ref() == Some(object))
    }

    /// The next bytes; `None` when nothing more will be told.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match timeout(PING, self.words.recv()).await {
                Err(_) => return Some(Bytes::from_static(b": ping\r\n\r\n")),
                Ok(Ok(word)) if self.wants(&word) => return Some(word.1.frame().into()),
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }
}

pub(super) fn get(call: Call) -> Outcome {
    let place = call.place()?;
    let kinds = call
        .parameters("event")
        .map(|name| EventKind::parse(name).ok_or_else(|| Failure::bad(format!("'{name}' is not an event"))))
        .collect::<Result<BTreeSet<_>, _>>()?;
    if kinds.is_empty() || !kinds.iter().all(|kind| kind.is_read_safe()) {
        role::judge(call.who.role(), Role::Full, false)?;
    }
    let listener = Listener {
        words: call.door.teller.listen(),
        place,
        kinds,
        object: call.parameter("object_id").map(str::to_owned),
    };
    let pieces = stream::unfold(listener, |mut listener| async {
        let piece = listener.next().await?;
        Some((Ok::<_, Infallible>(piece), listener))
    });
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        content: Content::Stream(Body::from_stream(pieces)),
    })
}
