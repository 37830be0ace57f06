//! Leaders that have just closed their connections, or have fallen silent.
//!
//! A process that dies closes its connections at once, and the metadata says so some milliseconds later. A client that asks for
//! metadata in between would be sent to the dead leader and ask again only when its refresh is due, a second later or
//! more: that, and not the election, would be the outage. So its answer waits until the metadata has moved on, at most for
//! [`HELD_FOR`]; for a moment more a leader that hung up is no leader to clients.
//!
//! A host that stops, or whose network does, closes nothing. Its followers miss an answer that was due long before its session with
//! the controller ends (`broker.session.timeout.ms`); from then on an answer waits in the same way, at most for [`SILENCE_HELD_FOR`]. It may
//! as well be slow: clients are still sent to it after that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_record::BrokerId;
use parking_lot::Mutex;

/// By then the metadata knows; if it still has the same leader, only this broker cannot reach it.
const DOUBTED_FOR: Duration = Duration::from_secs(1);

/// So long an answer may wait for the next leader. An election of the quorum's own leader before that is part of it.
const HELD_FOR: Duration = Duration::from_millis(500);

/// The same for one that is silent: the rest of its session (1.5 s by default), and such an election.
const SILENCE_HELD_FOR: Duration = Duration::from_millis(1_500);

/// An answer to a fetch that comes so much later than it was to come makes its leader silent.
pub(super) const OVERDUE: Duration = Duration::from_millis(300);

/// Who hung up or is silent, and since when.
#[derive(Debug, Default)]
pub(crate) struct HungUp {
    doubts: Mutex<BTreeMap<BrokerId, Doubt>>,
}

/// Why it is better not to send anybody to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    since: Instant,
    /// The connection broke. If not, an answer is overdue.
    pub(crate) hung_up: bool,
}

impl Doubt {
    /// True while an answer waits for what the metadata says next.
    pub(crate) fn is_waited_for(self, now: Instant) -> bool {
        let held_for = if self.hung_up { HELD_FOR } else { SILENCE_HELD_FOR };
        now.saturating_duration_since(self.since) < held_for
    }
}

impl HungUp {
    /// The connection to a leader broke, or none could be made. Only the first time since it was heard of counts.
    pub(super) fn note(&self, leader: BrokerId, now: Instant) {
        let hung_up = Doubt { since: now, hung_up: true };
        let mut doubts = self.doubts.lock();
        let doubt = doubts.entry(leader).or_insert(hung_up);
        if !doubt.hung_up {
            *doubt = hung_up;
        }
    }

    /// A leader's answer is overdue.
    pub(super) fn note_silence(&self, leader: BrokerId, now: Instant) {
        self.doubts.lock().entry(leader).or_insert(Doubt { since: now, hung_up: false });
    }

    /// A leader has answered.
    pub(super) fn heard(&self, leader: BrokerId) {
        self.doubts.lock().remove(&leader);
    }

    /// Forgets brokers that lead nothing any more.
    pub(super) fn retain(&self, leads: impl Fn(BrokerId) -> bool) {
        self.doubts.lock().retain(|leader, _| leads(*leader));
    }

    /// Why it is better not to send anybody to this broker; `None` if it is as good as any.
    pub(crate) fn doubt(&self, leader: BrokerId, now: Instant) -> Option<Doubt> {
        let doubt = self.doubts.lock().get(&leader).copied()?;
        let doubted_for = if doubt.hung_up { DOUBTED_FOR } else { SILENCE_HELD_FOR };
        (now.saturating_duration_since(doubt.since) < doubted_for).then_some(doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: BrokerId = BrokerId::new(1);
    const OTHER: BrokerId = BrokerId::new(2);

    #[test]
    fn a_leader_is_in_doubt_for_a_moment_after_it_hung_up_and_until_it_is_heard_of() {
        let hung_up = HungUp::default();
        let start = Instant::now();
        let doubted = |broker, after| hung_up.doubt(broker, start + after).is_some();
        assert!(!doubted(LEADER, Duration::ZERO));
        hung_up.note(LEADER, start);
        // What is tried again and fails again does not make the doubt last.
        hung_up.note(LEADER, start + DOUBTED_FOR / 2);
        assert!(
            doubted(LEADER, DOUBTED_FOR / 2)
                && !doubted(LEADER, DOUBTED_FOR)
                && !doubted(OTHER, Duration::ZERO)
        );
        hung_up.heard(LEADER);
        assert!(!doubted(LEADER, Duration::ZERO));
        hung_up.note(LEADER, start + DOUBTED_FOR * 2);
        assert!(doubted(LEADER, DOUBTED_FOR * 2));
        hung_up.retain(|broker| broker == OTHER);
        assert!(!doubted(LEADER, DOUBTED_FOR * 2));
    }

    #[test]
    fn a_silent_leader_is_waited_for_and_one_that_hangs_up_then_is_one_that_hung_up() {
        let hung_up = HungUp::default();
        let start = Instant::now();
        let at = |after| hung_up.doubt(LEADER, start + after);
        hung_up.note_silence(LEADER, start);
        hung_up.note_silence(LEADER, start + OVERDUE);
        let silent = at(Duration::ZERO).unwrap();
        assert!(!silent.hung_up && silent.is_waited_for(start + SILENCE_HELD_FOR / 2));
        assert!(!silent.is_waited_for(start + SILENCE_HELD_FOR));
        assert_eq!(at(SILENCE_HELD_FOR), None, "it may be slow only");
        hung_up.note(LEADER, start + SILENCE_HELD_FOR);
        hung_up.note_silence(LEADER, start + SILENCE_HELD_FOR);
        let gone = at(SILENCE_HELD_FOR + HELD_FOR).unwrap();
        assert!(gone.hung_up && !gone.is_waited_for(start + SILENCE_HELD_FOR + HELD_FOR));
    }
}
