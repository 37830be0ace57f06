//! When members are given up: those that were silent for too long, and those that did not do in time what they were asked to.

use std::time::Duration;

use ottla_record::Monotonic;

use super::{ConsumerGroup, Context, Member, Seat, millis};
use crate::group::groups::MAX_STEP_BYTES;
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::record::{MemberState, Record};

impl ConsumerGroup {
    /// A member was heard.
    pub(super) fn touch(&mut self, id: &MemberId, now: Monotonic) {
        if let Some(seat) = self.members.get_mut(id) {
            seat.timers.heard_at = now;
        }
    }

    /// A member that may not have heard what it must give up is told again, and its time to do so begins again. Kafka counts from the first time
    /// that it decided so: if answers wait for the log, or are lost, it removes a member that has only just been told what it holds.
    pub(super) fn told_again(&mut self, id: &MemberId, now: Monotonic) {
        if let Some(seat) = self.members.get_mut(id) {
            seat.timers.revoke_by = seat.member.revocation_timeout().map(|timeout| now + timeout);
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

    /// Removes the members whose time is over; of very many the first, and the others at once after these. To be called at [`due`](Self::due), or
    /// at any time, but not again before its records are applied.
    pub(in crate::group) fn tick(&mut self, context: &Context<'_>) -> Vec<Record> {
        let now = context.now.monotonic;
        if self.wake.is_none_or(|wake| wake > now) {
            return Vec::new();
        }
        let timeout = context.session_timeout(&self.id);
        let next = |seat: &Seat| seat.timers.next(seat.session_timeout(timeout));
        let expired: Vec<&MemberId> =
            self.members.iter().filter(|(_, seat)| next(seat) <= now).map(|(id, _)| id).collect();
        let fitting = self.fitting(&expired);
        let records = self.fence(fitting, context);
        self.wake = match fitting.len() < expired.len() {
            true => Some(now),
            false => self.members.values().map(next).filter(|at| *at > now).min(),
        };
        records
    }

    /// The first of these members, as many as can be removed by one batch of records.
    fn fitting<'i, 'm>(&self, ids: &'i [&'m MemberId]) -> &'i [&'m MemberId] {
        // Three records of a member, and one of a pattern that nobody else may have.
        let key = 64 + self.id.as_str().len();
        let weight = |id: &MemberId| {
            let pattern = self.member(id).and_then(Member::pattern);
            3 * (key + id.as_str().len()) + pattern.map_or(0, |pattern| key + pattern.len())
        };
        let weights = ids.iter().scan(0, |sum, id| {
            *sum += weight(id);
            Some(*sum)
        });
        let count = weights.take_while(|sum| *sum <= MAX_STEP_BYTES / 2).count();
        ids.get(..count.max(1)).unwrap_or(ids)
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
