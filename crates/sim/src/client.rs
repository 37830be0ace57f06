//! Producers as Kafka's clients are: idempotent ones number their batches, keep what was not answered and send it again
//! in order; plain ones forget.

use bytes::Bytes;
use ottla_record::{
    BatchBuilder, Codec, Origin, ProduceRules, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp,
    TimestampType, ValidatedBatches, validate,
};

use crate::invariants::{Invariant, Violation, broken};
use crate::oracle::RecordId;
use crate::rng::Rng;

/// A batch that was sent.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Its records.
    pub ids: Vec<RecordId>,
    /// Sequence of the first one, of an idempotent producer.
    pub sequence: Sequence,
    bytes: Bytes,
    idempotent: bool,
}

/// One producer. Its memory outlives the broker's.
#[derive(Clone, Debug)]
pub struct Producer {
    id: Option<ProducerId>,
    epoch: ProducerEpoch,
    next: Sequence,
    /// Sent and not answered, oldest first.
    pub unanswered: Vec<SentBatch>,
    /// The last batch that was answered: sent again now and then, as a client does whose answer got lost.
    pub answered: Option<SentBatch>,
    /// Its batches belong to transactions.
    pub transactional: bool,
    /// Something it sent may not be there: it sends all that was not answered again before anything new.
    pub stalled: bool,
    /// Its records have keys, each one of its own: compaction finds every record to be the last of its key.
    pub keyed: bool,
}

impl Producer {
    /// An idempotent producer, or with `None` a plain one.
    pub const fn new(id: Option<ProducerId>) -> Self {
        Self {
            id,
            epoch: ProducerEpoch::ZERO,
            next: Sequence::ZERO,
            unanswered: Vec::new(),
            answered: None,
            transactional: false,
            stalled: false,
            keyed: false,
        }
    }

    /// An idempotent producer whose batches belong to transactions.
    pub fn transactional(id: ProducerId) -> Self {
        Self { transactional: true, ..Self::new(Some(id)) }
    }

    /// What it stamps on a marker that ends its transaction; `None` for a plain producer.
    pub fn marker_stamp(&self) -> Option<ProducerStamp> {
        self.id.map(|id| ProducerStamp { id, epoch: self.epoch, base_sequence: None })
    }

    /// Its id, if it has one.
    pub const fn id(&self) -> Option<ProducerId> {
        self.id
    }

    /// True if it numbers its batches.
    pub const fn is_idempotent(&self) -> bool {
        self.id.is_some()
    }

    /// Makes the next batch and keeps it as unanswered. A plain producer's value sizes vary more.
    ///
    /// # Errors
    /// None in a sound build: the batch is as a client makes it.
    pub fn batch(
        &mut self,
        ids: Vec<RecordId>,
        at: Timestamp,
        rng: &mut Rng,
    ) -> Result<SentBatch, Violation> {
        let codec = match rng.below(8) {
            0 => Codec::Lz4,
            1 => Codec::Snappy,
            _ => Codec::None,
        };
        let mut builder = BatchBuilder::new(codec);
        if let Some(id) = self.id {
            let stamp = ProducerStamp { id, epoch: self.epoch, base_sequence: Some(self.next) };
            builder = builder.producer(stamp);
        }
        if self.transactional {
            builder = builder.transactional();
        }
        for id in &ids {
            let mut value = id.0.to_be_bytes().to_vec();
            value.resize(8 + rng.index(MAX_PADDING), 0x5a);
            let late = i64::try_from(rng.below(3)).unwrap_or(0);
            let key = self.keyed.then(|| id.0.to_be_bytes());
            let key = key.as_ref().map(|key| key.as_slice());
            builder.push(Some(Timestamp::from_millis(at.millis() - late)), key, Some(&value), &[]);
        }
        let bytes = builder.build().map_err(|error| broken(Invariant::NoPanic, error.to_string()))?;
        let sent = SentBatch { sequence: self.next, bytes, ids, idempotent: self.is_idempotent() };
        self.next = self.next.advance(i32::try_from(sent.ids.len()).unwrap_or(0));
        self.unanswered.push(sent.clone());
        Ok(sent)
    }

    /// A batch that leaves a gap behind what was sent, as a client with a defect would send. It is not kept.
    ///
    /// # Errors
    /// As for [`Producer::batch`].
    pub fn batch_behind_a_gap(
        &self,
        ids: Vec<RecordId>,
        at: Timestamp,
        rng: &mut Rng,
    ) -> Result<SentBatch, Violation> {
        let mut liar = self.clone();
        liar.next = liar.next.advance(1);
        liar.batch(ids, at, rng)
    }

    /// This producer as it was one epoch ago: a client that does not know that it was replaced. `None` in the first epoch.
    pub fn zombie(&self) -> Option<Self> {
        let epoch = self.epoch.get().checked_sub(1).filter(|epoch| *epoch >= 0)?;
        Some(Self {
            transactional: self.transactional,
            epoch: ProducerEpoch::new(epoch),
            ..Self::new(self.id)
        })
    }

    /// The batch that begins with this record was answered, one way or another for good.
    pub fn settled(&mut self, first: RecordId, accepted: bool) {
        let Some(index) = self.unanswered.iter().position(|sent| sent.ids.first() == Some(&first)) else {
            return;
        };
        let sent = self.unanswered.remove(index);
        if accepted {
            self.answered = Some(sent);
        }
    }

    /// Starts over in a new epoch, as a client does when the broker lost what it had numbered (KIP-360). What was not
    /// answered is given up: nobody knows whether it is there.
    pub fn bump(&mut self) {
        self.epoch = ProducerEpoch::new(self.epoch.get() + 1);
        self.next = Sequence::ZERO;
        self.unanswered.clear();
        self.answered = None;
        self.stalled = false;
    }

    /// The connection is new, or a request failed: an idempotent producer sends again what was not answered, a plain one
    /// forgets it.
    pub fn reconnect(&mut self) {
        if self.is_idempotent() {
            self.stalled = !self.unanswered.is_empty();
        } else {
            self.unanswered.clear();
        }
    }
}

impl SentBatch {
    /// True if it may be sent again: its producer numbers what it sends.
    pub const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Checks the batch as the broker's front door does.
    ///
    /// # Errors
    /// None in a sound build.
    pub fn validated(&self, now: Timestamp) -> Result<ValidatedBatches, Violation> {
        validate(self.bytes.clone(), &RULES, now)
            .map_err(|error| broken(Invariant::NoPanic, error.to_string()))
    }
}

/// Checks the marker that ends a transaction as the broker's own coordinators have theirs checked.
///
/// # Errors
/// None in a sound build.
pub fn validated_marker(bytes: Bytes, now: Timestamp) -> Result<ValidatedBatches, Violation> {
    let rules = ProduceRules { origin: Origin::Coordinator, ..RULES };
    validate(bytes, &rules, now).map_err(|error| broken(Invariant::NoPanic, error.to_string()))
}

/// What every simulated topic allows.
const RULES: ProduceRules = ProduceRules {
    origin: Origin::Client,
    max_batch_bytes: 1 << 20,
    timestamp_type: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: i64::MAX,
    compression: None,
    compacted: false,
    allow_zstd: true,
    max_decompressed_bytes: 1 << 20,
};

/// Bytes of a value beyond the identity, at most.
const MAX_PADDING: usize = 150;
