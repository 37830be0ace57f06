//! Compaction: what its passes have done, and what it cannot do.

use std::sync::atomic::{AtomicU64, Ordering};

use ottla_storage::compaction::PassReport;

use crate::metrics::{Counter, Family, Histogram, Kind, Page};

pub(super) static FAMILIES: &[&Family] = &[
    &PASS_SECONDS,
    &READ_BYTES,
    &WRITTEN_BYTES,
    &READ_RECORDS,
    &DROPPED_RECORDS,
    &KEYLESS_RECORDS,
    &GIVEN_UP,
    &DIRTY_RATIO,
    &UNCLEANABLE,
    &LAST_RUN,
];

static PASS_SECONDS: Family = Family {
    name: "ottla_compaction_pass_duration_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "Time that a pass over one log took, its throttling included.",
    kafka: Some("kafka.log:type=LogCleaner,name=max-clean-time-secs"),
};

static READ_BYTES: Family = Family {
    name: "ottla_compaction_read_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes that compaction has read: the dirty part of a log for its keys, and all of it to be written anew.",
    kafka: None,
};

static WRITTEN_BYTES: Family = Family {
    name: "ottla_compaction_written_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes that compaction has written.",
    kafka: Some("kafka.log:type=LogCleaner,name=cleaner-recopy-percent"),
};

static READ_RECORDS: Family = Family {
    name: "ottla_compaction_read_records_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Records that compaction has looked at to keep or drop them.",
    kafka: None,
};

static DROPPED_RECORDS: Family = Family {
    name: "ottla_compaction_dropped_records_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Those of them that compaction has dropped.",
    kafka: None,
};

static KEYLESS_RECORDS: Family = Family {
    name: "ottla_compaction_dropped_keyless_records_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Those that were dropped because they have no key: they were written before the topic was compacted.",
    kafka: None,
};

static GIVEN_UP: Family = Family {
    name: "ottla_compaction_given_up_passes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Passes that ended early: the log was cut or deleted meanwhile, or the disk was too full. They begin anew later.",
    kafka: None,
};

static DIRTY_RATIO: Family = Family {
    name: "ottla_compaction_max_dirty_ratio",
    kind: Kind::Gauge,
    labels: &[],
    help: "Dirty share of the dirtiest compacted log, 0 to 1, when the cleaner last looked.",
    kafka: Some("kafka.log:type=LogCleanerManager,name=max-dirty-percent"),
};

static UNCLEANABLE: Family = Family {
    name: "ottla_compaction_uncleanable_partitions",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions that compaction has failed on, and leaves alone until the broker is restarted; the log says why. Should be 0.",
    kafka: Some("kafka.log:type=LogCleanerManager,name=uncleanable-partitions-count,logDirectory=*"),
};

static LAST_RUN: Family = Family {
    name: "ottla_compaction_last_look_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the cleaner last looked for something to do, in seconds since 1970. Stands still while a pass runs.",
    kafka: Some("kafka.log:type=LogCleanerManager,name=time-since-last-run-ms"),
};

/// What the cleaner's thread counts.
#[derive(Debug)]
pub(crate) struct CleanerMetrics {
    pub(crate) pass_seconds: Histogram,
    pub(crate) given_up: Counter,
    read_bytes: Counter,
    written_bytes: Counter,
    read_records: Counter,
    dropped_records: Counter,
    keyless_records: Counter,
    /// In millionths.
    dirty_ratio: AtomicU64,
    uncleanable: AtomicU64,
    last_look_ms: AtomicU64,
}

impl Default for CleanerMetrics {
    fn default() -> Self {
        Self {
            pass_seconds: Histogram::of_durations(),
            given_up: Counter::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
            read_records: Counter::default(),
            dropped_records: Counter::default(),
            keyless_records: Counter::default(),
            dirty_ratio: AtomicU64::new(0),
            uncleanable: AtomicU64::new(0),
            last_look_ms: AtomicU64::new(0),
        }
    }
}

impl CleanerMetrics {
    /// Counts what a pass has done between two looks at it, whether it comes to its end or not.
    pub(crate) fn passed(&self, before: &PassReport, now: &PassReport) {
        let count = |counter: &Counter, done: fn(&PassReport) -> u64| {
            counter.add(done(now).saturating_sub(done(before)))
        };
        count(&self.read_bytes, |report| report.map_bytes_read + report.bytes_read);
        count(&self.written_bytes, |report| report.bytes_written);
        count(&self.read_records, |report| report.records_read);
        count(&self.dropped_records, |report| report.records_read.saturating_sub(report.records_kept));
        count(&self.keyless_records, |report| report.records_without_key);
    }

    /// Takes note of a look at all logs.
    pub(crate) fn looked(&self, at_ms: i64, max_dirty_ratio: f64, uncleanable: usize) {
        self.last_look_ms.store(at_ms.max(0).unsigned_abs(), Ordering::Relaxed);
        self.dirty_ratio.store((max_dirty_ratio * 1e6) as u64, Ordering::Relaxed);
        self.uncleanable.store(uncleanable as u64, Ordering::Relaxed);
    }

    pub(super) fn collect(&self, page: &mut Page) {
        page.family(&PASS_SECONDS).histogram(&[], &self.pass_seconds);
        for (family, counter) in [
            (&READ_BYTES, &self.read_bytes),
            (&WRITTEN_BYTES, &self.written_bytes),
            (&READ_RECORDS, &self.read_records),
            (&DROPPED_RECORDS, &self.dropped_records),
            (&KEYLESS_RECORDS, &self.keyless_records),
            (&GIVEN_UP, &self.given_up),
        ] {
            page.family(family).counter(&[], counter);
        }
        page.add(&DIRTY_RATIO, &[], self.dirty_ratio.load(Ordering::Relaxed) as f64 / 1e6);
        page.add(&UNCLEANABLE, &[], self.uncleanable.load(Ordering::Relaxed));
        page.add(&LAST_RUN, &[], self.last_look_ms.load(Ordering::Relaxed) as f64 / 1e3);
    }
}
