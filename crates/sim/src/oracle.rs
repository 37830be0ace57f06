//! What the clients of one partition know: what they sent, what they were told, and so what must be there and what may
//! be. A write that was not answered is *unknown*: it may appear, once, or not.

use std::collections::{BTreeMap, BTreeSet};

use ottla_record::{LeaderEpoch, Offset};

/// The identity of one record: its value carries it, and no two records sent share one. A retry sends the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId(pub u64);

impl RecordId {
    /// The identity of the marker that ends a transaction: each attempt at one has an epoch of its own.
    pub const fn marker(coordinator_epoch: i32) -> Self {
        Self(1 << 63 | coordinator_epoch.cast_unsigned() as u64)
    }

    /// The identity of what a fenced producer sends: no log may ever have it.
    pub const FENCED: Self = Self(1 << 62);
}

/// How long a promise holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// For ever: it was on disk.
    Durable,
    /// As long as the machine runs: it was in the page cache (`ottla.ack.durability=os`).
    Cached,
}

/// The memory of all clients of one partition.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    next_id: u64,
    /// What the running broker's log holds, as far as the answers tell.
    current: BTreeMap<Offset, RecordId>,
    /// What may stand at an offset after the next start: current and attempted records, and truncated ones until
    /// their truncation is known to be durable.
    possible: BTreeMap<Offset, BTreeSet<RecordId>>,
    /// What must stand there whatever happens.
    durable: BTreeMap<Offset, RecordId>,
    /// What must stand there unless the power goes.
    cached: BTreeMap<Offset, RecordId>,
    /// The log start that a deletion was answered with.
    start_promised: Offset,
    /// The highest log start that anything was asked to make, or that retention may have made.
    start_allowed: Offset,
    /// The highest term that any leader of this partition had.
    newest_epoch: Option<LeaderEpoch>,
    /// The highest high watermark shown to consumers, by how long that holds.
    shown: (Offset, Offset),
}

impl Oracle {
    /// Nothing sent, nothing promised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Identities for `count` records to send.
    pub fn draw(&mut self, count: usize) -> Vec<RecordId> {
        let first = self.next_id;
        self.next_id += count as u64;
        (first..self.next_id).map(RecordId).collect()
    }

    /// These records are about to be written from `base` on.
    pub fn attempt(&mut self, base: Offset, ids: &[RecordId]) {
        for (offset, id) in from(base, ids) {
            self.possible.entry(offset).or_default().insert(id);
        }
    }

    /// They were not, not even in part.
    pub fn not_written(&mut self, base: Offset, ids: &[RecordId]) {
        for (offset, id) in from(base, ids) {
            if self.current.get(&offset) != Some(&id)
                && let Some(possible) = self.possible.get_mut(&offset)
            {
                possible.remove(&id);
            }
        }
    }

    /// They were written there.
    pub fn written(&mut self, base: Offset, ids: &[RecordId]) {
        self.attempt(base, ids);
        self.current.extend(from(base, ids));
    }

    /// Somebody was told that everything below `end` is there: a producer by an answer, a consumer by the high watermark.
    pub fn promise(&mut self, end: Offset, promise: Promise) {
        match promise {
            Promise::Durable => {
                self.flushed(end);
                self.shown.0 = self.shown.0.max(end);
            }
            Promise::Cached => self.cached.extend(below(&self.current, end)),
        }
        self.shown.1 = self.shown.1.max(end);
    }

    /// The log says that everything below `end` is on disk.
    pub fn flushed(&mut self, end: Offset) {
        self.durable.extend(below(&self.current, end));
        self.possible = self.possible.split_off(&end);
    }

    /// A producer was told that these records stand at `base`.
    pub fn acknowledged(&mut self, base: Offset, ids: &[RecordId], promise: Promise) {
        let to = match promise {
            Promise::Durable => &mut self.durable,
            Promise::Cached => &mut self.cached,
        };
        to.extend(from(base, ids));
    }

