//! The in-sync set of a partition this broker leads, and the high watermark it allows.

use std::collections::BTreeMap;

use ottla_record::{BrokerId, LeaderEpoch, Offset};

use crate::event::Assignment;

/// One term of leadership.
#[derive(Debug)]
pub(crate) struct Leadership {
    pub(crate) epoch: LeaderEpoch,
    /// Log end when the term began.
    pub(crate) epoch_start: Offset,
    replica_count: usize,
    /// The other in-sync replicas, with the end they said they have; `None` until they said so in this term.
    in_sync_followers: BTreeMap<BrokerId, Option<Offset>>,
}

impl Leadership {
    pub(crate) fn begin(own: BrokerId, assignment: &Assignment, log_end: Offset) -> Self {
        let mut leadership = Self {
            epoch: assignment.leader_epoch,
            epoch_start: log_end,
            replica_count: 0,
            in_sync_followers: BTreeMap::new(),
        };
        leadership.reassign(own, assignment);
        leadership
    }

    /// The same term with another in-sync set; what the followers said is kept.
    pub(crate) fn reassign(&mut self, own: BrokerId, assignment: &Assignment) {
        self.replica_count = assignment.replicas.len();
        let known = std::mem::take(&mut self.in_sync_followers);
        self.in_sync_followers = assignment
            .isr
            .iter()
            .filter(|id| **id != own)
            .map(|id| (*id, known.get(id).copied().flatten()))
            .collect();
    }

    /// In-sync replicas, this one included.
    pub(crate) fn in_sync(&self) -> usize {
        self.in_sync_followers.len() + 1
    }

    /// In-sync replicas that `acks=all` needs: more than there are replicas can never be in sync (KIP-966).
    pub(crate) fn required(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.replica_count).max(1)
    }

    /// End of what every in-sync replica has, this one counting up to `own_end`; `None` while one has not said.
    pub(crate) fn replicated_end(&self, own_end: Offset) -> Option<Offset> {
        self.in_sync_followers.values().try_fold(own_end, |least, end| Some(least.min((*end)?)))
    }
}
