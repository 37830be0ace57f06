//! What a follower does: it copies its leader's log, and cuts of its own what the leader does not have.

use std::sync::Arc;

use ottla_record::{Batches, LeaderEpoch, Now, Offset};
use ottla_storage::truncation::TruncateError;
use ottla_storage::{AppendError, ProducerStates};

use super::role::Role;
use super::{Checkpointing, Partition, Unflushed};
use crate::effect::Effect;
use crate::replica_fetch::{EpochEnd, FetchPosition, FetchedFromLeader, FetchedOutcome};
use crate::view::Following;

impl<W> Partition<W> {
    /// Whom to ask for what, if this replica follows.
    pub(super) fn following(&self) -> Option<Following> {
        let Role::Following(followership) = &self.role else { return None };
        let position = self.position();
        // The next fetch says that everything below its offset is safe here.
        let fetch = (self.safe_end() == position.offset).then_some(position);
        Some(Following { leader: followership.leader, leader_epoch: followership.epoch, fetch })
    }

    fn position(&self) -> FetchPosition {
        FetchPosition {
            offset: self.log.log_end(),
            last_epoch: self.log.leader_epochs().latest().map(|latest| latest.epoch),
            log_start: self.log.log_start(),
        }
    }

    /// What a fetch brought. An answer of another term, or to a fetch from elsewhere, is about a log that is not this one
    /// any more.
    pub(super) fn fetched(&mut self, fetched: FetchedFromLeader, now: Now, effects: &mut Vec<Effect<W>>) {
        let FetchedFromLeader { leader_epoch, from, last_epoch, outcome } = fetched;
        let position = self.position();
        let Role::Following(followership) = &self.role else { return };
        if leader_epoch != followership.epoch || (from, last_epoch) != (position.offset, position.last_epoch)
        {
            return;
        }
        match outcome {
            FetchedOutcome::Records { bytes, high_watermark, log_start } => {
                if let Some(base) = self.base_around_start(&bytes) {
                    let producers = self.log.producers().clone();
                    let emptied = self.log.truncate_fully_and_start_at(base, producers, now.wall);
                    self.was_cut(emptied, effects);
                }
                let Role::Following(followership) = &mut self.role else { return };
                followership.hear(high_watermark, log_start);
                self.copy(&bytes, leader_epoch, now, effects);
            }
            FetchedOutcome::Diverging(common) => self.cut_to_common(common, now, effects),
            // Where nothing is left either way, the copy begins where the leader's log does.
            FetchedOutcome::OutOfRange { log_start, log_end, producers }
                if from <= log_start || log_end < self.log.log_start() =>
            {
                let producers = Arc::unwrap_or_clone(producers);
                let emptied = self.log.truncate_fully_and_start_at(log_start, producers, now.wall);
                self.was_cut(emptied, effects);
            }
            FetchedOutcome::OutOfRange { log_end, .. } if from > log_end => {
                let cut = self.log.truncate_to(log_end, now.wall);
                self.was_cut(cut, effects);
            }
            FetchedOutcome::OutOfRange { .. } => {}
        }
    }

    /// Where a log without records has to begin, if that is within the first batch that the leader sent: records may have been
    /// deleted up to there, or the log that ended there had other batches. Its start rises again once the records are here.
    fn base_around_start(&self, bytes: &[u8]) -> Option<Offset> {
        let start = self.log.log_start();
        if start != self.log.log_end() {
            return None;
        }
        let first = Batches::new(bytes).next()?.ok()?;
        (first.base_offset() < start && start <= first.last_offset()).then_some(first.base_offset())
    }

    /// Appends what the leader sent, as it stands.
    fn copy(&mut self, bytes: &[u8], term: LeaderEpoch, now: Now, effects: &mut Vec<Effect<W>>) {
        let before = self.written();
        let copied = self.append_in_portions(bytes, term, now);
        self.note_unflushed(before, now);
        if let Err(error) = copied {
            if self.log.is_poisoned() {
                self.fail(effects);
            } else {
                effects.push(Effect::CopyRefused(error));
            }
        }
    }

