//! 128-bit identifiers in Kafka's spelling: URL-safe base64 without padding, 22 characters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 128-bit identifier. Written as Kafka writes it (`G_BBSZcOSfuktpIyOqM7CQ`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// The all-zero id, which the protocol reads as "none".
    pub const ZERO: Self = Self([0; 16]);

    /// Wraps 16 bytes as they stand.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Makes a version 4 (random) id of 16 random bytes that the caller drew.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The 16 bytes as they stand on the wire.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// True for the all-zero id.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(22);
        for chunk in self.0.chunks(3) {
            let mut word = 0u32;
            for i in 0..3 {
                word = word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
            }
            // 3 bytes are 4 characters; the last chunk has one byte, which is 2 characters.
            for i in 0..chunk.len() + 1 {
                let sextet = (word >> (18 - 6 * i)) & 63;
                out.push(char::from(ALPHABET.get(sextet as usize).copied().unwrap_or(b'A')));
            }
        }
        f.pad(&out)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an id in Kafka's spelling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an id: expected 22 characters of URL-safe base64")]
pub struct ParseUuidError(String);

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let error = || ParseUuidError(text.to_owned());
        let text_bytes = text.trim_end_matches('=').as_bytes();
        if text_bytes.len() != 22 {
            return Err(error());
        }
        let mut value = 0u128;
        for (i, byte) in text_bytes.iter().enumerate() {
            let sextet = ALPHABET.iter().position(|c| c == byte).ok_or_else(error)? as u128;
            // 22 characters hold 132 bits: the last four are padding.
            value = if i == 21 { value << 2 | sextet >> 4 } else { value << 6 | sextet };
        }
        Ok(Self(value.to_be_bytes()))
    }
}

/// Text formats hold the spelling that people see elsewhere, binary formats the 16 bytes.
impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self)
        }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// Identity of a topic: a topic deleted and created again under its name has another one (KIP-516).
    TopicId
}
id! {
    /// Identity of the cluster, drawn when its first quorum is formed.
    ClusterId
}
id! {
    /// Identity of one log directory (KIP-858): a directory that was lost and made anew has another one.
    DirectoryId
}
id! {
    /// Identity of one process start of a broker (KIP-631).
    Incarnation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_as_kafka_spells_it() {
        let text = "G_BBSZcOSfuktpIyOqM7CQ";
        let id: Uuid = text.parse().unwrap();
        assert_eq!(id.as_bytes()[0], 0x1b);
        assert_eq!(id.to_string(), text);
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert!("short".parse::<Uuid>().is_err());
        assert!("G_BBSZcOSfuktpIyOqM7C!".parse::<Uuid>().is_err());
    }

    #[test]
    fn a_random_id_carries_version_and_variant() {
        let id = Uuid::from_random([0xff; 16]);
        assert_eq!(id.as_bytes()[6] >> 4, 4);
        assert_eq!(id.as_bytes()[8] >> 6, 2);
    }
}
