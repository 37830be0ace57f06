//! When members are given up: those that were silent for too long, and those that did not do in time what they were asked to.

use std::time::Duration;

use ottla_record::Monotonic;

use super::{ConsumerGroup, Context, Member, Seat, millis};
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::record::{MemberState, Record};

impl ConsumerGroup {
    /// A member was heard.
    pub(super) fn touch(&mut self, id: &MemberId, now: Monotonic) {
        if let Some(seat) = self.members.get_mut(id) {
            seat.timers.heard_at = now;
        }
    }

    /// When the group must be looked at next. Never later than the first deadline of a member, but often earlier, as a heartbeat does not move it.
    pub(in crate::group) fn due(&self) -> Monotonic {
        self.wake.unwrap_or(Monotonic::NEVER)
    }

    /// The group must be looked at then, at the latest.
    pub(super) fn wake_by(&mut self, at: Monotonic) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The log has been replayed: everyone's session begins now, and everything is compared with the image once.
    pub(in crate::group) fn loaded(&mut self, now: Monotonic) {
        for seat in self.members.values_mut() {
            (seat.timers.join_by, seat.timers.sync_by) = (None, None);
            seat.timers.heard_at = now;
            seat.timers.revoke_by = seat.member.revocation_timeout().map(|timeout| now + timeout);
        }
        self.looked = super::Looked::default();
        self.wake = (!self.members.is_empty()).then_some(now);
    }

    /// Removes the members whose time is over. To be called at [`due`](Self::due), or at any time.
    pub(in crate::group) fn tick(&mut self, context: &Context<'_>) -> Vec<Record> {
        let now = context.now.monotonic;
        if self.wake.is_none_or(|wake| wake > now) {
            return Vec::new();
        }
        let timeout = context.session_timeout(&self.id);
        let next = |seat: &Seat| seat.timers.next(seat.session_timeout(timeout));
        let expired: Vec<&MemberId> =
            self.members.iter().filter(|(_, seat)| next(seat) <= now).map(|(id, _)| id).collect();
        let records = self.fence(&expired, context);
        self.wake = self.members.values().map(next).filter(|at| *at > now).min();
        records
    }
}

impl Member {
    /// How long it may take to give up what it was told to. Members of the classic protocol have other timers, and one that left for a while
    /// gave up everything.
    pub(super) fn revocation_timeout(&self) -> Option<Duration> {
        let is_asked = self.state == MemberState::UnrevokedPartitions
            && self.epoch >= MemberEpoch::JOIN
            && !self.is_classic();
        is_asked.then(|| millis(self.profile.rebalance_timeout_ms))
    }
}

impl Seat {
    /// How long the member may be silent; one of the classic protocol said so itself.
    fn session_timeout(&self, of_group: Duration) -> Duration {
        self.member.profile.classic.as_ref().map_or(of_group, |classic| millis(classic.session_timeout_ms))
    }
}
