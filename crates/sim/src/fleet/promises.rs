//! What must hold of a cluster after every event, one function each. A function gets what is known of a partition and what
//! a broker shows now; it compares only what is new since the last time, so that a run may have many events.

use ottla_coordination::metadata::Partition;
use ottla_record::{BatchView, BrokerId, LeaderEpoch, Offset};
use ottla_replication::{Availability, View};
use ottla_storage::{Log, Producer};

use super::ledger::{Ledger, Stands, Written, Wrong, hash};
use crate::invariants::{Invariant, Violation, broken};
use crate::observed;

type Verdict = Result<(), Violation>;

impl From<Wrong> for Violation {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Differs(found) => broken(Invariant::SameBytes, found),
            Wrong::Invented(found) => broken(Invariant::NothingInvented, found),
            Wrong::Twice(found) => broken(Invariant::NoRecordTwice, found),
            Wrong::Order(found) => broken(Invariant::ProducerOrder, found),
        }
    }
}

/// P3, R6: what a broker's log has gained since the last look stands there as everywhere else, with the right checksums.
///
/// # Errors
/// [`Invariant::SameBytes`], [`Invariant::NothingInvented`], [`Invariant::Readable`], [`Invariant::EpochsRise`]
pub fn copies_agree(ledger: &mut Ledger, broker: usize, view: &View) -> Verdict {
    let leads = matches!(view.availability, Availability::Leading { .. });
    let Some(copy) = ledger.copies.get_mut(broker) else { return Ok(()) };
    if view.log_end < copy.end {
        copy.cut(view.log_end);
    }
    if view.log_start != copy.start {
        copy.start_at(view.log_start);
    }
    let from = copy.end;
    let mut newest = copy.batches.back().map(|batch| batch.epoch);
    for found in read(ledger, view, from)? {
        let stands = found.stands;
        if newest > Some(stands.epoch) {
            let found = format!("epoch {} at {} after {newest:?}", stands.epoch, stands.base);
            return Err(broken(Invariant::EpochsRise, found));
        }
        newest = Some(stands.epoch);
        ledger.found(found, leads)?;
        if let Some(copy) = ledger.copies.get_mut(broker) {
            if stands.base != copy.end && copy.end != copy.start {
                let found = format!("after {} comes {}", copy.end, stands.base);
                return Err(broken(Invariant::DenseOffsets, found));
            }
            copy.batches.push_back(stands);
            copy.end = stands.last.next();
        }
    }
    if let Some(copy) = ledger.copies.get_mut(broker) {
        copy.flushed = view.flushed_end;
    }
    Ok(())
}

/// The batches from an offset to the end of a log.
///
/// # Errors
/// [`Invariant::Readable`]
pub fn read(ledger: &Ledger, view: &View, mut from: Offset) -> Result<Vec<Written>, Violation> {
    let unreadable = |found: String| broken(Invariant::Readable, found);
    let mut batches = Vec::new();
    while from < view.log_end {
        let slice = view.log.read(from, BITE, Offset::new(i64::MAX), true);
        let slice = slice.map_err(|error| unreadable(error.to_string()))?;
        let slice =
            slice.ok_or_else(|| unreadable(format!("nothing at {from}, the end is {}", view.log_end)))?;
        let bytes = slice.read().map_err(|error| unreadable(error.to_string()))?;
        let found = batches_of(ledger, &bytes)?;
        from = found.last().map_or(view.log_end, |batch: &Written| batch.stands.last.next());
        batches.extend(found);
    }
    Ok(batches)
}

/// The batches in some bytes; those that are known are not parsed again.
///
/// # Errors
/// [`Invariant::Readable`]
pub fn batches_of(ledger: &Ledger, mut bytes: &[u8]) -> Result<Vec<Written>, Violation> {
    let unreadable = |found: String| broken(Invariant::Readable, found);
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let view = BatchView::parse(bytes).map_err(|error| unreadable(error.to_string()))?;
        let (this, rest) = bytes.split_at_checked(view.len()).unwrap_or((bytes, &[]));
        let epoch = view.header().partition_leader_epoch();
        let epoch = epoch.ok_or_else(|| unreadable("a batch without a leader epoch".to_owned()))?;
        let stands = Stands { base: view.base_offset(), last: view.last_offset(), epoch };
        let hash = hash(this);
        match ledger.written(stands.base, epoch).filter(|known| known.hash == hash) {
            Some(known) => batches.push(known.clone()),
            None if ledger.opaque => {
                view.verify_crc().map_err(|error| unreadable(error.to_string()))?;
                batches.push(Written { stands, hash, ids: [].into() });
            }
            None => {
                let parsed = observed::parse(this).map_err(unreadable)?;
                let ids = parsed.iter().flat_map(|batch| batch.ids.iter().copied()).collect();
                batches.push(Written { stands, hash, ids });
            }
        }
        bytes = rest;
    }
    Ok(batches)
}

