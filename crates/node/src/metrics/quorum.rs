//! The metadata quorum as this broker takes part in it.

use crate::metrics::{Family, Kind, Page};
use crate::ports::QuorumStatus;

pub(super) static FAMILIES: &[&Family] =
    &[&IS_LEADER, &LEADER, &TERM, &VOTERS, &LOG_END, &APPLIED, &SNAPSHOT, &SNAPSHOTS, &FAILED];

static IS_LEADER: Family = Family {
    name: "ottla_quorum_is_leader",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 on the broker that leads the metadata quorum. The sum over all brokers should be 1.",
    kafka: Some("kafka.controller:type=KafkaController,name=ActiveControllerCount"),
};

static LEADER: Family = Family {
    name: "ottla_quorum_leader_id",
    kind: Kind::Gauge,
    labels: &[],
    help: "The node.id of the quorum's leader as this broker knows it; -1 while there is none.",
    kafka: Some("kafka.server:type=raft-metrics, current-leader"),
};

static TERM: Family = Family {
    name: "ottla_quorum_term",
    kind: Kind::Gauge,
    labels: &[],
    help: "The quorum's term. Each election raises it.",
    kafka: Some("kafka.server:type=raft-metrics, current-epoch"),
};

static VOTERS: Family = Family {
    name: "ottla_quorum_voters",
    kind: Kind::Gauge,
    labels: &[],
    help: "Voters of the quorum; a majority of them has to be alive.",
    kafka: Some("kafka.server:type=raft-metrics, number-of-voters"),
};

static LOG_END: Family = Family {
    name: "ottla_metadata_log_index",
    kind: Kind::Gauge,
    labels: &[],
    help: "Index of the last entry in this broker's copy of the metadata log.",
    kafka: Some("kafka.server:type=raft-metrics, log-end-offset"),
};

static APPLIED: Family = Family {
    name: "ottla_metadata_applied_index",
    kind: Kind::Gauge,
    labels: &[],
    help: "Index of the last entry that this broker has applied.",
    kafka: Some("kafka.server:type=broker-metadata-metrics, last-applied-record-offset"),
};

static SNAPSHOT: Family = Family {
    name: "ottla_metadata_snapshot_index",
    kind: Kind::Gauge,
    labels: &[],
    help: "Index of the last entry that the newest snapshot holds; a start reads the log from there.",
    kafka: None,
};

static SNAPSHOTS: Family = Family {
    name: "ottla_metadata_snapshots_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Snapshots of the metadata written since the start of the process.",
    kafka: None,
};

static FAILED: Family = Family {
    name: "ottla_quorum_failed",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 once the quorum has stopped on this broker because its disk failed; the broker then ends.",
    kafka: None,
};

pub(super) fn collect(status: &QuorumStatus, page: &mut Page) {
    page.add(&IS_LEADER, &[], status.is_leader);
    page.add(&LEADER, &[], status.leader.map_or(-1, |leader| leader.get()));
    page.add(&TERM, &[], status.term);
    page.add(&VOTERS, &[], status.voters);
    page.add(&LOG_END, &[], status.last_index);
    page.add(&APPLIED, &[], status.applied_index);
    page.add(&SNAPSHOT, &[], status.snapshot_index);
    page.add(&SNAPSHOTS, &[], status.snapshots_written);
    page.add(&FAILED, &[], status.failed);
}
