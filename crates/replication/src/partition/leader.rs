//! What a leader does: producers, followers, deletions, the in-sync set.

use std::sync::Arc;

use ottla_record::produce::ValidatedBatches;
use ottla_record::{LeaderEpoch, Now, Offset, PartitionEpoch};
use ottla_storage::{Append, AppendError, Log};

use super::role::Role;
use super::{BEHIND_A_REFUSAL, MAX_WAITING, Partition, Written};
use crate::effect::{DeleteRecordsError, Effect, ProduceError};
use crate::event::{Acks, DeleteRecords, Durability, Produce};
use crate::isr::{IsrRefused, IsrState};
use crate::replica_fetch::{EpochEnd, FollowerFetch, FollowerFetchError, FollowerPosition};

/// So many producers are told to a copy that begins behind what they wrote: 4 MB, about.
const MOST_PRODUCERS: usize = 20_000;

impl<W> Partition<W> {
    pub(super) fn produce(&mut self, produce: Produce<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        let Produce { waiter, batches, acks, deadline } = produce;
        let (end, written) = match self.append(&batches, acks, now) {
            Ok(
                Append::New { first, last, log_append_time: append_time }
                | Append::Duplicate { first, last, append_time },
            ) => (last.next(), Written { waiter, base_offset: first, append_time }),
            Err(error) => {
                let error = self.refusal(error, now);
                effects.push(Effect::Produced { waiter, outcome: Err(error) });
                if self.log.is_poisoned() {
                    self.fail(effects);
                }
                return;
            }
        };
        match (acks, self.config.durability) {
            (Acks::None, _) | (Acks::Leader, Durability::Os) => self.acknowledge(written, effects),
            (Acks::Leader, Durability::Fsync) => self.waiting_for_flush.add(end, deadline, written),
            (Acks::All, _) => self.waiting_for_replicas.add(end, deadline, written),
        }
    }

    /// What a producer is told. Of several batches on their way the first may be refused for a reason that has passed when the second
    /// arrives, which is out of sequence then. A producer that hears so takes its own batches for lost and may send again, under
    /// a new epoch, what other partitions have (librdkafka); it hears of the reason instead, and sends both again in their order.
    fn refusal(&mut self, error: ProduceError, now: Now) -> ProduceError {
        match (&error, &self.refused) {
            (
                ProduceError::Append(AppendError::OutOfOrderSequence { expected, got, .. }),
                Some((at, why)),
            ) if got > expected && now.monotonic < *at + BEHIND_A_REFUSAL => why.passing().unwrap_or(error),
            _ => {
                if let Some(why) = error.passing() {
                    self.refused = Some((now.monotonic, why));
                }
                error
            }
        }
    }

    fn append(&mut self, batches: &ValidatedBatches, acks: Acks, now: Now) -> Result<Append, ProduceError> {
        let leadership = match &self.role {
            Role::Leading(leadership) => leadership,
            Role::Following(_) | Role::Neither { .. } => return Err(ProduceError::NotLeader),
            Role::Offline => return Err(ProduceError::Offline),
        };
        if acks == Acks::All {
            if now.monotonic >= self.deserted_at() {
                return Err(ProduceError::Deserted);
            }
            let in_sync = leadership.in_sync();
            let required = leadership.required(self.config.min_insync_replicas);
            if in_sync < required {
                return Err(ProduceError::NotEnoughReplicas { in_sync, required });
            }
        }
        let epoch = leadership.epoch;
        if self.waiting() >= MAX_WAITING {
            return Err(ProduceError::Overloaded);
        }
        let before = self.written();
        let appended = self.log.append_as_leader(batches, epoch, now)?;
        self.note_unflushed(before, now);
        Ok(appended)
    }

    /// A follower says what it has, and is told where the logs part or how far this one goes.
    pub(super) fn follower_fetch(&mut self, fetch: FollowerFetch<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        let outcome = self.take_fetch(&fetch, now);
        effects.push(Effect::FollowerFetched { waiter: fetch.waiter, outcome });
    }

