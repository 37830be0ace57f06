//! Keys of a broker: copies of partitions and who leads them.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: copies of partitions and who leads them.
    REPLICATION in Broker;

    "default.replication.factor": Int = "1", Any, Medium, ReadOnly, Honoured,
        "Replicas of a topic whose creator does not say how many, and of topics created automatically.";
    "num.replica.fetchers": Int = "1", AtLeast(1), High, ClusterWide, Accepted,
        "Connections that fetch from each source broker.";
    "num.replica.alter.log.dirs.threads": Int = null, Any, High, ReadOnly, Accepted,
        "Threads that move replicas between data directories.";
    "replica.fetch.backoff.ms": Int = "1000", AtLeast(0), Medium, ReadOnly, Honoured,
        "Longest pause after failed fetches of a follower; the first pauses are shorter.";
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), Medium, ReadOnly, Honoured,
        "Bytes a follower asks for per partition.";
    "replica.fetch.min.bytes": Int = "1", Any, High, ReadOnly, Honoured,
        "Bytes a follower waits for in one fetch.";
    "replica.fetch.response.max.bytes": Int = "10485760", AtLeast(0), Medium, ReadOnly, Honoured,
        "Bytes a follower asks for in one fetch.";
    "replica.fetch.wait.max.ms": Int = "500", Any, High, ReadOnly, Honoured,
        "How long a follower's fetch may wait for data.";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", Any, High, ReadOnly, Accepted,
        "How often high watermarks are stored.";
    "replica.lag.time.max.ms": Long = "30000", Any, High, ReadOnly, Honoured,
        "A follower that has not caught up for this long leaves the in-sync set.";
    "replica.selector.class": String = null, Any, Medium, ReadOnly, Honoured,
        "Who chooses the replica a consumer reads from: org.apache.kafka.common.replica.RackAwareReplicaSelector, by `broker.rack` and the consumer's `client.rack`, or nobody.";
    "replica.socket.receive.buffer.bytes": Int = "65536", Any, High, ReadOnly, Honoured,
        "SO_RCVBUF of connections to leaders.";
    "replica.socket.timeout.ms": Int = "30000", Any, High, ReadOnly, Honoured,
        "How long a follower waits for a fetch answer.";
    "unclean.leader.election.enable": Boolean = "false", Any, High, ClusterWide, Accepted,
        "Broker's value of the topic config of the same name.";
    "unclean.leader.election.interval.ms": Long = "300000", AtLeast(1), Medium, ReadOnly, Accepted,
        "How often partitions without a leader are looked at for an unclean election.";
    "auto.leader.rebalance.enable": Boolean = "true", Any, High, ReadOnly, Honoured,
        "Give leaderships back to preferred replicas from time to time.";
    "leader.imbalance.check.interval.seconds": Long = "300", AtLeast(1), High, ReadOnly, Honoured,
        "How often the balance of leaderships is checked.";
    "controller.socket.timeout.ms": Int = "30000", Any, Medium, ReadOnly, Accepted,
        "Socket timeout of connections to the controller.";
    "delete.records.purgatory.purge.interval.requests": Int = "1", Any, Medium, ReadOnly, Accepted,
        "When Kafka cleans its waiting DeleteRecords requests. Ottla removes each as it ends.";
    "fetch.purgatory.purge.interval.requests": Int = "1000", Any, Medium, ReadOnly, Accepted,
        "When Kafka cleans its waiting fetches. Ottla removes each as it ends.";
    "producer.purgatory.purge.interval.requests": Int = "1000", Any, Medium, ReadOnly, Accepted,
        "When Kafka cleans its waiting produce requests. Ottla removes each as it ends.";
    "share.fetch.purgatory.purge.interval.requests": Int = "1000", Any, Medium, ReadOnly, Accepted,
        "When Kafka cleans its waiting share fetches.";
    "leader.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured,
        "Bytes per second a leader sends to throttled replicas.";
    "follower.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured,
        "Bytes per second a follower fetches for throttled replicas.";
    "replica.alter.log.dirs.io.max.bytes.per.second": Long = "9223372036854775807", AtLeast(0), Medium, ClusterWide, Accepted,
        "Bytes per second for moving replicas between data directories.";
}
