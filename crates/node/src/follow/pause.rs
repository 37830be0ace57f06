//! Pauses after failures: short at first, since most failures are a leader that is about to hear of its leadership.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(10);

/// Pauses that double from [`FIRST`] up to a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = now.saturating_mul(2).min(self.longest);
        now
    }

    /// True as long as nothing failed.
    pub(super) fn is_fresh(&self) -> bool {
        self.next <= FIRST
    }

    /// Something succeeded: the next failure begins anew.
    pub(super) fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut pauses = Pauses::up_to(Duration::from_millis(35));
        let taken: Vec<_> = (0..4).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(taken, [10, 20, 35, 35]);
        assert!(!pauses.is_fresh());
        pauses.reset();
        assert_eq!((pauses.is_fresh(), pauses.next().as_millis()), (true, 10));
    }

    #[test]
    fn a_longest_pause_of_nothing_is_honoured() {
        assert_eq!(Pauses::up_to(Duration::ZERO).next(), Duration::ZERO);
    }
}
