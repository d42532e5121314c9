//! The one door to bincode: everything that is signed, stored or sent passes here, with its length checked first.
//!
//! Bincode accepts trailing bytes and its limit binds decoding only; both are closed here. Types with fields that are
//! skipped, flattened or untagged do not survive a round trip and are not used; enums only ever grow at their end.

use serde::{Serialize, de::DeserializeOwned};

/// Greatest memory that one decoded value may claim, in bytes (FORMATS, "decode limit"; it counts containers).
const DECODE_LIMIT: usize = 4 << 20;

/// Why bytes are not a value, or a value not bytes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes, or the encoded value, exceed the bound of their kind.
    #[error("{length} bytes where at most {limit} are allowed")]
    TooLong {
        /// What was there, in bytes.
        length: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// The value is followed by bytes that belong to nothing.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// Not the encoding of this type.
    #[error("malformed bytes")]
    Malformed(#[source] bincode::error::DecodeError),
    /// The value cannot be written (a type that bincode has no form for).
    #[error("a value without an encoding")]
    Unencodable(#[source] bincode::error::EncodeError),
}

/// Encodes `value` in bincode's standard configuration; refuses more than `limit` bytes.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let bytes =
        bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(CodecError::Unencodable)?;
    within(bytes.len(), limit)?;
    Ok(bytes)
}

/// Decodes exactly one value from `bytes`, which must not be longer than `limit`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    within(bytes.len(), limit)?;
    let configuration = bincode::config::standard().with_limit::<DECODE_LIMIT>();
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, configuration).map_err(CodecError::Malformed)?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(CodecError::Trailing(rest)),
    }
}

/// Decodes a large value (an index, a table of files) of which the caller has bounded the length itself.
///
/// The memory that it may claim is eight times its length, enough for containers of small items.
pub fn decode_large<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    within(bytes.len(), limit)?;
    let (value, used) = bincode::serde::decode_from_slice(bytes, bincode::config::standard())
        .map_err(CodecError::Malformed)?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(CodecError::Trailing(rest)),
    }
}

fn within(length: usize, limit: usize) -> Result<(), CodecError> {
    if length > limit {
        Err(CodecError::TooLong { length, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_after_a_value_are_refused() {
        let mut bytes = encode(&7_u32, 16).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes, 16), Err(CodecError::Trailing(1))));
    }

    #[test]
    fn inv5_a_claimed_length_beyond_the_bytes_costs_no_memory() {
        // 0xfd announces a u64 length in bincode's variable integers.
        let mut bytes = vec![0xfd];
        bytes.extend((1_u64 << 40).to_le_bytes());
        assert!(decode::<Vec<u8>>(&bytes, 1 << 20).is_err());
        assert!(decode_large::<Vec<u8>>(&bytes, 1 << 20).is_err());
    }

    #[test]
    fn encoding_beyond_the_limit_is_refused() {
        assert!(matches!(
            encode(&vec![1_u8; 100], 64),
            Err(CodecError::TooLong { limit: 64, .. })
        ));
    }
}
