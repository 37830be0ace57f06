//! Keys of a broker: share groups (KIP-932).

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: share groups (KIP-932).
    SHARE in Broker;

    "group.share.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, ClusterWide, Accepted,
        "Shortest time between two assignments of a share group.";
    "group.share.assignors": List = "simple", NonEmptyList, Medium, ReadOnly, Accepted,
        "Assignment strategy of share groups.";
    "group.share.delivery.count.limit": Int = "5", Between(2, 10), Medium, ReadOnly, Accepted,
        "How often a record is offered to a share group before it is given up.";
    "group.share.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Heartbeat interval given to members of share groups.";
    "group.share.initialize.retry.interval.ms": Int = "30000", AtLeast(1), Low, ReadOnly, Accepted,
        "Pause before the state of a share group is initialised again.";
    "group.share.max.assignment.interval.ms": Int = "15000", AtLeast(0), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its assignment interval.";
    "group.share.max.delivery.count.limit": Int = "10", Between(5, 25), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its delivery count.";
    "group.share.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its heartbeat interval.";
    "group.share.max.partition.max.record.locks": Int = "4000", Between(2000, 10_000), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its record locks.";
    "group.share.max.record.lock.duration.ms": Int = "60000", Between(30_000, 3_600_000), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its lock duration.";
    "group.share.max.session.timeout.ms": Int = "60000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Largest value a share group may set for its session timeout.";
    "group.share.max.share.sessions": Int = "2000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Share sessions of this broker at most.";
    "group.share.max.size": Int = "200", Between(1, 1000), Medium, ReadOnly, Accepted,
        "Members of one share group at most.";
    "group.share.min.assignment.interval.ms": Int = "0", AtLeast(0), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its assignment interval.";
    "group.share.min.delivery.count.limit": Int = "2", Between(2, 5), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its delivery count.";
    "group.share.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its heartbeat interval.";
    "group.share.min.partition.max.record.locks": Int = "100", Between(100, 2000), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its record locks.";
    "group.share.min.record.lock.duration.ms": Int = "15000", Between(1000, 30_000), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its lock duration.";
    "group.share.min.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Smallest value a share group may set for its session timeout.";
    "group.share.partition.max.record.locks": Int = "2000", Between(100, 10_000), Medium, ReadOnly, Accepted,
        "Records of one partition a share group may hold at a time.";
    "group.share.persister.class.name": String = "org.apache.kafka.server.share.persister.DefaultStatePersister", Any, Medium, ReadOnly, Accepted,
        "Java class that stores the state of share groups.";
    "group.share.record.lock.duration.ms": Int = "30000", Between(1000, 3_600_000), Medium, ReadOnly, Accepted,
        "How long a member of a share group holds a record.";
    "group.share.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Members of share groups that are silent for this long are removed.";
    "share.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), Medium, ReadOnly, Accepted,
        "How long the share coordinator collects writes; -1 adapts itself.";
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), Medium, ClusterWide, Accepted,
        "Largest write buffer the share coordinator keeps for the next use.";
    "share.coordinator.cold.partition.snapshot.interval.ms": Int = "300000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often the state of quiet share partitions is written whole.";
    "share.coordinator.load.buffer.size": Int = "5242880", AtLeast(1), High, ReadOnly, Accepted,
        "Bytes read at once when share state is loaded.";
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500", Between(0, 500), Medium, ReadOnly, Accepted,
        "Updates of share state between two snapshots of it.";
    "share.coordinator.state.topic.compression.codec": Int = "0", Any, High, ReadOnly, Accepted,
        "Codec of the share state topic, by number.";
    "share.coordinator.state.topic.min.isr": Short = "2", AtLeast(1), High, ReadOnly, Accepted,
        "min.insync.replicas of the share state topic.";
    "share.coordinator.state.topic.num.partitions": Int = "50", AtLeast(1), High, ReadOnly, Accepted,
        "Partitions of the share state topic.";
    "share.coordinator.state.topic.prune.interval.ms": Int = "300000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often records of the share state topic are pruned.";
    "share.coordinator.state.topic.replication.factor": Short = "3", AtLeast(1), High, ReadOnly, Accepted,
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.segment.bytes": Int = "104857600", AtLeast(1), High, ReadOnly, Accepted,
        "Segment size of the share state topic.";
    "share.coordinator.threads": Int = "1", AtLeast(1), Medium, ReadOnly, Accepted,
        "Threads of the share coordinator.";
    "share.coordinator.write.timeout.ms": Int = "5000", AtLeast(1), High, ReadOnly, Accepted,
        "How long a write of share state waits for its replicas.";
}
