//! The coordinators of this broker: one shard for each partition of `__consumer_offsets` that it leads.
//!
//! | module | what it holds |
//! |---|---|
//! | `shard_host` | one shard and its driver: whichever task finds it idle runs it |
//! | `loading` | from the log to a shard that answers |
//! | `timers` | one real timer for the deadlines of all shards |
//! | `shards` | which shards there are: an immutable table that follows the metadata |
//! | `groups` | [`Node::group`](crate::Node::group), [`Node::coordinator`](crate::Node::coordinator): routing, and the topic on first need |
//! | `session` | whether this broker may answer as a coordinator at all |
//! | `lags` | how far the groups here are behind, for the metrics |
//! | [`internal_topics`] | names that belong to Kafka itself |
//!
//! Invariant: a request that writes nothing is answered by the task that brought it; no thread is handed anything.
//!
//! Invariant: nothing is answered, also to those that waited, while this broker's session with the controller is over: another
//! broker may coordinate the same groups by then, and a group would have two.
//!
//! Invariant: what a shard has answered as written is committed in its partition: with `fsync`, on the disk of every
//! in-sync replica.

pub(crate) mod groups;
pub mod internal_topics;
pub(crate) mod lags;
mod loading;
mod session;
mod shard_host;
pub(crate) mod shards;
mod timers;

use bytes::Bytes;
use ottla_coordination::group::{Groups, Record, Response};
use ottla_coordination::shard::{Machine, ShardError};
use tokio::sync::oneshot;

pub use groups::{CoordinatorError, CoordinatorKey};

/// Whoever waits for a shard's answer.
pub(crate) type Answer<R> = oneshot::Sender<Result<R, ShardError>>;

/// The groups of one partition.
pub(crate) type GroupMachine = Groups<Answer<Response>>;

/// A machine that this broker hosts.
pub(crate) trait Hosted:
    Machine<Waiter: Send, Request: Send, Response: Send, Record: Send> + Send + 'static
{
    /// Answers a request. Whoever asked may have gone away.
    fn answer(waiter: Self::Waiter, outcome: Result<Self::Response, ShardError>);

    /// Key and value of a record as they stand in the log.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), String>;

    /// Reads a record. `None`: one of a newer version, to be passed over.
    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self::Record>, String>;
}

impl Hosted for GroupMachine {
    fn answer(waiter: Answer<Response>, outcome: Result<Response, ShardError>) {
        let _gone = waiter.send(outcome);
    }

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), String> {
        record.encode().map_err(|error| error.to_string())
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Record>, String> {
        Record::decode(key, value).map_err(|error| error.to_string())
    }
}
