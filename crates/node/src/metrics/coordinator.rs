//! The group coordinator of this broker.

use std::collections::BTreeMap;

use ottla_coordination::group::{Request, Response};

use crate::coordinator::GroupMachine;
use crate::coordinator::shards::Shards;
use crate::metrics::{Counter, Family, Histogram, Kind, Page};

pub(super) static FAMILIES: &[&Family] =
    &[&GROUPS, &MEMBERS, &OFFSETS, &REBALANCES, &HEARTBEATS, &COMMITS, &COMMITTED, &LOADS];

static GROUPS: Family = Family {
    name: "ottla_groups",
    kind: Kind::Gauge,
    labels: &["protocol", "state"],
    help: "Groups that this broker coordinates, by protocol (classic, consumer) and state. Those of a partition that is being loaded do not count.",
    kafka: None,
};

static MEMBERS: Family = Family {
    name: "ottla_group_members",
    kind: Kind::Gauge,
    labels: &["protocol"],
    help: "Members of the groups that this broker coordinates.",
    kafka: None,
};

static OFFSETS: Family = Family {
    name: "ottla_group_offsets",
    kind: Kind::Gauge,
    labels: &[],
    help: "Committed offsets that this broker keeps, one for each group and partition.",
    kafka: Some("kafka.coordinator.group:type=GroupMetadataManager,name=NumOffsets"),
};

static REBALANCES: Family = Family {
    name: "ottla_group_rebalances_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Rebalances that were completed, since the partition of the group was loaded.",
    kafka: Some("kafka.server:type=group-coordinator-metrics, group-completed-rebalance-count"),
};

static HEARTBEATS: Family = Family {
    name: "ottla_group_heartbeats_total",
    kind: Kind::Counter,
    labels: &["protocol"],
    help: "Heartbeats of members, refused ones included, by the groups' protocol (classic, consumer).",
    kafka: None,
};

static COMMITS: Family = Family {
    name: "ottla_group_offset_commits_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Requests to commit offsets that reached this broker's coordinator, refused ones included.",
    kafka: None,
};

static COMMITTED: Family = Family {
    name: "ottla_group_offsets_committed_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Offsets that were answered as committed, one for each partition of a request.",
    kafka: Some("kafka.server:type=group-coordinator-metrics, offset-commit-count"),
};

static LOADS: Family = Family {
    name: "ottla_group_load_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "Time to load a partition of __consumer_offsets, from which on its groups are served. Empty partitions do not count.",
    kafka: Some("kafka.server:type=group-coordinator-metrics, partition-load-time-avg"),
};

/// What is counted as requests are answered.
#[derive(Debug)]
pub(crate) struct CoordinatorMetrics {
    classic_heartbeats: Counter,
    consumer_heartbeats: Counter,
    commits: Counter,
    committed: Counter,
    pub(crate) load_seconds: Histogram,
}

impl Default for CoordinatorMetrics {
    fn default() -> Self {
        Self {
            classic_heartbeats: Counter::default(),
            consumer_heartbeats: Counter::default(),
            commits: Counter::default(),
            committed: Counter::default(),
            load_seconds: Histogram::of_durations(),
        }
    }
}

impl CoordinatorMetrics {
    /// Counts a request.
    pub(crate) fn asked(&self, request: &Request) {
        match request {
            Request::Heartbeat(_) => self.classic_heartbeats.inc(),
            Request::ConsumerHeartbeat(_) => self.consumer_heartbeats.inc(),
            Request::CommitOffsets(_) => self.commits.inc(),
            _ => {}
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, response: &Response) {
        if let Response::CommitOffsets(Ok(topics)) = response {
            let outcomes = topics.iter().flat_map(|topic| &topic.partitions);
            self.committed.add(outcomes.filter(|(_, outcome)| outcome.is_ok()).count() as u64);
        }
    }

    pub(crate) fn collect(&self, shards: &Shards<GroupMachine>, page: &mut Page) {
        let (mut groups, mut members) = (BTreeMap::new(), BTreeMap::new());
        let (mut offsets, mut rebalances) = (0, 0);
        for shard in shards.all() {
            shard.look(|machine| {
                for (protocol, state, count) in machine.census() {
                    *groups.entry((protocol.as_str(), state.as_str())).or_insert(0_u64) += 1;
                    *members.entry(protocol.as_str()).or_insert(0_u64) += count as u64;
                }
                offsets += machine.offset_count() as u64;
                rebalances += machine.rebalances();
            });
        }
        for ((protocol, state), count) in groups {
            page.add(&GROUPS, &[&protocol, &state], count);
        }
        for (protocol, count) in members {
            page.add(&MEMBERS, &[&protocol], count);
        }
        page.add(&OFFSETS, &[], offsets);
        page.add(&REBALANCES, &[], rebalances);
        page.add(&HEARTBEATS, &[&"classic"], self.classic_heartbeats.get());
        page.add(&HEARTBEATS, &[&"consumer"], self.consumer_heartbeats.get());
        page.add(&COMMITS, &[], self.commits.get());
        page.add(&COMMITTED, &[], self.committed.get());
        page.family(&LOADS).histogram(&[], &self.load_seconds);
    }
}
