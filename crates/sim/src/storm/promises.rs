//! The promises that only a running broker with readers can break, one function each.

use std::collections::BTreeMap;

use ottla_record::{Offset, ProducerId, Timestamp};
use ottla_replication::{Availability, View};

use super::world::Clients;
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;
use crate::oracle::Promise;

/// P5, T4: what readers see from now on binds the log: neither the high watermark nor the last stable offset goes back,
/// nor does the log start, and with `fsync` no record is shown before it is flushed.
///
/// # Errors
/// A broken promise.
pub fn shown(view: &View, before: &View, clients: &mut Clients) -> Result<(), Violation> {
    clients.oracle.flushed(view.flushed_end);
    if !matches!(view.availability, Availability::Leading { .. }) {
        return Ok(());
    }
    log_start_never_falls(view, before)?;
    invariants::high_watermark_never_falls(&clients.oracle, view.high_watermark)?;
    last_stable_never_falls(view, clients)?;
    if clients.is_durable() {
        nothing_is_shown_before_it_is_flushed(view, clients)?;
    }
    let durable = view.high_watermark.min(view.flushed_end);
    clients.oracle.promise(durable, Promise::Durable);
    clients.oracle.promise(view.high_watermark, Promise::Cached);
    clients.last_stable = view.last_stable;
    Ok(())
}

fn log_start_never_falls(view: &View, before: &View) -> Result<(), Violation> {
    if view.log_start < before.log_start {
        let found = format!("readers saw the log start at {}, now at {}", before.log_start, view.log_start);
        return Err(broken(Invariant::LogStart, found));
    }
    Ok(())
}

fn last_stable_never_falls(view: &View, clients: &Clients) -> Result<(), Violation> {
    // Once the start of an open transaction is deleted, the log start holds in its place.
    let deleted = view.last_stable == view.log_start && view.log_start > Offset::ZERO;
    if view.last_stable < clients.last_stable && !deleted {
        let found = format!("readers saw it at {}, now at {}", clients.last_stable, view.last_stable);
        return Err(broken(Invariant::LastStable, found));
    }
    Ok(())
}

/// What was shown while the topic had `os` stays shown when it changes to `fsync`.
fn nothing_is_shown_before_it_is_flushed(view: &View, clients: &Clients) -> Result<(), Violation> {
    let shown = clients.oracle.high_watermark().max(view.flushed_end);
    if view.high_watermark > shown {
        let found = format!("the high watermark is {}, flushed is {}", view.high_watermark, view.flushed_end);
        return Err(broken(Invariant::FlushedEnd, found));
    }
    Ok(())
}

/// T4. The last stable offset is the start of the first transaction that is open, or whose end is not committed.
///
/// # Errors
/// [`Invariant::LastStable`]
pub fn last_stable_is_true(view: &View, observed: &Observed) -> Result<(), Violation> {
    let mut open: BTreeMap<ProducerId, Offset> = BTreeMap::new();
    let mut first = view.high_watermark;
    for batch in &observed.batches {
        let Some(producer) = batch.producer.map(|stamp| stamp.id) else { continue };
        if batch.control.is_some() {
            if let Some(start) = open.remove(&producer).filter(|_| batch.base >= view.high_watermark) {
                first = first.min(start);
            }
        } else if batch.transactional {
            open.entry(producer).or_insert(batch.base);
        }
    }
    let expected = open.into_values().fold(first, Offset::min).max(observed.log_start);
    // The start of a transaction may have been deleted: then the log start holds.
    let holds = view.last_stable == expected || view.last_stable == observed.log_start;
    if holds || view.log_end != observed.log_end {
        return Ok(());
    }
    let found = format!("the batches say {expected}, readers see {}", view.last_stable);
    Err(broken(Invariant::LastStable, found))
}

/// ListOffsets by time gives the first record at or after it, for times around every record's.
///
/// # Errors
/// [`Invariant::Times`]
pub fn times_are_found(view: &View, observed: &Observed) -> Result<(), Violation> {
    let end = view.high_watermark;
    let records: Vec<(Offset, Timestamp)> = observed
        .batches
        .iter()
        .flat_map(|batch| batch.timestamps.iter().zip(0..).map(|(time, n)| (batch.base + n, *time)))
        .filter(|(offset, _)| (observed.log_start..end).contains(offset))
        .collect();
    let newest = records.iter().map(|(_, time)| *time).max();
    let mut asked: Vec<Timestamp> = records.iter().step_by(TIMES_APART).map(|(_, time)| *time).collect();
    asked.extend(newest.map(|time| Timestamp::from_millis(time.millis() + 1)));
    for time in asked {
        let expected = records.iter().find(|(_, at)| *at >= time).map(|(offset, _)| *offset);
        let found = view.log.offset_for_timestamp(time, end);
        let found =
            found.map_err(|error| broken(Invariant::Times, error.to_string()))?.map(|found| found.offset);
        if found != expected {
            let found = format!("at {time:?}: the batches say {expected:?}, the look-up {found:?}");
            return Err(broken(Invariant::Times, found));
        }
    }
    Ok(())
}

/// Every so many records' time is looked up.
const TIMES_APART: usize = 7;
