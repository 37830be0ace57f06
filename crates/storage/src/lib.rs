//! The segmented partition log, in Kafka's file formats, over a small [`Disk`] port.
//!
//! | module | what it holds |
//! |---|---|
//! | [`disk`] | the port through which every byte goes: [`Disk`] and [`File`] |
//! | [`fs_disk`] | [`FsDisk`], the real one |
//! | [`log_directory`] | [`LogDirectory`], the root that all logs share: identity, checkpoints, descriptors, free space |
//! | [`log`] | [`Log`], one partition: appending |
//! | [`flush`], [`recovery_point`] | making appends durable, and raising the point from which a start scans |
//! | [`recovery`] | opening a log after whatever happened to it |
//! | [`roll`] | sealing a segment and starting the next |
//! | [`retention`], [`truncation`] | removing segments at the front, records at the end |
//! | [`compaction`] | keeping only the last record of every key |
//! | [`read`], [`timestamps`] | [`LogView`]: reading and looking up without a lock |
//! | [`scan`], [`offline`] | walking the batches of a file; reading files where they lie, without a log |
//! | [`producer_state`], [`producer_snapshot`] | idempotent producers and transactions |
//! | [`leader_epochs`] | which leader wrote which offsets |
//! | [`checkpoint`], [`file_names`] | Kafka's small files and names |
//! | [`config`], [`error`] | settings and what can go wrong |
//!
//! Appending, making it durable, reading it back:
//!
//! ```
//! use std::sync::Arc;
//! use ottla_record::produce::{Origin, ProduceRules, validate};
//! use ottla_record::*;
//! use ottla_storage::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let data = tempfile::tempdir()?;
//! let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) };
//! let disk = Arc::new(FsDisk::open(data.path())?);
//! let limits = DirectoryLimits { open_files: 1000, reserve_bytes: None };
//! let fresh = DirectoryId(Uuid::from_random([1; 16]));
//! let root = Arc::new(LogDirectory::open(disk, BrokerId::new(1), fresh, limits)?);
//!
//! # let config = LogConfig { segment_bytes: 1 << 30, segment_ms: 604_800_000, segment_jitter_ms: 0,
//! #     segment_index_bytes: 10 << 20, index_interval_bytes: 4096, retention_bytes: None, retention_ms: None,
//! #     delete_expired: true, compacted: false, compaction: None, file_delete_delay_ms: 60_000, preallocate: false,
//! #     producer_id_expiration_ms: 86_400_000 };
//! let name = TopicPartition { topic: "orders".to_owned(), partition: PartitionIndex::ZERO };
//! let (mut log, _recovery) = Log::open(
//!     &root,
//!     name.directory(),
//!     TopicId(Uuid::from_random([2; 16])),
//!     config,
//!     root.log_start_of(&name),
//!     now,
//! )?;
//!
//! let mut sent = BatchBuilder::new(Codec::None);
//! sent.push(Some(now.wall), None, Some(b"one order"), &[]);
//! # let rules = ProduceRules { origin: Origin::Client, max_batch_bytes: 1 << 20,
//! #     timestamp_type: TimestampType::CreateTime, before_max_ms: i64::MAX, after_max_ms: i64::MAX,
//! #     compression: None, compacted: false, allow_zstd: true, max_decompressed_bytes: 1 << 20 };
//! let batches = validate(sent.build()?, &rules, now.wall)?;
//! log.append_as_leader(&batches, LeaderEpoch::ZERO, now)?;
//!
//! let job = log.begin_flush().ok_or("nothing to flush")?;
//! job.run(&**root.disk())?;
//! log.complete_flush(job.end);
//! assert_eq!(log.flushed_end(), Offset::new(1));
//!
//! let slice = log.view().read(Offset::ZERO, 1 << 20, log.flushed_end(), true)?.ok_or("nothing to read")?;
//! assert_eq!(slice.read()?.len(), slice.len);
//! # Ok(())
//! # }
//! ```

/// The tests beside the sources share files with those through the public surface, which know this crate by its name.
#[cfg(test)]
extern crate self as ottla_storage;

#[cfg(test)]
#[path = "../tests/storage/batches.rs"]
mod batches;

#[cfg(test)]
#[path = "../tests/storage/directory.rs"]
mod directory;

#[cfg(test)]
#[path = "../tests/storage/wrapped_disk.rs"]
mod wrapped_disk;

pub mod checkpoint;
pub mod compaction;
pub mod config;
pub mod disk;
pub mod error;
pub mod file_names;
pub mod flush;
pub mod fs_disk;
mod handles;
mod identity;
mod index_file;
pub mod leader_epochs;
pub mod log;
pub mod log_directory;
pub mod offline;
mod offset_index;
mod producer_rebuild;
pub mod producer_snapshot;
pub mod producer_state;
pub mod read;
pub mod recovery;
pub mod recovery_point;
mod reservation;
pub mod retention;
pub mod roll;
pub mod scan;
mod segment;
mod space;
mod sync_pool;
mod time_index;
pub mod timestamps;
mod transaction_index;
pub mod truncation;
mod whole_file;

pub use checkpoint::TopicPartition;
pub use config::{CompactionConfig, DirtyRatio, LogConfig, LogStart};
pub use disk::{Disk, Entry, EntryKind, File, OpenMode, Space};
pub use error::{AppendError, OpenError, ReadError, StorageError};
pub use flush::FlushJob;
pub use fs_disk::{FsDisk, LockError};
pub use leader_epochs::{EpochEnd, EpochStart, LeaderEpochs};
pub use log::{Append, Log};
pub use log_directory::{DirectoryLimits, LogDirectory, PartitionDirectory};
pub use offline::SegmentReader;
pub use offset_index::OffsetEntry;
pub use producer_state::{Producer, ProducerStates, RecentBatch};
pub use read::{LogView, ReadSlice};
pub use recovery::Recovery;
pub use recovery_point::CheckpointJob;
pub use retention::DeletedSegment;
pub use time_index::TimeEntry;
pub use timestamps::TimestampOffset;
pub use transaction_index::AbortedTransaction;
