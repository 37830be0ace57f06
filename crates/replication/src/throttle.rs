//! How fast replicas that catch up are copied (KIP-73): a rate in bytes a second, and what is owed to it.
//!
//! Each side of a copy has one: the leader leaves partitions out of its answers while it is exceeded, the follower out of its fetches.
//! What was copied is recorded afterwards, so a rate is exceeded by one portion, and then nothing more is copied until that is paid.

use std::time::Duration;

use ottla_record::Monotonic;

/// What a side that copied nothing for a while may copy at once: as much as this time is worth.
const CREDIT: Duration = Duration::from_secs(1);

/// A rate and what is owed to it.
///
/// Invariant: at any time, what was recorded since it was last free is paid at `paid_at`.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Bytes a second; `None` is without bound, 0 lets nothing through.
    rate: Option<u64>,
    /// When all that was recorded would have been copied at the rate.
    paid_at: Monotonic,
}

impl Throttle {
    /// Without bound.
    pub const fn unlimited() -> Self {
        Self { rate: None, paid_at: Monotonic::ZERO }
    }

    /// Changes the rate, in bytes a second. What is owed stays the same number of bytes.
    pub fn set_rate(&mut self, rate: Option<u64>, now: Monotonic) {
        if rate == self.rate {
            return;
        }
        let owed = match self.rate {
            Some(old) => (self.paid_at - now).as_secs_f64() * old as f64,
            None => 0.0,
        };
        self.rate = rate;
        self.paid_at = match rate {
            Some(rate) if owed > 0.0 => now + time_of(owed, rate),
            _ => now,
        };
    }

    /// Bytes were copied.
    pub fn record(&mut self, bytes: u64, now: Monotonic) {
        self.paid_at = self.paid_at_after(bytes, now);
    }

    /// When more may be copied, given that `bytes` that are not recorded yet are under way too: `now` if that is now,
    /// [`Monotonic::NEVER`] if only another rate changes anything.
    pub fn free_at(&self, bytes: u64, now: Monotonic) -> Monotonic {
        match self.rate {
            Some(0) => Monotonic::NEVER,
            Some(_) => self.paid_at_after(bytes, now).max(now),
            None => now,
        }
    }

    fn paid_at_after(&self, bytes: u64, now: Monotonic) -> Monotonic {
        let Some(rate) = self.rate else { return self.paid_at };
        // Time is counted from the start of the process, which may be younger than the credit.
        let earliest = Monotonic::from_start(now.since_start().saturating_sub(CREDIT));
        self.paid_at.max(earliest) + time_of(bytes as f64, rate)
    }
}

/// How long so many bytes take; very long at a rate of 0.
fn time_of(bytes: f64, rate: u64) -> Duration {
    if bytes <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(bytes / rate as f64).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
