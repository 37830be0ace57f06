//! Keys of a topic.

use crate::config::definition::configs;

configs! {
    /// Keys of a topic.
    TOPIC in Topic;

    "cleanup.policy": List = "delete", ListOf(&["compact", "delete"]), Medium, Resource, Honoured,
        "What happens to old segments: `delete` drops them by age and size, `compact` keeps the last record of every key and refuses records without one. Both may be given; an empty list keeps everything.";
    "compression.gzip.level": Int = "-1", GzipLevel, Medium, Resource, Honoured,
        "Level used when the broker compresses with gzip; -1 is the library's own default.";
    "compression.lz4.level": Int = "9", Between(1, 17), Medium, Resource, Accepted,
        "Level used when the broker compresses with lz4. Ottla's lz4 has one level.";
    "compression.type": String = "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Medium, Resource, Honoured,
        "Codec of stored batches. `producer` keeps what the producer sent; any other value makes the broker recompress batches that differ.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), Medium, Resource, Honoured,
        "Level used when the broker compresses with zstd.";
    "delete.retention.ms": Long = "86400000", AtLeast(0), Medium, Resource, Honoured,
        "How long a compacted topic keeps a tombstone, and with it the time a reader that starts at the beginning has to see it.";
    "file.delete.delay.ms": Long = "60000", AtLeast(0), Medium, Resource, Honoured,
        "How long a segment file stays, renamed, before it is removed from the disk.";
    "flush.messages": Long = "9223372036854775807", AtLeast(1), Medium, Resource, Honoured,
        "With `ottla.ack.durability=os`, flush after this many records. With `fsync`, every acknowledgement waits for a flush anyway.";
    "flush.ms": Long = "9223372036854775807", AtLeast(0), Medium, Resource, Honoured,
        "With `ottla.ack.durability=os`, flush at least this often. With `fsync`, every acknowledgement waits for a flush anyway.";
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, Medium, Resource, Honoured,
        "Replicas whose catching up is throttled on the follower's side: partition:broker pairs, or `*` for all.";
    "index.interval.bytes": Int = "4096", AtLeast(0), Medium, Resource, Honoured,
        "Bytes of log between two entries of the offset index.";
    "internal.segment.bytes": Int = null, Any, Medium, Resource, Honoured,
        "Kafka's test-only override of segment.bytes, without its lower bound.";
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, Medium, Resource, Honoured,
        "Replicas whose catching up is throttled on the leader's side: partition:broker pairs, or `*` for all.";
    "local.retention.bytes": Long = "-2", AtLeast(-2), Medium, Resource, Accepted,
        "With tiered storage, the size kept on local disks; -2 means retention.bytes.";
    "local.retention.ms": Long = "-2", AtLeast(-2), Medium, Resource, Accepted,
        "With tiered storage, the time kept on local disks; -2 means retention.ms.";
    "max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), Medium, Resource, Honoured,
        "Longest time a record may stay uncompacted in a compacted topic.";
    "max.message.bytes": Int = "1048588", AtLeast(0), Medium, Resource, Honoured,
        "Largest record batch accepted, as it arrives (after the producer's compression).";
    "message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), Medium, Resource, Honoured,
        "How far a record's time stamp may lie after the broker's clock before it is refused.";
    "message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), Medium, Resource, Honoured,
        "How far a record's time stamp may lie before the broker's clock before it is refused.";
    "message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Medium, Resource, Honoured,
        "Whether a record carries the time its producer gave it, or the time the broker appended it.";
    "min.cleanable.dirty.ratio": Double = "0.5", Between(0, 1), Medium, Resource, Honoured,
        "Share of a compacted log that must be dirty before it is compacted.";
    "min.compaction.lag.ms": Long = "0", AtLeast(0), Medium, Resource, Honoured,
        "Shortest time a record stays uncompacted in a compacted topic.";
    "min.insync.replicas": Int = "1", AtLeast(1), Medium, Resource, Honoured,
        "Replicas that must be in sync for acks=all to be accepted.";
    "preallocate": Boolean = "false", Any, Medium, Resource, Honoured,
        "Reserve a new segment's whole size on the disk at once.";
    "remote.log.copy.disable": Boolean = "false", Any, Medium, Resource, Accepted,
        "Stop copying a tiered topic's segments to remote storage.";
    "remote.log.delete.on.disable": Boolean = "false", Any, Medium, Resource, Accepted,
        "Delete a topic's remote data when tiering is switched off.";
    "remote.storage.enable": Boolean = "false", Any, Medium, Resource, Accepted,
        "Keep older segments of the topic in remote storage.";
    "retention.bytes": Long = "-1", Any, Medium, Resource, Honoured,
        "Size a partition may grow to before its oldest segments are deleted; -1 is unlimited.";
    "retention.ms": Long = "604800000", AtLeast(-1), Medium, Resource, Honoured,
        "Age at which records are deleted, by whole segments; -1 is unlimited.";
    "segment.bytes": Int = "1073741824", AtLeast(1_048_576), Medium, Resource, Honoured,
        "Size at which a segment is closed and the next one begins.";
    "segment.index.bytes": Int = "10485760", AtLeast(4), Medium, Resource, Honoured,
        "Largest size of a segment's index files; a full index closes its segment.";
    "segment.jitter.ms": Long = "0", AtLeast(0), Medium, Resource, Honoured,
        "Random time taken off segment.ms, so that many partitions do not roll at one moment.";
    "segment.ms": Long = "604800000", AtLeast(1), Medium, Resource, Honoured,
        "Age at which a segment is closed even if it is not full, so that retention can delete it.";
    "unclean.leader.election.enable": Boolean = "false", Any, Medium, Resource, Accepted,
        "Let a replica that is not in sync become leader when no other is left, at the price of lost records.";
}