/// P4. A term has one leader, in one process.
///
/// # Errors
/// [`Invariant::EpochsNeverRepeat`]
pub fn one_leader_per_term(
    ledger: &mut Ledger,
    epoch: LeaderEpoch,
    broker: BrokerId,
    incarnation: u64,
) -> Verdict {
    let leader = *ledger.terms.entry(epoch).or_insert((broker, incarnation));
    if leader == (broker, incarnation) {
        return Ok(());
    }
    let found =
        format!("epoch {epoch} was led by {leader:?} (broker, process), now by {:?}", (broker, incarnation));
    Err(broken(Invariant::EpochsNeverRepeat, found))
}

/// R3. Who begins to lead knows every idempotent producer of which something is committed, be its batches deleted or not: what it
/// sends again is told from what is new.
///
/// # Errors
/// [`Invariant::ProducerState`]
pub fn producers_are_known(ledger: &Ledger, broker: usize, epoch: LeaderEpoch, log: &Log) -> Verdict {
    let is_latest = ledger.terms.last_key_value().is_some_and(|(latest, _)| *latest == epoch);
    if !is_latest || ledger.given_up_below.is_some() {
        return Ok(());
    }
    for (id, newest) in ledger.committed_by() {
        let next = log.producers().get(id).and_then(Producer::next_sequence);
        if next.is_none_or(|next| u64::try_from(next.get()).unwrap_or(0) <= newest) {
            let found = format!(
                "record {newest} of producer {id} is committed, broker {broker} leads and expects {next:?}"
            );
            return Err(broken(Invariant::ProducerState, found));
        }
    }
    Ok(())
}

/// P2, first half: what a leader's high watermark passes is committed. What lies below it is what others committed, and
/// what is new is on its own disk.
///
/// # Errors
/// [`Invariant::CommittedIsEverywhere`], [`Invariant::NoRecordTwice`], [`Invariant::ProducerOrder`]
pub fn commits(ledger: &mut Ledger, broker: usize, high_watermark: Offset) -> Verdict {
    let end = ledger.committed_end();
    if high_watermark > end {
        let Some(copy) = ledger.copies.get(broker) else { return Ok(()) };
        let new: Vec<Stands> = copy.from(end).take_while(|batch| batch.last < high_watermark).collect();
        // Of what was given up, part may have been deleted by those that had it.
        if ledger.given_up_below.is_none() && new.first().is_some_and(|batch| batch.base > end) {
            let found = format!("the leader's log begins at {}, committed is up to {end}", copy.start);
            return Err(broken(Invariant::CommittedIsEverywhere, found));
        }
        for batch in new {
            ledger.commit(batch)?;
        }
    }
    has_committed(ledger, broker, high_watermark.min(end))
}

/// P2, P7, R1. A replica has everything that is committed below an offset, as it was committed.
///
/// # Errors
/// [`Invariant::CommittedIsEverywhere`]
pub fn has_committed(ledger: &mut Ledger, broker: usize, end: Offset) -> Verdict {
    let Some(copy) = ledger.copies.get(broker) else { return Ok(()) };
    let mut compared = copy.compared.max(copy.start);
    if compared >= end {
        return Ok(());
    }
    let at = ledger.committed.partition_point(|batch| batch.last < compared);
    let mut there = copy.from(compared);
    for committed in ledger.committed.iter().skip(at).take_while(|batch| batch.last < end) {
        // Of a log that was given up and counts again, what its leader had deleted is not known: a hole between the committed batches,
        // in which another copy may still have them.
        let found = there.find(|batch| batch.last >= committed.base);
        if found != Some(*committed) {
            let records = ledger.written(committed.base, committed.epoch).map(|written| &written.ids);
            let found = format!(
                "{committed:?} {records:?} is committed, and broker {broker} has {found:?} there; its log spans {} to {}",
                copy.start, copy.end
            );
            return Err(broken(Invariant::CommittedIsEverywhere, found));
        }
        compared = committed.last.next();
    }
    drop(there);
    if let Some(copy) = ledger.copies.get_mut(broker) {
        copy.compared = copy.compared.max(compared);
    }
    Ok(())
}

