//! When to stand for election: our pre-vote, as a pure machine.
//!
//! openraft 0.9 has no pre-vote: a voter that was cut off would raise its term, and depose the leader on its return. So
//! openraft's own elections are off, and a voter that misses its leader first asks the others whether they would vote for
//! it (Ongaro's thesis, section 9.6). Nothing changes by the question, neither on disk nor in memory. Only with a majority's
//! consent is openraft told to stand.
//!
//! A voter consents if the asker's log is not behind its own and it has heard of no leader for the [lease](Timing::lease).
//! The lease ends early for a leader whose process is known to be gone.
//!
//! | a voter that | does at its deadline |
//! |---|---|
//! | leads | nothing: it has no deadline |
//! | hears of a leader | nothing: each sign of life moves the deadline |
//! | has heard of none for its timeout | asks all other voters, and again after another timeout |
//! | has a majority's consent, its own included | stands for election |
//! | is the only voter | stands for election at once |

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_record::Monotonic;

use crate::raft::{LogId, NodeId};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// A voter that has heard of a leader within this time consents to no election. Timeouts are at least as long.
    pub(crate) lease: Duration,
    /// By how much a timeout is shortened when the leader is known to be gone.
    pub(crate) haste: u32,
}

/// What openraft says of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its term.
    pub(crate) term: u64,
    /// Whether it leads and a majority has heard of it within the lease.
    pub(crate) leads: bool,
    /// The voters; of both sides while they change.
    pub(crate) voters: Vec<BTreeSet<NodeId>>,
}

impl Standing {
    fn all(&self) -> BTreeSet<NodeId> {
        self.voters.iter().flatten().copied().collect()
    }

    fn votes(&self, node: NodeId) -> bool {
        self.voters.iter().any(|side| side.contains(&node))
    }

    /// Whether these are a majority, on both sides.
    fn is_majority(&self, of: &BTreeSet<NodeId>) -> bool {
        !self.voters.is_empty()
            && self.voters.iter().all(|side| side.intersection(of).count() > side.len() / 2)
    }
}

/// What happens. `timeout` is drawn at random by the caller, anew each time, from the lease up.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// openraft says something else of this node.
    Standing(Standing),
    /// A leader was heard of.
    Heard {
        /// Until it counts as missing.
        timeout: Duration,
    },
    /// The process of this leader is known to be gone.
    LeaderGone {
        /// Which.
        leader: NodeId,
        /// The leader this node believes in.
        believed: Option<NodeId>,
        /// Until somebody is asked, before it is shortened.
        timeout: Duration,
    },
    /// A voter answered a question.
    Answered {
        /// Which question.
        round: u64,
        /// Who.
        by: NodeId,
        /// Whether it consents.
        granted: bool,
    },
    /// [`Election::next_deadline`] has come.
    Tick {
        /// Until the next question.
        timeout: Duration,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask these voters.
    Ask {
        /// Names the question in their answers.
        round: u64,
        /// The term this node would stand in.
        term: u64,
        /// Whom.
        voters: Vec<NodeId>,
    },
    /// Stand for election.
    Elect,
}

/// What an asker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Its last log entry.
    pub(crate) last: Option<LogId>,
}

/// One node's part in elections.
#[derive(Debug)]
pub(crate) struct Election {
    node: NodeId,
    timing: Timing,
    standing: Standing,
    /// When a leader was last heard of, unless that one is known to be gone.
    heard: Option<Monotonic>,
    /// The leader is known to be gone, and no other was heard of since.
    hasty: bool,
    due: Monotonic,
    round: u64,
    /// Who consented in this round; `None` between rounds.
    consent: Option<BTreeSet<NodeId>>,
}

impl Election {
    /// A node that knows of no leader. It waits for `timeout` before it asks.
    pub(crate) fn new(node: NodeId, timing: Timing, timeout: Duration, now: Monotonic) -> Self {
        Self {
            node,
            timing,
            standing: Standing::default(),
            heard: None,
            hasty: false,
            due: now + timeout,
            round: 0,
            consent: None,
        }
    }

    /// Takes an event in, and says what is to be done.
    pub(crate) fn handle(&mut self, event: Event, now: Monotonic) -> Option<Effect> {
        match event {
            Event::Standing(standing) => {
                let was_alone = self.is_alone();
                let led = std::mem::replace(&mut self.standing, standing).leads;
                if self.is_alone() && !was_alone {
                    self.due = now;
                } else if led && !self.standing.leads {
                    // A leader that lost its majority gives the others as much time as they gave it.
                    self.heard = Some(now);
                    self.due = now + self.timing.lease;
                }
                if self.standing.leads {
                    (self.consent, self.hasty) = (None, false);
                }
                None
            }
            Event::Heard { timeout } => {
                (self.heard, self.hasty, self.consent) = (Some(now), false, None);
                self.due = now + timeout;
                None
            }
            Event::LeaderGone { leader, believed, timeout } => {
                if believed == Some(leader) && leader != self.node {
                    (self.heard, self.hasty) = (None, true);
                    self.due = self.due.min(now + self.shortened(timeout));
                }
                None
            }
            Event::Answered { round, by, granted } => {
                if round != self.round || !granted {
                    return None;
                }
                self.consent.as_mut()?.insert(by);
                self.stand()
            }
            Event::Tick { timeout } => self.tick(timeout, now),
        }
    }

    /// When [`Event::Tick`] is wanted; [`Monotonic::NEVER`] for a node that does not vote, or leads.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        if self.standing.leads || !self.standing.votes(self.node) { Monotonic::NEVER } else { self.due }
    }

    /// Whether this node would vote for the asker. `last` is the last entry of its own log.
    pub(crate) fn consents(&self, question: Question, last: Option<LogId>, now: Monotonic) -> bool {
        !self.standing.leads && !self.hears_a_leader(now) && question.last >= last
    }

    /// Whether a leader was heard of within the lease.
    pub(crate) fn hears_a_leader(&self, now: Monotonic) -> bool {
        self.heard.is_some_and(|heard| now < heard + self.timing.lease)
    }

    fn tick(&mut self, timeout: Duration, now: Monotonic) -> Option<Effect> {
        if now < self.next_deadline() {
            return None;
        }
        self.due = now + if self.hasty { self.shortened(timeout) } else { timeout };
        self.round += 1;
        self.consent = Some(BTreeSet::from([self.node]));
        if let Some(elect) = self.stand() {
            return Some(elect);
        }
        let mut others = self.standing.all();
        others.remove(&self.node);
        let voters = others.into_iter().collect();
        Some(Effect::Ask { round: self.round, term: self.standing.term.saturating_add(1), voters })
    }

    fn stand(&mut self) -> Option<Effect> {
        let consent = self.consent.as_ref()?;
        if !self.standing.is_majority(consent) {
            return None;
        }
        // Once a round: a late consent must not start a second election.
        self.consent = None;
        Some(Effect::Elect)
    }

    /// Whether nobody else has to consent.
    fn is_alone(&self) -> bool {
        self.standing.votes(self.node) && self.standing.all().len() == 1
    }

    fn shortened(&self, timeout: Duration) -> Duration {
        timeout / self.timing.haste.max(1)
    }
}

#[cfg(test)]
mod tests;
