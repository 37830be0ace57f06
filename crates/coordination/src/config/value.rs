//! Values: from text to type, the rules a value must keep, and back to the text Kafka's tools show.

use std::fmt;

use super::definition::{Allowed, Kind};

/// A value of one of Kafka's types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// BOOLEAN
    Boolean(bool),
    /// SHORT, INT and LONG; the range of the type was checked.
    Number(i64),
    /// DOUBLE
    Double(f64),
    /// STRING and CLASS
    Text(String),
    /// LIST
    List(Vec<String>),
    /// PASSWORD
    Password(Secret),
}

/// A text that no log and no answer shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself. Do not print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A value its key does not take. The texts are Kafka's, so that people find them by search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    /// Of the wrong type or out of range.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Value {
        /// The key.
        name: String,
        /// The value as it was given, or `[hidden]`.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// An empty list where Kafka wants at least one entry.
    #[error("Configuration '{name}' must not be empty. Valid values include: {allowed}")]
    EmptyList {
        /// The key.
        name: String,
        /// What it takes.
        allowed: String,
    },
    /// A list with nothing between two commas.
    #[error("Configuration '{name}' values must not be empty.")]
    EmptyEntry {
        /// The key.
        name: String,
    },
    /// A list with an entry twice.
    #[error("Configuration '{name}' values must not be duplicated.")]
    DuplicateEntry {
        /// The key.
        name: String,
    },
}

impl InvalidValue {
    pub(super) fn new(name: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::Value { name: name.to_owned(), value: value.to_string(), reason: reason.into() }
    }
}

impl Value {
    /// Reads a value as Kafka's `ConfigDef.parseType` does: surrounding blanks do not count.
    pub(super) fn parse(name: &str, kind: Kind, text: &str) -> Result<Self, InvalidValue> {
        let trimmed = text.trim();
        let not_a_number =
            || InvalidValue::new(name, text, format!("Not a number of type {}", kind.as_str()));
        let number = |min: i64, max: i64| {
            let number: i64 = trimmed.parse().map_err(|_| not_a_number())?;
            if (min..=max).contains(&number) { Ok(Self::Number(number)) } else { Err(not_a_number()) }
        };
        match kind {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Self::Boolean(true)),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Self::Boolean(false)),
            Kind::Boolean => Err(InvalidValue::new(name, text, "Expected value to be either true or false")),
            Kind::Short => number(i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Int => number(i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Long => number(i64::MIN, i64::MAX),
            Kind::Double => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Self::Double(number)),
                _ => Err(not_a_number()),
            },
            Kind::String | Kind::Class => Ok(Self::Text(trimmed.to_owned())),
            Kind::List => Ok(Self::List(split_list(trimmed))),
            Kind::Password => Ok(Self::Password(Secret(trimmed.to_owned()))),
        }
    }

    /// The number, if it is one.
    pub const fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Splits at commas and drops the blanks around each entry; an empty text is an empty list.
fn split_list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|entry| entry.trim().to_owned()).collect()
}

impl fmt::Display for Value {
    /// The text `DescribeConfigs` answers, as Kafka's `ConfigDef.convertToString` makes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(entries) => f.write_str(&entries.join(",")),
            Self::Password(_) => f.write_str("[hidden]"),
        }
    }
}

/// `Double.toString`: plain between 0.001 and 10,000,000, else with an exponent, and always with a point.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

