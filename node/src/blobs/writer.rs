//! A blob that comes piece by piece: hashed and written as it comes, named when it is whole, gone when it is dropped.

use std::io::Write;

use tempfile::NamedTempFile;

use super::{
    BLOB_LIMIT, BlobStore, Stored,
    error::{BlobError, Doing},
    hasher::{Hashed, Hasher},
};

/// Pieces are joined up to so many bytes before the disk is bothered.
const BATCH: usize = 1 << 20;

/// Takes the bytes of one blob. Dropped before [`BlobWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    /// Away while the blocking pool works with it; lost when that work failed or was given up.
    file: Option<Box<Unfinished>>,
    batch: Vec<u8>,
    size: u64,
}

#[derive(Debug)]
struct Unfinished {
    file: NamedTempFile,
    hasher: Hasher,
}

impl BlobWriter {
    pub(super) fn new(store: BlobStore) -> Result<Self, BlobError> {
        store.room(0)?;
        let file = store.disk().temporary()?;
        let unfinished = Unfinished {
            file,
            hasher: Hasher::default(),
        };
        Ok(Self {
            store,
            file: Some(Box::new(unfinished)),
            batch: Vec::new(),
            size: 0,
        })
    }

    /// Takes the next bytes. After an error the writer is of no more use.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        self.size += bytes.len() as u64;
        if self.size > BLOB_LIMIT {
            self.file = None;
            return Err(BlobError::TooLarge);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BATCH - self.batch.len()));
            self.batch.extend_from_slice(now);
            bytes = later;
            if self.batch.len() == BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Names what was written; durable on return.
    pub async fn finish(mut self) -> Result<Stored, BlobError> {
        self.flush().await?;
        let unfinished = self.file.take().ok_or(BlobError::Aborted)?;
        self.store
            .blocking(move |store| {
                let Hashed { stored, outboard } = unfinished.hasher.finish();
                if !store.is_kept(&stored.digest)? {
                    store.install(unfinished.file, &stored.digest, &outboard)?;
                }
                Ok(stored)
            })
            .await
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let mut unfinished = self.file.take().ok_or(BlobError::Aborted)?;
        let batch = std::mem::take(&mut self.batch);
        let work = self.store.blocking(move |store| {
            store.room(batch.len() as u64)?;
            unfinished.hasher.update(&batch);
            let path = unfinished.file.path().to_owned();
            unfinished.file.write_all(&batch).doing("write", &path)?;
            Ok((unfinished, batch))
        });
        let (unfinished, mut batch) = work.await?;
        batch.clear();
        self.batch = batch;
        self.file = Some(unfinished);
        Ok(())
    }
}
