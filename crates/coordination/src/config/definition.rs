//! What is known about one configuration key, and the little language the tables are written in.

use std::fmt;

use super::value::{InvalidValue, Value};

/// Whose configuration a key belongs to. The same name may stand in several scopes (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One topic; what is not set there comes from the broker's key of the same meaning.
    Topic,
    /// One broker or, as the default of all of them, the cluster.
    Broker,
    /// One group (KIP-848, KIP-932, KIP-1071).
    Group,
    /// One subscription to client metrics (KIP-714).
    ClientMetrics,
}

impl Scope {
    /// The word the facts file and the documentation use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Group => "group",
            Self::ClientMetrics => "client-metrics",
        }
    }
}

/// Type of a value, as Kafka's `ConfigDef` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// 32-bit number.
    Int,
    /// 16-bit number.
    Short,
    /// 64-bit number.
    Long,
    /// Floating point number.
    Double,
    /// Texts separated by commas.
    List,
    /// Name of a Java class. Ottla runs none.
    Class,
    /// Text that is never shown again.
    Password,
}

impl Kind {
    /// Kafka's name of the type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    /// The number `DescribeConfigs` (version 3 and later) gives the type; 0 there is "unknown".
    pub const fn wire_code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

/// What Kafka takes when nobody sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// This text, as it would stand in a file.
    Text(&'static str),
    /// Nothing: the key has no value, and another key or a computed value counts.
    Null,
    /// Kafka refuses to start without the key. Ottla has a default for each of these.
    Required,
}

/// Which values are valid, beyond their type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// Every value of the type.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers in this range, both ends included.
    Between(i64, i64),
    /// Fractions from 0 to this.
    UpTo(f64),
    /// gzip's levels: 1 to 9, or -1 for the library's own default.
    GzipLevel,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// Text that is not empty.
    NonEmptyText,
    /// Kafka insists on a value, and the empty one will do.
    NonNull,
    /// A list that is not empty, of any texts, none twice.
    NonEmptyList,
    /// A list that may be empty, of any texts, none twice.
    DistinctList,
    /// A list that may be empty, of these words.
    ListOf(&'static [&'static str]),
    /// A list that is not empty, of these words, none twice.
    NonEmptyListOf(&'static [&'static str]),
    /// Entries `host:port`; checked where they are used.
    Endpoints,
    /// `partition:broker` pairs, or `*` alone.
    ThrottledReplicas,
    /// `latest`, `earliest`, or `by_duration:` with an ISO 8601 duration.
    OffsetReset,
}

impl fmt::Display for Allowed {
    /// Kafka's own spelling of the validator, as its documentation prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any | Self::NonEmptyList | Self::DistinctList => Ok(()),
            Self::AtLeast(min) => write!(f, "[{min},...]"),
            Self::Between(min, max) => write!(f, "[{min},...,{max}]"),
            Self::UpTo(max) => write!(f, "[0,...,{max}]"),
            Self::GzipLevel => f.write_str("[1,...,9] or -1"),
            Self::OneOf(words) | Self::ListOf(words) | Self::NonEmptyListOf(words) => {
                write!(f, "[{}]", words.join(", "))
            }
            Self::OneOfIgnoringCase(words) => write!(f, "(case insensitive) [{}]", words.join(", ")),
            Self::NonEmptyText => f.write_str("non-empty string"),
            Self::NonNull => f.write_str("non-null string"),
            Self::Endpoints => f.write_str("non-empty list"),
            Self::ThrottledReplicas => f.write_str("[partitionId]:[brokerId],[partitionId]:[brokerId],..."),
            Self::OffsetReset => f.write_str("[latest, earliest, by_duration:PnDTnHnMn.nS]"),
        }
    }
}

/// How much a key matters, as Kafka's documentation sorts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Look at it first.
    High,
    /// Look at it when tuning.
    Medium,
    /// Rarely touched.
    Low,
}

impl Importance {
    /// Kafka's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// How a key can change while brokers run (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only at start, from the file.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or for all of them.
    ClusterWide,
    /// On the topic, group or subscription itself, at any time.
    Resource,
}

impl Update {
    /// Kafka's word ("dynamic update mode").
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
            Self::Resource => "resource",
        }
    }
}

/// What Ottla does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Does what it says.
    Honoured,
    /// Is checked and stored, and has no effect yet; a broker that is given one says so in its log.
    Accepted,
    /// Cannot be set: ignoring it would open what it is meant to close.
    Refused,
}

/// One row of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The key.
    pub name: &'static str,
    /// Whose key it is.
    pub scope: Scope,
    /// Type of its values.
    pub kind: Kind,
    /// Kafka's default; [`Definition::default_text`] is the one that counts here.
    pub kafka_default: Initial,
    /// Valid values.
    pub allowed: Allowed,
    /// Kafka's importance.
    pub importance: Importance,
    /// How it changes.
    pub update: Update,
    /// What Ottla does with it.
    pub support: Support,
    /// One or two sentences for people.
    pub doc: &'static str,
}

impl Definition {
    /// Whether the key is Ottla's own.
    pub fn is_own(&self) -> bool {
        self.name.starts_with("ottla.")
    }

    /// Whether its value may be shown (`DescribeConfigs`, logs).
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Default that counts in Ottla: Kafka's, or the one on the [list of deviations](super::deviation).
    /// `None` if the key has no value until it is set.
    pub fn default_text(&self) -> Option<&'static str> {
        if self.scope == Scope::Broker
            && let Some(deviation) = super::deviation::of(self.name)
        {
            return deviation.default;
        }
        match self.kafka_default {
            Initial::Text(text) => Some(text),
            Initial::Null | Initial::Required => None,
        }
    }

    /// Reads a value as it stands in a file or a request, and checks it by type and range.
    pub fn parse(&self, text: &str) -> Result<Value, InvalidValue> {
        let value = Value::parse(self.name, self.kind, text)?;
        self.allowed.check(self.name, &value)?;
        Ok(value)
    }
}

/// Rows of one table. The language is small on purpose, so that a table reads like one:
///
/// ```text
/// "name": Kind = default, Allowed, Importance, Update, Support,
///     "Documentation.";
/// ```
///
/// where the default is a text, `null` or `required`.
macro_rules! configs {
    ($(#[$meta:meta])* $table:ident in $scope:ident;
     $($name:literal: $kind:ident = $default:tt, $allowed:expr, $importance:ident, $update:ident, $support:ident,
        $doc:literal;)*) => {
        $(#[$meta])*
        pub(super) const $table: &[crate::config::Definition] = {
            #[allow(unused_imports, reason = "not every table uses every rule")]
            use crate::config::definition::Allowed::*;
            &[$(crate::config::Definition {
                name: $name,
                scope: crate::config::Scope::$scope,
                kind: crate::config::Kind::$kind,
                kafka_default: crate::config::definition::configs!(@default $default),
                allowed: $allowed,
                importance: crate::config::Importance::$importance,
                update: crate::config::Update::$update,
                support: crate::config::Support::$support,
                doc: $doc,
            }),*]
        };
    };
    (@default null) => { crate::config::Initial::Null };
    (@default required) => { crate::config::Initial::Required };
    (@default $text:literal) => { crate::config::Initial::Text($text) };
}

pub(crate) use configs;
