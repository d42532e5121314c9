//! `backup` and `restore` while the daemon runs: bytes go through the socket, files are the caller's business.

use std::{sync::Arc, time::Duration};

use pacmesh_protocol::wire::FRAME_LIMIT;
use pacmesh_signing::backup::{BACKUP_LIMIT, Passphrase};
use tokio::{net::unix::OwnedReadHalf, time::timeout};

use super::{
    caller::{Caller, End},
    entry,
    office::Office,
};
use crate::{
    error::chain,
    frame::expect_frame,
    local::request::{LocalChunk, LocalReply},
    membership::{self, MembershipError, Standing},
    rooms::Rooms,
};

/// How long a caller may take between two chunks.
const CHUNK_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn back_up(
    rooms: &Arc<Rooms>,
    caller: &mut Caller,
    passphrase: Passphrase,
) -> Result<(), End> {
    let standing = Standing::load(&rooms.config.home)
        .and_then(|standing| standing.ok_or(MembershipError::NoMesh))
        .map_err(|error| chain(&error))?;
    let sealed = membership::back_up_from(&rooms.ledger, &rooms.keys.secrets, standing, passphrase)
        .await
        .map_err(|error| chain(&error))?;
    caller.bytes(&sealed).await?;
    caller.done("").await
}

pub(super) async fn kept(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    membership::note_backup(&rooms.ledger)
        .await
        .map_err(|error| chain(&error))?;
    caller.done("").await
}

pub(super) async fn restore(
    office: &Office,
    reader: &mut OwnedReadHalf,
    caller: &mut Caller,
    passphrase: Passphrase,
) -> Result<(), End> {
    let mut bytes = Vec::new();
    loop {
        match timeout(CHUNK_WAIT, expect_frame::<LocalChunk>(reader, FRAME_LIMIT)).await {
            Err(_) => return Err("the backup stopped coming: try again".into()),
            Ok(Err(_)) => return Err(End::Gone),
            Ok(Ok(LocalChunk::End)) => break,
            Ok(Ok(LocalChunk::Bytes(piece))) => {
                if bytes.len() + piece.len() > BACKUP_LIMIT {
                    return Err(
                        "the file is longer than any backup: name the one that 'pacmesh backup' wrote".into(),
                    );
                }
                bytes.extend_from_slice(&piece);
            }
        }
    }
    let _alone = entry::alone(office)?;
    let view = membership::restore(&office.config.home, bytes, passphrase)
        .await
        .map_err(|error| chain(&error))?;
    entry::start(office).await;
    caller.say(LocalReply::Restored(Box::new(view))).await
}
