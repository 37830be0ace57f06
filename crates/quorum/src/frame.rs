//! One value of the hard state as bytes: a version, a checksum, and the value as JSON.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version of this layout, 1 |
//! | 1–4 | CRC-32C (little-endian) of the version, of the key the value stands under, and of the rest |
//! | 5– | the value as JSON |
//!
//! The key is in the checksum, so that a value that turns up in another one's place is damage too.

use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 1;
const HEADER: usize = 5;

/// Why bytes are not the value that was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0} is damaged: its checksum does not match")]
    Checksum(String),
    #[error("{key} has layout version {version}, which this program does not know: use a newer one")]
    Version { key: String, version: u8 },
    #[error("{0} cannot be read: {1}")]
    Content(String, serde_json::Error),
}

pub(crate) fn encode(key: &str, value: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![VERSION, 0, 0, 0, 0];
    serde_json::to_writer(&mut bytes, value).map_err(|e| FrameError::Content(key.to_owned(), e))?;
    let sum = checksum(VERSION, key, bytes.get(HEADER..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(1..HEADER) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, FrameError> {
    let damaged = || FrameError::Checksum(key.to_owned());
    let (&version, rest) = bytes.split_first().ok_or_else(damaged)?;
    let (sum, content) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if checksum(version, key, content) != u32::from_le_bytes(*sum) {
        return Err(damaged());
    }
    if version != VERSION {
        return Err(FrameError::Version { key: key.to_owned(), version });
    }
    serde_json::from_slice(content).map_err(|e| FrameError::Content(key.to_owned(), e))
}

fn checksum(version: u8, key: &str, content: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&[version]);
    digest.update(key.as_bytes());
    digest.update(content);
    // A CRC-32 in a wider integer.
    (digest.finalize() & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
