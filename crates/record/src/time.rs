//! Time as an argument. Pure machines never read a clock; the shell hands them a [`Now`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The two clocks at one instant: deadlines and sessions use `monotonic`, record timestamps and retention use `wall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process (or the simulation) started. Never goes back.
    pub monotonic: Monotonic,
    /// Milliseconds since 1970-01-01 UTC. May jump either way.
    pub wall: Timestamp,
}

/// An instant of the monotonic clock: nanoseconds since the process started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The start of the process.
    pub const ZERO: Self = Self(0);
    /// An instant that never comes: the deadline of something that has none.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `since_start` after the process started; saturates after 584 years.
    pub fn from_start(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since the process started.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Monotonic {
    type Output = Duration;

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.since_start())
    }
}

/// Milliseconds since 1970-01-01 UTC, as in records (`timestamp`), retention and time indexes. Absence is `Option`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01 UTC.
    pub const EPOCH: Self = Self(0);

    /// Wraps milliseconds since 1970-01-01 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Reads the protocol's spelling, in which a negative number means "no timestamp".
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw)) }
    }

    /// Writes the protocol's spelling: -1 for `None`.
    pub fn to_wire(value: Option<Self>) -> i64 {
        value.map_or(-1, |v| v.0)
    }

    /// So many milliseconds later; saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to `self`, negative if `earlier` is later; saturates.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
