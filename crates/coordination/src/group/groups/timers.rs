//! When which group has something to do.

use std::collections::{BTreeMap, BTreeSet};

use ottla_record::Monotonic;

use crate::group::ids::GroupId;

/// One instant a group. It may be early: a session that was extended leaves the group's instant where it was, so that a
/// heartbeat changes nothing here; when it comes, the group says when it is due next.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Monotonic, GroupId)>,
    armed: BTreeMap<GroupId, Monotonic>,
}

impl Timers {
    /// The group is due then, and not before.
    pub(super) fn arm(&mut self, group: &GroupId, due: Monotonic) {
        match self.armed.get_mut(group) {
            Some(armed) if *armed == due => {}
            Some(armed) => {
                self.order.remove(&(*armed, group.clone()));
                *armed = due;
                self.order.insert((due, group.clone()));
            }
            None => {
                self.armed.insert(group.clone(), due);
                self.order.insert((due, group.clone()));
            }
        }
        if due == Monotonic::NEVER {
            self.forget(group);
        }
    }

    /// The group is gone.
    pub(super) fn forget(&mut self, group: &GroupId) {
        if let Some(armed) = self.armed.remove(group) {
            self.order.remove(&(armed, group.clone()));
        }
    }

    /// The next group whose instant has come; it has none until it is armed again.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<GroupId> {
        if self.order.first()?.0 > now {
            return None;
        }
        let (_, group) = self.order.pop_first()?;
        self.armed.remove(&group);
        Some(group)
    }

    /// The first instant of all.
    pub(super) fn next(&self) -> Option<Monotonic> {
        self.order.first().map(|(due, _)| *due)
    }

    /// True if the group has an instant no later than that.
    pub(super) fn covers(&self, group: &GroupId, due: Monotonic) -> bool {
        due == Monotonic::NEVER || self.armed.get(group).is_some_and(|armed| *armed <= due)
    }
}
