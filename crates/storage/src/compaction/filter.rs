//! What compaction keeps of a batch: a decision about bytes, without any file (Kafka's `Cleaner.cleanInto` and
//! `MemoryRecords.filterTo`).
//!
//! | record | stays if |
//! |---|---|
//! | at or above the end of the key map | always |
//! | with a key and a value | no later record has its key |
//! | with a key and no value, a tombstone | the same, and its delete horizon has not passed |
//! | without a key | never: nothing could ever replace it |
//! | of an aborted transaction | never |
//! | the marker of a transaction | a batch of the transaction was still there, or its delete horizon has not passed |
//!
//! | batch | becomes |
//! |---|---|
//! | all records stay | as it is, byte for byte |
//! | some stay | written anew with the same offsets, stamps and codec |
//! | none stays, and it is among its producer's last five, or ends its segment | a header without records |
//! | none stays | nothing |
//!
//! Kafka keeps the very last batch of a producer. But that one may still be cut off by a new leader, and the ones before it,
//! in flight together with it, are sent again: each must be known as a duplicate then, and so each is kept.
//!
//! The delete horizon (KIP-534) is stamped into a batch when a pass first keeps a tombstone in it, or a marker whose
//! transaction is gone: now plus `delete.retention.ms`. Until then, a reader that has seen an older value of the key has
//! time to come by the tombstone.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_record::header::BatchHeader;
use ottla_record::{
    BatchBuilder, BatchError, BatchView, Codec, Compression, EndTransactionMarker, Offset, ProducerEpoch,
    ProducerId, Record, Records, Timestamp,
};

use super::key_map::{KeyHash, KeyMap};
use super::transactions::{MarkerUse, TransactionScan};
use crate::producer_state::RECENT_BATCHES;
use crate::timestamps::MAX_DECOMPRESSED_BYTES;
use crate::transaction_index::AbortedTransaction;

/// What the log would forget about a producer if its last batches went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOfProducer {
    /// Last offsets of its last batches with a sequence; none if only a marker is known of it.
    pub recent: [Option<Offset>; RECENT_BATCHES],
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// The last batches of the producers that are still known.
pub type LastOfProducers = BTreeMap<ProducerId, LastOfProducer>;

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It stays as it is.
    Unchanged,
    /// This takes its place.
    Rewritten(Bytes),
    /// Nothing of it stays.
    Gone,
}

/// What a batch means to the pass, beyond its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it.
    pub filtered: Filtered,
    /// The entry of the transaction index that goes with it.
    pub aborted: Option<AbortedTransaction>,
    /// Records that stay.
    pub kept: u32,
    /// Records that go because they have no key.
    pub without_key: u32,
}

/// Decides about the batches of a log, which it must be shown in order from the first.
#[derive(Debug)]
pub struct Filter {
    keys: KeyMap,
    /// The map knows every record below, and none above.
    mapped_to: Offset,
    producers: LastOfProducers,
    transactions: TransactionScan,
    now: Timestamp,
    delete_retention_ms: i64,
    /// Which records of the current batch stay.
    stays: Vec<bool>,
    /// The keys of the current batch, and the last offset of each.
    hashes: Vec<KeyHash>,
    latest: Vec<Option<Offset>>,
}

impl Filter {
    /// For one pass. `aborted` are the aborted transactions of the whole log below the end of the pass.
    pub fn new(
        keys: KeyMap,
        mapped_to: Offset,
        producers: LastOfProducers,
        aborted: Vec<AbortedTransaction>,
        now: Timestamp,
        delete_retention_ms: i64,
    ) -> Self {
        let transactions = TransactionScan::new(aborted);
        let (stays, hashes, latest) = Default::default();
        Self { keys, mapped_to, producers, transactions, now, delete_retention_ms, stays, hashes, latest }
    }