/// P2, second half; R1 whatever happens next. Every member of the in-sync set that the metadata has, dead or alive, keeps
/// everything that is committed: with `fsync` on its disk.
///
/// # Errors
/// [`Invariant::CommittedIsEverywhere`]
pub fn in_sync_replicas_have_it(ledger: &mut Ledger, members: &[BrokerId], durable: bool) -> Verdict {
    let end = ledger.committed_end();
    for member in members {
        let broker = number_of(*member);
        let Some(copy) = ledger.copies.get(broker) else { continue };
        let safe = if durable { copy.flushed } else { copy.end };
        if safe < end {
            let found = format!(
                "committed is up to {end}, and in-sync replica {member} keeps only what is below {safe} of {}",
                copy.end
            );
            return Err(broken(Invariant::CommittedIsEverywhere, found));
        }
        has_committed(ledger, broker, end)?;
    }
    Ok(())
}

/// P7. A broker that is lost, or has been started again, leaves the in-sync set, and is not electable before it has caught up.
/// The last one stays: nobody else has everything.
///
/// # Errors
/// [`Invariant::ElectableHasAll`]
pub fn lost_brokers_are_out_of_sync(isr: &[BrokerId], is_fenced: impl Fn(BrokerId) -> bool) -> Verdict {
    match isr.iter().find(|member| is_fenced(**member)) {
        Some(member) if isr.len() > 1 => {
            let found = format!("broker {member} is fenced, and in sync with others: {isr:?}");
            Err(broken(Invariant::ElectableHasAll, found))
        }
        _ => Ok(()),
    }
}

/// P2, for those that do not lead: what a replica takes for committed is committed. Where a log was given up, one may still tell
/// of that.
///
/// # Errors
/// [`Invariant::CommittedIsEverywhere`]
pub fn marks_are_committed(ledger: &Ledger, broker: usize, view: &View) -> Verdict {
    let end = ledger.committed_end();
    if ledger.given_up_below.is_some() || view.high_watermark <= end {
        return Ok(());
    }
    let found =
        format!("broker {broker} has a high watermark of {}, committed is up to {end}", view.high_watermark);
    Err(broken(Invariant::CommittedIsEverywhere, found))
}

/// P7. Nobody leads who was not in sync, unless that was asked for: by the topic's configuration, or by an operator (`accepted`), who
/// asks where nobody is in sync any more, and whose request may come late. True if somebody does.
///
/// # Errors
/// [`Invariant::ElectableHasAll`]
pub fn elected_out_of_sync(
    ledger: &Ledger,
    before: &Partition,
    after: &Partition,
    accepted: bool,
) -> Result<bool, Violation> {
    let alone = after.leader.filter(|leader| after.isr == [*leader] && !before.isr.contains(leader));
    let Some(leader) = alone else { return Ok(false) };
    if ledger.lossy || accepted {
        return Ok(true);
    }
    let found = format!("broker {leader} leads and was not in sync: {before:?}, now {after:?}");
    Err(broken(Invariant::ElectableHasAll, found))
}

/// R2, R6. What a consumer gets is committed, and is the bytes that were committed. A leader that does not know that its log is
/// given up (`counts` is false) may send what was only written.
///
/// # Errors
/// [`Invariant::ReadsCommitted`], [`Invariant::OneValuePerOffset`]
pub fn may_be_read(ledger: &Ledger, batch: &Written, counts: bool) -> Verdict {
    let stands = batch.stands;
    let committed = if counts { ledger.committed_at(stands.base) } else { Some(stands) };
    let Some(committed) = committed else {
        return Err(broken(Invariant::ReadsCommitted, format!("{stands:?} was read, and is not committed")));
    };
    let written = ledger.written(committed.base, committed.epoch);
    if stands != committed || written.is_none_or(|written| written.hash != batch.hash) {
        let found = format!("{committed:?} is committed, {batch:?} was read");
        return Err(broken(Invariant::OneValuePerOffset, found));
    }
    Ok(())
}

