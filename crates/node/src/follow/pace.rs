//! How fast copies catch up: a third as fast as they could, as long as that is fast enough.

use std::time::{Duration, Instant};

/// Over so long it is judged whether copies come closer.
const WINDOW: Duration = Duration::from_secs(1);

/// How many times as long as its round a rest is.
const RESTS: u32 = 2;

/// The longest rest: on a disk that takes long, a round of small pieces should not become rarer than this.
const LONGEST: Duration = Duration::from_millis(200);

/// After each round that brought records comes a rest twice as long as the round took: the disk and the processors that it kept busy
/// are others' meanwhile, and where those slow a round down, the rest grows with it.
///
/// There is none while the leader writes more than half of what is copied: copies that rest might then never arrive.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    copied: u64,
    /// What was missing when the window began.
    behind: u64,
    rests: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, copied: 0, behind: 0, rests: true }
    }

    /// How long to rest after a round that took so long, brought so many records, and left so many to come.
    pub(super) fn rest(&mut self, now: Instant, took: Duration, copied: u64, behind: u64) -> Duration {
        if copied == 0 {
            return Duration::ZERO;
        }
        if self.copied == 0 {
            // What was missing when this round was asked for, as far as is known.
            (self.began, self.behind) = (now, behind + copied);
        }
        self.copied += copied;
        if now.saturating_duration_since(self.began) >= WINDOW {
            let closer = self.behind.saturating_sub(behind);
            self.rests = closer.saturating_mul(2) >= self.copied;
            (self.began, self.behind, self.copied) = (now, behind, 0);
        }
        if self.rests { (took * RESTS).min(LONGEST) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(100);

    /// Copies 100 records a round for a while, and the leader writes so many meanwhile; the rests after the first and the last.
    fn rests(written: u64) -> [Duration; 2] {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut behind = 1_000_000;
        let mut all = Vec::new();
        for _round in 0..30 {
            now += ROUND;
            behind = behind + written - 100;
            all.push(pace.rest(now, ROUND, 100, behind));
        }
        [all[0], all[29]]
    }

    #[test]
    fn copies_that_come_closer_rest_twice_as_long_as_they_work() {
        assert_eq!(rests(0), [ROUND * 2, ROUND * 2]);
        assert_eq!(rests(40), [ROUND * 2, ROUND * 2]);
    }

    #[test]
    fn copies_that_hardly_come_closer_do_not_rest() {
        assert_eq!(rests(60), [ROUND * 2, Duration::ZERO]);
        assert_eq!(rests(130), [ROUND * 2, Duration::ZERO]);
    }

    #[test]
    fn a_round_without_records_is_no_work_and_a_long_one_is_followed_by_a_bounded_rest() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.rest(now, ROUND, 0, 10), Duration::ZERO);
        assert_eq!(pace.rest(now, ROUND * 70, 10, 10), LONGEST);
    }
}
