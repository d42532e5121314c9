//! Uploads: archives are taken in when all of a request came, under the names that they give themselves.

use axum::http::StatusCode;

use super::{
    answer::{Answer, Failure, Outcome},
    call::Call,
    incoming::Waiting,
    multipart::Parts,
};
use crate::{
    blobs::Stored,
    error::chain,
    repository::archive::{self, Label},
    rooms::Rooms,
};

pub(super) async fn post(mut call: Call) -> Outcome {
    // Servers of this kind find out by a folder that is not there.
    let place = call
        .place()
        .map_err(|failure| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, failure.reason))?;
    let mut parts = Parts::receive(&mut call).await?;
    let mut taken = Vec::new();
    for (name, stored) in parts.packages {
        let label = label(&call.door.rooms, &name, &stored).await?;
        let signature = parts.signatures.iter().position(|(archive, _)| *archive == name);
        taken.push(Waiting {
            place: place.clone(),
            base: label.base,
            file: label.file,
            size: stored.size,
            sha256: stored.sha256,
            archive: stored.digest,
            signature: signature.map(|at| parts.signatures.swap_remove(at).1),
        });
    }
    for waiting in taken {
        let added = call.door.incoming.add(&call.door.rooms, waiting).await;
        added.map_err(Failure::unavailable)?;
    }
    for (archive, signature) in parts.signatures {
        let signed = call
            .door
            .incoming
            .sign(&call.door.rooms, &place, &archive, signature)
            .await;
        if !signed.map_err(Failure::unavailable)? {
            return Err(Failure::bad(format!(
                "{archive}.sig is the signature of nothing that was uploaded"
            )));
        }
    }
    Ok(Answer::text(StatusCode::CREATED, "201: Created"))
}

async fn label(rooms: &Rooms, name: &str, stored: &Stored) -> Result<Label, Failure> {
    let path = rooms
        .blobs
        .path(&stored.digest)
        .ok_or_else(|| Failure::unavailable("the archive vanished: upload it again"))?;
    let read = tokio::task::spawn_blocking(move || archive::label(&path)).await;
    read.map_err(|error| Failure::unavailable(error.to_string()))?
        .map_err(|error| Failure::bad(format!("{name} is not a package: {}", chain(&error.fault))))
}