/// P8. A reader that is sent more has read last what is in the log before it.
///
/// # Errors
/// [`Invariant::TruncationIsTold`]
pub fn reader_was_told(ledger: &Ledger, broker: usize, last: Option<Stands>) -> Verdict {
    match last {
        Some(last) if !ledger.is_there(broker, last) => {
            let found =
                format!("a consumer has read {last:?}, which broker {broker} does not have, and is not told");
            Err(broken(Invariant::TruncationIsTold, found))
        }
        _ => Ok(()),
    }
}

/// P5. What clients see of the high watermark: it rises within a term, and a later term never shows less. A leader shows it
/// once it has reached where its term began.
///
/// # Errors
/// [`Invariant::HighWatermarkNeverFalls`]
pub fn shown_never_falls(ledger: &mut Ledger, epoch: LeaderEpoch, high_watermark: Offset) -> Verdict {
    let (shown_in, shown) = ledger.shown;
    if epoch < shown_in {
        // A leader that does not know yet that it was replaced: what it shows was true once.
        return Ok(());
    }
    if high_watermark < shown {
        let found = format!(
            "epoch {shown_in} showed a high watermark of {shown}, epoch {epoch} shows {high_watermark}"
        );
        return Err(broken(Invariant::HighWatermarkNeverFalls, found));
    }
    ledger.shown = (epoch, high_watermark);
    Ok(())
}

/// P5. While fewer replicas are in sync than `min.insync.replicas` asks for, the high watermark stands still (KIP-966).
///
/// # Errors
/// [`Invariant::MinInSync`]
pub fn enough_are_in_sync(before: Offset, now: Offset, in_sync: usize, required: usize) -> Verdict {
    if now <= before || in_sync >= required {
        return Ok(());
    }
    let found =
        format!("the high watermark rose from {before} to {now} with {in_sync} of {required} in sync");
    Err(broken(Invariant::MinInSync, found))
}

/// S1. What a start finds of a replica is what its machine had: everything after a kill, what was flushed after a power cut.
///
/// # Errors
/// [`Invariant::FlushedEnd`], [`Invariant::SameBytes`], [`Invariant::NothingInvented`]
pub fn reopened(ledger: &mut Ledger, broker: usize, view: &View) -> Verdict {
    let found = read(ledger, view, view.log_start)?;
    let Some(copy) = ledger.copies.get(broker).cloned() else { return Ok(()) };
    let least = if copy.lost_cache { copy.flushed } else { copy.end };
    if !copy.uncertain && view.log_end < least {
        let found = format!(
            "broker {broker} had {} to {}, flushed was {}, and a start finds {} to {} (page cache lost: {})",
            copy.start, copy.end, copy.flushed, view.log_start, view.log_end, copy.lost_cache
        );
        return Err(broken(Invariant::FlushedEnd, found));
    }
    if view.flushed_end != view.log_end {
        let found = format!("recovered up to {}, flushed only to {}", view.log_end, view.flushed_end);
        return Err(broken(Invariant::FlushedEnd, found));
    }
    let mut had = copy.from(view.log_start);
    let mut batches = std::collections::VecDeque::new();
    let mut same = true;
    for written in found {
        let stands = written.stands;
        same &= had.next() == Some(stands);
        if !same && !copy.uncertain {
            let found = format!("broker {broker} finds {stands:?} at a start, which it did not have");
            return Err(broken(Invariant::NothingInvented, found));
        }
        ledger.found(written, false)?;
        batches.push_back(stands);
    }
    if let Some(copy) = ledger.copies.get_mut(broker) {
        *copy = super::ledger::Copy {
            start: view.log_start,
            end: view.log_end,
            flushed: view.log_end,
            compared: view.log_start,
            batches,
            uncertain: false,
            lost_cache: false,
        };
    }
    Ok(())
}

/// Brokers are numbered from 1, their places from 0.
pub fn number_of(id: BrokerId) -> usize {
    usize::try_from(id.get()).unwrap_or(0).saturating_sub(1)
}

/// How much the checker reads at once.
const BITE: usize = 1 << 16;
