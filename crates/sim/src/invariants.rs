//! The promises, one function each. A function gets what is known and what was found, and says what is broken.
//! The letters and numbers are those of `docs/TESTING.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ottla_record::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_storage::Log;

use crate::disk::Image;
use crate::observed::{Observed, check_index_files};
use crate::oracle::{Oracle, RecordId};

/// Which promise is broken. The names are what mutants are caught by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// R1: no acknowledged record is lost.
    AcknowledgedSurvives,
    /// R2: an offset has one value for ever.
    OneValuePerOffset,
    /// R3: no record stands at two offsets.
    NoRecordTwice,
    /// S1: nothing is there that was not written there.
    NothingInvented,
    /// R4: a producer's order is the offset order.
    ProducerOrder,
    /// R1, for a compacted log: of every key the last record is there, and a reader from the start comes to know it.
    LastValue,
    /// S1: offsets are dense.
    DenseOffsets,
    /// R6: what is served reads well, CRC included.
    Readable,
    /// R5: what a consumer polls follows on what it had.
    NothingSkipped,
    /// T1, T2: who reads committed records sees all of them and no others.
    OnlyCommitted,
    /// T5, G4: after a newer epoch of a producer or a newer generation is acknowledged, nothing of an older one is written.
    Fencing,
    /// G1: a committed offset is durable and never goes back.
    CommitSurvives,
    /// G2: a partition has one owner.
    OneOwner,
    /// T4: the last stable offset is that of the transactions, never goes back, and nobody reads past an end.
    LastStable,
    /// A look-up by time finds the first record at or after it.
    Times,
    /// S2: damage below the recovery point is told as such.
    DamageIsTold,
    /// P3: along a log, leader epochs never fall.
    EpochsRise,
    /// P3: the epoch history says what the batches say.
    EpochHistory,
    /// P4: a leader's term is new.
    EpochsNeverRepeat,
    /// P5: the high watermark that consumers saw never goes back.
    HighWatermarkNeverFalls,
    /// P6: an answer names what was written, behind the mark that was waited for.
    AnswerIsTrue,
    /// S1: the log opens after any crash.
    Opens,
    /// S1: what recovery calls flushed is flushed, and not behind what was acknowledged.
    FlushedEnd,
    /// The log start never falls behind an answered deletion, nor runs ahead of what was asked.
    LogStart,
    /// S1: every index entry points at the batch it says.
    Indexes,
    /// The state of producers is what the log says.
    ProducerState,
    /// S1: recovering again changes nothing.
    RecoveryIsIdempotent,
    /// L1: once faults stop, requests are answered.
    Progress,
    /// P1: a partition's leader is in sync, and whatever else the metadata promises of itself.
    LeaderInSync,
    /// P2, R1: what is committed is on every in-sync replica.
    CommittedIsEverywhere,
    /// P7: who was lost is not electable before it has caught up, unless nobody else has everything.
    ElectableHasAll,
    /// P8: a consumer past a truncation is told.
    TruncationIsTold,
    /// P3: the same offset and epoch are the same bytes everywhere.
    SameBytes,
    /// P5: with too few replicas in sync the high watermark stands still.
    MinInSync,
    /// P3: what a leader sends continues its follower's log.
    CopyTaken,
    /// R2: consumers read what is committed, and nothing else.
    ReadsCommitted,
    /// M2: what an administrator was answered stays.
    MetadataStays,
    /// M3: all brokers come to the same metadata.
    ImagesConverge,
    /// S3: nothing panics.
    NoPanic,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken: {}", self.invariant, self.found)
    }
}

impl std::error::Error for Violation {}

type Verdict = Result<(), Violation>;

/// Says that an invariant is broken.
pub fn broken(invariant: Invariant, found: impl Into<String>) -> Violation {
    Violation { invariant, found: found.into() }
}

fn hold(invariant: Invariant, holds: bool, found: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken(invariant, found())) }
}

/// All that is asked of a log that was just opened, or that runs.
pub fn check_log(oracle: &Oracle, observed: &Observed) -> Verdict {
    offsets_are_dense(observed)?;
    log_start_is_as_answered(oracle, observed)?;
    one_value_per_offset(oracle, observed)?;
    acknowledged_survives(oracle, observed)?;
    nothing_is_invented(oracle, observed)?;
    no_record_stands_twice(observed)?;
    producers_keep_their_order(observed)?;
    epochs_rise(oracle, observed)
}

/// R1. A record below the log start is gone by right: whether the log start is right is another promise.
pub fn acknowledged_survives(oracle: &Oracle, observed: &Observed) -> Verdict {
    let lost =
        oracle.promised().find(|(offset, _)| *offset >= observed.log_start && observed.at(*offset).is_none());
    hold(Invariant::AcknowledgedSurvives, lost.is_none(), || {
        let (offset, id) = lost.unwrap_or((Offset::ZERO, RecordId(0)));
        format!(
            "record {} at offset {offset} was acknowledged, but the log spans {} to {}",
            id.0, observed.log_start, observed.log_end
        )
    })
}

