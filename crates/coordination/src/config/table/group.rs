//! Keys of a group.

use crate::config::definition::configs;

configs! {
    /// Keys of a group.
    GROUP in Group;

    "consumer.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, Resource, Honoured,
        "Shortest time between two assignments of this consumer group.";
    "consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, Resource, Honoured,
        "Heartbeat interval given to the members of this consumer group.";
    "consumer.session.timeout.ms": Int = "45000", AtLeast(1), Medium, Resource, Honoured,
        "Members of this consumer group that are silent for this long are removed.";
    "share.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, Resource, Accepted,
        "Shortest time between two assignments of this share group.";
    "share.auto.offset.reset": String = "latest", OffsetReset, Medium, Resource, Accepted,
        "Where this share group begins: latest, earliest, or by_duration.";
    "share.delivery.count.limit": Int = "5", AtLeast(2), Medium, Resource, Accepted,
        "How often a record is offered to this share group.";
    "share.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, Resource, Accepted,
        "Heartbeat interval given to the members of this share group.";
    "share.isolation.level": String = "read_uncommitted", OneOf(&["read_committed", "read_uncommitted"]), Medium, Resource, Accepted,
        "Whether this share group sees records of unfinished transactions.";
    "share.partition.max.record.locks": Int = "2000", AtLeast(100), Medium, Resource, Accepted,
        "Records of one partition this share group may hold at a time.";
    "share.record.lock.duration.ms": Int = "30000", AtLeast(1000), Medium, Resource, Accepted,
        "How long a member of this share group holds a record.";
    "share.renew.acknowledge.enable": Boolean = "true", Any, Medium, Resource, Accepted,
        "Let members of this share group extend their hold on a record.";
    "share.session.timeout.ms": Int = "45000", AtLeast(1), Medium, Resource, Accepted,
        "Members of this share group that are silent for this long are removed.";
    "streams.assignment.interval.ms": Int = "1000", AtLeast(0), Medium, Resource, Accepted,
        "Shortest time between two assignments of this streams group.";
    "streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), Medium, Resource, Accepted,
        "Heartbeat interval given to the members of this streams group.";
    "streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), Medium, Resource, Accepted,
        "How long the first rebalance of this streams group waits for more members.";
    "streams.num.standby.replicas": Int = "0", AtLeast(0), Medium, Resource, Accepted,
        "Standby replicas of this streams group's tasks.";
    "streams.session.timeout.ms": Int = "45000", AtLeast(1), Medium, Resource, Accepted,
        "Members of this streams group that are silent for this long are removed.";
}