impl Allowed {
    /// Says no in Kafka's words.
    pub(super) fn check(&self, name: &str, value: &Value) -> Result<(), InvalidValue> {
        let reason = match (self, value) {
            (Self::AtLeast(min), Value::Number(number)) if number < min => below(min),
            (Self::Between(min, _), Value::Number(number)) if number < min => below(min),
            (Self::Between(_, max), Value::Number(number)) if number > max => above(max),
            (Self::AtLeast(min) | Self::Between(min, _), Value::Double(number)) if *number < *min as f64 => {
                below(min)
            }
            (Self::Between(_, max), Value::Double(number)) if *number > *max as f64 => above(max),
            (Self::UpTo(_), Value::Double(number)) if *number < 0.0 => below(&0),
            (Self::UpTo(max), Value::Double(number)) if number > max => above(max),
            (Self::GzipLevel, Value::Number(number)) if *number != -1 && !(1..=9).contains(number) => {
                "Value must be between 1 and 9 or equal to -1".to_owned()
            }
            (Self::OneOf(words), Value::Text(text)) if !words.contains(&text.as_str()) => {
                format!("String must be one of: {}", words.join(", "))
            }
            (Self::OneOfIgnoringCase(words), Value::Text(text))
                if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) =>
            {
                format!("String must be one of (case insensitive): {}", words.join(", "))
            }
            (Self::NonEmptyText, Value::Text(text)) if text.is_empty() => {
                "String must be non-empty".to_owned()
            }
            (Self::OffsetReset, Value::Text(text)) if !is_offset_reset(text) => {
                "Value must be latest, earliest, or by_duration: with an ISO 8601 duration such as PT1H"
                    .to_owned()
            }
            (Self::ThrottledReplicas, Value::List(entries)) if !are_throttled_replicas(entries) => {
                let reason = format!(
                    "{name} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                );
                return Err(InvalidValue::new(name, format_args!("[{}]", entries.join(", ")), reason));
            }
            (_, Value::List(entries)) => return self.check_list(name, entries),
            _ => return Ok(()),
        };
        Err(InvalidValue::new(name, value, reason))
    }

    fn check_list(&self, name: &str, entries: &[String]) -> Result<(), InvalidValue> {
        let (words, may_be_empty, may_repeat): (&[&str], bool, bool) = match self {
            Self::NonEmptyList => (&[], false, false),
            Self::DistinctList => (&[], true, false),
            // A repeated clean-up policy was valid before Kafka 4.2 (KIP-1161); Kafka still takes it.
            Self::ListOf(words) => (words, true, true),
            Self::NonEmptyListOf(words) => (words, false, false),
            _ => return Ok(()),
        };
        if entries.is_empty() && !may_be_empty {
            let allowed = if words.is_empty() { "any non-empty value".to_owned() } else { self.to_string() };
            return Err(InvalidValue::EmptyList { name: name.to_owned(), allowed });
        }
        if entries.iter().any(String::is_empty) {
            return Err(InvalidValue::EmptyEntry { name: name.to_owned() });
        }
        if let Some(stranger) =
            entries.iter().find(|entry| !words.is_empty() && !words.contains(&entry.as_str()))
        {
            let reason = format!("String must be one of: {}", words.join(", "));
            return Err(InvalidValue::new(name, stranger, reason));
        }
        let repeated =
            entries.iter().enumerate().any(|(at, entry)| entries.iter().take(at).any(|e| e == entry));
        if repeated && !may_repeat {
            return Err(InvalidValue::DuplicateEntry { name: name.to_owned() });
        }
        Ok(())
    }
}

fn below(min: &impl fmt::Display) -> String {
    format!("Value must be at least {min}")
}

fn above(max: &impl fmt::Display) -> String {
    format!("Value must be no more than {max}")
}

fn are_throttled_replicas(entries: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_replica = |entry: &String| {
        entry.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    matches!(entries, [all] if all == "*") || entries.iter().all(is_replica)
}

/// Whether a share group may start there (KIP-932, KIP-1106).
fn is_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        // The designators of an ISO 8601 duration in their order; the number in front of each is checked by its digits.
        Some(duration) => duration.strip_prefix('P').is_some_and(|rest| {
            rest.ends_with(['D', 'H', 'M', 'S']) && rest.chars().all(is_duration_character)
        }),
        None => matches!(text, "latest" | "earliest"),
    }
}

fn is_duration_character(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, 'D' | 'T' | 'H' | 'M' | 'S' | '.')
}
