//! What is known of one partition from outside: every batch that was ever written anywhere, what is committed, who led
//! when, and what each broker's replica holds. The promises compare the brokers with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ottla_record::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use ottla_replication::PartitionConfig;
use ottla_storage::TopicPartition;

use crate::oracle::RecordId;
use crate::rng::mix;

/// One batch as it stands in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stands {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset of its last record.
    pub last: Offset,
    /// The term it was written in.
    pub epoch: LeaderEpoch,
}

/// What a batch is, wherever it stands.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where, and in which term.
    pub stands: Stands,
    /// Of all its bytes.
    pub hash: u64,
    /// Its records.
    pub ids: Arc<[RecordId]>,
}

/// One broker's copy, as its machine has last shown it.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    /// First offset.
    pub start: Offset,
    /// End of what is written.
    pub end: Offset,
    /// End of what is durable.
    pub flushed: Offset,
    /// Up to here it was compared with what is committed.
    pub compared: Offset,
    /// The batches, oldest first.
    pub batches: VecDeque<Stands>,
    /// The machine stopped or failed within an event: what it wrote last may be there or not.
    pub uncertain: bool,
    /// The machine has lost its page cache since: what was not flushed may be gone.
    pub lost_cache: bool,
}

/// One partition of one topic's incarnation.
#[derive(Debug)]
pub struct Ledger {
    /// The topic's name and the number.
    pub name: TopicPartition,
    /// The topic's identity.
    pub topic: TopicId,
    /// Its configuration but for `min.insync.replicas`, which the metadata has.
    pub config: PartitionConfig,
    /// The topic is gone.
    pub deleted: bool,
    /// It holds no records of clients: what it keeps is a coordinator's, or nothing.
    pub opaque: bool,
    /// What it loses may be lost: its topic allows unclean elections, or an operator has accepted the loss.
    pub lossy: bool,
    /// The term of the last leader that was elected out of sync. What older terms show since is of a log that is given up.
    pub given_up_below: Option<LeaderEpoch>,
    /// The term of the first one of those. Which of the histories since then a log had where it has deleted records is not known.
    forked_at: Option<LeaderEpoch>,
    /// Every batch that was written, by its first offset: of several terms there may be several.
    written: BTreeMap<Offset, Vec<Written>>,
    /// Batches that were about to be written when a machine stopped.
    attempts: Vec<(Offset, LeaderEpoch, Arc<[RecordId]>)>,
    /// What consumers may have seen and producers were told of, oldest first.
    pub committed: Vec<Stands>,
    /// Records of those.
    placed: BTreeSet<RecordId>,
    /// The newest of each idempotent producer.
    newest: BTreeMap<u64, u64>,
    /// As whom those write. Their sequences are the numbers of their records, unless something was given up.
    pub producers: BTreeMap<u64, ProducerId>,
    /// Who led: the broker and its process.
    pub terms: BTreeMap<LeaderEpoch, (BrokerId, u64)>,
    /// The highest high watermark that a leader has shown, with its term.
    pub shown: (LeaderEpoch, Offset),
    /// By broker.
    pub copies: Vec<Copy>,
    /// Records drawn so far, by producer.
    drawn: BTreeMap<u64, u64>,
}

/// Bits of a record's number; the producer's are above them.
const NUMBER_BITS: u32 = 32;
/// Producers from here on are plain: what they send may be lost, and its order is nobody's promise.
pub const FIRST_PLAIN: u64 = 1 << 20;

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// P3: another batch of the same term stands there.
    Differs(String),
    /// S1: nobody has written it.
    Invented(String),
    /// R3.
    Twice(String),
    /// R4.
    Order(String),
}

