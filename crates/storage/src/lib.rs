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
//! | [`read`], [`timestamps`] | [`LogView`]: reading and looking up without a lock |
//! | [`scan`] | walking the batches of a file, also offline |
//! | [`producer_state`], [`producer_snapshot`] | idempotent producers and transactions |
//! | [`leader_epochs`] | which leader wrote which offsets |
//! | [`checkpoint`], [`file_names`] | Kafka's small files and names |
//! | [`config`], [`error`] | settings and what can go wrong |

pub mod checkpoint;
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
pub use config::{LogConfig, LogStart};
pub use disk::{Disk, Entry, EntryKind, File, OpenMode, Space};
pub use error::{AppendError, OpenError, ReadError, StorageError};
pub use flush::FlushJob;
pub use fs_disk::{FsDisk, LockError};
pub use leader_epochs::{EpochEnd, EpochStart, LeaderEpochs};
pub use log::{Append, Log};
pub use log_directory::{DirectoryLimits, LogDirectory, PartitionDirectory};
pub use offset_index::OffsetEntry;
pub use producer_state::{Producer, ProducerStates, RecentBatch};
pub use read::{LogView, ReadSlice};
pub use recovery::Recovery;
pub use recovery_point::CheckpointJob;
pub use retention::DeletedSegment;
pub use time_index::TimeEntry;
pub use timestamps::TimestampOffset;
pub use transaction_index::AbortedTransaction;
