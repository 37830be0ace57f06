//! One partition of a topic: a state machine that owns the log and decides when a record counts as written.
//!
//! | module | what it holds |
//! |---|---|
//! | [`partition`] | [`Partition`], the machine; its doc comment is its transition table |
//! | [`event`] | what can happen to a partition: [`Event`] |
//! | [`effect`] | what it asks its caller to do: [`Effect`], and the answers it gives |
//! | [`view`] | [`View`]: what readers work on, without the machine's lock |
//! | `replicas` | the in-sync set and the high watermark |
//! | `waiters` | producers waiting for a mark to pass their records |
//!
//! The machine blocks only in the log it owns, through the `Disk` port; it reads no clock and starts nothing. Its caller
//! runs the effects: a flush coordinator in production, a seeded scheduler in the simulator.
//!
//! Invariant: nothing is answered before the mark it waits for has passed it. There is one place that answers a waiting
//! producer, [`Partition::handle`]'s last step, and it compares offsets with marks and nothing else.

pub mod effect;
pub mod event;
pub mod isr;
pub mod partition;
pub mod replica_fetch;
mod replicas;
pub mod view;
mod waiters;

pub use effect::{DeleteRecordsError, Effect, ProduceError, Produced};
pub use event::{Acks, Assignment, DeleteRecords, Durability, Event, PartitionConfig, Produce};
pub use isr::{IsrProposal, IsrRefused, IsrState};
pub use partition::Partition;
pub use replica_fetch::{
    EpochEnd, FetchPosition, FetchedFromLeader, FetchedOutcome, FollowerFetch, FollowerFetchError,
    FollowerPosition,
};
pub use view::{Availability, Following, View};

#[cfg(test)]
mod tests;