impl Ledger {
    /// A new partition, of which no broker has anything.
    pub fn new(name: TopicPartition, topic: TopicId, config: PartitionConfig, brokers: usize) -> Self {
        Self {
            name,
            topic,
            config,
            deleted: false,
            opaque: false,
            lossy: false,
            given_up_below: None,
            forked_at: None,
            written: BTreeMap::new(),
            attempts: Vec::new(),
            committed: Vec::new(),
            placed: BTreeSet::new(),
            newest: BTreeMap::new(),
            producers: BTreeMap::new(),
            terms: BTreeMap::new(),
            shown: (LeaderEpoch::ZERO, Offset::ZERO),
            copies: vec![Copy::default(); brokers],
            drawn: BTreeMap::new(),
        }
    }

    /// Its number within the topic.
    pub const fn index(&self) -> PartitionIndex {
        self.name.partition
    }

    /// Identities for records that a producer is going to send, in its order.
    pub fn draw(&mut self, producer: u64, count: usize) -> Vec<RecordId> {
        let drawn = self.drawn.entry(producer).or_default();
        let first = *drawn;
        *drawn += count as u64;
        (first..*drawn).map(|number| RecordId(producer << NUMBER_BITS | number)).collect()
    }

    /// How many records a producer has drawn, and up to which they are committed.
    pub fn progress_of(&self, producer: u64) -> (u64, u64) {
        let drawn = self.drawn.get(&producer).copied().unwrap_or(0);
        (drawn, self.newest.get(&producer).map_or(0, |newest| newest + 1))
    }

