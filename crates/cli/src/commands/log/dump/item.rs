//! The things a dump is made of, as lines of text and as JSON.

use std::fmt;

use ottla_record::{Timestamp, TimestampType};
use serde::Serialize;

use super::decode::Decoded;
use crate::output::{Instant, Shown};

/// One thing and the file in which it stands.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    #[serde(flatten)]
    pub(super) item: Item<'a>,
}

/// One thing in a file. What is absent in the file is absent here: the `-1` of the format is `null`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Item<'a> {
    Batch(Batch),
    Record(Record<'a>),
    /// A transaction's end, in place of a record.
    Marker {
        offset: i64,
        producer_id: Option<i64>,
        outcome: &'static str,
        coordinator_epoch: i32,
    },
    OffsetEntry {
        last_offset: i64,
        position: u32,
    },
    TimeEntry {
        timestamp: i64,
        last_offset: i64,
    },
    AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
        last_offset: i64,
        last_stable_offset: i64,
    },
    Producer(Producer),
    PartitionOffset {
        topic: &'a str,
        partition: i32,
        offset: i64,
    },
    LeaderEpoch {
        epoch: i32,
        start_offset: i64,
    },
    Directory {
        cluster_id: Option<String>,
        node_id: i32,
        directory_id: String,
    },
    Partition {
        topic_id: String,
    },
    CleanShutdown {
        broker_epoch: Option<i64>,
    },
    /// Space that was reserved and never written.
    Unwritten {
        position: u64,
        bytes: u64,
    },
    /// Something that should be known and is no damage.
    Note {
        note: &'a str,
    },
    /// What is wrong, and where.
    Damage {
        position: Option<u64>,
        reason: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct Batch {
    pub(super) position: u64,
    pub(super) bytes: usize,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) records: u32,
    pub(super) leader_epoch: Option<i32>,
    pub(super) compression: String,
    pub(super) timestamp_type: &'static str,
    pub(super) max_timestamp: Option<i64>,
    pub(super) producer_id: Option<i64>,
    pub(super) producer_epoch: Option<i16>,
    pub(super) base_sequence: Option<i32>,
    pub(super) transactional: bool,
    pub(super) control: bool,
    pub(super) delete_horizon: Option<i64>,
    pub(super) crc: u32,
}

#[derive(Serialize)]
pub(super) struct Record<'a> {
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Shown<'a>>,
    pub(super) headers: Vec<(Shown<'a>, Shown<'a>)>,
    /// What an internal topic's record says, in place of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decoded: Option<Decoded>,
}

#[derive(Serialize)]
pub(super) struct Producer {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) coordinator_epoch: Option<i32>,
    pub(super) last_timestamp: Option<i64>,
    pub(super) transaction_start: Option<i64>,
    pub(super) recent_batches: Vec<RecentBatch>,
}

#[derive(Serialize)]
pub(super) struct RecentBatch {
    pub(super) last_sequence: i32,
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    pub(super) timestamp: Option<i64>,
}

pub(super) fn timestamp_type(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.item)
    }
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => batch.fmt(f),
            Self::Record(record) => record.fmt(f),
            Self::Marker { offset, producer_id, outcome, coordinator_epoch } => {
                write!(f, "  {offset} {outcome} of producer {}", Maybe(*producer_id))?;
                write!(f, ", coordinator epoch {coordinator_epoch}")
            }
            Self::OffsetEntry { last_offset, position } => {
                write!(f, "offset {last_offset} at byte {position}")
            }
            Self::TimeEntry { timestamp, last_offset } => {
                write!(f, "{} up to offset {last_offset}", moment(*timestamp))
            }
            Self::AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset } => {
                write!(f, "producer {producer_id} aborted offsets {first_offset}..{last_offset}")?;
                write!(f, ", last stable offset {last_stable_offset}")
            }
            Self::Producer(producer) => producer.fmt(f),
            Self::PartitionOffset { topic, partition, offset } => write!(f, "{topic}-{partition} {offset}"),
            Self::LeaderEpoch { epoch, start_offset } => {
                write!(f, "epoch {epoch} from offset {start_offset}")
            }
            Self::Directory { cluster_id, node_id, directory_id } => {
                write!(f, "cluster {}, node {node_id}, directory {directory_id}", Maybe(cluster_id.as_ref()))
            }
            Self::Partition { topic_id } => write!(f, "topic id {topic_id}"),
            Self::CleanShutdown { broker_epoch } => {
                write!(f, "stopped cleanly, broker epoch {}", Maybe(*broker_epoch))
            }
            Self::Unwritten { position, bytes } => {
                write!(f, "{bytes} bytes from byte {position} on are reserved and not written")
            }
            Self::Note { note } => f.write_str(note),
            Self::Damage { position: Some(position), reason } => {
                write!(f, "DAMAGED at byte {position}: {reason}")
            }
            Self::Damage { position: None, reason } => write!(f, "DAMAGED: {reason}"),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, bytes, base_offset, last_offset, records, .. } = self;
        write!(f, "@{position} offsets {base_offset}..{last_offset}, {records} records, {bytes} bytes")?;
        write!(f, ", {}, epoch {}", self.compression, Maybe(self.leader_epoch))?;
        if let (Some(id), Some(epoch)) = (self.producer_id, self.producer_epoch) {
            write!(f, ", producer {id} epoch {epoch} sequence {}", Maybe(self.base_sequence))?;
        }
        write!(f, ", {}", self.timestamp_type)?;
        if let Some(latest) = self.max_timestamp {
            write!(f, " {}", moment(latest))?;
        }
        f.write_str(if self.transactional { ", transactional" } else { "" })?;
        f.write_str(if self.control { ", control" } else { "" })?;
        if let Some(horizon) = self.delete_horizon {
            write!(f, ", delete horizon {}", moment(horizon))?;
        }
        write!(f, ", crc {:08x}", self.crc)
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.offset)?;
        if let Some(timestamp) = self.timestamp {
            write!(f, " {}", moment(timestamp))?;
        }
        if let Some(decoded) = &self.decoded {
            return write!(f, " {decoded}");
        }
        if let (Some(key), Some(value)) = (&self.key, &self.value) {
            write!(f, " key {key} value {value}")?;
        }
        self.headers.iter().try_for_each(|(name, value)| write!(f, " header {name}={value}"))
    }
}

impl fmt::Display for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "producer {} epoch {}", self.producer_id, self.producer_epoch)?;
        if let Some(start) = self.transaction_start {
            write!(f, ", transaction open since offset {start}")?;
        }
        if let Some(epoch) = self.coordinator_epoch {
            write!(f, ", coordinator epoch {epoch}")?;
        }
        if let Some(timestamp) = self.last_timestamp {
            write!(f, ", last {}", moment(timestamp))?;
        }
        for batch in &self.recent_batches {
            let RecentBatch { last_sequence, first_offset, last_offset, .. } = batch;
            write!(f, ", offsets {first_offset}..{last_offset} up to sequence {last_sequence}")?;
        }
        Ok(())
    }
}

fn moment(millis: i64) -> Instant {
    Instant(Timestamp::from_millis(millis))
}

/// A value, or `none`.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}
