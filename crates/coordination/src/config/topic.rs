//! What a topic's configuration comes to.

use ottla_record::{BrokerId, Codec, PartitionIndex, TimestampType};

use super::layers::Layers;
use super::typed::Typed;
use super::validation::Settings;

/// What an acknowledgement means (`ottla.ack.durability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckDurability {
    /// The records are on the disk.
    Fsync,
    /// The records are in the operating system's page cache, as in Kafka.
    Os,
}

/// Replicas of a topic whose catching up is throttled on one side (KIP-73). A replica is a partition on a broker: on the leaders' side
/// the one that sends, on the followers' the one that receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// `*`
    All,
    /// These; none as a rule.
    Listed(Vec<(PartitionIndex, BrokerId)>),
}

impl ThrottledReplicas {
    /// True if the replica of a partition on a broker is among them.
    pub fn contains(&self, partition: PartitionIndex, broker: BrokerId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

/// The values of one topic. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `ottla.ack.durability`
    pub ack_durability: AckDurability,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `compression.type` with its level; `None` keeps what the producer chose.
    pub compression: Option<Codec>,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: u64,
    /// `flush.messages`
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `follower.replication.throttled.replicas`
    pub follower_throttled: ThrottledReplicas,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `leader.replication.throttled.replicas`
    pub leader_throttled: ThrottledReplicas,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// `message.timestamp.after.max.ms`
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: usize,
    /// `preallocate`
    pub preallocate: bool,
    /// `retention.bytes`; `None` keeps everything.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` keeps everything.
    pub retention_ms: Option<i64>,
    /// `segment.bytes`, or Kafka's test-only `internal.segment.bytes`, which may be smaller.
    pub segment_bytes: u32,
    /// `segment.index.bytes`
    pub segment_index_bytes: u32,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
}

impl TopicConfig {
    /// The values of a topic with these overrides and this many replicas, on a broker with these settings.
    pub fn resolve(layers: Layers<'_>, overrides: &Settings, replicas: usize) -> Self {
        let keys = Typed::topic(layers, overrides, replicas);
        let cleanup = keys.list("cleanup.policy");
        Self {
            ack_durability: match keys.text("ottla.ack.durability").as_str() {
                "os" => AckDurability::Os,
                _ => AckDurability::Fsync,
            },
            compact: cleanup.iter().any(|policy| policy == "compact"),
            delete: cleanup.iter().any(|policy| policy == "delete"),
            compression: compression(&keys),
            delete_retention_ms: keys.number("delete.retention.ms"),
            file_delete_delay_ms: keys.number("file.delete.delay.ms").unsigned_abs(),
            flush_messages: keys.number("flush.messages"),
            flush_ms: keys.number("flush.ms"),
            follower_throttled: throttled(&keys, "follower.replication.throttled.replicas"),
            index_interval_bytes: keys.size32("index.interval.bytes"),
            leader_throttled: throttled(&keys, "leader.replication.throttled.replicas"),
            max_compaction_lag_ms: keys.number("max.compaction.lag.ms"),
            max_message_bytes: keys.size("max.message.bytes"),
            message_timestamp_after_max_ms: keys.number("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: keys.number("message.timestamp.before.max.ms"),
            message_timestamp_type: match keys.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: keys.fraction("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: keys.number("min.compaction.lag.ms"),
            min_insync_replicas: keys.size("min.insync.replicas"),
            preallocate: keys.boolean("preallocate"),
            retention_bytes: keys.limit("retention.bytes").map(i64::unsigned_abs),
            retention_ms: keys.limit("retention.ms"),
            segment_bytes: match keys.optional_number("internal.segment.bytes") {
                Some(_) => keys.size32("internal.segment.bytes"),
                None => keys.size32("segment.bytes"),
            },
            segment_index_bytes: keys.size32("segment.index.bytes"),
            segment_jitter_ms: keys.number("segment.jitter.ms"),
            segment_ms: keys.number("segment.ms"),
            unclean_leader_election: keys.boolean("unclean.leader.election.enable"),
        }
    }
}

/// A valid list; a number that is no broker's and no partition's names nothing.
fn throttled(keys: &Typed<'_>, name: &'static str) -> ThrottledReplicas {
    let entries = keys.list(name);
    if matches!(&*entries, [all] if all == "*") {
        return ThrottledReplicas::All;
    }
    let replica = |entry: &String| {
        let (partition, broker) = entry.split_once(':')?;
        Some((PartitionIndex::new(partition.parse().ok()?), BrokerId::new(broker.parse().ok()?)))
    };
    ThrottledReplicas::Listed(entries.iter().filter_map(replica).collect())
}

fn compression(keys: &Typed<'_>) -> Option<Codec> {
    let level = |name| i32::try_from(keys.number(name)).unwrap_or(-1);
    match keys.text("compression.type").as_str() {
        "uncompressed" => Some(Codec::None),
        "gzip" => Some(Codec::Gzip { level: level("compression.gzip.level") }),
        "snappy" => Some(Codec::Snappy),
        "lz4" => Some(Codec::Lz4),
        "zstd" => Some(Codec::Zstd { level: level("compression.zstd.level") }),
        _ => None,
    }
}