    /// The idempotent producers of which something is committed, and the number of its newest record.
    pub fn committed_by(&self) -> impl Iterator<Item = (ProducerId, u64)> + '_ {
        self.newest.iter().filter_map(|(number, newest)| Some((*self.producers.get(number)?, *newest)))
    }

    /// End of what is committed.
    pub fn committed_end(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, |batch| batch.last.next())
    }

    /// The committed batch that holds an offset.
    pub fn committed_at(&self, offset: Offset) -> Option<Stands> {
        let at = self.committed.partition_point(|batch| batch.last < offset);
        self.committed.get(at).copied().filter(|batch| batch.base <= offset)
    }

    /// What was written at an offset in a term.
    pub fn written(&self, base: Offset, epoch: LeaderEpoch) -> Option<&Written> {
        self.written.get(&base)?.iter().find(|written| written.stands.epoch == epoch)
    }

    /// A leader is about to append these, and its machine may stop in the middle of it.
    pub fn attempted(&mut self, base: Offset, epoch: LeaderEpoch, ids: &[RecordId]) {
        self.attempts.push((base, epoch, ids.into()));
    }

    /// A batch was found in a log. A leader that appends writes it for the first time; everybody else has copied it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn found(&mut self, found: Written, by_leader: bool) -> Result<(), Wrong> {
        let Stands { base, last, epoch } = found.stands;
        let variants = self.written.entry(base).or_default();
        if let Some(known) = variants.iter().find(|known| known.stands.epoch == epoch) {
            if known.hash != found.hash || known.stands.last != last {
                return Err(Wrong::Differs(format!(
                    "the batch at {base} of epoch {epoch} is {:?} here, {:?} elsewhere",
                    found.ids, known.ids
                )));
            }
            return Ok(());
        }
        let attempted =
            self.attempts.iter().any(|(at, of, ids)| (*at, *of) == (base, epoch) && **ids == *found.ids);
        if !by_leader && !attempted {
            return Err(Wrong::Invented(format!(
                "nobody has written {:?} at {base} in epoch {epoch}",
                found.ids
            )));
        }
        variants.push(found);
        Ok(())
    }

    /// A leader's high watermark has passed a batch for the first time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn commit(&mut self, batch: Stands) -> Result<(), Wrong> {
        let Some(written) = self.written(batch.base, batch.epoch) else {
            return Err(Wrong::Invented(format!("{batch:?} is committed, and nobody has written it")));
        };
        let ids = Arc::clone(&written.ids);
        for id in ids.iter() {
            if !self.placed.insert(*id) {
                return Err(Wrong::Twice(format!(
                    "record {} is committed twice, now at {}",
                    id.0, batch.base
                )));
            }
            let (producer, number) = (id.0 >> NUMBER_BITS, id.0 & u64::from(u32::MAX));
            if producer >= FIRST_PLAIN {
                continue;
            }
            let expected = self.newest.insert(producer, number).map_or(0, |newest| newest + 1);
            // A producer that is told of a loss gives up what was not answered, and goes on with what comes next.
            let goes_on = self.given_up_below.is_some() && number > expected;
            if number != expected && !goes_on {
                return Err(Wrong::Order(format!(
                    "producer {producer} has record {number} at {}, expected was {expected}",
                    batch.base
                )));
            }
        }
        self.committed.push(batch);
        Ok(())
    }

    /// A broker that is not in sync leads from now on: what of the committed it does not hold safely is lost.
    pub fn elect_uncleanly(&mut self, epoch: LeaderEpoch, broker: usize, durable: bool) {
        let Some(copy) = self.copies.get(broker) else { return };
        let safe = if durable { copy.flushed } else { copy.end };
        let below = self.committed.partition_point(|batch| batch.last < copy.start);
        let held = self.committed.iter().skip(below).zip(copy.batches.iter());
        let kept = below + held.take_while(|(batch, there)| batch == there && batch.last < safe).count();
        let lost = self.committed.split_off(kept.min(self.committed.len()));
        let forked_at = *self.forked_at.get_or_insert(epoch);
        let doubtful = self.committed.iter().take(below).filter(|batch| batch.epoch >= forked_at);
        for batch in lost.iter().chain(doubtful) {
            let ids = self.written(batch.base, batch.epoch).map(|written| Arc::clone(&written.ids));
            for id in ids.iter().flat_map(|ids| ids.iter()) {
                self.placed.remove(id);
            }
        }
        self.newest.clear();
        for id in &self.placed {
            // In their order, so that the last of each producer stays.
            self.newest.insert(id.0 >> NUMBER_BITS, id.0 & u64::from(u32::MAX));
        }
        let end = self.committed_end();
        for copy in &mut self.copies {
            copy.compared = copy.compared.min(end);
        }
        self.shown = (epoch, end);
        self.given_up_below = Some(epoch);
    }

    /// True if a leader of this term speaks of the log that counts.
    pub fn counts(&self, epoch: LeaderEpoch) -> bool {
        self.given_up_below.is_none_or(|floor| epoch >= floor)
    }

    /// True if a broker's copy has this batch, or has deleted it.
    pub fn is_there(&self, broker: usize, batch: Stands) -> bool {
        let Some(copy) = self.copies.get(broker) else { return false };
        batch.last < copy.start || copy.from(batch.base).next() == Some(batch)
    }
}

impl Copy {
    /// The log was cut.
    pub fn cut(&mut self, end: Offset) {
        while self.batches.back().is_some_and(|batch| batch.last >= end) {
            self.batches.pop_back();
        }
        self.end = end;
        self.flushed = self.flushed.min(end);
        self.compared = self.compared.min(end);
    }

    /// The log starts later; or it was emptied, and starts where the leader's first batch does.
    pub fn start_at(&mut self, start: Offset) {
        if start < self.start {
            self.cut(start);
        }
        while self.batches.front().is_some_and(|batch| batch.last < start) {
            self.batches.pop_front();
        }
        self.start = start;
        self.end = self.end.max(start);
        self.flushed = self.flushed.max(start);
        self.compared = self.compared.max(start);
    }

    /// The batches from the one that holds an offset on.
    pub fn from(&self, offset: Offset) -> impl Iterator<Item = Stands> + '_ {
        let at = self.batches.partition_point(|batch| batch.last < offset);
        self.batches.range(at..).copied()
    }
}

/// A hash of a batch's bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = mix(bytes.len() as u64);
    for word in words {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    for &byte in rest {
        hash = (hash.rotate_left(23) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash
}
