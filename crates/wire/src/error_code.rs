//! Kafka's error codes (`org.apache.kafka.common.protocol.Errors`).

use std::fmt;

/// An error code as it stands in responses. A newer peer may send codes this table does not name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// Kafka's name, `None` for a code it has none for.
    pub const fn name(self) -> Option<&'static str> {
        match facts(self.0) {
            Some((name, _)) => Some(name),
            None => None,
        }
    }

    /// Whether Kafka's clients try again (`RetriableException`).
    pub const fn is_retriable(self) -> bool {
        matches!(facts(self.0), Some((_, true)))
    }

    /// True for every code but [`NONE`](Self::NONE).
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

include!(concat!(env!("OUT_DIR"), "/error_code.rs"));

#[cfg(test)]
mod tests;
