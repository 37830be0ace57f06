//! Which client is too slow to be waited for.
//!
//! It matters only when the memory for requests is spent: others then wait for what a slow client holds.

use std::time::Duration;

use tokio::time::Instant;

/// When the memory for requests is spent, a client that holds some of it and does nothing for this long is closed. It is short
/// because others wait for one such client after the other.
pub const STALL: Duration = Duration::from_secs(1);

/// The same for one that does little: after this long...
const GRACE: Duration = Duration::from_secs(2);

/// ...it must have sent what it has begun at so many bytes a second on average.
const BYTES_PER_SECOND: u64 = 256 << 10;

/// How long a client could have gone on with what it has begun. Time in which we did not read is not its fault.
#[derive(Debug, Default)]
pub struct Pace {
    before: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// The client is waited for from now on, if it was not already.
    pub fn start(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether the client is waited for.
    pub fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// The delay is ours from now on.
    pub fn stop(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// Whether a client that has sent so many bytes of what it has begun, the last of them then, is slower than is borne.
    pub fn is_slow(&self, sent: usize, last_sent: Instant, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        let running = now.saturating_duration_since(since);
        let stalls = now >= last_sent + STALL && running >= STALL;
        let timed = (self.before + running).saturating_sub(GRACE);
        let due = timed.as_millis() * u128::from(BYTES_PER_SECOND) / 1000;
        stalls || due > sent as u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_or_trickles_is_slow_and_who_was_kept_waiting_is_not() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut pace = Pace::default();
        assert!(!pace.is_slow(0, at(0), at(60_000)), "nothing is awaited");
        pace.start(at(0));
        pace.start(at(500));
        assert!(!pace.is_slow(1, at(0), at(999)));
        assert!(pace.is_slow(1 << 30, at(0), at(1_000)), "a second without a byte");
        assert!(!pace.is_slow(1, at(1_999), at(2_000)));
        assert!(pace.is_slow(1, at(2_999), at(3_000)), "a byte in three seconds");
        assert!(!pace.is_slow(256 << 10, at(2_999), at(3_000)));
        pace.stop(at(1_500));
        assert!(!pace.is_slow(1, at(0), at(60_000)), "the delay is ours");
        pace.start(at(60_000));
        assert!(!pace.is_slow(1, at(60_000), at(60_500)), "two seconds in all");
        assert!(pace.is_slow(1, at(60_999), at(61_000)));
    }
}
