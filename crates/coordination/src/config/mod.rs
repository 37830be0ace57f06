//! Configuration: Kafka's keys, Ottla's own, and what they come to for one topic and for one broker.
//!
//! - [`definitions`] and [`find`]: the table, one row a key ([`Definition`]), and [`deviation`]: the defaults that
//!   are not Kafka's.
//! - [`validate_topic`], [`validate_broker`], [`edit_list`]: what a request may set.
//! - [`properties`] and [`Given`]: what a person gave a broker, in a file and on the command line.
//! - [`Layers`]: which of the places where a key is set counts; from it [`TopicConfig`] and [`BrokerConfig`], the typed
//!   values, and [`Entry`], what `DescribeConfigs` answers.
//! - [`explain`] and [`document`]: the same for people.
//!
//! ```
//! use ottla_coordination::config::{self, Scope};
//!
//! let retention = config::find(Scope::Topic, "retention.ms").unwrap();
//! assert_eq!(
//!     retention.parse("-5").unwrap_err().to_string(),
//!     "Invalid value -5 for configuration retention.ms: Value must be at least -1",
//! );
//! assert_eq!(config::nearest(Scope::Broker, "log.retention.hour"), Some("log.retention.hours"));
//! ```

mod broker;
mod cleaner;
mod definition;
mod describe;
pub mod deviation;
mod document;
mod explain;
mod given;
mod group_settings;
mod layers;
mod listener;
pub mod properties;
mod quorum_settings;
mod replication;
mod suggestion;
pub mod synonyms;
mod table;
mod topic;
mod typed;
mod validation;
mod value;

pub use broker::{BrokerConfig, ConnectionLimits, FetchLimits, TopicDefaults};
pub use cleaner::CleanerConfig;
pub use definition::{Allowed, Definition, Importance, Initial, Kind, Scope, Support, Update};
pub use describe::{Entry, SetAt};
pub use document::document;
pub use explain::explain;
pub use given::{Given, GivenError, Notice, Origin};
pub use group_settings::{GroupConfig, OffsetsTopic};
pub use layers::{Layers, Source};
pub use listener::{Endpoint, Listener, ListenerProtocol};
pub use quorum_settings::{QuorumSettings, QuorumVoter, SessionSettings};
pub use replication::{ReplicationConfig, ReplicationRates};
pub use suggestion::nearest;
pub use table::{definitions, find};
pub use topic::{AckDurability, ThrottledReplicas, TopicConfig};
pub use validation::{
    BrokerLevel, ConfigError, ListEdit, Settings, edit_list, validate_broker, validate_client_metrics,
    validate_group, validate_topic,
};
pub use value::{InvalidValue, Secret, Value};

#[cfg(test)]
mod tests;
