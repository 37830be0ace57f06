//! Leaders that have just closed their connections.
//!
//! A process that dies closes its connections at once, and the metadata says so some milliseconds later. A client that asks for
//! metadata in between would be sent to the dead leader and ask again only when its refresh is due, a second later or
//! more: that, and not the election, would be the outage. So its answer waits until the metadata has moved on, at most for
//! [`HELD_FOR`]; for a moment more a leader that hung up is no leader to clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_record::BrokerId;
use parking_lot::Mutex;

/// By then the metadata knows; if it still has the same leader, only this broker cannot reach it.
const DOUBTED_FOR: Duration = Duration::from_secs(1);

/// So long an answer may wait for the next leader. An election of the quorum's own leader before that is part of it.
pub(crate) const HELD_FOR: Duration = Duration::from_millis(500);

/// Who hung up, and since when.
#[derive(Debug, Default)]
pub(crate) struct HungUp {
    since: Mutex<BTreeMap<BrokerId, Instant>>,
}

impl HungUp {
    /// The connection to a leader broke, or none could be made. Only the first time since it was heard of counts.
    pub(super) fn note(&self, leader: BrokerId, now: Instant) {
        self.since.lock().entry(leader).or_insert(now);
    }

    /// A leader has answered.
    pub(super) fn heard(&self, leader: BrokerId) {
        self.since.lock().remove(&leader);
    }

    /// Forgets brokers that lead nothing any more.
    pub(super) fn retain(&self, leads: impl Fn(BrokerId) -> bool) {
        self.since.lock().retain(|leader, _| leads(*leader));
    }

    /// Since when it is better not to send anybody to this broker; `None` if it is as good as any.
    pub(crate) fn in_doubt_since(&self, leader: BrokerId, now: Instant) -> Option<Instant> {
        let since = self.since.lock().get(&leader).copied();
        since.filter(|since| now.saturating_duration_since(*since) < DOUBTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_in_doubt_for_a_moment_after_it_hung_up_and_until_it_is_heard_of() {
        let (hung_up, leader, other) = (HungUp::default(), BrokerId::new(1), BrokerId::new(2));
        let start = Instant::now();
        let doubted = |broker, after| hung_up.in_doubt_since(broker, start + after).is_some();
        assert!(!doubted(leader, Duration::ZERO));
        hung_up.note(leader, start);
        // What is tried again and fails again does not make the doubt last.
        hung_up.note(leader, start + DOUBTED_FOR / 2);
        assert!(
            doubted(leader, DOUBTED_FOR / 2)
                && !doubted(leader, DOUBTED_FOR)
                && !doubted(other, Duration::ZERO)
        );
        hung_up.heard(leader);
        assert!(!doubted(leader, Duration::ZERO));
        hung_up.note(leader, start + DOUBTED_FOR * 2);
        assert!(doubted(leader, DOUBTED_FOR * 2));
        hung_up.retain(|broker| broker == other);
        assert!(!doubted(leader, DOUBTED_FOR * 2));
    }
}