    /// Decides about one batch, whose CRC has been checked. `ends_segment`: it is the last of what becomes one segment.
    ///
    /// # Errors
    /// The batch cannot be read, or its rest cannot be written.
    pub fn filter(&mut self, batch: &BatchView<'_>, ends_segment: bool) -> Result<Outcome, BatchError> {
        let header = batch.header();
        let records = batch.records(MAX_DECOMPRESSED_BYTES)?;
        let horizon_passed = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let mut aborted = None;
        let mut stamp_horizon = false;
        let mut without_key = 0;
        self.stays.clear();
        if header.attributes().is_control() {
            let first = records.iter().next().transpose()?;
            let marker = first.and_then(|record| EndTransactionMarker::parse(&record));
            let spent = match self.transactions.control_batch(header, marker.map(|marker| marker.control)) {
                MarkerUse::Needed { aborts } => {
                    aborted = aborts;
                    false
                }
                MarkerUse::Spent => true,
            };
            let stays = !(spent && horizon_passed);
            stamp_horizon = spent && stays;
            self.stays.resize(header.record_count() as usize, stays);
        } else if self.transactions.batch(header) {
            self.stays.resize(header.record_count() as usize, false);
        } else {
            self.look_up(&records)?;
            for (record, latest) in records.iter().zip(&self.latest) {
                let record = record?;
                without_key += u32::from(record.key.is_none() && record.offset < self.mapped_to);
                let stays = self.stays(&record, *latest, horizon_passed);
                // Only what a pass has come by begins to count its time.
                stamp_horizon |= stays && record.value.is_none() && record.offset < self.mapped_to;
                self.stays.push(stays);
            }
        }
        stamp_horizon &= header.delete_horizon().is_none();
        let kept = u32::try_from(self.stays.iter().filter(|stays| **stays).count()).unwrap_or(u32::MAX);
        let filtered = if kept == header.record_count() && !stamp_horizon && kept > 0 {
            Filtered::Unchanged
        } else if kept > 0 {
            let codec = codec_of(header.compression());
            let mut builder = BatchBuilder::rewriting(header, codec);
            if stamp_horizon {
                builder = builder.delete_horizon(self.now.plus_millis(self.delete_retention_ms));
            }
            for (record, stays) in records.iter().zip(&self.stays) {
                if *stays {
                    builder.push_record(&record?);
                }
            }
            Filtered::Rewritten(builder.build()?)
        } else if ends_segment || self.is_known_of_its_producer(header) {
            match header.record_count() {
                0 => Filtered::Unchanged,
                // What is left keeps its offsets and its producer's sequence.
                _ => Filtered::Rewritten(BatchBuilder::rewriting(header, Codec::None).build()?),
            }
        } else {
            Filtered::Gone
        };
        Ok(Outcome { filtered, aborted, kept, without_key })
    }

    /// Finds the last offset of each record's key; of a record without a key, anything.
    fn look_up(&mut self, records: &Records<'_>) -> Result<(), BatchError> {
        self.hashes.clear();
        for record in records {
            self.hashes.push(record?.key.map_or_else(KeyHash::default, |key| self.keys.hash(key)));
        }
        self.latest.clear();
        self.keys.last_of_all(&self.hashes, &mut self.latest);
        Ok(())
    }

    fn stays(&self, record: &Record<'_>, latest: Option<Offset>, horizon_passed: bool) -> bool {
        if record.offset >= self.mapped_to {
            return true;
        }
        if record.key.is_none() {
            return false;
        }
        let is_latest = latest.is_none_or(|last| record.offset >= last);
        is_latest && (record.value.is_some() || !horizon_passed)
    }

    /// Its sequence is what the producer's next batches are compared with; of a producer without sequences, the epoch of its
    /// last marker is what fences.
    fn is_known_of_its_producer(&self, header: &BatchHeader) -> bool {
        let Some(stamp) = header.producer() else { return false };
        self.producers.get(&stamp.id).is_some_and(|last| {
            if header.attributes().is_control() {
                last.recent == [None; RECENT_BATCHES] && stamp.epoch == last.epoch
            } else {
                last.recent.contains(&Some(header.last_offset()))
            }
        })
    }
}

/// The same codec at its own default level: what a producer chose does not stand in the batch.
fn codec_of(compression: Compression) -> Codec {
    match compression {
        Compression::None => Codec::None,
        Compression::Gzip => Codec::Gzip { level: -1 },
        Compression::Snappy => Codec::Snappy,
        Compression::Lz4 => Codec::Lz4,
        Compression::Zstd => Codec::Zstd { level: 3 },
    }
}

#[cfg(test)]
mod tests;
