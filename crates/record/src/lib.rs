//! Typed identifiers and the record batch of Ottla's log.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | newtypes for every number that has a meaning: [`Offset`], [`LeaderEpoch`], [`BrokerId`], … |
//! | [`uuid`] | [`Uuid`] in Kafka's base64 spelling, and the ids built on it |
//! | [`time`] | [`Now`], [`Monotonic`] and [`Timestamp`]: time is always an argument |
//! | [`header`] | the 61 bytes of a batch before its records: parsing, writing, stamping; the CRC |
//! | [`batch`] | [`BatchView`], one batch borrowed; [`Batches`], the walk over a buffer |
//! | [`record`] | [`Record`] and its headers, borrowed |
//! | [`control`] | the markers of a transaction's end |
//! | [`compression`] | the codecs, both ways, with a bound on what decompression produces |
//! | [`produce`] | [`validate`]: what a producer sent, checked once |
//! | [`builder`] | [`BatchBuilder`]: batches from records |
//! | [`dump`] | a batch as one line of JSON |
//! | [`partitioner`] | which partition a key belongs to |
//! | [`error`] | [`BatchError`] and the class of Kafka error each case is |
//!
//! From a producer's records to what lies in the log:
//!
//! ```
//! use ottla_record::produce::{Origin, ProduceRules, validate};
//! use ottla_record::{BatchBuilder, BatchView, Codec, LeaderEpoch, Offset, TimestampType, Timestamp};
//!
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let mut sent = BatchBuilder::new(Codec::Lz4);
//! sent.push(Some(now), Some(b"key"), Some(b"first"), &[]);
//! sent.push(Some(now), Some(b"key"), None, &[]);
//!
//! let rules = ProduceRules {
//!     origin: Origin::Client,
//!     max_batch_bytes: 1_048_588,
//!     timestamp_type: TimestampType::CreateTime,
//!     before_max_ms: i64::MAX,
//!     after_max_ms: 3_600_000,
//!     compression: None,
//!     compacted: true,
//!     allow_zstd: true,
//!     max_decompressed_bytes: 64 << 20,
//! };
//! let validated = validate(sent.build()?, &rules, now)?;
//!
//! // The log writes the stamped header and, untouched, what the producer sent behind it.
//! let batch = validated.first();
//! let stored = [&batch.stamped(Offset::new(41), LeaderEpoch::new(7))[..], batch.records()].concat();
//!
//! let view = BatchView::parse(&stored)?;
//! view.verify_crc()?;
//! assert_eq!(view.last_offset(), Offset::new(42));
//! assert_eq!(view.header().partition_leader_epoch(), Some(LeaderEpoch::new(7)));
//! let records = view.records(1024)?;
//! let values: Vec<_> = records.iter().map(|record| record.map(|r| r.value)).collect::<Result<_, _>>()?;
//! assert_eq!(values, [Some(&b"first"[..]), None]);
//! # Ok::<(), ottla_record::BatchError>(())
//! ```

pub mod batch;
pub mod builder;
pub mod compression;
pub mod control;
pub mod dump;
pub mod error;
pub mod header;
pub mod ids;
pub mod partitioner;
pub mod produce;
pub mod record;
pub mod time;
pub mod uuid;
mod varint;

pub use batch::{BatchView, Batches};
pub use builder::BatchBuilder;
pub use compression::{Codec, Compression};
pub use control::{ControlType, EndTransactionMarker};
pub use error::{BatchError, RecordError, Refusal};
pub use header::{Attributes, BatchHeader, HEADER_LEN, LENGTH_PREFIX, ProducerStamp, TimestampType, stamp};
pub use ids::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence,
};
pub use produce::{Origin, ProduceRules, ValidatedBatch, ValidatedBatches, validate};
pub use record::{Header, Headers, Record, RecordIter, Records};
pub use time::{Monotonic, Now, Timestamp};
pub use uuid::{ClusterId, DirectoryId, Incarnation, TopicId, Uuid};
