//! Ottla's deterministic simulator: the state machines that run in production, on a disk that cuts power.
//!
//! | module | what it holds |
//! |---|---|
//! | [`disk`] | [`SimDisk`]: written and synced images, torn and lost writes, planned faults, crash points |
//! | [`explore`] | crash enumeration: every moment of a story crashed both ways, and what follows crashed again |
//! | [`campaign`] | many explorations and runs on many threads |
//! | [`small_model`] | every order in which a little can happen: three replicas, two terms, three records |
//! | [`storm`] | random fault runs: several partitions, clients, every fault the disk has, all from one seed |
//! | [`fleet`] | a cluster: brokers, their network, the metadata's log, clients, and every fault, all from one seed |
//! | [`follower`] | the stories of a follower's log: it copies, cuts what a new leader does not have, starts over |
//! | [`compaction`] | the stories of a compacted log: what is missing must be missing for a reason |
//! | [`scenario`] | the stories of one partition: clients, time and housekeeping, drawn from a seed |
//! | [`groups`] | the stories of a group coordinator: members, commits, and a log that is loaded again |
//! | [`failed_sync`] | the same with a sync that fails once |
//! | [`broker`] | one broker process around [`ottla_replication::Partition`]: it executes effects when it is told to |
//! | [`client`] | producers as Kafka's clients are |
//! | [`opening`] | opening a log after whatever happened |
//! | [`cluster`] | the metadata that outlives a broker |
//! | [`oracle`], [`observed`] | what clients were told, and what a log holds |
//! | [`invariants`] | the promises, one function each |
//! | [`rng`] | the seeded generator every choice is drawn from |

pub mod broker;
pub mod campaign;
pub mod client;
pub mod cluster;
pub mod compaction;
pub mod disk;
pub mod explore;
pub mod failed_sync;
pub mod fleet;
pub mod follower;
pub mod groups;
pub mod invariants;
pub mod observed;
pub mod opening;
pub mod oracle;
pub mod rng;
pub mod scenario;
pub mod small_model;
pub mod storm;

pub use disk::{CrashPoint, Image, SimDisk, Survival};
pub use rng::Rng;
