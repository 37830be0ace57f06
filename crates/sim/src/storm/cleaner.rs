//! Compaction in a run: some partitions are compacted, a step of a pass at a time, while everything else goes on.
//!
//! Every record there has a key of its own, and nobody writes transactions: so a pass may not take anything from the log, and every promise
//! holds as before. What is tried here is the exchange of segments under faults, beside appends, truncation, retention and starts; which
//! records go is the business of [`crate::compaction`]. Passes fill segments larger than the log's, so that there is something to exchange.

use std::ops::ControlFlow;

use ottla_replication::Event;
use ottla_storage::compaction::{CleanedSegment, Pass, PassError, PassMemory, PassOrder};
use ottla_storage::{CompactionConfig, DirtyRatio, ReadError};

use super::Run;
use super::broker::Broker;
use super::consumer::is_fault;
use super::world::{Clients, World};
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::Rng;

/// A pass that is under way.
#[derive(Debug)]
pub struct Cleaning {
    /// Of which partition.
    number: usize,
    pass: Pass,
    /// Written, and not in the log yet.
    ready: Option<CleanedSegment>,
}

/// A cleaned segment may be so many times as large as one that is written to.
const MERGED: u32 = 3;

/// Whatever is dirty is cleaned.
fn everything() -> CompactionConfig {
    CompactionConfig {
        delete_retention_ms: 0,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        min_dirty_ratio: DirtyRatio::new(0.0),
    }
}

/// Chooses the partitions that are compacted.
pub fn choose(world: &mut World, rng: &mut Rng) {
    for clients in &mut world.partitions {
        let is_transactional = clients.writers.iter().any(|writer| writer.producer.transactional);
        if rng.chance(2, 3) && !is_transactional {
            let log = &mut clients.config.log;
            (log.compacted, log.compaction) = (true, Some(everything()));
            clients.writers.iter_mut().for_each(|writer| writer.producer.keyed = true);
        }
    }
}

impl Run {
    /// Goes on with the pass that is under way, or begins one of this partition.
    pub(super) fn compact(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        match broker.cleaning.take() {
            None => self.begin_pass(number, broker),
            Some(Cleaning { number, pass, ready: Some(cleaned) }) => {
                broker.cleaning = Some(Cleaning { number, pass, ready: None });
                self.swap(number, cleaned, broker)
            }
            Some(cleaning) => self.clean_next(cleaning, broker),
        }
    }

    fn begin_pass(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some((host, clients)) = broker.serving(number, &self.world) else { return Ok(()) };
        let (Some(compaction), false) = (clients.config.log.compaction, clients.may_be_damaged(&self.disk))
        else {
            return Ok(());
        };
        let view = &host.view;
        let upper = view.last_stable.min(view.recovery_point);
        let cleaned_to = broker.directory.cleaned_to(&clients.name);
        let cleanable = match view.log.cleanable(cleaned_to, upper, &compaction, self.world.wall) {
            Ok(cleanable) => cleanable,
            Err(ReadError::Stale) => return Ok(()),
            Err(ReadError::Io { source, .. }) if is_fault(&source) => return Ok(()),
            Err(error) => return Err(broken(Invariant::Readable, error.to_string())),
        };
        if cleanable.dirty_bytes == 0 {
            return Ok(());
        }
        let mut config = clients.config.log.clone();
        config.segment_bytes = config.segment_bytes.saturating_mul(MERGED);
        let producers = host.partition.log().last_of_producers();
        let order = PassOrder { view: view.log.clone(), cleanable, config, producers, now: self.world.wall };
        let memory = PassMemory { map_bytes: 1 << 16, load_factor: 0.9, buffer_bytes: 0, secret: [5; 16] };
        match Pass::begin(&broker.directory, order, memory, &mut |_| ControlFlow::Continue(())) {
            Ok(pass) => broker.cleaning = Some(Cleaning { number, pass, ready: None }),
            Err(error) => return self.gave_up(number, &error),
        }
        Ok(())
    }

    fn clean_next(&mut self, mut cleaning: Cleaning, broker: &mut Broker) -> Result<(), Violation> {
        match cleaning.pass.next_cleaned(&mut |_| ControlFlow::Continue(())) {
            Ok(Some(cleaned)) => {
                cleaning.ready = Some(cleaned);
                broker.cleaning = Some(cleaning);
            }
            Ok(None) => {
                let end = cleaning.pass.end();
                if let Some((host, clients)) = broker.serving(cleaning.number, &self.world)
                    && end <= host.partition.log().log_end()
                {
                    // As in production: said in the log, and the next pass does the same work again.
                    let _ = broker.directory.store_cleaned_to(&clients.name, end);
                }
            }
            Err(error) => return self.gave_up(cleaning.number, &error),
        }
        Ok(())
    }

    fn swap(&mut self, number: usize, cleaned: CleanedSegment, broker: &mut Broker) -> Result<(), Violation> {
        let damaged = |clients: &Clients| clients.may_be_damaged(&self.disk);
        match self.world.partitions.get_mut(number) {
            // Where a bit stands turned over is known by file and place: they must not become others'.
            Some(clients) if !damaged(clients) => clients.damage.clear(),
            _ => {
                cleaned.discard();
                broker.cleaning = None;
                return Ok(());
            }
        }
        let before = self.world.tally.swapped;
        broker.handle(number, Event::SwapCleaned { waiter: 0, cleaned }, &mut self.world)?;
        if self.world.tally.swapped == before {
            broker.cleaning = None;
        } else {
            self.note(|| format!("partition {number}: a cleaned segment is in its place"));
        }
        Ok(())
    }

    /// A pass may end because the disk failed or is full, because the log changed, and because of damage.
    fn gave_up(&self, number: usize, error: &PassError) -> Result<(), Violation> {
        let excused = match error {
            PassError::Aborted | PassError::NoSpace { .. } => true,
            PassError::Io { source, .. } => is_fault(source),
            _ => false,
        };
        let damaged =
            self.world.partitions.get(number).is_none_or(|clients| clients.may_be_damaged(&self.disk));
        if excused || damaged || self.disk.is_off() {
            return Ok(());
        }
        Err(broken(Invariant::Readable, format!("a pass over partition {number}: {error}")))
    }
}
