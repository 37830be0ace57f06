//! Keys of a broker: the quorum that holds the metadata, and the sessions of brokers with it.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: the quorum that holds the metadata, and the sessions of brokers with it.
    CLUSTER in Broker;

    "broker.heartbeat.interval.ms": Int = "2000", Any, Medium, ReadOnly, Honoured,
        "How often a broker sends a heartbeat to the quorum.";
    "broker.session.timeout.ms": Int = "9000", Any, Medium, ReadOnly, Honoured,
        "A broker that sends no heartbeat for this long is fenced.";
    "initial.broker.registration.timeout.ms": Int = "60000", Any, Medium, ReadOnly, Honoured,
        "How long a starting broker waits for its cluster to register it, before it gives up.";
    "controller.listener.names": List = required, NonEmptyList, High, ReadOnly, Honoured,
        "Listeners for the other nodes of the cluster, which speak Ottla\'s own control protocol there. Without one in `listeners`, a node of several opens one at a port that the system chooses.";
    "controller.performance.always.log.threshold.ms": Long = "2000", AtLeast(0), Medium, ReadOnly, Accepted,
        "Controller events slower than this are always logged by Kafka.";
    "controller.performance.sample.period.ms": Long = "60000", AtLeast(100), Medium, ReadOnly, Accepted,
        "Period of Kafka's controller performance log.";
    "controller.quorum.append.linger.ms": Int = "25", AtLeast(0), Medium, ReadOnly, Accepted,
        "How long the quorum's leader collects writes before it flushes.";
    "controller.quorum.auto.join.enable": Boolean = "false", Any, Low, ReadOnly, Accepted,
        "A new controller adds itself to the voters.";
    "controller.quorum.bootstrap.servers": List = "", Endpoints, High, ReadOnly, Honoured,
        "Control listeners of members of the quorum that a node joins: `host:port,...`.";
    "controller.quorum.election.backoff.max.ms": Int = "1000", AtLeast(0), High, ReadOnly, Accepted,
        "Longest pause between elections of the quorum.";
    "controller.quorum.election.timeout.ms": Int = "1000", AtLeast(0), High, ReadOnly, Accepted,
        "How long a voter waits for a leader before it starts an election.";
    "controller.quorum.fetch.max.bytes": Int = "1048576", AtLeast(1), Low, ReadOnly, Accepted,
        "Bytes of one fetch of the metadata log.";
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", AtLeast(1), Low, ReadOnly, Accepted,
        "Bytes of one fetch of a metadata snapshot.";
    "controller.quorum.fetch.timeout.ms": Int = "2000", AtLeast(0), High, ReadOnly, Accepted,
        "How long a voter does without a fetch from the leader.";
    "controller.quorum.request.timeout.ms": Int = "2000", AtLeast(0), Medium, ReadOnly, Accepted,
        "How long a request between quorum members may take.";
    "controller.quorum.retry.backoff.ms": Int = "20", AtLeast(0), Low, ReadOnly, Accepted,
        "Pause before a quorum request is tried again.";
    "controller.quorum.voters": List = "", Endpoints, High, ReadOnly, Honoured,
        "Voters of the quorum: `id@host:port,...`. The lowest forms the quorum when all of them are new. All other nodes follow it without a vote.";
    "metadata.log.dir": String = null, Any, High, ReadOnly, Accepted,
        "Directory of the cluster's metadata. Ottla keeps it in the data directory.";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", AtLeast(1), High, ReadOnly, Accepted,
        "Bytes of metadata log after which a snapshot is taken.";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", AtLeast(0), High, ReadOnly, Accepted,
        "Time after which a metadata snapshot is taken.";
    "metadata.log.segment.bytes": Int = "1073741824", AtLeast(8_388_608), High, ReadOnly, Accepted,
        "Segment size of Kafka's metadata log.";
    "metadata.log.segment.ms": Long = "604800000", Any, High, ReadOnly, Accepted,
        "Segment age of Kafka's metadata log.";
    "metadata.max.idle.interval.ms": Int = "500", AtLeast(0), Low, ReadOnly, Accepted,
        "How often Kafka's idle controller writes a no-op record.";
    "metadata.max.retention.bytes": Long = "104857600", Any, High, ReadOnly, Accepted,
        "Size of metadata log and snapshots that are kept.";
    "metadata.max.retention.ms": Long = "604800000", Any, High, ReadOnly, Accepted,
        "Age of metadata log and snapshots that are kept.";
    "internal.metadata.delete.delay.millis": Long = "60000", Any, Low, ReadOnly, Accepted,
        "Test-only in Kafka: delay before a metadata file is removed.";
    "internal.metadata.log.segment.bytes": Int = null, Any, Low, ReadOnly, Accepted,
        "Test-only in Kafka: segment size of the metadata log.";
    "internal.metadata.max.batch.size.in.bytes": Int = "8388608", Any, Low, ReadOnly, Accepted,
        "Test-only in Kafka: largest batch of the metadata log.";
}
