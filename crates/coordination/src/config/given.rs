//! What a person gave a broker: a file, then settings on the command line, which count more.

use std::fmt;

use super::definition::{Allowed, Kind, Scope, Support};
use super::properties::{self, SyntaxError};
use super::suggestion;
use super::table;
use super::validation::{self, ConfigError, Settings};

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// The file's name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// On the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A setting that stops the broker from starting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GivenError {
    /// The file is none of `java.util.Properties`.
    #[error("{name}, {error}")]
    Syntax {
        /// The file's name.
        name: String,
        /// What is wrong.
        error: SyntaxError,
    },
    /// A value its key does not take.
    #[error("{origin}: {error}{}", takes(key))]
    Value {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong.
        error: Box<ConfigError>,
    },
}

/// The range of a number's key. The texts about other values say themselves what is allowed.
fn takes(key: &str) -> String {
    let definition = table::find(Scope::Broker, validation::without_listener_prefix(key).0);
    let is_number = |kind| matches!(kind, Kind::Short | Kind::Int | Kind::Long | Kind::Double);
    match definition.filter(|definition| is_number(definition.kind)).map(|definition| definition.allowed) {
        None | Some(Allowed::Any) => String::new(),
        Some(allowed) => format!("; allowed: {allowed}"),
    }
}

/// Something the log says about the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A key in no table. It is kept, as Kafka keeps it, and does nothing.
    Unknown {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// Keys that are checked and do nothing yet.
    WithoutEffect {
        /// The keys.
        keys: Vec<String>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { origin, key, nearest: Some(nearest) } => {
                write!(f, "{origin}: unknown configuration {key}; did you mean {nearest}?")
            }
            Self::Unknown { origin, key, nearest: None } => {
                write!(f, "{origin}: unknown configuration {key}")
            }
            Self::WithoutEffect { keys } => {
                write!(f, "accepted, but without effect in this version: {}", keys.join(", "))
            }
        }
    }
}

/// The settings of a broker, checked one by one, and what there is to say about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The settings, by key.
    pub settings: Settings,
    /// For the log.
    pub notices: Vec<Notice>,
}

impl Given {
    /// Reads a file (its name and text) and the settings of the command line over it.
    pub fn read(file: Option<(&str, &str)>, command_line: &[(String, String)]) -> Result<Self, GivenError> {
        let mut given = Self::default();
        if let Some((name, text)) = file {
            let properties = properties::parse(text)
                .map_err(|error| GivenError::Syntax { name: name.to_owned(), error })?;
            for property in properties {
                let origin = Origin::File { name: name.to_owned(), line: property.line };
                given.set(origin, property.name, property.value)?;
            }
        }
        for (key, value) in command_line {
            given.set(Origin::CommandLine, key.clone(), value.clone())?;
        }
        let has_no_effect = |key: &&String| {
            let (name, of_one_listener) = validation::without_listener_prefix(key);
            of_one_listener
                || table::find(Scope::Broker, name)
                    .is_some_and(|definition| definition.support == Support::Accepted)
        };
        let keys: Vec<String> = given.settings.keys().filter(has_no_effect).cloned().collect();
        if !keys.is_empty() {
            given.notices.push(Notice::WithoutEffect { keys });
        }
        Ok(given)
    }

    fn set(&mut self, origin: Origin, key: String, value: String) -> Result<(), GivenError> {
        let (name, of_one_listener) = validation::without_listener_prefix(&key);
        if let Err(error) = validation::check_value(Scope::Broker, name, &value) {
            return Err(GivenError::Value { origin, key, error: Box::new(error) });
        }
        if table::find(Scope::Broker, name).is_none() && !of_one_listener {
            let nearest = suggestion::nearest(Scope::Broker, name);
            self.notices.push(Notice::Unknown { origin, key: key.clone(), nearest });
        }
        self.settings.insert(key, value);
        Ok(())
    }
}
