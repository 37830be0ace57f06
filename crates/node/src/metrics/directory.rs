//! The log directory: flushes, what left the logs, what opening them took, and the room that is left.

use std::time::Duration;

use ottla_replication::Availability;
use ottla_storage::{LogDirectory, Recovery};

use crate::metrics::{Counter, Family, Histogram, Kind, Page};
use crate::topics::TopicTable;

pub(super) static FAMILIES: &[&Family] = &[
    &FLUSH_SECONDS,
    &FLUSH_PARTITIONS,
    &FLUSH_FAILURES,
    &UNFLUSHED_SECONDS,
    &DELETED_SEGMENTS,
    &DELETED_BYTES,
    &RECOVERY_SECONDS,
    &RECOVERED_LOGS,
    &SCANNED_BYTES,
    &TRUNCATED_BYTES,
    &REMOVED_SEGMENTS,
    &REBUILT_INDEXES,
    &OPEN_FILES,
    &FREE_BYTES,
    &TOTAL_BYTES,
    &OFFLINE,
];

static FLUSH_SECONDS: Family = Family {
    name: "ottla_flush_duration_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "Time that a round of flushes took: all partitions that had waited for it, made durable together.",
    kafka: Some("kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs"),
};

static FLUSH_PARTITIONS: Family = Family {
    name: "ottla_flush_partitions",
    kind: Kind::Histogram,
    labels: &[],
    help: "Jobs (flushes and recovery points, each of one partition) that a round of flushes made durable together.",
    kafka: None,
};

static FLUSH_FAILURES: Family = Family {
    name: "ottla_flush_failures_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Flushes that the disk refused. The first one takes the directory offline until the broker is restarted.",
    kafka: None,
};

static UNFLUSHED_SECONDS: Family = Family {
    name: "ottla_flush_oldest_unfinished_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "How long the oldest flush that is wanted or running has been so; 0 if there is none. Grows without end if the disk hangs.",
    kafka: None,
};

static DELETED_SEGMENTS: Family = Family {
    name: "ottla_log_deleted_segments_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Segments that left their logs by retention, by compaction or because records were deleted.",
    kafka: None,
};

static DELETED_BYTES: Family = Family {
    name: "ottla_log_deleted_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Bytes of the segments that left their logs by retention, by compaction or because records were deleted. Their files are removed after file.delete.delay.ms.",
    kafka: None,
};

static RECOVERY_SECONDS: Family = Family {
    name: "ottla_recovery_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Time that opening all logs took when the broker started. Recovery is over before the first scrape, so its metrics are gauges.",
    kafka: None,
};

static RECOVERED_LOGS: Family = Family {
    name: "ottla_recovery_logs",
    kind: Kind::Gauge,
    labels: &[],
    help: "Logs of which a part had to be scanned when the broker started.",
    kafka: Some("kafka.log:type=LogManager,name=remainingLogsToRecover,dir=*"),
};

static SCANNED_BYTES: Family = Family {
    name: "ottla_recovery_scanned_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes read and checked to open the logs when the broker started.",
    kafka: None,
};

static TRUNCATED_BYTES: Family = Family {
    name: "ottla_recovery_truncated_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes cut off when the broker started because they were no whole batch: what a crash left unfinished.",
    kafka: None,
};

static REMOVED_SEGMENTS: Family = Family {
    name: "ottla_recovery_removed_segments",
    kind: Kind::Gauge,
    labels: &[],
    help: "Segments removed when the broker started because they came after such a cut.",
    kafka: None,
};

static REBUILT_INDEXES: Family = Family {
    name: "ottla_recovery_rebuilt_segments",
    kind: Kind::Gauge,
    labels: &[],
    help: "Segments whose indexes were built anew when the broker started.",
    kafka: None,
};

static OPEN_FILES: Family = Family {
    name: "ottla_open_segment_files",
    kind: Kind::Gauge,
    labels: &[],
    help: "Segment and index files kept open. They are opened on demand and closed when others need the place.",
    kafka: None,
};

