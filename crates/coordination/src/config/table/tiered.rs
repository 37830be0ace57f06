//! Keys of a broker: tiered storage (KIP-405).

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: tiered storage (KIP-405).
    TIERED in Broker;

    "follower.fetch.last.tiered.offset.enable": Boolean = "false", Any, Medium, ClusterWide, Accepted,
        "Let an empty follower begin behind what is in remote storage.";
    "remote.fetch.max.wait.ms": Int = "500", AtLeast(1), Medium, ClusterWide, Accepted,
        "How long a fetch from remote storage may take.";
    "remote.list.offsets.request.timeout.ms": Long = "30000", AtLeast(1), Medium, ClusterWide, Accepted,
        "How long a look-up of offsets in remote storage may take.";
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", AtLeast(1), Low, ClusterWide, Accepted,
        "Local disk space for indexes of remote segments.";
    "remote.log.index.file.cache.ttl.ms": Long = "900000", AtLeast(-1), Low, ReadOnly, Accepted,
        "How long an unused index of a remote segment stays on the local disk.";
    "remote.log.manager.copier.thread.pool.size": Int = "10", AtLeast(1), Medium, ClusterWide, Accepted,
        "Threads that copy segments to remote storage.";
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), Medium, ClusterWide, Accepted,
        "Bytes per second copied to remote storage.";
    "remote.log.manager.copy.quota.window.num": Int = "11", AtLeast(1), Medium, ReadOnly, Accepted,
        "Samples kept for the quota of copying.";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", AtLeast(1), Medium, ReadOnly, Accepted,
        "Length of a sample for the quota of copying.";
    "remote.log.manager.expiration.thread.pool.size": Int = "10", AtLeast(1), Medium, ClusterWide, Accepted,
        "Threads that delete expired remote segments.";
    "remote.log.manager.fetch.max.bytes.per.second": Long = "9223372036854775807", AtLeast(1), Medium, ClusterWide, Accepted,
        "Bytes per second fetched from remote storage.";
    "remote.log.manager.fetch.quota.window.num": Int = "11", AtLeast(1), Medium, ReadOnly, Accepted,
        "Samples kept for the quota of fetching.";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", AtLeast(1), Medium, ReadOnly, Accepted,
        "Length of a sample for the quota of fetching.";
    "remote.log.manager.follower.thread.pool.size": Int = "2", AtLeast(1), Medium, ClusterWide, Accepted,
        "Threads that read remote state for followers.";
    "remote.log.manager.task.interval.ms": Long = "30000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often copying and expiry are looked at.";
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000", AtLeast(1), Low, ReadOnly, Accepted,
        "Longest pause before a failed remote task is tried again.";
    "remote.log.manager.task.retry.backoff.ms": Long = "500", AtLeast(1), Low, ReadOnly, Accepted,
        "First pause before a failed remote task is tried again.";
    "remote.log.manager.task.retry.jitter": Double = "0.2", UpTo(0.5), Low, ReadOnly, Accepted,
        "Random share of that pause.";
    "remote.log.manager.thread.pool.size": Int = "2", AtLeast(1), Medium, ReadOnly, Accepted,
        "Threads of the remote log manager.";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", AtLeast(0), Low, ReadOnly, Accepted,
        "Largest metadata a storage plug-in may attach to a segment.";
    "remote.log.metadata.manager.class.name": String = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", NonEmptyText, Medium, ReadOnly, Accepted,
        "Java class that keeps the metadata of remote segments.";
    "remote.log.metadata.manager.class.path": String = null, Any, Medium, ReadOnly, Accepted,
        "Class path of that class.";
    "remote.log.metadata.manager.impl.prefix": String = "rlmm.config.", NonEmptyText, Medium, ReadOnly, Accepted,
        "Prefix of the settings passed to that class.";
    "remote.log.metadata.manager.listener.name": String = null, NonEmptyText, Medium, ReadOnly, Accepted,
        "Listener that class connects to.";
    "remote.log.reader.max.pending.tasks": Int = "100", AtLeast(1), Medium, ReadOnly, Accepted,
        "Remote reads that may wait for a thread.";
    "remote.log.reader.threads": Int = "10", AtLeast(1), Medium, ClusterWide, Accepted,
        "Threads that read from remote storage.";
    "remote.log.storage.manager.class.name": String = null, NonEmptyText, Medium, ReadOnly, Accepted,
        "Java class that stores segments remotely.";
    "remote.log.storage.manager.class.path": String = null, Any, Medium, ReadOnly, Accepted,
        "Class path of that class.";
    "remote.log.storage.manager.impl.prefix": String = "rsm.config.", NonEmptyText, Medium, ReadOnly, Accepted,
        "Prefix of the settings passed to that class.";
    "remote.log.storage.system.enable": Boolean = "false", Any, Medium, ReadOnly, Accepted,
        "Switch tiered storage on.";
}
