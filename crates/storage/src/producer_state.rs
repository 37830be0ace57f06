//! What is known of every idempotent producer of one partition: its epoch, its last five batches, and the transaction
//! it has open (KIP-98; Kafka's `ProducerStateManager`).
//!
//! [`ProducerStates::check`] decides and changes nothing; [`ProducerStates::apply`] is the only mutator, and also what
//! recovery and followers use.

use std::collections::BTreeMap;

use ottla_record::control::{ControlType, EndTransactionMarker};
use ottla_record::header::BatchHeader;
use ottla_record::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::error::AppendError;
use crate::transaction_index::AbortedTransaction;

/// Batches remembered for each producer, as many as a client may have in flight with idempotence.
pub const RECENT_BATCHES: usize = 5;

/// One batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentBatch {
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its last offset minus its first, which is also that of the sequences.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: Option<Timestamp>,
}

impl RecentBatch {
    /// Offset of its first record.
    pub fn first_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }

    fn has(&self, first: Sequence, last: Sequence) -> bool {
        self.last_sequence == last && first.advance(self.offset_delta) == last
    }
}

/// The state of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its highest epoch.
    pub epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: Option<Timestamp>,
    /// First offset of the transaction it has open here.
    pub transaction_start: Option<Offset>,
    /// Its last batches of this epoch, oldest first, at most [`RECENT_BATCHES`].
    pub recent: Vec<RecentBatch>,
}

impl Producer {
    /// The sequence its next batch must have; `None` as long as it has written nothing in this epoch.
    pub fn next_sequence(&self) -> Option<Sequence> {
        self.recent.last().map(|batch| batch.last_sequence.advance(1))
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.recent.clear();
        }
    }

    fn remember(&mut self, batch: RecentBatch) {
        if self.recent.len() == RECENT_BATCHES {
            self.recent.remove(0);
        } else if self.recent.is_empty() {
            self.recent.reserve_exact(RECENT_BATCHES);
        }
        self.recent.push(batch);
    }
}

/// What [`ProducerStates::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The batch may be appended.
    New,
    /// The batch is in the log already.
    Duplicate(RecentBatch),
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTransaction {
    /// Whose.
    pub producer: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of the marker.
    pub last_offset: Offset,
    /// Everything below this is decided now.
    pub last_stable_offset: Offset,
    /// How it ended.
    pub control: ControlType,
}