static FREE_BYTES: Family = Family {
    name: "ottla_log_directory_free_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Room left on the log directory's file system. Below ottla.disk.reserve.bytes producers are refused.",
    kafka: None,
};

static TOTAL_BYTES: Family = Family {
    name: "ottla_log_directory_size_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Size of the log directory's file system.",
    kafka: None,
};

static OFFLINE: Family = Family {
    name: "ottla_log_directory_offline",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 after a failed write or flush: nothing can be written until the disk is repaired and the broker restarted. Should be 0.",
    kafka: Some("kafka.log:type=LogManager,name=OfflineLogDirectoryCount"),
};

/// What the threads of the log directory count.
#[derive(Debug)]
pub(crate) struct DirectoryMetrics {
    pub(crate) flush_seconds: Histogram,
    pub(crate) flush_partitions: Histogram,
    pub(crate) flush_failures: Counter,
    pub(crate) deleted_segments: Counter,
    pub(crate) deleted_bytes: Counter,
    start_nanos: Counter,
    recovered_logs: Counter,
    scanned_bytes: Counter,
    truncated_bytes: Counter,
    removed_segments: Counter,
    rebuilt_indexes: Counter,
}

impl Default for DirectoryMetrics {
    fn default() -> Self {
        Self {
            flush_seconds: Histogram::of_durations(),
            flush_partitions: Histogram::of_counts(),
            flush_failures: Counter::default(),
            deleted_segments: Counter::default(),
            deleted_bytes: Counter::default(),
            start_nanos: Counter::default(),
            recovered_logs: Counter::default(),
            scanned_bytes: Counter::default(),
            truncated_bytes: Counter::default(),
            removed_segments: Counter::default(),
            rebuilt_indexes: Counter::default(),
        }
    }
}

impl DirectoryMetrics {
    /// Counts what opening one log took.
    pub(crate) fn opened(&self, recovery: &Recovery) {
        self.recovered_logs.add(u64::from(recovery.scanned_bytes > 0));
        self.scanned_bytes.add(recovery.scanned_bytes);
        self.truncated_bytes.add(recovery.truncated_bytes);
        self.removed_segments.add(recovery.removed_segments as u64);
        self.rebuilt_indexes.add(recovery.rebuilt_indexes as u64);
    }

    /// Takes note of how long it took to open all logs.
    pub(crate) fn started(&self, took: Duration) {
        self.start_nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn collect(&self, page: &mut Page) {
        page.family(&FLUSH_SECONDS).histogram(&[], &self.flush_seconds);
        page.family(&FLUSH_PARTITIONS).histogram(&[], &self.flush_partitions);
        page.add(&RECOVERY_SECONDS, &[], Duration::from_nanos(self.start_nanos.get()).as_secs_f64());
        for (family, counter) in [
            (&FLUSH_FAILURES, &self.flush_failures),
            (&DELETED_SEGMENTS, &self.deleted_segments),
            (&DELETED_BYTES, &self.deleted_bytes),
            (&RECOVERED_LOGS, &self.recovered_logs),
            (&SCANNED_BYTES, &self.scanned_bytes),
            (&TRUNCATED_BYTES, &self.truncated_bytes),
            (&REMOVED_SEGMENTS, &self.removed_segments),
            (&REBUILT_INDEXES, &self.rebuilt_indexes),
        ] {
            page.family(family).counter(&[], counter);
        }
    }
}

/// Adds what the directory itself tells. `unflushed` is the age of the oldest unfinished flush.
pub(super) fn collect(directory: &LogDirectory, topics: &TopicTable, unflushed: Duration, page: &mut Page) {
    page.add(&UNFLUSHED_SECONDS, &[], unflushed.as_secs_f64());
    page.add(&OPEN_FILES, &[], directory.open_files());
    if let Ok(space) = directory.disk().space() {
        page.add(&FREE_BYTES, &[], space.free);
        page.add(&TOTAL_BYTES, &[], space.total);
    }
    // The first failure takes every partition offline.
    let offline = topics.partitions().any(|host| host.view().availability == Availability::Offline);
    page.add(&OFFLINE, &[], offline);
}