/// R2.
pub fn one_value_per_offset(oracle: &Oracle, observed: &Observed) -> Verdict {
    let changed = oracle.promised().find_map(|(offset, id)| {
        let found = observed.at(offset)?;
        (found != id).then(|| format!("offset {offset} held record {}, now {}", id.0, found.0))
    });
    changed.map_or(Ok(()), |found| Err(broken(Invariant::OneValuePerOffset, found)))
}

/// R3. Values are unique, so a value at two offsets is a duplicate.
pub fn no_record_stands_twice(observed: &Observed) -> Verdict {
    let mut seen = BTreeMap::new();
    for (offset, id) in observed.records() {
        if let Some(first) = seen.insert(id, offset) {
            let found = format!("record {} stands at offset {first} and at {offset}", id.0);
            return Err(broken(Invariant::NoRecordTwice, found));
        }
    }
    Ok(())
}

/// S1.
pub fn nothing_is_invented(oracle: &Oracle, observed: &Observed) -> Verdict {
    let invented = observed.records().find(|(offset, id)| !oracle.may_stand(*offset, *id));
    hold(Invariant::NothingInvented, invented.is_none(), || {
        let (offset, id) = invented.unwrap_or((Offset::ZERO, RecordId(0)));
        format!("record {} was never written at offset {offset}, or cannot have come back", id.0)
    })
}

/// R4. Within one producer id and epoch, sequences rise with offsets, without a gap.
pub fn producers_keep_their_order(observed: &Observed) -> Verdict {
    let mut next: BTreeMap<ProducerId, (ProducerEpoch, Sequence)> = BTreeMap::new();
    for batch in &observed.batches {
        let Some((producer, sequence)) = batch.producer.and_then(|p| Some((p, p.base_sequence?))) else {
            continue;
        };
        let after = sequence.advance(i32::try_from(batch.ids.len()).unwrap_or(i32::MAX));
        if let Some((epoch, expected)) = next.insert(producer.id, (producer.epoch, after)) {
            let found =
                || format!("producer {} has sequence {sequence} at offset {}", producer.id, batch.base);
            hold(Invariant::ProducerOrder, epoch <= producer.epoch, found)?;
            hold(Invariant::ProducerOrder, epoch < producer.epoch || expected == sequence, found)?;
        }
    }
    Ok(())
}

/// S1. Every offset from the log start to the end is in exactly one batch.
pub fn offsets_are_dense(observed: &Observed) -> Verdict {
    let Observed { log_start, log_end, batches, .. } = observed;
    hold(Invariant::DenseOffsets, log_start <= log_end, || {
        format!("the log spans {log_start} to {log_end}")
    })?;
    let Some((first, last)) = batches.first().zip(batches.last()) else {
        return hold(Invariant::DenseOffsets, log_start == log_end, || {
            format!("no batch between {log_start} and {log_end}")
        });
    };
    hold(Invariant::DenseOffsets, first.base <= *log_start && first.last >= *log_start, || {
        format!("the first batch spans {} to {}, the log starts at {log_start}", first.base, first.last)
    })?;
    hold(Invariant::DenseOffsets, last.last.next() == *log_end, || {
        format!("the last batch ends at {}, the log at {log_end}", last.last)
    })?;
    for (a, b) in batches.iter().zip(batches.iter().skip(1)) {
        hold(Invariant::DenseOffsets, a.last.next() == b.base, || {
            format!("after offset {} comes {}", a.last, b.base)
        })?;
    }
    let miscounted = batches.iter().find(|b| usize::try_from(b.last - b.base + 1) != Ok(b.ids.len()));
    hold(Invariant::DenseOffsets, miscounted.is_none(), || {
        format!("{miscounted:?} does not hold a record an offset")
    })
}

/// P3. A batch of an older leader never follows one of a newer, and none is of a leader that never was.
pub fn epochs_rise(oracle: &Oracle, observed: &Observed) -> Verdict {
    let mut before: Option<LeaderEpoch> = None;
    for batch in &observed.batches {
        hold(Invariant::EpochsRise, batch.epoch >= before && batch.epoch <= oracle.newest_epoch(), || {
            format!("epoch {:?} at offset {} after {before:?}", batch.epoch, batch.base)
        })?;
        before = batch.epoch;
    }
    Ok(())
}

/// P3. The epoch history has the epochs of the batches, at the offsets where they begin.
pub fn epoch_history_is_true(log: &Log, observed: &Observed) -> Verdict {
    let mut expected: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for batch in &observed.batches {
        let Some(epoch) = batch.epoch else { continue };
        if expected.last().is_none_or(|(last, _)| *last < epoch) {
            expected.push((epoch, batch.base.max(observed.log_start)));
        }
    }
    let all: Vec<(LeaderEpoch, Offset)> =
        log.leader_epochs().entries().iter().map(|entry| (entry.epoch, entry.start)).collect();
    // An epoch without a batch may stand at either end: records deleted, or none written yet.
    let missing = expected.iter().enumerate().find(|(n, (epoch, start))| {
        !all.iter().any(|(e, s)| e == epoch && (s == start || (*n == 0 && s <= start)))
    });
    hold(Invariant::EpochHistory, missing.is_none(), || {
        format!("the batches say {expected:?}, the history says {all:?}")
    })
}

