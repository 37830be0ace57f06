//! Connections, listener by listener.

use crate::metrics::instrument::Tally;
use crate::metrics::{Counter, Family, Kind, Page};

pub(super) static FAMILIES: &[&Family] = &[&OPEN, &ACCEPTED, &CLOSED, &REJECTED];

static OPEN: Family = Family {
    name: "ottla_connections",
    kind: Kind::Gauge,
    labels: &["listener"],
    help: "Connections that are open now.",
    kafka: Some("kafka.server:type=socket-server-metrics,listener=*,networkProcessor=*, connection-count"),
};

static ACCEPTED: Family = Family {
    name: "ottla_connections_accepted_total",
    kind: Kind::Counter,
    labels: &["listener"],
    help: "Connections that were accepted and served.",
    kafka: Some(
        "kafka.server:type=socket-server-metrics,listener=*,networkProcessor=*, connection-creation-total",
    ),
};

static CLOSED: Family = Family {
    name: "ottla_connections_closed_total",
    kind: Kind::Counter,
    labels: &["listener", "reason"],
    help: "Connections that have ended, by what ended them; client is the usual end.",
    kafka: Some(
        "kafka.server:type=socket-server-metrics,listener=*,networkProcessor=*, connection-close-total, expired-connections-killed-count",
    ),
};

static REJECTED: Family = Family {
    name: "ottla_connections_rejected_total",
    kind: Kind::Counter,
    labels: &["listener", "reason"],
    help: "Connections that were not served, by the bound or the failure that forbade it.",
    kafka: Some("kafka.network:type=Acceptor,name=AcceptorBlockedPercent,listener=*"),
};

/// One listener's connections.
#[derive(Debug)]
pub struct ListenerMetrics {
    listener: String,
    accepted: Counter,
    closed: Tally,
    rejected: Tally,
}

impl ListenerMetrics {
    pub(super) fn new(listener: String) -> Self {
        Self { listener, accepted: Counter::default(), closed: Tally::default(), rejected: Tally::default() }
    }

    /// Counts a connection that is going to be served.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// Counts the end of one that was accepted.
    pub fn closed(&self, reason: &'static str) {
        self.closed.add(reason, 1);
    }

    /// Counts one that is not served.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.add(reason, 1);
    }

    pub(super) fn collect(&self, page: &mut Page) {
        let listener = &self.listener;
        // The closed ones first: read the other way round, one that opens and closes meanwhile would make the difference negative.
        let closed = self.closed.counts();
        let accepted = self.accepted.get();
        page.add(&OPEN, &[listener], accepted.saturating_sub(closed.values().sum()));
        page.add(&ACCEPTED, &[listener], accepted);
        for (reason, count) in closed {
            page.add(&CLOSED, &[listener, &reason], count);
        }
        for (reason, count) in self.rejected.counts() {
            page.add(&REJECTED, &[listener, &reason], count);
        }
    }
}