    /// No append is larger than a segment, however much was fetched. What is not a whole batch at the end is left out, and so
    /// is what a later leader wrote: whoever answered has lost the term meanwhile, and its log may part from this one before
    /// those batches.
    fn append_in_portions(&mut self, bytes: &[u8], term: LeaderEpoch, now: Now) -> Result<(), AppendError> {
        let segment_bytes = self.config.log.segment_bytes as usize;
        let mut batches = Batches::new(bytes);
        let (mut from, mut to) = (0, 0);
        let mut ended = Ok(());
        while let Some(batch) = batches.next() {
            match batch {
                Ok(batch) if batch.header().partition_leader_epoch() > Some(term) => break,
                Ok(_) => {}
                // A header that makes no sense; the append would say the same, and lose what comes before it.
                Err(error) => {
                    let torn = matches!(error, ottla_record::BatchError::Torn { .. });
                    ended = if torn { Ok(()) } else { Err(AppendError::from(error)) };
                    break;
                }
            }
            if batches.position() - from > segment_bytes && to > from {
                self.append_portion(bytes, from, to, now)?;
                from = to;
            }
            to = batches.position();
        }
        self.append_portion(bytes, from, to, now)?;
        ended
    }

    fn append_portion(&mut self, bytes: &[u8], from: usize, to: usize, now: Now) -> Result<(), AppendError> {
        match bytes.get(from..to) {
            Some(portion) if !portion.is_empty() => self.log.append_as_follower(portion, now).map(|_last| ()),
            _ => Ok(()),
        }
    }

    /// Cuts to the end of the largest term that both logs know, whichever of the two ends it earlier; what comes after it is
    /// another leader's here than there. If this log does not know the leader's term, it is cut to the end of the one before
    /// it, and the next fetch asks again (KIP-101, KIP-279, KIP-595).
    ///
    /// Never to the high watermark: that of a follower is behind, and records that it has not heard to be committed may be
    /// (why KIP-101).
    fn cut_to_common(&mut self, common: EpochEnd, now: Now, effects: &mut Vec<Effect<W>>) {
        let (log_start, log_end) = (self.log.log_start(), self.log.log_end());
        let ours = common.epoch.and_then(|epoch| self.log.leader_epochs().end_offset_for(epoch, log_end));
        let to = common.end.min(ours.map_or(log_end, |ours| ours.end));
        let cut = if to < log_start || log_start == log_end {
            // Nothing is common: a leader that was elected uncleanly does not have what all in-sync replicas have deleted as
            // committed. Its log is copied from its start, which it says when it is asked from too far below.
            self.log.truncate_fully_and_start_at(Offset::ZERO, ProducerStates::default(), now.wall)
        } else if to < log_end {
            self.log.truncate_to(to, now.wall)
        } else {
            // All of this log is the leader's as well, by its own word. There is nothing to cut.
            return;
        };
        self.was_cut(cut, effects);
    }

    /// The log is shorter, or empty. What is left of it is durable, unless the disk failed in the middle of it.
    fn was_cut(&mut self, cut: Result<(), TruncateError>, effects: &mut Vec<Effect<W>>) {
        let log_end = self.log.log_end();
        self.high_watermark = self.high_watermark.clamp(self.log.log_start(), log_end);
        self.durable_from = self.durable_from.min(log_end);
        if cut.is_err() {
            self.fail(effects);
            return;
        }
        // What was rebuilt of the producers must not hold back readers for transactions that are decided.
        self.log.high_watermark_reached(self.high_watermark);
        self.unflushed = Unflushed::default();
        if self.checkpointing == Checkpointing::Yes {
            self.checkpointing = Checkpointing::Void;
        }
        if let Role::Following(followership) = &mut self.role {
            followership.heard = None;
        }
        // The marks may be what they were, and the segments are others all the same.
        self.published = None;
    }

    /// The leader's marks, as far as this log holds the records safely. The log start comes after the high watermark, which it
    /// must not pass.
    pub(super) fn follow_marks(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let Role::Following(followership) = &self.role else { return };
        let Some(heard) = followership.heard else { return };
        let committed = heard.high_watermark.min(self.safe_end());
        self.raise_high_watermark_to(committed);
        let start = heard.log_start.min(self.high_watermark);
        if start > self.log.log_start() {
            let removed = self.log.advance_log_start(start, self.high_watermark, now);
            // A failure has been dealt with: there is nobody to tell.
            let _failed = self.removed(removed, effects);
        }
    }
}
