//! Topic names.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest topic name: with `-` and a partition number it must still be a file name of 255 bytes.
pub const MAX_TOPIC_NAME: usize = 249;

/// A topic name that follows Kafka's rules. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TopicName(Arc<str>);

/// Why a text cannot be a topic name; Kafka's `INVALID_TOPIC_EXCEPTION`, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TopicNameError {
    /// No characters at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// "." or "..", which are directories.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Reserved(String),
    /// More than [`MAX_TOPIC_NAME`] characters.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_TOPIC_NAME}"
    )]
    TooLong(String),
    /// A character outside the allowed ones.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Characters(String),
}

impl TopicName {
    /// Checks a name: 1 to 249 of `[a-zA-Z0-9._-]`, and neither "." nor "..".
    pub fn parse(text: &str) -> Result<Self, TopicNameError> {
        match text {
            "" => Err(TopicNameError::Empty),
            "." | ".." => Err(TopicNameError::Reserved(text.to_owned())),
            _ if text.len() > MAX_TOPIC_NAME => {
                // The name goes into an answer and a log line: whatever was sent, show no more than this of it.
                let shown = text.chars().take(MAX_TOPIC_NAME).collect();
                Err(TopicNameError::TooLong(shown))
            }
            _ if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) => {
                Err(TopicNameError::Characters(text.to_owned()))
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling in which Kafka's metric names would meet: '.' and '_' are one character there, so two topics may
    /// not differ in them alone.
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }

    /// True if the name holds a character that may collide.
    pub fn may_collide(&self) -> bool {
        self.0.contains(['.', '_'])
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicNameError;

    fn try_from(text: String) -> Result<Self, TopicNameError> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, TopicNameError> {
        Self::parse(text)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
