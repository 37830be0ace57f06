//! Copies: what goes to followers and comes from leaders, and how far behind they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_record::BrokerId;
use parking_lot::Mutex;

use crate::metrics::{Counter, Family, Kind, Page};

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
    lag: Mutex<BTreeMap<BrokerId, u64>>,
    follower_lag: Mutex<BTreeMap<BrokerId, (Instant, u64)>>,
}

/// Who has not fetched for this long is not shown.
const SHOWN_FOR: Duration = Duration::from_secs(60);

impl ReplicationMetrics {
    /// Notes how far behind a leader this broker is.
    pub(crate) fn note_lag(&self, leader: BrokerId, records: u64) {
        self.lag.lock().insert(leader, records);
    }

    /// Nothing is copied from these leaders any more.
    pub(crate) fn forget_leaders_but(&self, follows: impl Fn(BrokerId) -> bool) {
        self.lag.lock().retain(|leader, _| follows(*leader));
    }

    /// Notes how far behind a follower is.
    pub(crate) fn note_follower_lag(&self, follower: BrokerId, records: u64) {
        self.follower_lag.lock().insert(follower, (Instant::now(), records));
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
        for (leader, records) in self.lag.lock().iter() {
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
