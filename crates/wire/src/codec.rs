//! Reading and writing Kafka's primitive types, and what every message can do.

mod reader;
mod writer;

use std::fmt;
use std::ops::RangeInclusive;

pub use bytes::Bytes;
pub use ottla_record::Uuid;
pub use reader::Reader;
pub use writer::{Frame, Hole, Writer};

pub use crate::error_code::ErrorCode;

/// A message of Kafka's protocol or a part of a coordinator's record: a value with one encoding per version.
pub trait Message: Sized {
    /// Kafka's name for it.
    const NAME: &'static str;

    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;

    /// Reads the message at `version`. What follows it in the frame is left unread: Kafka ignores it.
    ///
    /// # Errors
    /// The bytes are not this message, or claim more than the frame holds; or the version does not exist.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, Error>;

    /// Writes the message at `version`.
    ///
    /// # Errors
    /// A value that the version cannot carry. What was written until then stays in the writer: see [`Writer::abandon`].
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error>;
}

/// A request, and what answers it.
pub trait Request: Message {
    /// The API it belongs to.
    const API: crate::ApiKey;

    /// Its response, of the same version.
    type Response: Message;
}

/// Record batches in a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Records {
    /// The bytes themselves; decoded, a slice of the frame they came in.
    Inline(Bytes),
    /// `len` bytes that somebody else sends at this place, such as a range of a file: see [`Hole`].
    Hole {
        /// The caller's name for it.
        key: u32,
        /// Their number, which stands in the message before them.
        len: u32,
    },
}

impl Records {
    /// No batch at all, which is not the same as null.
    pub const EMPTY: Self = Self::Inline(Bytes::new());

    /// The number of bytes on the wire.
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Hole { len, .. } => *len as usize,
        }
    }

    /// True if there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here; decoded records always are.
    pub fn inline(&self) -> Option<&Bytes> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Hole { .. } => None,
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) => write!(f, "{} bytes of records", bytes.len()),
            Self::Hole { key, len } => write!(f, "hole {key} for {len} bytes of records"),
        }
    }
}

/// Why bytes are not a message, or a message cannot be bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field reaches past the end.
    #[error("{wanted} bytes are wanted, {left} are left")]
    Truncated {
        /// What the field takes.
        wanted: usize,
        /// What there is.
        left: usize,
    },
    /// An array of more elements than the rest of the frame, or the limit, allows.
    #[error("an array claims {claimed} elements of at least {smallest} bytes, {left} bytes are left")]
    ArrayTooLong {
        /// The elements claimed.
        claimed: usize,
        /// The fewest bytes one takes.
        smallest: usize,
        /// What there is.
        left: usize,
    },
    /// Kafka's strings end at 32,767 bytes.
    #[error("a string of {0} bytes: the protocol allows 32767")]
    StringTooLong(usize),
    /// A length above what the protocol's 32 bits can say.
    #[error("{0} bytes or elements cannot be told by the protocol")]
    TooLong(usize),
    /// Null in a place or version that does not allow it.
    #[error("null where it is not allowed")]
    Null,
    /// An unsigned varint with a sixth byte.
    #[error("a varint of more than five bytes")]
    Varint,
    /// A tagged field whose content does not end where its size says.
    #[error("tag {tag} says it has {declared} bytes, but its field has {read}")]
    TagSize {
        /// The field's tag.
        tag: u32,
        /// The size in front of it.
        declared: usize,
        /// The size of what was read.
        read: usize,
    },
    /// A tagged field that exists, but not in this version.
    #[error("tag {0} does not belong to this version")]
    UnexpectedTag(u32),
    /// A version that the message does not have.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A value that has no place in this version and may not be dropped.
    #[error("{message} version {version} cannot carry {field}")]
    UnsupportedField {
        /// The message's name.
        message: &'static str,
        /// The field's name, as in the schema.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A request of an API that brokers do not serve.
    #[error("no API with key {0} is served here")]
    UnknownApi(i16),
}

impl Error {
    pub(crate) fn check_version<M: Message>(version: i16) -> Result<(), Self> {
        if M::VERSIONS.contains(&version) {
            Ok(())
        } else {
            Err(Self::UnsupportedVersion { message: M::NAME, version })
        }
    }

    pub(crate) fn unsupported_field<M: Message>(field: &'static str, version: i16) -> Self {
        Self::UnsupportedField { message: M::NAME, field, version }
    }
}

#[cfg(test)]
mod tests;
