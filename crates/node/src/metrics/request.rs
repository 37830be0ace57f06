//! Requests, API by API: how many, how long in which phase, with which errors.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::metrics::instrument::Tally;
use crate::metrics::{Counter, Family, Histogram, Kind, Page};

pub(super) static FAMILIES: &[&Family] =
    &[&REQUESTS, &ERRORS, &DURATION, &PHASE_DURATION, &REQUEST_BYTES, &RESPONSE_BYTES];

static REQUESTS: Family = Family {
    name: "ottla_requests_total",
    kind: Kind::Counter,
    labels: &["protocol", "api", "version"],
    help: "Requests begun. The version is that of the API, so that old clients can be found.",
    kafka: Some("kafka.network:type=RequestMetrics,name=RequestsPerSec,request=*,version=*"),
};

static ERRORS: Family = Family {
    name: "ottla_request_errors_total",
    kind: Kind::Counter,
    labels: &["protocol", "api", "error"],
    help: "Errors in answers, by Kafka's name for them; over gRPC by gRPC's, where Kafka has none. An answer about many partitions may hold many.",
    kafka: Some("kafka.network:type=RequestMetrics,name=ErrorsPerSec,request=*,error=*"),
};

static DURATION: Family = Family {
    name: "ottla_request_duration_seconds",
    kind: Kind::Histogram,
    labels: &["protocol", "api"],
    help: "From a request's last byte coming in to its answer's last byte going to the socket. A fetch that waits for records is long because it was asked to be; over gRPC it is as long as its reader stays. A stream of publishes is as many requests as it has messages.",
    kafka: Some("kafka.network:type=RequestMetrics,name=TotalTimeMs,request=*"),
};

static PHASE_DURATION: Family = Family {
    name: "ottla_request_phase_duration_seconds",
    kind: Kind::Histogram,
    labels: &["protocol", "api", "phase"],
    help: "The parts of a request's time. queue: waiting behind its connection's earlier requests; local: being worked on; \
           remote: waiting for a flush, for replicas, for records to come, or for its turn among the answers; send: until the socket took the answer. Over gRPC nothing queues where it could be seen, only Publish and PublishStream know a remote part (elsewhere it is in local), send ends when HTTP/2 takes the answer, and a method that answers with a stream has no parts.",
    kafka: Some(
        "kafka.network:type=RequestMetrics,name={RequestQueue,Local,Remote,ResponseQueue,ResponseSend}TimeMs,request=*",
    ),
};

static REQUEST_BYTES: Family = Family {
    name: "ottla_request_received_bytes_total",
    kind: Kind::Counter,
    labels: &["protocol", "api"],
    help: "Bytes of requests, lengths and headers included; over gRPC without HTTP's headers.",
    kafka: Some("kafka.network:type=RequestMetrics,name=RequestBytes,request=*"),
};

static RESPONSE_BYTES: Family = Family {
    name: "ottla_request_answered_bytes_total",
    kind: Kind::Counter,
    labels: &["protocol", "api"],
    help: "Bytes of answers, lengths and headers included; over gRPC without HTTP's headers.",
    kafka: Some("kafka.server:type=socket-server-metrics,listener=*,networkProcessor=*, outgoing-byte-total"),
};

/// One API of one protocol. A front door finds it once, when it is built.
#[derive(Debug)]
pub struct ApiMetrics {
    protocol: &'static str,
    api: &'static str,
    first_version: i16,
    /// Requests by version, and in the last place those of any other.
    versions: Box<[Counter]>,
    errors: Tally,
    total: Histogram,
    queue: Histogram,
    local: Histogram,
    remote: Histogram,
    send: Histogram,
    received_bytes: Counter,
    answered_bytes: Counter,
}

/// Where a request's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Behind its connection's earlier requests, where that can be seen.
    pub queue: Option<Duration>,
    /// Being worked on.
    pub local: Duration,
    /// Waiting for others, where that is told from work.
    pub remote: Option<Duration>,
    /// Until the socket took the answer.
    pub send: Duration,
}

