//! Which leader wrote which offsets: the start offset of every epoch that has records in the log (KIP-101, KIP-279).
//! Kept in `leader-epoch-checkpoint`; whatever was appended after the recovery point is found again in the batches.

use ottla_record::{LeaderEpoch, Offset};

use crate::checkpoint::{CheckpointError, number, read_lines, write_lines};

/// The first offset that a leader wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// Its first offset in the log.
    pub start: Offset,
}

/// Where an epoch ends in this log, for a follower or consumer that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch not above the one asked for.
    pub epoch: LeaderEpoch,
    /// The start of the epoch after it, or the log end.
    pub end: Offset,
}

/// The epochs of one log. Invariant: both columns rise strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Reads `leader-epoch-checkpoint`.
    pub fn read(text: &[u8]) -> Result<Self, CheckpointError> {
        let mut epochs = Self::default();
        read_lines(text, |line| {
            let mut fields = line.split_ascii_whitespace();
            let epoch = LeaderEpoch::from_wire(number(fields.next())?)?;
            let start = Offset::from_wire(number(fields.next())?)?;
            let rises = epochs.latest().is_none_or(|last| last.epoch < epoch && last.start < start);
            (fields.next().is_none() && rises).then(|| epochs.entries.push(EpochStart { epoch, start }))
        })?;
        Ok(epochs)
    }

    /// Writes `leader-epoch-checkpoint`.
    pub fn write(&self) -> String {
        write_lines(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start)))
    }

    /// All epochs, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The epoch of the last record.
    pub fn latest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    /// Notes that a batch of `epoch` starts at `start`. Entries that contradict it go: they were never written, or have
    /// been cut. True if anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        // As in Kafka's cache: the latest epoch keeps its start unless the new one is lower.
        if self.latest().is_some_and(|latest| latest.epoch == epoch && latest.start <= start) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
        true
    }

    /// The epoch of the record at an offset.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        Some(self.entries.get(after.checked_sub(1)?)?.epoch)
    }

    /// Where `epoch` ends. `None` if the log knows no epoch or only lower ones: then nothing can be said (KIP-279).
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if self.latest()?.epoch == epoch {
            return Some(EpochEnd { epoch, end: log_end });
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(after)?.start;
        // Below the first epoch that is known, the records have been deleted: their end is where the known ones start.
        let floor = after.checked_sub(1).and_then(|at| self.entries.get(at));
        Some(EpochEnd { epoch: floor.map_or(epoch, |entry| entry.epoch), end })
    }

    /// Where `epoch` ends, as a reader is told of a log that is led in epoch `current`.
    ///
    /// The history knows an epoch from its first record on. Of the current one there may be no record yet: it ends where the log ends. A
    /// consumer that looked up the end of a quiet partition knows such an epoch. Of an older one above the last that is known there never
    /// will be any: what a consumer has read of it is gone with an unclean election, and that it is told the epoch before is how it
    /// finds out, even where the log has reached its position again (KIP-320).
    pub fn end_offset_for_reader(
        &self,
        epoch: LeaderEpoch,
        current: LeaderEpoch,
        log_end: Offset,
    ) -> Option<EpochEnd> {
        let latest = self.latest().map(|latest| latest.epoch);
        if epoch <= current && latest.is_none_or(|latest| latest < epoch) {
            let known = if epoch == current { epoch } else { latest.unwrap_or(epoch) };
            return Some(EpochEnd { epoch: known, end: log_end });
        }
        self.end_offset_for(epoch, log_end)
    }

    /// Forgets epochs that start at `end` or above. True if anything changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start < end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets epochs that end at `start` or below; the one that spans it starts there. True if anything changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let below = self.entries.partition_point(|entry| entry.start <= start);
        let Some(last) = below.checked_sub(1) else { return false };
        let old = self.entries.get(last).copied();
        self.entries.drain(..last);
        if let Some(first) = self.entries.first_mut() {
            first.start = start;
        }
        last > 0 || old.is_some_and(|entry| entry.start != start)
    }
}

#[cfg(test)]
mod tests;