impl EndedTransaction {
    /// The entry of the transaction index, if it was aborted.
    pub fn aborted(&self) -> Option<AbortedTransaction> {
        (self.control == ControlType::Abort).then_some(AbortedTransaction {
            producer: self.producer,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: self.last_stable_offset,
        })
    }
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, Producer>,
    /// Open transactions by first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Transactions that ended with a marker above the high watermark: first offset to the marker's.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    /// Every producer by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// One producer.
    pub fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.producers.get(&id)
    }

    /// The first offset that a `read_committed` reader may not pass: the start of the oldest transaction that is open,
    /// or whose marker is not below the high watermark yet.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        open.into_iter().chain(unreplicated).min().copied()
    }

    /// The start of the oldest open transaction and its producer.
    pub fn first_open_transaction(&self) -> Option<(Offset, ProducerId)> {
        self.open.first_key_value().map(|(offset, id)| (*offset, *id))
    }

    /// What was known below an offset, as far as it is remembered: whoever has only the batches from there on does not know it.
    /// Of at most so many producers, those that wrote last.
    ///
    /// A producer with five later batches is left out. It has answers for all before them, and will not send those again.
    pub fn before(&self, offset: Offset, most: usize) -> Self {
        let last = |producer: &Producer| producer.recent.last().map(|batch| batch.last_offset);
        let earlier = |(id, producer): (&ProducerId, &Producer)| {
            let mut earlier = producer.clone();
            earlier.recent.retain(|batch| batch.last_offset < offset);
            earlier.transaction_start = earlier.transaction_start.filter(|start| *start < offset);
            (!earlier.recent.is_empty() || producer.recent.is_empty()).then_some((*id, earlier))
        };
        let mut known: Vec<_> = self.producers.iter().filter_map(earlier).collect();
        known.sort_unstable_by_key(|(_, producer)| std::cmp::Reverse(last(producer)));
        known.truncate(most);
        let mut states = Self::default();
        for (id, producer) in known {
            states.restore(id, producer);
        }
        states
    }

    /// Decides about a batch that a client sent (or, with a marker, a coordinator). Changes nothing.
    pub fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
    ) -> Result<Verdict, AppendError> {
        let Some(stamp) = header.producer() else { return Ok(Verdict::New) };
        // Without state, any sequence is taken: what there was may have been deleted with its records (KIP-360).
        let Some(producer) = self.producers.get(&stamp.id) else { return Ok(Verdict::New) };
        let fenced = stamp.epoch < producer.epoch;
        if fenced {
            let (producer, current, got) = (stamp.id, producer.epoch, stamp.epoch);
            return Err(AppendError::InvalidProducerEpoch { producer, current, got });
        }
        if let Some(marker) = marker {
            return match producer.coordinator_epoch {
                Some(current) if current > marker.coordinator_epoch => Err(AppendError::CoordinatorFenced {
                    producer: stamp.id,
                    current,
                    got: marker.coordinator_epoch,
                }),
                _ => Ok(Verdict::New),
            };
        }
        // A coordinator's own records carry a producer and no sequence.
        if let (Some(first), Some(last)) = (stamp.base_sequence, header.last_sequence()) {
            let same_epoch = stamp.epoch == producer.epoch;
            if same_epoch && let Some(batch) = producer.recent.iter().find(|batch| batch.has(first, last)) {
                return Ok(Verdict::Duplicate(*batch));
            }
            let next = if same_epoch { producer.next_sequence() } else { None };
            let expected = next.unwrap_or(Sequence::ZERO);
            if first != expected {
                return Err(AppendError::OutOfOrderSequence { producer: stamp.id, expected, got: first });
            }
        }
        if producer.transaction_start.is_some() && !header.attributes().is_transactional() {
            return Err(AppendError::InvalidTransactionState { producer: stamp.id });
        }
        Ok(Verdict::New)
    }

    /// Takes note of a batch that is in the log, with the offsets it has there.
    pub fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
    ) -> Option<EndedTransaction> {
        let stamp = header.producer()?;
        let control = header.attributes().is_control();
        // A control batch whose record is no marker (compaction took it, or it is of another kind) means nothing here.
        if control && marker.is_none() {
            return None;
        }
        let producer = self.producers.entry(stamp.id).or_insert_with(|| Producer {
            epoch: stamp.epoch,
            coordinator_epoch: None,
            last_timestamp: None,
            transaction_start: None,
            recent: Vec::new(),
        });
        producer.enter_epoch(stamp.epoch);
        producer.last_timestamp = header.max_timestamp();
        if let Some(marker) = marker.filter(|_| control) {
            producer.coordinator_epoch = Some(marker.coordinator_epoch);
            let start = producer.transaction_start.take()?;
            return Some(self.end_transaction(stamp.id, start, header.base_offset(), marker.control));
        }
        if let Some(last_sequence) = header.last_sequence() {
            producer.remember(RecentBatch {
                last_sequence,
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta(),
                timestamp: header.max_timestamp(),
            });
        }
        if header.attributes().is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(header.base_offset());
            self.open.insert(header.base_offset(), stamp.id);
        }
        None
    }

    fn end_transaction(
        &mut self,
        producer: ProducerId,
        first_offset: Offset,
        last_offset: Offset,
        control: ControlType,
    ) -> EndedTransaction {
        self.open.remove(&first_offset);
        self.unreplicated.insert(first_offset, last_offset);
        let last_stable_offset = self.open.keys().next().copied().unwrap_or(last_offset.next());
        EndedTransaction { producer, first_offset, last_offset, last_stable_offset, control }
    }

    /// Transactions whose marker is below the high watermark no longer hold back readers.
    pub fn high_watermark_reached(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= high_watermark);
    }

    /// Forgets producers that have been silent for `expiration_ms` and have no transaction open.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.producers.retain(|_, producer| {
            let last = producer.last_timestamp.unwrap_or(Timestamp::EPOCH);
            producer.transaction_start.is_some() || now.millis_since(last) < expiration_ms
        });
    }

    /// Puts back a producer from a snapshot.
    pub(crate) fn restore(&mut self, id: ProducerId, producer: Producer) {
        if let Some(start) = producer.transaction_start {
            self.open.insert(start, id);
        }
        self.producers.insert(id, producer);
    }
}

#[cfg(test)]
mod tests;
