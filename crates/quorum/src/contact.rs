//! When each member was last heard of, and when it last had everything: what a leader notes of the answers it gets.
//!
//! A member that answers a call has all entries that the call told it of. It is behind for as long as the leader has written
//! something it does not have: so what counts for one that is sent entries all the time, and is always a call behind, is
//! when the call was made that it has caught up with (Kafka's `LeaderState.ReplicaState`, KIP-595).
//!
//! | an answer that shows a log up to | the member had everything |
//! |---|---|
//! | the leader's end now | now |
//! | the leader's end when the former answer came | when the former answer came |
//! | less | unchanged |

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_record::Monotonic;
use parking_lot::Mutex;

use crate::raft::NodeId;

/// What is known of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contact {
    heard: Monotonic,
    caught_up: Option<Monotonic>,
    /// Where the leader's log ended when the member was last heard of.
    leader_end: u64,
}

impl Contact {
    /// What is known after an answer that shows that the member's log goes up to `end`.
    fn after(former: Option<Self>, end: u64, leader_end: u64, now: Monotonic) -> Self {
        let caught_up = match former {
            _ if end >= leader_end => Some(now),
            Some(former) if end >= former.leader_end => former.caught_up.max(Some(former.heard)),
            Some(former) => former.caught_up,
            None => None,
        };
        Self { heard: now, caught_up, leader_end }
    }
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ages {
    /// The last answer.
    pub(crate) silent: Option<Duration>,
    /// The last moment at which the member had everything.
    pub(crate) behind_for: Option<Duration>,
}

/// The members' answers in one term of this node's.
#[derive(Debug, Default)]
struct Term {
    term: u64,
    members: BTreeMap<NodeId, Contact>,
}

/// All members' answers to this node, while it leads.
#[derive(Debug, Default)]
pub(crate) struct Contacts(Mutex<Term>);

impl Contacts {
    /// Notes an answer to a call of this term, which shows that the member's log goes up to `end`, in entries from 0.
    pub(crate) fn note(&self, term: u64, member: NodeId, end: u64, leader_end: u64, now: Monotonic) {
        let mut noted = self.0.lock();
        if noted.term != term {
            // An answer to a call of a term that is over.
            if term < noted.term {
                return;
            }
            *noted = Term { term, members: BTreeMap::new() };
        }
        let former = noted.members.get(&member).copied();
        noted.members.insert(member, Contact::after(former, end, leader_end, now));
    }

    /// What is known of a member in this term. One whose log ends at `end`, where the leader's does, has everything now.
    pub(crate) fn ages(&self, term: u64, member: NodeId, has_all: bool, now: Monotonic) -> Ages {
        let noted = self.0.lock();
        let Some(contact) = noted.members.get(&member).filter(|_| noted.term == term) else {
            return Ages::default();
        };
        let silent = now - contact.heard;
        let behind_for = contact.caught_up.map(|at| now - at);
        // Nothing was written since: it had everything when it was last heard of.
        Ages { silent: Some(silent), behind_for: if has_all { Some(silent) } else { behind_for } }
    }
}

#[cfg(test)]
mod tests;
