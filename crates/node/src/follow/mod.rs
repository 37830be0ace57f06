//! Following: this broker's copies of what other brokers lead.
//!
//! | module | what it holds |
//! |---|---|
//! | `fetchers` | which leaders there are to fetch from: one task for each, as the metadata has it |
//! | `fetcher` | that task: asks its leader for all partitions together, and hands each what came |
//! | `position` | what is asked for next, and which partitions have to wait |
//! | `hung_up` | leaders that have just closed their connections, to whom nobody is sent for a moment |
//! | `pause` | how long to wait after a failure |
//!
//! Invariant: at most one fetch is out to a leader. What a partition is asked for follows from its published view, and the
//! machine takes an answer only if it fits the view of then: a late or doubled one changes nothing.

mod fetcher;
mod fetchers;
mod hung_up;
mod pause;
mod position;

pub(crate) use fetchers::{FetcherParts, ReplicaFetchers};
pub(crate) use hung_up::{HELD_FOR, HungUp};
