//! What a state is: what follows depends on, and nothing else; and which steps come to the same in either order.

use std::time::Duration;

use ottla_coordination::metadata::Response;
use ottla_record::{LeaderEpoch, Offset, PartitionEpoch};
use ottla_replication::{Availability, IsrProposal, IsrRefused};

use super::{Model, Replica, Step, Transit};
use crate::fleet::driving::isr_outcome;
use crate::fleet::promises::number_of;
use crate::rng::mix;

impl Model {
    /// True if there is something in the metadata that a broker has not heard of and would act on. To a replica that follows, or
    /// waits, in the term that the metadata has, a newer version is nothing new.
    pub(super) fn has_news_for(&self, number: usize) -> bool {
        let (Some(replica), Some(truth)) = (self.replicas.get(number), self.partition()) else {
            return false;
        };
        let leads = replica.view.availability.leading();
        replica.heard < self.image.version()
            && replica.known < truth.partition_epoch
            && (leads.is_some() || replica.epoch() < Some(truth.leader_epoch))
    }

    /// Drops what can have no effect any more, whatever follows, so that states that differ in nothing else are one.
    ///
    /// Terms and versions only rise. So a fetch is void when whoever it goes to has gone on to another term, and an answer when its
    /// follower has; a proposal when the metadata has a newer version or term, as it would be refused, and the refusal changes
    /// nothing. That one was accepted, its leader hears with the new version: it makes no difference by which of the two, and that it may
    /// hear of it before anything newer is so because it may do so before the newer is decided: nothing else depends on that.
    pub(super) fn forget_what_is_void(&mut self) {
        let Some(truth) = self.partition().cloned() else { return };
        let terms: Vec<Option<LeaderEpoch>> = self.replicas.iter().map(Replica::epoch).collect();
        let term_of = |number: usize| terms.get(number).copied().flatten();
        for (number, replica) in self.replicas.iter_mut().enumerate() {
            let own = term_of(number);
            replica.transit.retain(|transit| match transit {
                Transit::Asks { leader, epoch, .. } => term_of(*leader) <= Some(*epoch),
                Transit::Answer { epoch, .. } => own <= Some(*epoch),
            });
            let is_old = |proposal: &IsrProposal| {
                proposal.partition_epoch < truth.partition_epoch || proposal.leader_epoch < truth.leader_epoch
            };
            let settled = |(on, response): &(PartitionEpoch, Response)| {
                let mut out = replica.counts.iter().chain(&replica.overtaken);
                !matches!(isr_outcome(response.clone()), Err(IsrRefused::Ineligible | IsrRefused::Rejected))
                    || !out.any(|proposal| proposal.partition_epoch == *on)
            };
            if replica.decision.as_ref().is_some_and(settled) {
                (replica.decision, replica.proposal) = (None, None);
            }
            if replica.decision.is_none() && replica.proposal.as_ref().is_some_and(is_old) {
                replica.proposal = None;
            }
            replica.copy.take_if(|copy| is_old(copy));
            if replica.decision.is_none() {
                replica.overtaken = None;
            }
            if replica.view.availability.leading().is_none() {
                (replica.counts, replica.proposal, replica.decision) = (None, None, None);
                replica.overtaken = None;
                replica.refused.clear();
                replica.refused_at = None;
                replica.fetched.clear();
            }
        }
    }

    /// True if two steps come to the same in either order, and neither makes the other possible or impossible: they look at and
    /// change different things.
    pub(super) fn commute(&self, one: Step, other: Step) -> bool {
        let (one, other) = (self.touches(one), self.touches(other));
        let changes_metadata = one.changes_metadata || other.changes_metadata;
        one.replicas & other.replicas == 0
            && !(one.produces && other.produces)
            && !(changes_metadata && one.metadata && other.metadata)
    }

    fn touches(&self, step: Step) -> Touches {
        let one = |number: usize| 1_u8 << number;
        let with_leader = |number: usize| {
            let replica = self.replicas.get(number);
            let asked = replica.and_then(|replica| match replica.transit.first() {
                Some(Transit::Asks { leader, .. }) => Some(*leader),
                _ => None,
            });
            let follows = replica.and_then(|replica| replica.view.following);
            let follows = follows.map(|following| number_of(following.leader));
            one(number) | asked.map_or(0, one) | follows.map_or(0, one)
        };
        let local =
            |replicas: u8| Touches { replicas, produces: false, metadata: false, changes_metadata: false };
        match step {
            Step::Produce(number) => Touches { produces: true, ..local(one(number)) },
            Step::Flush(number) | Step::Take(number) | Step::Decided(number) => local(one(number)),
            Step::Ask(number) | Step::Exchange(number) | Step::Serve(number) => local(with_leader(number)),
            Step::AskAndHear(number) => Touches { metadata: true, ..local(with_leader(number)) },
            Step::Hear(number) => Touches { metadata: true, ..local(one(number)) },
            Step::Decide(number) | Step::DecideAgain(number) => {
                Touches { metadata: true, changes_metadata: true, ..local(one(number)) }
            }
            Step::Fence => Touches { metadata: true, changes_metadata: true, ..local(0) },
            // The clock is everybody's.
            Step::Unfence | Step::Lag(_) => {
                Touches { replicas: u8::MAX, produces: true, metadata: true, changes_metadata: true }
            }
        }
    }