    fn take_fetch(
        &mut self,
        fetch: &FollowerFetch<W>,
        now: Now,
    ) -> Result<FollowerPosition, FollowerFetchError> {
        let leadership = match &mut self.role {
            Role::Leading(leadership) => leadership,
            Role::Following(_) | Role::Neither { .. } => return Err(FollowerFetchError::NotLeader),
            Role::Offline => return Err(FollowerFetchError::Offline),
        };
        // What a follower said in another term may be of records that have been cut since (KIP-320).
        let current = leadership.epoch;
        if fetch.leader_epoch < current {
            return Err(FollowerFetchError::FencedLeaderEpoch { current });
        }
        if fetch.leader_epoch > current {
            return Err(FollowerFetchError::UnknownLeaderEpoch { current });
        }
        if !leadership.is_replica(fetch.follower) {
            return Err(FollowerFetchError::NotAReplica);
        }
        if let Some(current) = leadership.newer_registration(fetch.follower, fetch.broker_epoch) {
            return Err(FollowerFetchError::StaleBrokerEpoch { current });
        }
        let (log_start, log_end) = (self.log.log_start(), self.log.log_end());
        let diverging = fetch.last_epoch.map(|asked| (asked, end_of_epoch(&self.log, asked))).filter(
            // The follower has more of the term than this log, or its last term is not known here at all.
            |(asked, known)| known.end < fetch.offset || known.epoch.is_some_and(|epoch| epoch < *asked),
        );
        // All that it has is deleted here, and the term of it too: nobody can tell whether it is what was committed. As an
        // in-sync replica that leads before it has heard of the deletion, it would serve that.
        let first = self.log.leader_epochs().entries().first().map(|first| first.epoch);
        let is_unverifiable = fetch.offset == log_start
            && fetch.log_start < log_start
            && fetch.last_epoch.is_some_and(|asked| first.is_none_or(|first| asked < first));
        let out_of_range = || {
            let producers = Arc::new(self.log.producers().before(log_start, MOST_PRODUCERS));
            Err(FollowerFetchError::OutOfRange { log_start, log_end, producers })
        };
        let outcome = if fetch.offset < log_start || is_unverifiable {
            out_of_range()
        } else if let Some((_, end)) = diverging {
            Ok(Some(end))
        } else if fetch.offset > log_end {
            out_of_range()
        } else {
            Ok(None)
        };
        if outcome == Ok(None) {
            let who = (fetch.follower, fetch.broker_epoch);
            leadership.fetched(who, (fetch.offset, fetch.log_start), log_end, now.monotonic);
            // So that the answer carries what this fetch has made true.
            self.raise_high_watermark();
        } else {
            leadership.diverged(fetch.follower);
        }
        let high_watermark = self.high_watermark.max(log_start);
        outcome.map(|diverging| FollowerPosition { diverging, high_watermark, log_start, log_end })
    }

    pub(super) fn isr_decided(
        &mut self,
        proposed_on: PartitionEpoch,
        outcome: Result<IsrState, IsrRefused>,
        now: Now,
    ) {
        let Role::Leading(leadership) = &mut self.role else { return };
        if !leadership.has_proposed_on(proposed_on) {
            if let Err(why) = outcome {
                leadership.refused_late(proposed_on, why, now.monotonic);
            }
            return;
        }
        match outcome {
            Ok(state) if self.version.is_none_or(|known| state.partition_epoch > known) => {
                self.version = Some(state.partition_epoch);
                leadership.commit(&state.isr);
            }
            // A newer version would have settled the proposal; nothing can be made of this.
            Ok(_) => {}
            Err(why) => leadership.refused(why, now.monotonic),
        }
    }

    /// Deletes here at once, and answers when every replica that counts as in sync has followed. Durable here when this
    /// returns, so records that were deleted never come back.
    pub(super) fn delete_records(
        &mut self,
        request: DeleteRecords<W>,
        now: Now,
        effects: &mut Vec<Effect<W>>,
    ) {
        let DeleteRecords { waiter, before, deadline } = request;
        match self.advance_log_start(before, now, effects) {
            Ok(start) => self.waiting_for_deletion.add(start, deadline, waiter),
            Err(error) => effects.push(Effect::RecordsDeleted { waiter, outcome: Err(error) }),
        }
    }

    /// Raises the log start; returns the offset below which everything is to be gone.
    fn advance_log_start(
        &mut self,
        before: Option<Offset>,
        now: Now,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<Offset, DeleteRecordsError> {
        match &self.role {
            Role::Leading(_) => {}
            Role::Following(_) | Role::Neither { .. } => return Err(DeleteRecordsError::NotLeader),
            Role::Offline => return Err(DeleteRecordsError::Offline),
        }
        if !self.config.log.delete_expired {
            return Err(DeleteRecordsError::Policy);
        }
        let before = before.unwrap_or(self.high_watermark);
        if before > self.high_watermark {
            return Err(DeleteRecordsError::OutOfRange { before, high_watermark: self.high_watermark });
        }
        if self.waiting() >= MAX_WAITING {
            return Err(DeleteRecordsError::Overloaded);
        }
        if before > self.log.log_start() {
            let removed = self.log.advance_log_start(before, self.high_watermark, now);
            self.removed(removed, effects)?;
        }
        Ok(before)
    }

    pub(super) fn retain(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        if !matches!(self.role, Role::Leading(_)) {
            return;
        }
        let removed = self.log.retain(self.high_watermark, now);
        // A failure has been dealt with: there is nobody to tell.
        let _failed = self.removed(removed, effects);
    }
}

/// Where the term `asked`, or the largest below it, ends in a leader's log. Of a term above all that are known, nothing was
/// written here: the log ends before it, and what a follower has of it is not this leader's (KIP-279).
fn end_of_epoch(log: &Log, asked: LeaderEpoch) -> EpochEnd {
    let epochs = log.leader_epochs();
    match (epochs.end_offset_for(asked, log.log_end()), epochs.latest()) {
        (Some(found), _) => EpochEnd { epoch: Some(found.epoch), end: found.end },
        (None, Some(latest)) => EpochEnd { epoch: Some(latest.epoch), end: log.log_end() },
        // Nothing is left of any term.
        (None, None) => EpochEnd { epoch: None, end: log.log_start() },
    }
}
