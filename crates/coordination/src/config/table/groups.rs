//! Keys of a broker: consumer and streams groups and their committed offsets.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: consumer and streams groups and their committed offsets.
    GROUPS in Broker;

    "group.consumer.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, ClusterWide, Honoured,
        "Shortest time between two assignments of a consumer group.";
    "group.consumer.assignors": List = "uniform,range", NonEmptyList, Medium, ReadOnly, Honoured,
        "Assignment strategies the broker offers consumer groups; the first is the default.";
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Heartbeat interval given to members of consumer groups.";
    "group.consumer.max.assignment.interval.ms": Int = "15000", AtLeast(0), Medium, ReadOnly, Honoured,
        "Largest value a group may set for its assignment interval.";
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Largest value a group may set for its heartbeat interval.";
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Largest value a group may set for its session timeout.";
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), Medium, ReadOnly, Honoured,
        "Members of one consumer group at most.";
    "group.consumer.migration.policy": String = "bidirectional", OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), Medium, ReadOnly, Honoured,
        "Whether groups may move between the classic and the consumer protocol.";
    "group.consumer.min.assignment.interval.ms": Int = "0", AtLeast(0), Medium, ReadOnly, Honoured,
        "Smallest value a group may set for its assignment interval.";
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Smallest value a group may set for its heartbeat interval.";
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Smallest value a group may set for its session timeout.";
    "group.consumer.regex.refresh.interval.ms": Int = "600000", AtLeast(10_000), Medium, ReadOnly, Honoured,
        "How often subscriptions by pattern are matched again.";
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Members of consumer groups that are silent for this long are removed.";
    "group.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), Medium, ReadOnly, Accepted,
        "How long the group coordinator collects writes; -1 adapts itself.";
    "group.coordinator.background.threads": Int = "2", AtLeast(1), High, ReadOnly, Accepted,
        "Threads for the coordinator's background work.";
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), Medium, ClusterWide, Accepted,
        "Largest write buffer the coordinator keeps for the next use.";
    "group.coordinator.rebalance.protocols": List = "classic,consumer,streams", NonEmptyListOf(&["consumer", "classic", "share", "streams"]), Medium, ReadOnly, Accepted,
        "Group protocols the broker offers.";
    "group.coordinator.threads": Int = "4", AtLeast(1), High, ReadOnly, Accepted,
        "Threads of the group coordinator.";
    "group.initial.rebalance.delay.ms": Int = "3000", Any, Medium, ReadOnly, Honoured,
        "How long the first rebalance of a new classic group waits for more members.";
    "group.max.session.timeout.ms": Int = "1800000", Any, Medium, ReadOnly, Honoured,
        "Largest session timeout a classic member may ask for.";
    "group.max.size": Int = "2147483647", AtLeast(1), Medium, ReadOnly, Honoured,
        "Members of one classic group at most.";
    "group.min.session.timeout.ms": Int = "6000", Any, Medium, ReadOnly, Honoured,
        "Smallest session timeout a classic member may ask for.";
    "offset.metadata.max.bytes": Int = "4096", Any, High, ReadOnly, Honoured,
        "Largest metadata string stored with a committed offset.";
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), High, ReadOnly, Honoured,
        "How long an offset commit waits for its replicas.";
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), High, ReadOnly, Honoured,
        "Bytes read at once when committed offsets are loaded.";
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), High, ReadOnly, Honoured,
        "How often expired offsets are looked for.";
    "offsets.retention.minutes": Int = "10080", AtLeast(1), High, ReadOnly, Honoured,
        "How long the offsets of an empty group are kept.";
    "offsets.topic.compression.codec": Int = "0", Any, High, ReadOnly, Honoured,
        "Codec of the offsets topic, by number.";
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), High, ReadOnly, Honoured,
        "Partitions of the offsets topic.";
    "offsets.topic.replication.factor": Short = "3", AtLeast(1), High, ReadOnly, Honoured,
        "Replicas of the offsets topic.";
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), High, ReadOnly, Honoured,
        "Segment size of the offsets topic.";
    "group.streams.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, ClusterWide, Accepted,
        "Shortest time between two assignments of a streams group.";
    "group.streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Heartbeat interval given to members of streams groups.";
    "group.streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), Medium, ReadOnly, Accepted,
        "How long the first rebalance of a streams group waits for more members.";
    "group.streams.max.assignment.interval.ms": Int = "15000", AtLeast(0), Medium, ReadOnly, Accepted,
        "Largest value a streams group may set for its assignment interval.";
    "group.streams.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Largest value a streams group may set for its heartbeat interval.";
    "group.streams.max.session.timeout.ms": Int = "60000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Largest value a streams group may set for its session timeout.";
    "group.streams.max.size": Int = "2147483647", AtLeast(1), Medium, ReadOnly, Accepted,
        "Members of one streams group at most.";
    "group.streams.max.standby.replicas": Int = "2", AtLeast(0), Medium, ReadOnly, Accepted,
        "Largest number of standby replicas a streams group may set.";
    "group.streams.min.assignment.interval.ms": Int = "0", AtLeast(0), Medium, ReadOnly, Accepted,
        "Smallest value a streams group may set for its assignment interval.";
    "group.streams.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Smallest value a streams group may set for its heartbeat interval.";
    "group.streams.min.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Smallest value a streams group may set for its session timeout.";
    "group.streams.num.standby.replicas": Int = "0", AtLeast(0), Medium, ReadOnly, Accepted,
        "Standby replicas of a streams group's tasks.";
    "group.streams.session.timeout.ms": Int = "45000", AtLeast(1), Medium, ReadOnly, Accepted,
        "Members of streams groups that are silent for this long are removed.";
}
