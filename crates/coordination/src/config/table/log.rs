//! Keys of a broker: its data directory, and the defaults of its topics.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: its data directory, and the defaults of its topics.
    LOG in Broker;

    "log.dir": List = "/tmp/kafka-logs", NonEmptyList, High, ReadOnly, Honoured,
        "Data directory, when log.dirs is not given.";
    "log.dirs": List = null, NonEmptyList, High, ReadOnly, Honoured,
        "Data directories. Ottla uses one.";
    "cordoned.log.dirs": List = "", DistinctList, Medium, PerBroker, Accepted,
        "Data directories that take no new partitions.";
    "log.dir.failure.timeout.ms": Long = "30000", AtLeast(1), Low, ReadOnly, Accepted,
        "How long a broker that cannot report a failed directory goes on before it stops.";
    "log.segment.bytes": Int = "1073741824", AtLeast(1_048_576), High, ClusterWide, Honoured,
        "Broker's value of the topic config segment.bytes.";
    "log.roll.ms": Long = null, Any, High, ClusterWide, Honoured,
        "Broker's value of the topic config segment.ms; when not set, log.roll.hours counts.";
    "log.roll.hours": Int = "168", AtLeast(1), High, ReadOnly, Honoured,
        "Broker's value of segment.ms in hours, when log.roll.ms is not set.";
    "log.roll.jitter.ms": Long = null, Any, High, ClusterWide, Honoured,
        "Broker's value of the topic config segment.jitter.ms; when not set, log.roll.jitter.hours counts.";
    "log.roll.jitter.hours": Int = "0", AtLeast(0), High, ReadOnly, Honoured,
        "Broker's value of segment.jitter.ms in hours, when log.roll.jitter.ms is not set.";
    "log.retention.ms": Long = null, Any, High, ClusterWide, Honoured,
        "Broker's value of the topic config retention.ms; when not set, log.retention.minutes counts.";
    "log.retention.minutes": Int = null, Any, High, ReadOnly, Honoured,
        "Broker's value of retention.ms in minutes, when log.retention.ms is not set.";
    "log.retention.hours": Int = "168", Any, High, ReadOnly, Honoured,
        "Broker's value of retention.ms in hours, when neither milliseconds nor minutes are set.";
    "log.retention.bytes": Long = "-1", Any, High, ClusterWide, Honoured,
        "Broker's value of the topic config retention.bytes.";
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), Medium, ReadOnly, Honoured,
        "How often partitions are looked through for segments that retention deletes.";
    "log.cleanup.policy": List = "delete", ListOf(&["compact", "delete"]), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config cleanup.policy.";
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config segment.index.bytes.";
    "log.index.interval.bytes": Int = "4096", AtLeast(0), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config index.interval.bytes.";
    "log.flush.interval.messages": Long = "9223372036854775807", AtLeast(1), High, ClusterWide, Honoured,
        "Broker's value of the topic config flush.messages.";
    "log.flush.interval.ms": Long = null, Any, High, ClusterWide, Honoured,
        "Broker's value of the topic config flush.ms; when not set, log.flush.scheduler.interval.ms counts.";
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Any, High, ReadOnly, Honoured,
        "Broker's value of flush.ms, when log.flush.interval.ms is not set.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), High, ReadOnly, Accepted,
        "How often Kafka stores the recovery point. Ottla stores it every 64 MiB or second.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), High, ReadOnly, Accepted,
        "How often Kafka stores the log start offsets.";
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), High, ClusterWide, Honoured,
        "Broker's value of the topic config file.delete.delay.ms.";
    "log.preallocate": Boolean = "false", Any, Medium, ClusterWide, Honoured,
        "Broker's value of the topic config preallocate.";
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), High, ClusterWide, Accepted,
        "Threads that recover logs at start and flush them at the end.";
    "log.initial.task.delay.ms": Long = "30000", AtLeast(0), Low, ReadOnly, Accepted,
        "Kafka's test-only delay of its first housekeeping.";
    "auto.create.topics.enable": Boolean = "true", Any, High, ReadOnly, Honoured,
        "Create a topic when a client asks for metadata of one that does not exist.";
    "num.partitions": Int = "1", AtLeast(1), Medium, ReadOnly, Honoured,
        "Partitions of a topic whose creator does not say how many.";
    "min.insync.replicas": Int = "1", AtLeast(1), High, ClusterWide, Honoured,
        "Broker's value of the topic config min.insync.replicas.";
    "log.message.timestamp.type": String = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config message.timestamp.type.";
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config message.timestamp.before.max.ms.";
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config message.timestamp.after.max.ms.";
    "message.max.bytes": Int = "1048588", AtLeast(0), High, ClusterWide, Honoured,
        "Broker's value of the topic config max.message.bytes.";
    "compression.type": String = "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), High, ClusterWide, Honoured,
        "Broker's value of the topic config of the same name.";
    "compression.gzip.level": Int = "-1", GzipLevel, Medium, ClusterWide, Honoured,
        "Broker's value of the topic config of the same name.";
    "compression.lz4.level": Int = "9", Between(1, 17), Medium, ClusterWide, Accepted,
        "Broker's value of the topic config of the same name.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config of the same name.";
    "delete.topic.enable": Boolean = "true", Any, High, ReadOnly, Honoured,
        "Allow topics to be deleted.";
    "log.cleaner.enable": Boolean = "true", Any, Medium, ReadOnly, Honoured,
        "Compact the topics that ask for it. Without it they grow for ever.";
    "log.cleaner.threads": Int = "1", AtLeast(0), Medium, ClusterWide, Accepted,
        "Threads that compact logs. Ottla has one, which does one log after the other.";
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), Medium, ClusterWide, Honoured,
        "Pause of the cleaner when there is nothing to clean: so soon it notices a log that has become dirty.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Any, Medium, ClusterWide, Honoured,
        "Memory that the key map of a pass may take: 24 bytes a key, and only while a pass runs. A log with more keys in its dirty part takes several passes.";
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config delete.retention.ms.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Any, Medium, ClusterWide, Honoured,
        "How full the cleaner's key map may get, a share above 0 and at most 1.";
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), Medium, ClusterWide, Honoured,
        "Memory of the cleaner's read and write buffers together.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Any, Medium, ClusterWide, Honoured,
        "Bytes per second that the cleaner reads and writes at most, together.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config max.compaction.lag.ms.";
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Between(0, 1), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config min.cleanable.dirty.ratio.";
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), Medium, ClusterWide, Honoured,
        "Broker's value of the topic config min.compaction.lag.ms.";
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), Medium, ClusterWide, Accepted,
        "Broker's value of the topic config local.retention.bytes.";
    "log.local.retention.ms": Long = "-2", AtLeast(-2), Medium, ClusterWide, Accepted,
        "Broker's value of the topic config local.retention.ms.";
}