    /// The log is to be cut at `end`: nobody was told of what lies above, or those who were have been told otherwise.
    pub fn truncating(&mut self, end: Offset) {
        for (offset, id) in self.durable.split_off(&end).into_iter().chain(self.cached.split_off(&end)) {
            self.possible.entry(offset).or_default().insert(id);
        }
        self.shown = (self.shown.0.min(end), self.shown.1.min(end));
    }

    /// It was cut. What was cut may come back until the cut is durable, so it stays possible.
    pub fn truncated(&mut self, end: Offset) {
        self.current.split_off(&end);
    }

    /// Whatever was cut, the cut is durable now.
    pub fn nothing_returns(&mut self) {
        self.possible = self.current.iter().map(|(offset, id)| (*offset, BTreeSet::from([*id]))).collect();
    }

    /// Records below `start` may go from now on.
    pub fn may_start_at(&mut self, start: Offset) {
        self.start_allowed = self.start_allowed.max(start);
    }

    /// The log was emptied and starts anew at `start`, above or below.
    pub fn restarting_at(&mut self, start: Offset) {
        self.start_allowed = start;
        self.start_promised = self.start_promised.min(start);
    }

    /// Somebody was told that the log starts at `start`.
    pub fn starts_at(&mut self, start: Offset) {
        self.start_promised = self.start_promised.max(start);
        self.may_start_at(start);
    }

    /// A leader's term has begun.
    pub fn term(&mut self, epoch: LeaderEpoch) {
        self.newest_epoch = self.newest_epoch.max(Some(epoch));
    }

    /// The power went: promises that the page cache kept are void.
    pub fn power_cut(&mut self) {
        self.cached.clear();
        self.shown.1 = self.shown.0;
    }

    /// A new process found this, and says so to whoever asks: what it did not find will not come back.
    pub fn recovered(&mut self, found: impl IntoIterator<Item = (Offset, RecordId)>) {
        self.current = found.into_iter().collect();
        self.nothing_returns();
    }

    /// What must stand at which offset.
    pub fn promised(&self) -> impl Iterator<Item = (Offset, RecordId)> {
        self.durable.iter().chain(&self.cached).map(|(offset, id)| (*offset, *id))
    }

    /// The same, of one offset.
    pub fn promised_at(&self, offset: Offset) -> Option<RecordId> {
        self.durable.get(&offset).or_else(|| self.cached.get(&offset)).copied()
    }

    /// Where a record stands or stood, if anybody was told of it.
    pub fn offset_of(&self, id: RecordId) -> Option<Offset> {
        self.promised().find(|(_, promised)| *promised == id).map(|(offset, _)| offset)
    }

    /// True if this record was ever about to be written at this offset, and may still be there.
    pub fn may_stand(&self, offset: Offset, id: RecordId) -> bool {
        self.promised_at(offset) == Some(id)
            || self.possible.get(&offset).is_some_and(|ids| ids.contains(&id))
    }

    /// What the running log holds.
    pub const fn current(&self) -> &BTreeMap<Offset, RecordId> {
        &self.current
    }

    /// The log start that was answered, and the highest that was allowed.
    pub const fn log_start(&self) -> (Offset, Offset) {
        (self.start_promised, self.start_allowed)
    }

    /// The highest term so far.
    pub const fn newest_epoch(&self) -> Option<LeaderEpoch> {
        self.newest_epoch
    }

    /// The highest high watermark that was shown and still binds.
    pub const fn high_watermark(&self) -> Offset {
        self.shown.1
    }
}

fn below(map: &BTreeMap<Offset, RecordId>, end: Offset) -> impl Iterator<Item = (Offset, RecordId)> + '_ {
    map.range(..end).map(|(offset, id)| (*offset, *id))
}

fn from(base: Offset, ids: &[RecordId]) -> impl Iterator<Item = (Offset, RecordId)> + '_ {
    ids.iter().zip(0..).map(move |(id, n)| (base + n, *id))
}
