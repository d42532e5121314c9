//! Readers that measure what passes through them: the digests of a file in one pass, and a limit on what it
//! unpacks to.

use std::io::{self, Read};

use pacmesh_protocol::ids::{Digest, Sha256};
use sha2::Digest as _;

/// Counts and hashes every byte that is read through it.
pub(super) struct Digesting<R> {
    inner: R,
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
    length: u64,
}

/// What [`Digesting`] learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    /// BLAKE3 of the bytes.
    pub(super) blake3: Digest,
    /// SHA-256 of the bytes.
    pub(super) sha256: Sha256,
    /// How many bytes there were.
    pub(super) length: u64,
}

impl<R: Read> Digesting<R> {
    /// Measures `inner` from where it stands.
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            blake3: blake3::Hasher::new(),
            sha256: sha2::Sha256::new(),
            length: 0,
        }
    }

    /// The sums of all that was read.
    pub(super) fn finish(self) -> Sums {
        Sums {
            blake3: Digest(*self.blake3.finalize().as_bytes()),
            sha256: Sha256(self.sha256.finalize().into()),
            length: self.length,
        }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.blake3.update(&buffer[..count]);
        self.sha256.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

/// The error inside an [`io::Error`] of [`Bounded`]: which limit was passed, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overflow {
    /// The archive as it lies on disk.
    #[error("there are more than {0} bytes")]
    Archive(u64),
    /// What it unpacks to.
    #[error("it unpacks to more than {0} bytes")]
    Unpacked(u64),
}

impl Overflow {
    /// The overflow behind `error`, if that is what it is.
    pub(super) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    const fn limit(self) -> u64 {
        match self {
            Self::Archive(limit) | Self::Unpacked(limit) => limit,
        }
    }
}

/// Passes bytes on until there were more than a limit, then fails with its [`Overflow`] for ever.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    inner: R,
    overflow: Overflow,
    seen: u64,
}

impl<R: Read> Bounded<R> {
    /// Lets as many bytes of `inner` pass as `overflow` says.
    pub(super) fn new(inner: R, overflow: Overflow) -> Self {
        Self {
            inner,
            overflow,
            seen: 0,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.seen = self.seen.saturating_add(count as u64);
        if self.seen > self.overflow.limit() {
            return Err(io::Error::other(self.overflow));
        }
        Ok(count)
    }
}
