//! What a replica is at the moment, by the metadata's word.

use ottla_record::{BrokerId, LeaderEpoch, Now, Offset};

use super::Partition;
use crate::effect::{Effect, ProduceError};
use crate::event::Assignment;
use crate::replicas::Leadership;

/// What a replica is.
#[derive(Debug)]
pub(super) enum Role {
    /// It leads.
    Leading(Leadership),
    /// It copies the leader.
    Following(Followership),
    /// Nobody leads, or nothing has been heard yet.
    Neither {
        /// The last term heard of.
        epoch: Option<LeaderEpoch>,
    },
    /// A write or a flush failed. Nothing leads out of here but a new start.
    Offline,
}

/// One term of another leader.
#[derive(Debug)]
pub(super) struct Followership {
    pub(super) leader: BrokerId,
    pub(super) epoch: LeaderEpoch,
    /// The leader's marks, the largest heard in this term; `None` until the leader has taken a fetch, which says that this
    /// log is a beginning of the leader's.
    pub(super) heard: Option<Heard>,
}

/// The leader's marks. In one term neither goes back, so that an answer that comes late changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) high_watermark: Offset,
    pub(super) log_start: Offset,
}

impl Followership {
    pub(super) fn hear(&mut self, high_watermark: Offset, log_start: Offset) {
        let before = self.heard.unwrap_or(Heard { high_watermark, log_start });
        self.heard = Some(Heard {
            high_watermark: before.high_watermark.max(high_watermark),
            log_start: before.log_start.max(log_start),
        });
    }
}

impl Role {
    /// The term, in which this replica leads or follows, or which was the last one heard of.
    fn epoch(&self) -> Option<LeaderEpoch> {
        match self {
            Self::Leading(leadership) => Some(leadership.epoch),
            Self::Following(followership) => Some(followership.epoch),
            Self::Neither { epoch } => *epoch,
            Self::Offline => None,
        }
    }
}

impl<W> Partition<W> {
    /// The image of a broker lags, and the answer to a proposal may have been here before it: only what is newer than all
    /// that is known counts.
    pub(super) fn assign(&mut self, assignment: &Assignment, now: Now, effects: &mut Vec<Effect<W>>) {
        let version = assignment.partition_epoch;
        let is_old = self.version.is_some_and(|known| version <= known)
            || self.role.epoch().is_some_and(|epoch| assignment.leader_epoch < epoch);
        if is_old || matches!(self.role, Role::Offline) {
            return;
        }
        let skipped = self.version.is_some_and(|known| version > known.next());
        self.version = Some(version);
        let epoch = assignment.leader_epoch;
        match (&mut self.role, assignment.leader) {
            (Role::Leading(leadership), Some(leader)) if leader == self.own && leadership.epoch == epoch => {
                leadership.reassign(assignment, skipped, now.monotonic);
            }
            (role, Some(leader)) if leader == self.own => {
                if matches!(role, Role::Following(_)) {
                    // Until now everything was refused here, and what follows it may come before it.
                    self.refused = Some((now.monotonic, ProduceError::NotLeader));
                }
                // The high watermark stays what it was: it rises when all that may be in sync have spoken in this term.
                let log_end = self.log.log_end();
                self.role = Role::Leading(Leadership::begin(self.own, assignment, log_end, now.monotonic));
            }
            (role, Some(leader)) if assignment.replicas.contains(&self.own) => {
                // Nothing is cut now: what of the log is true, the new leader says (KIP-101).
                if !matches!(role, Role::Following(f) if f.epoch == epoch && f.leader == leader) {
                    *role = Role::Following(Followership { leader, epoch, heard: None });
                    self.refuse_as_not_leader(effects);
                }
            }
            _ => {
                self.role = Role::Neither { epoch: Some(epoch) };
                self.refuse_as_not_leader(effects);
            }
        }
    }
}
