//! Groups: members that share topics, and the offsets they remember.
//!
//! [`Groups`] is the coordinator of all groups of one partition of `__consumer_offsets`, a [`Machine`](crate::shard::Machine):
//! it decides records and answers; what it knows for good is what those records say.
//!
//! What it costs in memory (bounded by tests): a committed offset 71 bytes; a group 1.9 KiB with its first offset and a note; a
//! member of a classic group 560 bytes beside its subscription and its assignment. In time: `examples/group_cost.rs`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | names and terms: [`GroupId`], [`MemberId`], [`Generation`], … |
//! | [`request`], [`response`] | what can be asked, what is answered, every error |
//! | [`record`] | what is written, in Kafka's schemas |
//! | [`settings`] | what the configuration says |
//! | [`groups`] | [`Groups`]: which group a request is about, the timers, offsets, administration |
//! | [`classic`] | one classic group |
//! | `consumer` | one group of the consumer protocol |
//! | [`assignor`], [`partitions`] | who shall own what in a consumer-protocol group |
//! | [`offsets`] | committed offsets in little memory |

pub mod assignor;
pub mod classic;
mod consumer;
pub mod groups;
pub mod ids;
pub mod offsets;
pub mod partitions;
pub mod record;
pub mod request;
pub mod response;
pub mod settings;

pub use groups::Groups;
pub use ids::{Generation, GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
pub use record::Record;
pub use request::Request;
pub use response::{GroupError, Response};
pub use settings::GroupSettings;
