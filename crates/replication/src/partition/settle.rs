//! What follows from any event: marks rise, waiters whose mark has passed are answered, the next flush starts.

use std::time::Duration;

use ottla_record::{Now, Offset};

use super::role::Role;
use super::{
    CHECKPOINT_INTERVAL, Checkpointing, FLUSH_BEHIND_BYTES, FLUSH_BEHIND_INTERVAL, Partition, Unflushed,
    Written,
};
use crate::effect::{Effect, Produced};
use crate::event::Durability;

/// How much a log held at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filled {
    end: Offset,
    bytes: u64,
}

impl<W> Partition<W> {
    pub(super) fn settle(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        match &self.role {
            Role::Leading(_) => self.settle_leading(now, effects),
            Role::Following(_) => self.follow_marks(now, effects),
            Role::Neither { .. } | Role::Offline => {}
        }
        self.flush_if_due(now, effects);
        self.checkpoint_if_due(now, effects);
        let marks = self.marks();
        if self.published != Some(marks) {
            self.published = Some(marks);
            effects.push(Effect::Publish(self.view()));
        }
    }

    fn settle_leading(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        self.raise_high_watermark();
        let own_end = self.safe_end();
        while let Some(written) = self.waiting_for_flush.pop_passed(own_end) {
            self.acknowledge(written, effects);
        }
        // Usually the high watermark; it may be ahead of the disk where the topic was `os` before. What it passed then
        // is promised again to whoever sends it again now, and this time the promise is the disk.
        let promised = self.high_watermark.min(own_end);
        while let Some(written) = self.waiting_for_replicas.pop_passed(promised) {
            self.acknowledge(written, effects);
        }
        let Role::Leading(leadership) = &mut self.role else { return };
        if self.waiting_for_deletion.len() > 0
            && let Some(low) = leadership.low_watermark(self.log.log_start())
        {
            while let Some(waiter) = self.waiting_for_deletion.pop_passed(low) {
                effects.push(Effect::RecordsDeleted { waiter, outcome: Ok(low) });
            }
        }
        if let Some(version) = self.version {
            let ends = (self.high_watermark, self.log.log_end());
            let lag_max = self.config.replica_lag_max;
            if let Some(proposal) = leadership.propose(version, ends, lag_max, now.monotonic) {
                effects.push(Effect::AlterIsr(proposal));
            }
        }
    }

    /// The end of what this replica holds as safely as the topic asks for.
    pub(super) fn safe_end(&self) -> Offset {
        match self.config.durability {
            Durability::Fsync => self.log.flushed_end(),
            Durability::Os => self.log.log_end(),
        }
    }

    /// A leader's high watermark: what every replica has that may count as in sync, provided that enough of them are
    /// committed to be in sync. Otherwise it rests: a record that only the last of them has may yet be lost with it, and
    /// readers must not have seen it (KIP-966).
    pub(super) fn raise_high_watermark(&mut self) {
        let Role::Leading(leadership) = &self.role else { return };
        if leadership.in_sync() >= leadership.required(self.config.min_insync_replicas)
            && let Some(replicated) = leadership.replicated_end(self.safe_end())
        {
            self.raise_high_watermark_to(replicated);
        }
    }

    pub(super) fn raise_high_watermark_to(&mut self, offset: Offset) {
        if offset > self.high_watermark {
            self.high_watermark = offset;
            self.log.high_watermark_reached(offset);
        }
    }

    pub(super) fn acknowledge(&self, written: Written<W>, effects: &mut Vec<Effect<W>>) {
        let Written { waiter, base_offset, append_time } = written;
        let outcome = Ok(Produced { base_offset, append_time, log_start: self.log.log_start() });
        effects.push(Effect::Produced { waiter, outcome });
    }

    /// How much the log holds, to be compared with after an append.
    pub(super) fn written(&self) -> Filled {
        Filled { end: self.log.log_end(), bytes: self.log.size_bytes() }
    }

    /// Counts what was appended since `before`.
    pub(super) fn note_unflushed(&mut self, before: Filled, now: Now) {
        let records = self.log.log_end() - before.end;
        if records > 0 {
            self.unflushed.since.get_or_insert(now.monotonic);
            self.unflushed.records += records.unsigned_abs();
            self.unflushed.bytes += self.log.size_bytes().saturating_sub(before.bytes);
        }
    }

    fn flush_if_due(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        if self.flushing || matches!(self.role, Role::Offline) {
            return;
        }
        let due = match (self.unflushed.since, self.config.durability) {
            (None, _) => false,
            (Some(_), Durability::Fsync) => true,
            (Some(since), Durability::Os) => {
                self.unflushed.records >= self.config.flush_records
                    || self.unflushed.bytes >= FLUSH_BEHIND_BYTES
                    || now.monotonic >= since + self.flush_behind_interval()
            }
        };
        if !due {
            return;
        }
        self.unflushed = Unflushed::default();
        if let Some(job) = self.log.begin_flush() {
            self.flushing = true;
            effects.push(Effect::Flush(job));
        }
    }

    /// Raises the recovery point every second or every 64 MiB: it bounds what a start after a crash has to scan.
    fn checkpoint_if_due(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let due = now.monotonic >= self.checkpoint_due || self.log.is_checkpoint_due();
        if self.checkpointing != Checkpointing::No || !due || matches!(self.role, Role::Offline) {
            return;
        }
        self.checkpoint_due = now.monotonic + CHECKPOINT_INTERVAL;
        match self.log.begin_checkpoint() {
            Ok(Some(job)) => {
                self.checkpointing = Checkpointing::Yes;
                effects.push(Effect::Checkpoint(job));
            }
            Ok(None) => {}
            Err(_) => self.fail(effects),
        }
    }

    pub(super) fn flush_behind_interval(&self) -> Duration {
        match self.config.durability {
            Durability::Fsync => Duration::ZERO,
            Durability::Os => self.config.flush_interval.min(FLUSH_BEHIND_INTERVAL),
        }
    }
}
