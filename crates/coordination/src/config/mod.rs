//! Configuration: Kafka's keys, Ottla's own, and what they come to for one topic and for one broker.
//!
//! - [`definitions`] and [`find`]: the table, one row a key ([`Definition`]), and [`deviation`]: the defaults that
//!   are not Kafka's.
//! - [`validate_topic`], [`validate_broker`], [`edit_list`]: what a request may set.
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

mod definition;
pub mod deviation;
mod suggestion;
pub mod synonyms;
mod table;
mod validation;
mod value;

pub use definition::{Allowed, Definition, Importance, Initial, Kind, Scope, Support, Update};
pub use suggestion::nearest;
pub use table::{definitions, find};
pub use validation::{
    BrokerLevel, ConfigError, ListEdit, Settings, edit_list, validate_broker, validate_client_metrics,
    validate_group, validate_topic,
};
pub use value::{InvalidValue, Secret, Value};

#[cfg(test)]
mod tests;
