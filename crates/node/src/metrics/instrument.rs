//! What the data path touches: numbers that any thread may raise at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Observations counted in fixed buckets.
///
/// An observation is two relaxed additions and a search among some twenty bounds: no lock, no allocation. A reader may see
/// one of the two without the other; the next scrape sees both.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    /// One for each bound, and one for what lies above the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// The bounds of a histogram and the unit they stand in.
#[derive(Debug)]
pub struct Scale {
    /// Upper ends of the buckets, ascending, each belonging to its bucket.
    pub bounds: &'static [u64],
    /// How many of them make one of the exported unit.
    pub per_unit: f64,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// From the cost of a small request to the longest that a client waits. Counted in nanoseconds, exported in seconds.
pub static DURATIONS: Scale = Scale {
    bounds: &[
        10 * MICROSECOND,
        25 * MICROSECOND,
        50 * MICROSECOND,
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2_500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        SECOND,
        2_500 * MILLISECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
    ],
    per_unit: SECOND as f64,
};

/// Sizes of groups.
pub static COUNTS: Scale =
    Scale { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384], per_unit: 1.0 };

impl Histogram {
    /// A histogram of durations.
    pub fn of_durations() -> Self {
        Self::new(&DURATIONS)
    }

    /// A histogram of numbers of things.
    pub fn of_counts() -> Self {
        Self::new(&COUNTS)
    }

    fn new(scale: &'static Scale) -> Self {
        let buckets = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { scale, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        self.observe_value(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a value in the scale's own unit.
    pub fn observe_value(&self, value: u64) {
        let at = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Their sum in the exported unit.
    pub(crate) fn sum(&self) -> f64 {
        self.sum.load(Relaxed) as f64 / self.scale.per_unit
    }

    /// Each bound in the exported unit, with the observations up to it. What lies above the last bound is not among them.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.buckets.iter().scan(0, |sum, bucket| {
            *sum += bucket.load(Relaxed);
            Some(*sum)
        });
        self.scale.bounds.iter().map(|bound| *bound as f64 / self.scale.per_unit).zip(counts)
    }
}

/// Counters by a name that is known only when something is counted. Behind a lock: for what is rare, such as errors.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// Adds `n` to the counter of this name.
    pub fn add(&self, name: &'static str, n: u64) {
        *self.0.lock().entry(name).or_default() += n;
    }

    /// All counters.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}
