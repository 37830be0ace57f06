//! One partition of a topic: a state machine that owns the log and decides when a record counts as written.
//!
//! | module | what it holds |
//! |---|---|
//! | [`partition`] | [`Partition`], the machine; its doc comment is its transition table |
//! | [`event`] | what can happen to a partition: [`Event`] |
//! | [`effect`] | what it asks its caller to do: [`Effect`], and the answers it gives |
//! | [`view`] | [`View`]: what readers work on, without the machine's lock |
//! | [`replica_fetch`] | what a follower and its leader say to each other |
//! | [`isr`] | the in-sync set: committed, proposed, and what counts meanwhile |
//! | `replicas` | what the followers of a leader have, the high watermark and the in-sync set that follow from it |
//! | [`Throttle`] | how fast replicas that catch up are copied |
//! | `waiters` | producers and deletions waiting for a mark to pass their records |
//!
//! Inside `partition`: `role` (who leads), `leader`, `follower`, and `settle`, what follows from any event.
//!
//! The machine blocks only in the log it owns, through the `Disk` port; it reads no clock and starts nothing. Its caller
//! runs the effects: a flush coordinator in production, a seeded scheduler in the simulator.
//!
//! Invariant: nothing is answered before the mark it waits for has passed it. There is one place that answers a waiting
//! producer, [`Partition::handle`]'s last step, and it compares offsets with marks and nothing else.
//!
//! Invariant: a leader never cuts its log, and a follower cuts its own only by the word of the leader of its term.
//!
//! A follower and its leader, in one process:
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use ottla_record::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Monotonic, Now, Offset, PartitionEpoch, Timestamp,
//! #     TopicId, Uuid};
//! # use ottla_storage::{DirectoryLimits, FsDisk, Log, LogConfig, LogDirectory, LogStart};
//! use ottla_replication::{
//!     Assignment, Durability, Effect, Event, FetchedFromLeader, FetchedOutcome, FollowerFetch, Partition, PartitionConfig,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) };
//! # let log = LogConfig { segment_bytes: 1 << 30, segment_ms: 604_800_000, segment_jitter_ms: 0,
//! #     segment_index_bytes: 10 << 20, index_interval_bytes: 4096, retention_bytes: None, retention_ms: None,
//! #     delete_expired: true, compacted: false, compaction: None, file_delete_delay_ms: 60_000, preallocate: false,
//! #     producer_id_expiration_ms: 86_400_000 };
//! # let config = PartitionConfig { durability: Durability::Fsync, min_insync_replicas: 1, flush_records: u64::MAX,
//! #     flush_interval: Duration::MAX, replica_lag_max: Duration::from_secs(30), log };
//! # let data = tempfile::tempdir()?;
//! # let open = |broker: i32| -> Result<Partition<&'static str>, Box<dyn std::error::Error>> {
//! #     let disk = Arc::new(FsDisk::open(data.path().join(broker.to_string()))?);
//! #     let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
//! #     let id = DirectoryId(Uuid::from_random([1; 16]));
//! #     let root = Arc::new(LogDirectory::open(disk, BrokerId::new(broker), id, limits)?);
//! #     let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
//! #     let topic = TopicId(Uuid::from_random([7; 16]));
//! #     let (log, _) = Log::open(&root, "t-0".into(), topic, config.log.clone(), start, now)?;
//! #     Ok(Partition::new(BrokerId::new(broker), log, config.clone()))
//! # };
//! let (mut leader, mut follower) = (open(1)?, open(2)?);
//! let assignment = Assignment {
//!     leader_epoch: LeaderEpoch::ZERO,
//!     partition_epoch: PartitionEpoch::ZERO,
//!     leader: Some(BrokerId::new(1)),
//!     replicas: vec![BrokerId::new(1), BrokerId::new(2)],
//!     isr: vec![BrokerId::new(1), BrokerId::new(2)],
//! };
//! let mut effects = Vec::new();
//! leader.handle(Event::Assign(assignment.clone()), now, &mut effects);
//! follower.handle(Event::Assign(assignment), now, &mut effects);
//!
//! // What the follower's caller sees, and sends to the leader.
//! let following = follower.view().following.ok_or("it follows")?;
//! let position = following.fetch.ok_or("nothing is unflushed")?;
//! effects.clear();
//! leader.handle(
//!     Event::FollowerFetch(FollowerFetch {
//!         waiter: "the fetch",
//!         follower: BrokerId::new(2),
//!         broker_epoch: BrokerEpoch::new(7),
//!         leader_epoch: following.leader_epoch,
//!         offset: position.offset,
//!         last_epoch: position.last_epoch,
//!         log_start: position.log_start,
//!     }),
//!     now,
//!     &mut effects,
//! );
//! let Some(Effect::FollowerFetched { outcome: Ok(marks), .. }) = effects.first() else { return Err("refused".into()) };
//!
//! // There is nothing to read yet; the follower hears the leader's marks all the same.
//! let outcome = FetchedOutcome::Records {
//!     bytes: Vec::new().into(),
//!     high_watermark: marks.high_watermark,
//!     log_start: marks.log_start,
//! };
//! let (from, last_epoch) = (position.offset, position.last_epoch);
//! let fetched = FetchedFromLeader { leader_epoch: following.leader_epoch, from, last_epoch, outcome };
//! follower.handle(Event::Fetched(fetched), now, &mut Vec::new());
//! assert_eq!(follower.view().high_watermark, Offset::ZERO);
//! # Ok(())
//! # }
//! ```

pub mod effect;
pub mod event;
pub mod isr;
pub mod partition;
pub mod replica_fetch;
mod replicas;
mod throttle;
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
pub use replicas::FollowerProgress;
pub use throttle::Throttle;
pub use view::{Availability, Following, View};

#[cfg(test)]
mod tests;
