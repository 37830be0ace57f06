//! Typed identifiers and the record batch of Ottla's log.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | newtypes for every number that has a meaning: [`Offset`], [`LeaderEpoch`], [`BrokerId`], … |
//! | [`uuid`] | [`Uuid`] in Kafka's base64 spelling, and the ids built on it |
//! | [`time`] | [`Now`], [`Monotonic`] and [`Timestamp`]: time is always an argument |
//!
//! ```
//! use ottla_record::{LeaderEpoch, Offset};
//!
//! let end = Offset::ZERO + 3;
//! assert_eq!(end - Offset::new(1), 2);
//! assert!(LeaderEpoch::ZERO.next() > LeaderEpoch::ZERO);
//! ```

pub mod ids;
pub mod time;
pub mod uuid;

pub use ids::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence,
};
pub use time::{Monotonic, Now, Timestamp};
pub use uuid::{ClusterId, DirectoryId, Incarnation, TopicId, Uuid};
