//! The other replicas of a partition this broker leads: what each has said that it has, and what follows for the high
//! watermark and the in-sync set.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, Offset, PartitionEpoch};

use crate::event::Assignment;
use crate::isr::{InSync, IsrProposal, IsrRefused};

/// One term of leadership.
#[derive(Debug)]
pub(crate) struct Leadership {
    own: BrokerId,
    pub(crate) epoch: LeaderEpoch,
    /// Log end when the term began.
    pub(crate) epoch_start: Offset,
    /// This one included.
    replica_count: usize,
    followers: BTreeMap<BrokerId, Follower>,
    in_sync: InSync,
    /// When a follower last fetched in this term, or else when the term began.
    heard: Monotonic,
}

/// Another replica, as it has made itself known in this term.
#[derive(Debug)]
struct Follower {
    /// Its newest registration that has fetched.
    broker_epoch: Option<BrokerEpoch>,
    /// What it last said that it has; `None` until it has said so, and again once that can no longer be relied on.
    said: Option<Said>,
    /// When it last had everything.
    caught_up: Monotonic,
    /// Its last fetch, and the log end then: if its next one asks from there on, it had everything at that time.
    last_fetch: Option<(Monotonic, Offset)>,
    /// It has fetched since it last left the in-sync set or was refused a place in it.
    may_join: bool,
    /// How often it was refused a place since it last had one.
    refusals: u32,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    /// The end of what it holds safely.
    end: Offset,
    log_start: Offset,
}

/// How far a follower has come, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    /// Which broker.
    pub broker: BrokerId,
    /// The cluster counts it as in sync.
    pub in_sync: bool,
    /// The end of what it holds safely; `None` if it has not said so in this term.
    pub end: Option<Offset>,
    /// When it last had everything, or else when the term began.
    pub caught_up: Monotonic,
}

impl Follower {
    fn new(now: Monotonic) -> Self {
        Self {
            broker_epoch: None,
            said: None,
            caught_up: now,
            last_fetch: None,
            may_join: false,
            refusals: 0,
        }
    }

    /// What it said is not true any more, or not known to be: it counts again when it has fetched again.
    fn forget(&mut self) {
        self.said = None;
        self.last_fetch = None;
        self.may_join = false;
    }

    fn is_behind(&self, log_end: Offset) -> bool {
        self.said.is_none_or(|said| said.end < log_end)
    }
}

impl Leadership {
    pub(crate) fn begin(own: BrokerId, assignment: &Assignment, log_end: Offset, now: Monotonic) -> Self {
        Self {
            own,
            epoch: assignment.leader_epoch,
            epoch_start: log_end,
            replica_count: assignment.replicas.len(),
            followers: others(own, assignment).map(|id| (id, Follower::new(now))).collect(),
            in_sync: InSync::committed(assignment.isr.clone()),
            heard: now,
        }
    }

    /// The same term in a newer version. `skipped`: there were versions between the last one and this.
    pub(crate) fn reassign(&mut self, assignment: &Assignment, skipped: bool, now: Monotonic) {
        self.replica_count = assignment.replicas.len();
        self.followers.retain(|id, _| others(self.own, assignment).any(|other| other == *id));
        for id in others(self.own, assignment) {
            self.followers.entry(id).or_insert_with(|| Follower::new(now));
        }
        self.commit(&assignment.isr);
        if skipped {
            // A replica that is out of sync may have been taken away and given back meanwhile: then it has nothing any more.
            for (id, follower) in &mut self.followers {
                if !self.in_sync.is_committed(*id) {
                    follower.forget();
                }
            }
        }
    }

    /// The in-sync set that the cluster has committed. Whoever left it must fetch again to be counted again.
    pub(crate) fn commit(&mut self, isr: &[BrokerId]) {
        for (id, follower) in &mut self.followers {
            if self.in_sync.is_committed(*id) && !isr.contains(id) {
                follower.forget();
            }
            if isr.contains(id) {
                follower.refusals = 0;
            }
        }
        self.in_sync.commit(isr);
    }

