//! Keys of a broker: policies, quotas and metrics.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: policies, quotas and metrics.
    OPERATIONS in Broker;

    "alter.config.policy.class.name": Class = null, Any, Low, ReadOnly, Refused,
        "Java class that may refuse a change of configuration.";
    "create.topic.policy.class.name": Class = null, Any, Low, ReadOnly, Refused,
        "Java class that may refuse the creation of a topic.";
    "client.quota.callback.class": Class = null, Any, Low, ReadOnly, Accepted,
        "Java class that decides the quotas of clients.";
    "alter.log.dirs.replication.quota.window.num": Int = "11", AtLeast(1), Low, ReadOnly, Accepted,
        "Samples kept for the quota of moves between data directories.";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", AtLeast(1), Low, ReadOnly, Accepted,
        "Length of a sample for the quota of moves between data directories.";
    "controller.quota.window.num": Int = "11", AtLeast(1), Low, ReadOnly, Accepted,
        "Samples kept for the quota of metadata changes.";
    "controller.quota.window.size.seconds": Int = "1", AtLeast(1), Low, ReadOnly, Accepted,
        "Length of a sample for the quota of metadata changes.";
    "quota.window.num": Int = "11", AtLeast(1), Low, ReadOnly, Accepted,
        "Samples kept for the quotas of clients.";
    "quota.window.size.seconds": Int = "1", AtLeast(1), Low, ReadOnly, Accepted,
        "Length of a sample for the quotas of clients.";
    "replication.quota.window.num": Int = "11", AtLeast(1), Low, ReadOnly, Accepted,
        "Samples kept for the quotas of replication.";
    "replication.quota.window.size.seconds": Int = "1", AtLeast(1), Low, ReadOnly, Accepted,
        "Length of a sample for the quotas of replication.";
    "kafka.metrics.polling.interval.secs": Int = "10", AtLeast(1), Low, ReadOnly, Accepted,
        "How often Kafka's Yammer reporters poll.";
    "kafka.metrics.reporters": List = "", DistinctList, Low, ReadOnly, Accepted,
        "Java classes that report Yammer metrics.";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter", DistinctList, Low, ClusterWide, Accepted,
        "Java classes that report metrics.";
    "metrics.num.samples": Int = "2", AtLeast(1), Low, ReadOnly, Accepted,
        "Samples kept for a metric.";
    "metrics.recording.level": String = "INFO", Any, Low, ReadOnly, Accepted,
        "Detail of the metrics recorded.";
    "metrics.sample.window.ms": Long = "30000", AtLeast(1), Low, ReadOnly, Accepted,
        "Length of a metric's sample.";
}