    /// Everything that what follows depends on, in one number.
    pub(super) fn state(&self) -> u64 {
        let mut hash = mix(0x51a7e);
        let mut note = |what: u64| hash = mix(hash.rotate_left(9) ^ what);
        for number in [self.produced, self.elections, self.lags, self.fenced.unwrap_or(9)] {
            note(number as u64);
        }
        let Some(truth) = self.partition() else { return hash };
        // Of versions it counts how they compare, not how many there were.
        let mut isr = truth.isr.clone();
        isr.sort_unstable();
        note(hash_of(&format!("{isr:?} {:?} {:?} {:?}", truth.leader, truth.leader_epoch, self.clock)));
        note(hash_of(&format!("{:?} {:?}", self.ledger.committed, self.ledger.shown)));
        for (number, replica) in self.replicas.iter().enumerate() {
            let view = &replica.view;
            if let Some(copy) = self.ledger.copies.get(number) {
                for batch in &copy.batches {
                    let id =
                        self.ledger.written(batch.base, batch.epoch).and_then(|written| written.ids.first());
                    note(id.map_or(0, |id| id.0 + 1) ^ i64::from(batch.epoch.get()).unsigned_abs() << 32);
                }
            }
            let marks = [view.log_start, view.high_watermark, view.flushed_end, view.log_end, replica.told];
            marks.iter().for_each(|mark| note(mark.get().unsigned_abs()));
            let behind = truth.partition_epoch.get() - replica.known.get();
            let leads = view.availability.leading().is_some();
            let followers: Vec<_> = replica
                .partition
                .followers()
                .map(|f| (f, replica.fetched.get(&number_of(f.broker)).filter(|_| f.end.is_some())))
                .collect();
            let of_leader = (
                (followers, &replica.refused, replica.refused_at == Some(self.clock)),
                [&replica.counts, &replica.overtaken].map(|it| it.as_ref().map(|proposal| &proposal.isr)),
                [replica.proposal.is_some(), replica.decision.is_some(), replica.copy.is_some()],
                leads.then_some(behind),
            );
            let beliefs = (
                (view.availability, view.following, self.has_news_for(number)),
                (replica.flush.as_ref().map(|job| job.end), replica.void),
                (&replica.transit, of_leader),
            );
            note(hash_of(&format!("{beliefs:?}")));
        }
        hash
    }
}

/// What a step looks at or changes.
struct Touches {
    replicas: u8,
    produces: bool,
    metadata: bool,
    changes_metadata: bool,
}

impl Replica {
    /// The term it knows.
    fn epoch(&self) -> Option<LeaderEpoch> {
        match self.view.availability {
            Availability::Leading { epoch, .. } => Some(epoch),
            Availability::NotLeading { epoch } => epoch,
            Availability::Offline => None,
        }
    }

    /// It is told of a version: what it had proposed on an older one is settled, and in a new term nothing is known of others.
    pub(super) fn learn(&mut self, partition: &ottla_coordination::metadata::Partition) {
        if partition.partition_epoch <= self.known {
            return;
        }
        self.known = partition.partition_epoch;
        if let Some(counts) = self.counts.take() {
            self.overtaken = Some(counts);
        }
        if self.epoch() != Some(partition.leader_epoch) {
            self.overtaken = None;
            self.refused.clear();
            self.refused_at = None;
            self.fetched.clear();
            self.told = Offset::ZERO;
        }
    }

    pub(super) fn was_refused<T>(
        &mut self,
        on: PartitionEpoch,
        outcome: &Result<T, IsrRefused>,
        now: Duration,
    ) {
        if !matches!(outcome, Err(IsrRefused::Ineligible | IsrRefused::Rejected)) {
            return;
        }
        let is_it = |proposal: &mut IsrProposal| proposal.partition_epoch == on;
        let counted = self.counts.take_if(is_it).or_else(|| self.overtaken.take_if(is_it));
        let Some(counts) = counted else { return };
        let outside: Vec<_> =
            self.partition.followers().filter(|progress| !progress.in_sync).map(|p| p.broker).collect();
        let turned_down = counts.isr.iter().map(|(id, _)| *id).filter(|id| outside.contains(id));
        self.refused.extend(turned_down.map(number_of));
        self.refused_at = Some(now);
    }
}

fn hash_of(text: &str) -> u64 {
    crate::fleet::ledger::hash(text.as_bytes())
}
