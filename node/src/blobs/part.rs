//! A transfer that is not complete: verified groups from the beginning on, their hash pairs, and a record of how far
//! they are durable.
//!
//! `parts/<digest>.data` and `.obao4` are written as groups arrive; `.state` is replaced only after both were synced,
//! so that what it tells is true after any crash. Verified groups are right whichever node sent them.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bao_tree::BaoTree;
use pacmesh_protocol::{codec, ids::Digest};

use super::{
    BLOCK, BlobStore, GROUP,
    disk::{Disk, open_own, remove, sync_folder},
    error::{BlobError, Doing},
};

/// After so many verified bytes they are made durable.
const CHECKPOINT: u64 = 16 << 20;
/// Transfers that nobody went on with for so long are given up.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Greatest length of the state, in bytes: two numbers.
const STATE: usize = 32;

/// Verified parts on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Consecutive bytes.
    pub(super) bytes: Vec<u8>,
    /// Hash pairs with their places.
    pub(super) pairs: Vec<(u64, [u8; 64])>,
}

/// A transfer that is under way. One at a time per digest: [`super::Fetcher`] sees to that.
#[derive(Debug)]
pub(super) struct Part {
    store: BlobStore,
    digest: Digest,
    size: u64,
    /// Bytes from the beginning on that are written; those that are durable too.
    written: u64,
    durable: u64,
    data: File,
    outboard: File,
}

impl Part {
    /// Up to where an earlier transfer of `digest` came: (size, durable bytes). Blocks.
    pub(super) fn progress(store: &BlobStore, digest: &Digest) -> Option<(u64, u64)> {
        let state = fs::read(state_path(store.disk(), digest)).ok()?;
        let (size, durable): (u64, u64) = codec::decode(&state, STATE).ok()?;
        let data = fs::metadata(data_path(store.disk(), digest)).ok()?;
        (durable <= size && durable <= data.len() && durable.is_multiple_of(GROUP)).then_some((size, durable))
    }

    /// Goes on with an earlier transfer of the same size, or begins. Blocks.
    pub(super) fn open(store: &BlobStore, digest: Digest, size: u64) -> Result<Self, BlobError> {
        let done = match Self::progress(store, &digest) {
            Some((known, done)) if known == size => done,
            _ => {
                discard(store.disk(), &digest)?;
                0
            }
        };
        store.disk().room_for(size - done)?;
        let part = Self {
            store: store.clone(),
            digest,
            size,
            written: done,
            durable: done,
            data: open_own(&data_path(store.disk(), &digest))?,
            outboard: open_own(&outboard_path(store.disk(), &digest))?,
        };
        Ok(part)
    }

    /// How many bytes from the beginning on are verified.
    pub(super) fn verified(&self) -> u64 {
        self.written
    }

    /// Keeps the next verified bytes. Blocks.
    pub(super) fn keep(&mut self, batch: &Batch) -> Result<(), BlobError> {
        let disk = self.store.disk();
        disk.room_for(batch.bytes.len() as u64)?;
        self.data
            .write_all_at(&batch.bytes, self.written)
            .doing("write", &data_path(disk, &self.digest))?;
        for (offset, pair) in &batch.pairs {
            self.outboard
                .write_all_at(pair, *offset)
                .doing("write", &outboard_path(disk, &self.digest))?;
        }
        self.written += batch.bytes.len() as u64;
        if self.written - self.durable >= CHECKPOINT {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes durable what is verified. Blocks.
    pub(super) fn checkpoint(&mut self) -> Result<(), BlobError> {
        // A last group that is not whole is fetched again, so that every transfer begins with a group.
        let done = self.written - self.written % GROUP;
        if done == self.durable {
            return Ok(());
        }
        self.sync()?;
        let disk = self.store.disk();
        let path = state_path(disk, &self.digest);
        let state = codec::encode(&(self.size, done), STATE).map_err(|_| BlobError::Aborted)?;
        disk.write_whole(&path, &state)?;
        sync_folder(&disk.parts())?;
        self.durable = done;
        Ok(())
    }

    /// Gives the complete blob its name; durable on return. Blocks.
    pub(super) fn finish(self) -> Result<(), BlobError> {
        if self.written != self.size {
            return Err(BlobError::Aborted);
        }
        self.sync()?;
        let disk = self.store.disk();
        let (data, outboard) = (data_path(disk, &self.digest), outboard_path(disk, &self.digest));
        disk.install(&self.digest, &[], |path| {
            if BaoTree::new(self.size, BLOCK).outboard_size() > 0 {
                fs::rename(&outboard, disk.outboard(&self.digest))?;
            }
            fs::rename(&data, path)
        })?;
        discard(disk, &self.digest)
    }

    fn sync(&self) -> Result<(), BlobError> {
        let disk = self.store.disk();
        self.data
            .sync_data()
            .doing("sync", &data_path(disk, &self.digest))?;
        self.outboard
            .sync_data()
            .doing("sync", &outboard_path(disk, &self.digest))
    }
}

/// Removes what was transferred of `digest`, the record first.
pub(super) fn discard(disk: &Disk, digest: &Digest) -> Result<(), BlobError> {
    remove(&state_path(disk, digest))?;
    remove(&data_path(disk, digest))?;
    remove(&outboard_path(disk, digest))?;
    Ok(())
}

/// Removes transfers that have no record or that are stale.
pub(super) fn clean(disk: &Disk) -> Result<(), BlobError> {
    let folder = disk.parts();
    for entry in fs::read_dir(&folder).doing("list", &folder)? {
        let path = entry.doing("list", &folder)?.path();
        if !is_fresh(&path.with_extension("state")) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes transfers that nobody went on with for so long that they are stale, while others are under way.
pub(super) fn clean_stale(disk: &Disk) -> Result<(), BlobError> {
    let folder = disk.parts();
    for entry in fs::read_dir(&folder).doing("list", &folder)? {
        let path = entry.doing("list", &folder)?.path();
        if !is_fresh(&path) && !is_fresh(&path.with_extension("state")) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn is_fresh(state: &Path) -> bool {
    let Ok(changed) = fs::metadata(state).and_then(|state| state.modified()) else {
        return false;
    };
    // A time in the future is a clock that was set back: fresh.
    SystemTime::now()
        .duration_since(changed)
        .is_ok_and(|age| age < STALE)
        || changed > SystemTime::now()
}

fn data_path(disk: &Disk, digest: &Digest) -> PathBuf {
    disk.parts().join(format!("{digest}.data"))
}

fn outboard_path(disk: &Disk, digest: &Digest) -> PathBuf {
    disk.parts().join(format!("{digest}.obao4"))
}

fn state_path(disk: &Disk, digest: &Digest) -> PathBuf {
    disk.parts().join(format!("{digest}.state"))
}
