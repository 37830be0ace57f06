//! How long to wait before trying again: twice as long each time, with jitter, up to a bound.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A small generator of random numbers (SplitMix64) for jitter and for the sticky partitioner. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence in each process and for each caller.
    pub(crate) fn from_entropy() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let high = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u32::try_from(high).unwrap_or(0)
    }
}

/// The bounds of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The first wait, before jitter.
    pub(crate) first: Duration,
    /// The longest, before jitter.
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt`, counted from 1 for the first repetition: ± 20 % at random, as Kafka's
    /// `ExponentialBackoff`, so that many clients of one broker do not come back at one instant.
    pub(crate) fn wait(self, attempt: u32, random: &mut Random) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let base = self.first.saturating_mul(doubled).min(self.max);
        let percent = 80 + random.below(41);
        base.saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_vary() {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let mut random = Random::seeded(7);
        for (attempt, base_ms) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
            let waits: Vec<_> = (0..100).map(|_| backoff.wait(attempt, &mut random).as_millis()).collect();
            assert!(waits.iter().all(|ms| (base_ms * 8 / 10..=base_ms * 12 / 10).contains(ms)), "{waits:?}");
            assert!(waits.iter().any(|ms| *ms != waits[0]), "all the same");
        }
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::seeded(1);
        let seen: std::collections::BTreeSet<_> = (0..200).map(|_| random.below(5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(random.below(0), 0);
    }
}