    /// In-sync replicas that the cluster has committed, this one included.
    pub(crate) fn in_sync(&self) -> usize {
        self.in_sync.len().max(1)
    }

    /// When no follower will have fetched for so long, though others count as in sync; [`Monotonic::NEVER`] if none does.
    pub(crate) fn deserted_at(&self, silence: Duration) -> Monotonic {
        if self.in_sync() > 1 { self.heard + silence } else { Monotonic::NEVER }
    }

    /// In-sync replicas that `acks=all` needs: more than there are replicas can never be in sync (KIP-966).
    pub(crate) fn required(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.replica_count).max(1)
    }

    /// End of what every replica has that may count as in sync, this one counting up to `own_end`; `None` while one has not
    /// said in this term what it has.
    pub(crate) fn replicated_end(&self, own_end: Offset) -> Option<Offset> {
        self.counted().try_fold(own_end, |least, follower| Some(least.min(follower.said?.end)))
    }

    /// The smallest log start of them: below, no record will ever be seen again. `None` while one has not said.
    pub(crate) fn low_watermark(&self, own_start: Offset) -> Option<Offset> {
        self.counted().try_fold(own_start, |least, follower| Some(least.min(follower.said?.log_start)))
    }

    /// The followers of the maximal in-sync set.
    fn counted(&self) -> impl Iterator<Item = &Follower> {
        self.followers.iter().filter(|(id, _)| self.in_sync.counts(**id)).map(|(_, follower)| follower)
    }

    pub(crate) fn is_replica(&self, broker: BrokerId) -> bool {
        self.followers.contains_key(&broker)
    }

    /// The registration that is known of a follower, if it is newer than the one that fetches.
    pub(crate) fn newer_registration(&self, broker: BrokerId, than: BrokerEpoch) -> Option<BrokerEpoch> {
        self.followers.get(&broker)?.broker_epoch.filter(|known| *known > than)
    }

    /// A follower asks for something that this log does not have, or has otherwise: what it said before does not hold.
    pub(crate) fn diverged(&mut self, broker: BrokerId) {
        if let Some(follower) = self.followers.get_mut(&broker) {
            follower.forget();
        }
    }

    /// A follower holds everything below `end`, as it says itself.
    pub(crate) fn fetched(
        &mut self,
        (broker, broker_epoch): (BrokerId, BrokerEpoch),
        (end, log_start): (Offset, Offset),
        log_end: Offset,
        now: Monotonic,
    ) {
        let Some(follower) = self.followers.get_mut(&broker) else { return };
        self.heard = now;
        if follower.broker_epoch.is_some_and(|known| known != broker_epoch) {
            // Another process: what the former one had at its last fetch says nothing about this one.
            follower.forget();
        }
        follower.broker_epoch = Some(broker_epoch);
        if end >= log_end {
            follower.caught_up = now;
        } else if let Some((at, _)) = follower.last_fetch.filter(|(_, log_end_then)| end >= *log_end_then) {
            follower.caught_up = follower.caught_up.max(at);
        }
        follower.said = Some(Said { end, log_start });
        follower.last_fetch = Some((now, log_end));
        follower.may_join = true;
    }

    /// Nobody counts before it has fetched again.
    pub(crate) fn forget_ends(&mut self) {
        for follower in self.followers.values_mut() {
            follower.said = None;
        }
    }

    /// The change of the in-sync set that is due, if one is. Whoever has not had everything for `lag_max` leaves. Whoever has
    /// all that is committed joins, once it has also reached the start of the term: before, it may still hold records of an
    /// older leader in place of committed ones (KIP-320). Who was refused is proposed again without the others, one at a time: a proposal
    /// is refused as a whole, and whose time has not come must not keep out whose has.
    pub(crate) fn propose(
        &mut self,
        version: PartitionEpoch,
        (high_watermark, log_end): (Offset, Offset),
        lag_max: Duration,
        now: Monotonic,
    ) -> Option<IsrProposal> {
        if self.followers.is_empty() {
            return None;
        }
        if let Some(again) = self.in_sync.resend(now) {
            return Some(again);
        }
        if !self.in_sync.may_propose(now) {
            return None;
        }
        let joined_from = high_watermark.max(self.epoch_start);
        let could_join = |follower: &Follower| {
            follower.may_join && follower.said.is_some_and(|said| said.end >= joined_from)
        };
        let out_of_sync = self.followers.iter().filter(|(id, _)| !self.in_sync.is_committed(**id));
        let first = out_of_sync
            .filter(|(_, follower)| could_join(follower))
            .map(|(id, follower)| (follower.refusals, *id))
            .min();
        let is_member = |id: BrokerId, follower: &Follower| match self.in_sync.is_committed(id) {
            true => !(follower.is_behind(log_end) && now >= follower.caught_up + lag_max),
            false => {
                could_join(follower) && (follower.refusals == 0 || first == Some((follower.refusals, id)))
            }
        };
        let changes = |(id, follower): (&BrokerId, &Follower)| {
            is_member(*id, follower) != self.in_sync.is_committed(*id)
        };
        if !self.followers.iter().any(changes) {
            return None;
        }
        let members = self.followers.iter().filter(|(id, follower)| is_member(**id, follower));
        let members = members.map(|(id, follower)| (*id, follower.broker_epoch));
        let isr = std::iter::once((self.own, None)).chain(members).collect();
        let proposal = IsrProposal { leader_epoch: self.epoch, partition_epoch: version, isr };
        self.in_sync.propose(proposal.clone());
        Some(proposal)
    }

    /// True if the proposal that is out was built on this version.
    pub(crate) fn has_proposed_on(&self, version: PartitionEpoch) -> bool {
        self.in_sync.pending_on(version)
    }

    /// The proposal that is out was not accepted.
    pub(crate) fn refused(&mut self, why: IsrRefused, now: Monotonic) {
        let refused = self.in_sync.refused(why, now);
        self.must_fetch_again(&refused);
    }

    /// A proposal on this version was not accepted, and a newer version has come before the answer.
    pub(crate) fn refused_late(&mut self, version: PartitionEpoch, why: IsrRefused, now: Monotonic) {
        let refused = self.in_sync.refused_late(version, why, now);
        self.must_fetch_again(&refused);
    }

    fn must_fetch_again(&mut self, refused: &[BrokerId]) {
        for id in refused {
            if let Some(follower) = self.followers.get_mut(id) {
                follower.may_join = false;
                follower.refusals += 1;
            }
        }
    }

    /// When somebody will have lagged for too long, or a proposal is to be sent again.
    pub(crate) fn next_deadline(&self, log_end: Offset, lag_max: Duration) -> Monotonic {
        if self.followers.is_empty() {
            return Monotonic::NEVER;
        }
        let behind = |(id, follower): &(&BrokerId, &Follower)| {
            self.in_sync.is_committed(**id) && follower.is_behind(log_end)
        };
        let lagging = self.followers.iter().filter(behind).map(|(_, follower)| follower.caught_up + lag_max);
        self.in_sync.next_deadline(lagging.min().unwrap_or(Monotonic::NEVER))
    }

    /// How far the followers have come.
    pub(crate) fn progress(&self) -> impl Iterator<Item = FollowerProgress> {
        self.followers.iter().map(|(id, follower)| FollowerProgress {
            broker: *id,
            in_sync: self.in_sync.is_committed(*id),
            end: follower.said.map(|said| said.end),
            caught_up: follower.caught_up,
        })
    }
}

/// Every other replica. A member of the in-sync set that is no replica would be the metadata's mistake; it must not make the
/// set smaller.
fn others(own: BrokerId, assignment: &Assignment) -> impl Iterator<Item = BrokerId> {
    assignment.replicas.iter().chain(&assignment.isr).copied().filter(move |id| *id != own)
}
