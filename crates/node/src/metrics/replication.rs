//! Copies: what goes to followers and comes from leaders, and how far behind they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_record::BrokerId;
use parking_lot::Mutex;

use crate::metrics::{Counter, Family, Kind, Page};
use crate::ports::Lane;

pub(super) static FAMILIES: &[&Family] =
    &[&BYTES_IN, &BYTES_OUT, &FETCHES_FAILED, &LAG, &FOLLOWER_LAG, &ISR_SHRINKS, &ISR_EXPANDS, &ISR_FAILURES];

static BYTES_IN: Family = Family {
    name: "ottla_replication_received_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes of record batches copied from leaders.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesInPerSec"),
};

static BYTES_OUT: Family = Family {
    name: "ottla_replication_sent_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes of record batches put into answers to followers.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=ReplicationBytesOutPerSec"),
};

static FETCHES_FAILED: Family = Family {
    name: "ottla_replication_fetches_failed_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Fetches of this broker's copies that were not answered: their leader was not reached, or answered with nonsense.",
    kafka: None,
};

static LAG: Family = Family {
    name: "ottla_replication_lag_max_records",
    kind: Kind::Gauge,
    labels: &["leader"],
    help: "Of all partitions copied from a leader, the most records that it has committed and that were not here after the last fetch.",
    kafka: Some("kafka.server:type=ReplicaFetcherManager,name=MaxLag,clientId=Replica"),
};

static FOLLOWER_LAG: Family = Family {
    name: "ottla_replication_follower_lag_max_records",
    kind: Kind::Gauge,
    labels: &["follower"],
    help: "Of all partitions led here, the most records that a follower did not have, durably, at its last fetch. One that has not fetched for a minute has no value.",
    kafka: None,
};

static ISR_SHRINKS: Family = Family {
    name: "ottla_isr_shrinks_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Times that this broker, leading, took a replica out of an in-sync set. What the controller takes out when it fences a broker does not count.",
    kafka: Some("kafka.server:type=ReplicaManager,name=IsrShrinksPerSec"),
};

static ISR_EXPANDS: Family = Family {
    name: "ottla_isr_expands_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Times that this broker, leading, put a replica that had caught up into an in-sync set.",
    kafka: Some("kafka.server:type=ReplicaManager,name=IsrExpandsPerSec"),
};

static ISR_FAILURES: Family = Family {
    name: "ottla_isr_changes_failed_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Changes of in-sync sets that the controller refused, or could not be asked for; they are tried again.",
    kafka: Some("kafka.server:type=ReplicaManager,name=FailedIsrUpdatesPerSec"),
};

/// What is counted of this broker's copies and of those that others make of what it leads.
#[derive(Debug, Default)]
pub(crate) struct ReplicationMetrics {
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) fetches_failed: Counter,
    pub(crate) isr_shrinks: Counter,
    pub(crate) isr_expands: Counter,
    pub(crate) isr_failures: Counter,
    lag: Mutex<BTreeMap<(BrokerId, Lane), u64>>,
    follower_lag: Mutex<BTreeMap<BrokerId, (Instant, u64)>>,
}

/// How long a follower's lag hides a smaller one.
const LAG_COUNTS_FOR: Duration = Duration::from_secs(1);
/// Who has not fetched for this long is not shown.
const SHOWN_FOR: Duration = Duration::from_secs(60);

impl ReplicationMetrics {
    /// Notes how far behind a leader the copies of a lane are.
    pub(crate) fn note_lag(&self, leader: BrokerId, lane: Lane, records: u64) {
        self.lag.lock().insert((leader, lane), records);
    }

    /// Nothing is copied from the others any more.
    pub(crate) fn forget_sources_but(&self, copies: impl Fn((BrokerId, Lane)) -> bool) {
        self.lag.lock().retain(|source, _| copies(*source));
    }

    /// Notes how far behind a follower is in one of its fetches: the most of a moment counts, since the other one may be in sync.
    pub(crate) fn note_follower_lag(&self, follower: BrokerId, records: u64) {
        let now = Instant::now();
        let mut known = self.follower_lag.lock();
        let lag = known.entry(follower).or_insert((now, records));
        if records >= lag.1 || now.duration_since(lag.0) >= LAG_COUNTS_FOR {
            *lag = (now, records);
        }
    }

    pub(super) fn collect(&self, page: &mut Page) {
        for (family, counter) in [
            (&BYTES_IN, &self.bytes_in),
            (&BYTES_OUT, &self.bytes_out),
            (&FETCHES_FAILED, &self.fetches_failed),
            (&ISR_SHRINKS, &self.isr_shrinks),
            (&ISR_EXPANDS, &self.isr_expands),
            (&ISR_FAILURES, &self.isr_failures),
        ] {
            page.family(family).counter(&[], counter);
        }
        let mut samples = page.family(&LAG);
        let mut behind: BTreeMap<BrokerId, u64> = BTreeMap::new();
        for ((leader, _), records) in self.lag.lock().iter() {
            let most = behind.entry(*leader).or_default();
            *most = (*most).max(*records);
        }
        for (leader, records) in &behind {
            samples.add(&[leader], *records);
        }
        let mut samples = page.family(&FOLLOWER_LAG);
        for (follower, (at, records)) in self.follower_lag.lock().iter() {
            if at.elapsed() < SHOWN_FOR {
                samples.add(&[follower], *records);
            }
        }
    }
}
