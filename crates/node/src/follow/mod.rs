//! Following: this broker's copies of what other brokers lead.
//!
//! | module | what it holds |
//! |---|---|
//! | `fetchers` | which leaders there are to fetch from: a task for each and lane, as the metadata has it |
//! | `fetcher` | that task: asks its leader for all partitions of its lane together, and hands each what came |
//! | `position` | what is asked for next, and which partitions have to wait |
//! | `hung_up` | leaders that have just closed their connections or are silent, to whom nobody is sent for a moment |
//! | `pause` | how long to wait after a failure |
//! | `pace` | how long copies that catch up rest |
//!
//! A copy that is in sync and one that catches up do not share a fetch ([`Lane`](crate::ports::Lane)): a follower asks again once what came is
//! on its disk, and acknowledgements would wait for that, round after round, until the last copy had caught up. Those that catch up
//! have threads of their own, for copying and for flushing, which take what others leave of the processors, and rest twice as long as they work.
//!
//! Invariant: at most one fetch is out to a leader for a partition. What a partition is asked for follows from its published view, and the
//! machine takes an answer only if it fits the view of then: a late or doubled one changes nothing.

mod fetcher;
mod fetchers;
mod hung_up;
mod pace;
mod pause;
mod position;

pub(crate) use fetchers::{FetcherParts, ReplicaFetchers};
pub(crate) use hung_up::{Doubt, HungUp};
