//! Consumers as Kafka's clients are: each polls from where it stopped, checks what it gets, and with
//! `isolation.level=read_committed` leaves out what was aborted.

use std::collections::BTreeSet;

use ottla_record::{ControlType, Offset};
use ottla_replication::View;
use ottla_storage::ReadError;

use super::world::{Clients, Fate, Tally};
use crate::disk::SimDisk;
use crate::invariants::{Invariant, Violation, broken};
use crate::observed::{ObservedBatch, parse};

/// What a consumer asks for at once.
const BITE: usize = 900;

/// One consumer of a partition.
#[derive(Clone, Debug)]
pub struct Consumer {
    committed_only: bool,
    /// The next offset it wants.
    pub position: Offset,
}

/// What came of a poll.
enum Polled {
    Batches(Vec<ObservedBatch>),
    Nothing,
}

impl Consumer {
    /// One that starts at the beginning.
    pub const fn new(committed_only: bool) -> Self {
        Self { committed_only, position: Offset::ZERO }
    }

    /// True if there is nothing more that it may read.
    pub fn is_done(&self, view: &View) -> bool {
        self.position >= self.end(view)
    }

    fn end(&self, view: &View) -> Offset {
        if self.committed_only { view.last_stable } else { view.high_watermark }
    }

    /// R5, R6, T1, T4, P8: polls once. What it gets follows on what it had, is what was written there, and is nothing
    /// that it may not see; an offset that is gone is told and not skipped.
    ///
    /// # Errors
    /// A broken promise.
    pub fn poll(
        &mut self,
        view: &View,
        clients: &Clients,
        disk: &SimDisk,
        tally: &mut Tally,
    ) -> Result<(), Violation> {
        let damaged = clients.may_be_damaged(disk);
        let batches = match self.fetch(view, clients, damaged)? {
            Polled::Batches(batches) => batches,
            Polled::Nothing => return Ok(()),
        };
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
        let skipped = |found: String| Err(broken(Invariant::NothingSkipped, found));
        if first.base > self.position || first.last < self.position {
            if damaged {
                // A wrong length or count in a header hides what lies behind it; Kafka's reader is no wiser.
                return Ok(());
            }
            return skipped(format!("asked for {}, got {} to {}", self.position, first.base, first.last));
        }
        if let Some((a, b)) =
            batches.iter().zip(batches.iter().skip(1)).find(|(a, b)| a.last.next() != b.base)
        {
            return skipped(format!("after {} comes {}", a.last, b.base));
        }
        if last.last >= self.end(view) {
            let found = format!("read up to {}, the end is {}", last.last, self.end(view));
            return Err(broken(Invariant::LastStable, found));
        }
        for batch in &batches {
            for (id, offset) in batch.ids.iter().zip(0..).map(|(id, n)| (id, batch.base + n)) {
                let written = clients.oracle.current().get(&offset);
                if offset >= self.position && written != Some(id) {
                    let found = format!("offset {offset} was written as {written:?}, read as {id:?}");
                    return Err(broken(Invariant::OneValuePerOffset, found));
                }
            }
        }
        tally.consumed += batches.iter().map(|batch| batch.ids.len() as u64).sum::<u64>();
        if self.committed_only {
            let aborted = match view.log.aborted_transactions(first.base, last.last.next()) {
                Ok(aborted) => aborted,
                // Not this time.
                Err(ReadError::Io { source, .. }) if is_fault(&source) => return Ok(()),
                Err(error) => return Err(broken(Invariant::Readable, error.to_string())),
            };
            let starts = aborted.iter().map(|ended| (ended.first_offset, ended.producer)).collect();
            only_committed(&batches, starts, clients)?;
        }
        self.position = last.last.next();
        Ok(())
    }

    fn fetch(&mut self, view: &View, clients: &Clients, damaged: bool) -> Result<Polled, Violation> {
        let end = self.end(view);
        let unreadable = |found: String| match damaged {
            true => Ok(Polled::Nothing),
            false => Err(broken(Invariant::Readable, found)),
        };
        match view.log.read(self.position, BITE, end, true) {
            Ok(None) if self.position < end && !damaged => {
                let found = format!("nothing at {}, though the end is {end}", self.position);
                Err(broken(Invariant::NothingSkipped, found))
            }
            Ok(None) => Ok(Polled::Nothing),
            Ok(Some(slice)) => match slice.read() {
                Ok(bytes) => match parse(&bytes) {
                    Ok(batches) => Ok(Polled::Batches(batches)),
                    Err(found) => unreadable(format!("polling from {}: {found}", self.position)),
                },
                Err(error) if is_fault(&error) => Ok(Polled::Nothing),
                Err(error) => unreadable(format!("polling from {}: {error}", self.position)),
            },
            Err(ReadError::OffsetOutOfRange { log_start, .. }) if self.position < log_start => {
                self.position = log_start;
                Ok(Polled::Nothing)
            }
            Err(ReadError::Io { source, .. }) if is_fault(&source) => Ok(Polled::Nothing),
            // What it had read was acknowledged from the page cache, and lost with it: it is told so.
            Err(ReadError::OffsetOutOfRange { log_end, .. }) if clients.gaps_allowed => {
                self.position = log_end;
                Ok(Polled::Nothing)
            }
            Err(error @ ReadError::OffsetOutOfRange { .. }) => Err(broken(
                Invariant::AcknowledgedSurvives,
                format!("a consumer stands behind the end: {error}"),
            )),
            Err(error) => unreadable(format!("polling from {}: {error}", self.position)),
        }
    }
}

/// T1, T2: leaves out what was aborted, as Kafka's fetcher does, and compares what is left with the fates.
fn only_committed(
    batches: &[ObservedBatch],
    mut aborted: Vec<(Offset, ottla_record::ProducerId)>,
    clients: &Clients,
) -> Result<(), Violation> {
    aborted.sort_unstable();
    let all = aborted.clone();
    let mut aborted = aborted.into_iter().peekable();
    let mut aborting = BTreeSet::new();
    for batch in batches {
        let Some(producer) = batch.producer.map(|stamp| stamp.id) else { continue };
        while let Some((_, producer)) = aborted.next_if(|(start, _)| *start <= batch.last) {
            aborting.insert(producer);
        }
        if let Some(control) = batch.control {
            if control == ControlType::Abort {
                aborting.remove(&producer);
            }
            continue;
        }
        if !batch.transactional {
            continue;
        }
        let left_out = aborting.contains(&producer);
        for id in &batch.ids {
            let fate = clients.fates.get(id).copied().unwrap_or(Fate::Open);
            if fate != Fate::Unknown && left_out == (fate == Fate::Committed) {
                let seen = if left_out { "left out" } else { "shown" };
                let found = format!(
                    "{id:?} of producer {producer} in the batch at {} is {fate:?}, and was {seen}; aborted: {all:?}",
                    batch.base
                );
                return Err(broken(Invariant::OnlyCommitted, found));
            }
        }
    }
    Ok(())
}

/// True if the simulated disk said so, and not a format.
pub fn is_fault(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some() || error.kind() == std::io::ErrorKind::Other
}