impl ApiMetrics {
    pub(super) fn new(protocol: &'static str, api: &'static str, versions: &RangeInclusive<i16>) -> Self {
        Self {
            protocol,
            api,
            first_version: *versions.start(),
            versions: versions.clone().map(|_| Counter::default()).chain([Counter::default()]).collect(),
            errors: Tally::default(),
            total: Histogram::of_durations(),
            queue: Histogram::of_durations(),
            local: Histogram::of_durations(),
            remote: Histogram::of_durations(),
            send: Histogram::of_durations(),
            received_bytes: Counter::default(),
            answered_bytes: Counter::default(),
        }
    }

    /// Counts a request of `bytes` that is being started.
    pub fn started(&self, version: i16, bytes: usize) {
        let at = usize::try_from(i32::from(version) - i32::from(self.first_version)).unwrap_or(usize::MAX);
        let others = self.versions.len() - 1;
        if let Some(counter) = self.versions.get(at.min(others)) {
            counter.inc();
        }
        self.received_bytes.add(bytes as u64);
    }

    /// Counts bytes of a request that was counted without them.
    pub fn received(&self, bytes: u64) {
        self.received_bytes.add(bytes);
    }

    /// Counts bytes of an answer that goes out piece by piece.
    pub fn sent(&self, bytes: u64) {
        self.answered_bytes.add(bytes);
    }

    /// Counts a request whose answer has ended, where there are no phases to tell apart.
    pub fn finished(&self, total: Duration) {
        self.total.observe(total);
    }

    /// Counts errors of one kind in an answer.
    pub fn errors(&self, error: &'static str, count: u64) {
        self.errors.add(error, count);
    }

    /// Counts a request whose answer of `bytes` has been sent.
    pub fn answered(&self, phases: Phases, bytes: u64) {
        let Phases { queue, local, remote, send } = phases;
        self.total.observe(queue.unwrap_or_default() + local + remote.unwrap_or_default() + send);
        for (histogram, phase) in [(&self.queue, queue), (&self.remote, remote)] {
            if let Some(phase) = phase {
                histogram.observe(phase);
            }
        }
        self.local.observe(local);
        self.send.observe(send);
        self.answered_bytes.add(bytes);
    }

    fn is_used(&self) -> bool {
        self.versions.iter().any(|counter| counter.get() > 0)
    }

    /// An API that nobody has used yet says nothing: most of them never are, and each would be a hundred lines.
    pub(super) fn collect(&self, page: &mut Page) {
        if !self.is_used() {
            return;
        }
        let (protocol, api) = (&self.protocol, &self.api);
        let mut requests = page.family(&REQUESTS);
        for (version, counter) in (self.first_version..).zip(&self.versions).filter(|(_, c)| c.get() > 0) {
            let others =
                usize::try_from(version - self.first_version).is_ok_and(|at| at + 1 == self.versions.len());
            let version = if others { "other".to_owned() } else { version.to_string() };
            requests.counter(&[protocol, api, &version], counter);
        }
        let mut errors = page.family(&ERRORS);
        for (error, count) in self.errors.counts() {
            errors.add(&[protocol, api, &error], count);
        }
        page.family(&DURATION).histogram(&[protocol, api], &self.total);
        let phases =
            [("queue", &self.queue), ("local", &self.local), ("remote", &self.remote), ("send", &self.send)];
        let mut family = page.family(&PHASE_DURATION);
        // What is not measured is left out: an empty histogram would look as if it took no time.
        for (phase, histogram) in phases.into_iter().filter(|(_, histogram)| histogram.count() > 0) {
            family.histogram(&[protocol, api, &phase], histogram);
        }
        page.family(&REQUEST_BYTES).counter(&[protocol, api], &self.received_bytes);
        page.family(&RESPONSE_BYTES).counter(&[protocol, api], &self.answered_bytes);
    }
}
