//! The bytes of a backup:
//!
//! `"pmbackup" | version u16 | memory KiB u32 | passes u32 | lanes u32 | salt 16 | check 16 | nonce 12 | length u64`,
//! then `length` bytes of AES-256-GCM with everything before as associated data. The plain text is each part as
//! `length u32 | bytes`. All numbers are big-endian. Argon2id over the passphrase and the salt gives 48 bytes: the key,
//! then the check.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{BACKUP_LIMIT, BackupError, Passphrase};
use crate::secret::SecretError;

const MAGIC: &[u8; 8] = b"pmbackup";
/// The version that is written, and the only one that is read.
const VERSION: u16 = 1;
/// The cost of a try (RFC 9106, 4, second choice, with one lane: a backup is also opened on a Pi).
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Costs beyond these are not what any version writes, and would only take this machine's memory.
const MEMORY_KIB_MAX: u32 = 512 << 10;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

const SALT: usize = 16;
const CHECK: usize = 16;
const NONCE: usize = 12;
const KEY: usize = 32;
/// The length of the head.
const HEAD: usize = 8 + 2 + 3 * 4 + SALT + CHECK + NONCE + 8;

/// What the head says besides lengths.
struct Head {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT],
    check: [u8; CHECK],
    nonce: [u8; NONCE],
}

pub(super) fn seal(parts: &[Zeroizing<Vec<u8>>], passphrase: &Passphrase) -> Result<Vec<u8>, BackupError> {
    let plain_length: usize = parts.iter().map(|part| part.len() + 4).sum();
    // The tag of the cipher is 16 bytes.
    let length = HEAD + plain_length + 16;
    if length > BACKUP_LIMIT {
        return Err(BackupError::TooLong { length });
    }
    // Reserved once, so that no copy is left by growing.
    let mut plain = Zeroizing::new(Vec::with_capacity(plain_length));
    for part in parts {
        let length = u32::try_from(part.len()).map_err(|_| BackupError::TooLong { length })?;
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(part);
    }
    let mut head = Head {
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: [0; SALT],
        check: [0; CHECK],
        nonce: [0; NONCE],
    };
    for bytes in [head.salt.as_mut_slice(), head.nonce.as_mut_slice()] {
        getrandom::fill(bytes).map_err(SecretError::NoRandom)?;
    }
    let derived = derive(&head, passphrase)?;
    head.check.copy_from_slice(&derived[KEY..]);
    let mut file = head.bytes((plain_length + 16) as u64);
    let sealed = cipher(&derived)
        .encrypt(
            Nonce::from_slice(&head.nonce),
            Payload {
                msg: &plain,
                aad: &file,
            },
        )
        .map_err(|error| BackupError::Cipher(error.to_string()))?;
    file.extend_from_slice(&sealed);
    Ok(file)
}

/// Opens a backup that must consist of exactly `count` parts.
pub(super) fn open(
    bytes: &[u8],
    passphrase: &Passphrase,
    count: usize,
) -> Result<Vec<Zeroizing<Vec<u8>>>, BackupError> {
    let head = Head::read(bytes)?;
    let derived = derive(&head, passphrase)?;
    if derived[KEY..] != head.check {
        return Err(BackupError::Passphrase);
    }
    let plain = cipher(&derived)
        .decrypt(
            Nonce::from_slice(&head.nonce),
            Payload {
                msg: &bytes[HEAD..],
                aad: &bytes[..HEAD],
            },
        )
        .map(Zeroizing::new)
        .map_err(|_| BackupError::Damaged("its bytes are not those that were written"))?;
    split(&plain, count).ok_or(BackupError::Damaged("its parts do not fit together"))
}

fn split(plain: &[u8], count: usize) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let (mut parts, mut rest) = (Vec::with_capacity(count), plain);
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(Zeroizing::new(part.to_vec()));
        rest = tail;
    }
    rest.is_empty().then_some(parts)
}

fn cipher(derived: &[u8; KEY + CHECK]) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(&derived[..KEY]).expect("a key of the right length")
}

fn derive(head: &Head, passphrase: &Passphrase) -> Result<Zeroizing<[u8; KEY + CHECK]>, BackupError> {
    let mut derived = Zeroizing::new([0; KEY + CHECK]);
    let length = Some(derived.len());
    Params::new(head.memory_kib, head.passes, head.lanes, length)
        .and_then(|params| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                passphrase.as_bytes(),
                &head.salt,
                derived.as_mut_slice(),
            )
        })
        .map_err(|error| BackupError::Cipher(error.to_string()))?;
    Ok(derived)
}

impl Head {
    fn bytes(&self, length: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + length as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        for number in [self.memory_kib, self.passes, self.lanes] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.check);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes
    }

    /// Everything is checked here that can be without the passphrase; no memory is taken by what the file claims.
    fn read(bytes: &[u8]) -> Result<Self, BackupError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(BackupError::Foreign)?;
        let version = u16::from_be_bytes(*take(&mut rest)?);
        if version != VERSION {
            return Err(BackupError::Version(version));
        }
        let mut number = || take(&mut rest).map(|bytes| u32::from_be_bytes(*bytes));
        let (memory_kib, passes, lanes) = (number()?, number()?, number()?);
        let head = Self {
            memory_kib,
            passes,
            lanes,
            salt: *take(&mut rest)?,
            check: *take(&mut rest)?,
            nonce: *take(&mut rest)?,
        };
        let length = u64::from_be_bytes(*take(&mut rest)?);
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(BackupError::Damaged("it asks for too much to be opened"));
        }
        match rest.len() as u64 {
            there if there < length => Err(BackupError::Damaged("it is cut short")),
            there if there > length => Err(BackupError::Damaged("something follows it")),
            _ => Ok(head),
        }
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], BackupError> {
    let (taken, tail) = rest
        .split_first_chunk()
        .ok_or(BackupError::Damaged("it is cut short"))?;
    *rest = tail;
    Ok(taken)
}
