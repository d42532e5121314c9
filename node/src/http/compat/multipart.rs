//! The parts of an upload, streamed into the store as they come: what is in memory is a piece of one part.

use axum::extract::{FromRequest, Multipart, multipart::Field};
use bytes::Bytes;
use pacmesh_protocol::ids::Digest;
use tokio::time::timeout;

use super::{
    answer::Failure,
    call::{BODY_STALL, Call},
};
use crate::{blobs::Stored, error::chain, rooms::Rooms, settings::Settings};

/// Greatest length of a detached signature, in bytes.
const SIGNATURE_LIMIT: usize = 16 << 10;
/// Most parts of one request.
const PARTS: usize = 256;

/// What came.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// By the names that the client gave them.
    pub(super) packages: Vec<(String, Stored)>,
    /// By the names of the archives that they are for.
    pub(super) signatures: Vec<(String, Digest)>,
}

impl Parts {
    /// Takes all parts of a request.
    pub(super) async fn receive(call: &mut Call) -> Result<Self, Failure> {
        let limit = Settings(&call.view()).max_body_size();
        let rooms = call.door.rooms.clone();
        let request = std::mem::take(&mut call.request);
        let mut multipart = Multipart::from_request(request, &())
            .await
            .map_err(|error| Failure::bad(error.body_text()))?;
        let mut parts = Self::default();
        loop {
            let next = timeout(BODY_STALL, multipart.next_field())
                .await
                .map_err(|_| stalled())?;
            let Some(field) = next.map_err(|error| Failure::bad(error.body_text()))? else {
                return match parts.packages.len() + parts.signatures.len() {
                    0 => Err(Failure::bad("nothing was uploaded")),
                    _ => Ok(parts),
                };
            };
            if parts.packages.len() + parts.signatures.len() >= PARTS {
                return Err(Failure::bad(format!("more than {PARTS} parts")));
            }
            parts.take(&rooms, field, limit).await?;
        }
    }

    async fn take(&mut self, rooms: &Rooms, mut field: Field<'_>, limit: u64) -> Result<(), Failure> {
        let is_package = match field.name() {
            Some("package") => true,
            Some("signature") => false,
            _ => return Err(Failure::bad("Invalid multipart field name")),
        };
        let name = field
            .file_name()
            .ok_or_else(|| Failure::bad("Filename must be set"))?;
        if !is_plain(name) {
            return Err(Failure::bad("Filename must be valid archive name"));
        }
        let name = name.to_owned();
        if is_package {
            let stored = store(rooms, &mut field, limit).await?;
            self.packages.push((name, stored));
            return Ok(());
        }
        let Some(archive) = name.strip_suffix(".sig") else {
            return Err(Failure::bad("Filename must be valid archive name"));
        };
        let mut signature = Vec::new();
        while let Some(piece) = next_piece(&mut field).await? {
            if signature.len() + piece.len()
                > SIGNATURE_LIMIT.min(usize::try_from(limit).unwrap_or(usize::MAX))
            {
                return Err(too_large());
            }
            signature.extend_from_slice(&piece);
        }
        let kept = rooms.blobs.put_bytes(signature).await;
        let digest = kept.map_err(|error| Failure::unavailable(chain(&error)))?;
        self.signatures.push((archive.to_owned(), digest));
        Ok(())
    }
}

async fn store(rooms: &Rooms, field: &mut Field<'_>, limit: u64) -> Result<Stored, Failure> {
    let no_room = |error| Failure::unavailable(chain(&error));
    let mut writer = rooms.blobs.writer().await.map_err(no_room)?;
    let mut size = 0;
    while let Some(piece) = next_piece(field).await? {
        size += piece.len() as u64;
        if size > limit {
            return Err(too_large());
        }
        writer.write(&piece).await.map_err(no_room)?;
    }
    writer.finish().await.map_err(no_room)
}

async fn next_piece(field: &mut Field<'_>) -> Result<Option<Bytes>, Failure> {
    let piece = timeout(BODY_STALL, field.chunk()).await.map_err(|_| stalled())?;
    piece.map_err(|error| Failure::bad(error.body_text()))
}

fn too_large() -> Failure {
    Failure::bad("Body part is too large")
}

fn stalled() -> Failure {
    Failure::new(
        axum::http::StatusCode::REQUEST_TIMEOUT,
        "the upload did not go on",
    )
}

/// One segment of a path that hides nothing and leads nowhere.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv7_only_a_plain_name_is_a_name() {
        for name in ["", ".", "..", ".a", "a/b", "/a", "a\0b", "a\\b", &"x".repeat(256)] {
            assert!(!is_plain(name), "{name:?}");
        }
        assert!(is_plain("a-b-1:2.0-1-x86_64.pkg.tar.zst"));
    }
}