/// P4. A term that a process begins is higher than any before.
pub fn epoch_is_new(oracle: &Oracle, epoch: LeaderEpoch) -> Verdict {
    hold(Invariant::EpochsNeverRepeat, Some(epoch) > oracle.newest_epoch(), || {
        format!("a new process leads in epoch {epoch}, which is not above {:?}", oracle.newest_epoch())
    })
}

/// P5.
pub fn high_watermark_never_falls(oracle: &Oracle, now: Offset) -> Verdict {
    hold(Invariant::HighWatermarkNeverFalls, now >= oracle.high_watermark(), || {
        format!("consumers saw the high watermark at {}, now it is {now}", oracle.high_watermark())
    })
}

/// S1. All that survived is flushed before anybody is told of it.
pub fn everything_found_is_flushed(observed: &Observed) -> Verdict {
    hold(Invariant::FlushedEnd, observed.flushed_end == observed.log_end, || {
        format!("recovered up to {}, but flushed only to {}", observed.log_end, observed.flushed_end)
    })
}

/// The log start is at or above the answered one, and at or below the highest that was allowed.
pub fn log_start_is_as_answered(oracle: &Oracle, observed: &Observed) -> Verdict {
    let (promised, allowed) = oracle.log_start();
    hold(Invariant::LogStart, (promised..=allowed).contains(&observed.log_start), || {
        format!("the log starts at {}, answered was {promised}, allowed {allowed}", observed.log_start)
    })
}

/// S1.
pub fn indexes_are_consistent(image: &Image, dir: &Path) -> Verdict {
    check_index_files(image, dir).map_err(|found| broken(Invariant::Indexes, found))
}

/// Reads from every single offset, so that every look-up goes through the index.
pub fn every_offset_is_found(log: &Log, observed: &Observed) -> Verdict {
    let view = log.view();
    for batch in &observed.batches {
        for offset in [batch.base.max(observed.log_start), batch.last] {
            let slice = view.read(offset, 1, Offset::new(i64::MAX), true);
            let slice =
                slice.map_err(|error| broken(Invariant::Indexes, format!("offset {offset}: {error}")))?;
            let begins = slice.map(|slice| slice.base_offset);
            hold(Invariant::Indexes, begins == Some(batch.base), || {
                format!("reading offset {offset} begins at {begins:?}, not at {}", batch.base)
            })?;
        }
    }
    Ok(())
}

/// What the log says of one producer: its epoch and its last batches, as (last sequence, last offset).
type Replayed = BTreeMap<ProducerId, (ProducerEpoch, Vec<(Sequence, Offset)>)>;

/// The state that recovery built, from snapshots and from the tail, equals what the batches say. Of batches that have
/// been deleted it may know more.
pub fn producer_state_is_true(log: &Log, observed: &Observed) -> Verdict {
    let mut replayed = Replayed::new();
    for batch in &observed.batches {
        let Some(producer) = batch.producer else { continue };
        let Some(sequence) = producer.base_sequence else {
            // A marker has no sequence, but its epoch may begin a new one.
            if let Some(known) = replayed.get_mut(&producer.id).filter(|known| known.0 < producer.epoch) {
                *known = (producer.epoch, Vec::new());
            }
            continue;
        };
        let (epoch, recent) = replayed.entry(producer.id).or_insert((producer.epoch, Vec::new()));
        if producer.epoch > *epoch {
            (*epoch, *recent) = (producer.epoch, Vec::new());
        }
        let count = i32::try_from(batch.ids.len()).unwrap_or(i32::MAX);
        recent.push((sequence.advance(count - 1), batch.last));
        if recent.len() > RECENT_BATCHES {
            recent.remove(0);
        }
    }
    let first = observed.batches.first().map_or(observed.log_end, |batch| batch.base);
    let states = log.producers();
    for (id, producer) in states.iter() {
        let known: Vec<(Sequence, Offset)> =
            producer.recent.iter().map(|batch| (batch.last_sequence, batch.last_offset)).collect();
        let (epoch, recent) = replayed.remove(&id).unwrap_or((producer.epoch, Vec::new()));
        let older = known.len().checked_sub(recent.len()).and_then(|n| known.split_at_checked(n));
        let agrees = producer.epoch >= epoch
            && older.is_some_and(|(old, new)| new == recent && old.iter().all(|(_, last)| *last < first));
        hold(Invariant::ProducerState, agrees, || {
            format!(
                "producer {id}: the log from {first} says {epoch:?} {recent:?}, its state {:?} {known:?}",
                producer.epoch
            )
        })?;
    }
    hold(Invariant::ProducerState, replayed.is_empty(), || format!("not remembered: {replayed:?}"))
}

/// Kafka's and the storage crate's number, written once more: the checker is not to follow a change of it.
const RECENT_BATCHES: usize = 5;
