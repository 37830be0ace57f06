//! How far the groups that are coordinated here are behind, as it was last measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::lag::Lag;
use crate::metrics::{Family, Kind, Page};

pub(super) static FAMILIES: &[&Family] = &[&RECORDS, &SECONDS, &LEFT_OUT];

const OF_GROUP: &[&str] = &["group", "topic", "partition"];

static RECORDS: Family = Family {
    name: "ottla_group_lag_records",
    kind: Kind::Gauge,
    labels: OF_GROUP,
    help: "Records between what a group has committed and the end of what it may read.",
    kafka: None,
};

static SECONDS: Family = Family {
    name: "ottla_group_lag_seconds",
    kind: Kind::Gauge,
    labels: OF_GROUP,
    help: "Age of the batch with the first record that a group has not read; 0 if it has read all.",
    kafka: None,
};

static LEFT_OUT: Family = Family {
    name: "ottla_group_lag_left_out",
    kind: Kind::Gauge,
    labels: &[],
    help: "Committed partitions whose lag is not shown, because there are more than 20,000. Should be 0.",
    kafka: None,
};

/// The lag of one group in one partition.
#[derive(Debug)]
pub(crate) struct GroupLag {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) lag: Lag,
}

/// What was measured last.
#[derive(Debug, Default)]
pub(crate) struct GroupLags {
    measured: Mutex<(Arc<[GroupLag]>, usize)>,
    /// Somebody has looked since the last measurement.
    asked: AtomicBool,
}

impl GroupLags {
    /// True if somebody has looked since this was last asked: nobody measures what nobody reads.
    pub(crate) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Shows a measurement from now on.
    pub(crate) fn show(&self, lags: Vec<GroupLag>, left_out: usize) {
        *self.measured.lock() = (lags.into(), left_out);
    }

    pub(crate) fn collect(&self, page: &mut Page) {
        self.asked.store(true, Ordering::Relaxed);
        let (lags, left_out) = self.measured.lock().clone();
        let mut samples = page.family(&RECORDS);
        for GroupLag { group, topic, partition, lag } in &*lags {
            samples.add(&[group, topic, partition], lag.records);
        }
        let mut samples = page.family(&SECONDS);
        for GroupLag { group, topic, partition, lag } in &*lags {
            samples.add(&[group, topic, partition], lag.age.as_secs_f64());
        }
        page.add(&LEFT_OUT, &[], left_out);
    }
}
