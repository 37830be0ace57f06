//! Ottla's own keys. All of them begin with `ottla.`, so that none can meet a key of a later Kafka.

use crate::config::definition::configs;

configs! {
    /// Own keys of a topic.
    TOPIC in Topic;

    "ottla.ack.durability": String = "fsync", OneOf(&["fsync", "os"]), High, Resource, Honoured,
        "What an acknowledgement means: `fsync`, the records are on the disk; `os`, they are in the operating system's page cache, as in Kafka.";
}

configs! {
    /// Own keys of a broker.
    BROKER in Broker;

    "ottla.ack.durability": String = "fsync", OneOf(&["fsync", "os"]), High, ClusterWide, Honoured,
        "Broker's value of the topic config of the same name.";
    "ottla.disk.reserve.bytes": Long = null, AtLeast(0), High, ReadOnly, Honoured,
        "Free disk space below which appends are refused with KAFKA_STORAGE_ERROR, while reads and retention go on. When not set: 5 % of the file system, at most 1 GiB.";
    "ottla.decompression.max.bytes": Long = "134217728", AtLeast(1), Medium, ReadOnly, Honoured,
        "Size a compressed batch may have when it must be unpacked to be checked; a larger one is CORRUPT_MESSAGE.";
    "ottla.log.level": String = null, Any, Medium, ReadOnly, Honoured,
        "What the log says: `error`, `warn`, `info`, `debug`, `trace` or `off`, or per part as in `info,ottla_kafka=debug`. `--log-level` counts more, $RUST_LOG less; without any of them, `info`. SIGHUP makes a running broker read it anew.";
    "ottla.worker.threads": Int = null, Between(1, 1024), Medium, ReadOnly, Honoured,
        "Threads that serve connections. When not set: one for each core.";
}
