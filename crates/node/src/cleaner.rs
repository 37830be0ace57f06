//! The cleaner of the log directory: one thread that compacts the dirtiest log, then the next, and rests in between.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_coordination::config::CleanerConfig;
use ottla_record::{PartitionIndex, TopicId};
use ottla_replication::Availability;
use ottla_storage::compaction::{Cleanable, Pass, PassError, PassMemory, PassOrder, PassReport, SwapError};
use ottla_storage::{CompactionConfig, LogConfig, LogDirectory, ReadError, StorageError};
use parking_lot::{Condvar, Mutex};

use crate::background::let_others_in;
use crate::host::PartitionHost;
use crate::metrics::cleaner::CleanerMetrics;
use crate::ports::Clock;

/// The rate is kept over stretches of this length, as in Kafka: for less, nobody waits.
const THROTTLE_INTERVAL: Duration = Duration::from_millis(300);

/// Between two looks, whatever `log.cleaner.backoff.ms` says.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// What the cleaner needs to know from outside at every look.
pub(crate) trait Surroundings {
    /// The settings now; `None` when the node is gone.
    fn config(&self) -> Option<CleanerConfig>;
    /// The compacted logs on this broker, each with its settings.
    fn logs(&self) -> Vec<(Arc<PartitionHost>, LogConfig)>;
    /// 16 random bytes.
    fn random(&self) -> [u8; 16];
}

/// Compacts logs until it is closed.
///
/// It takes memory for its map and buffers only while a pass runs. What goes wrong with one log, damage or a failing disk,
/// is told once, and that log is left alone until the broker is restarted: the others are still compacted, and nothing is
/// tried over and over.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    closed: Mutex<bool>,
    closing: Condvar,
    metrics: CleanerMetrics,
}

/// Names a partition for good: a topic that is created again under its name is another one.
type Identity = (TopicId, PartitionIndex);

/// What the thread remembers between its looks.
#[derive(Debug, Default)]
struct Memory {
    /// Logs that are left alone.
    uncleanable: BTreeSet<Identity>,
    /// Logs whose last pass was given up because the disk is too full: said once.
    without_room: BTreeSet<Identity>,
}

/// A log that is due.
struct Due {
    host: Arc<PartitionHost>,
    config: LogConfig,
    cleanable: Cleanable,
}

/// How a pass ended.
enum Ended {
    /// It came through; there may be more to do.
    Through,
    /// The log changed, or the broker stops: a later pass begins anew.
    GivenUp,
    /// The disk has no room for it now.
    NoRoom(PassError),
    /// It cannot be done.
    Failed(String),
}

impl Cleaner {
    /// Lets [`Cleaner::run`] end, in the middle of a pass too.
    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
        self.closing.notify_all();
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> &CleanerMetrics {
        &self.metrics
    }

    /// The body of the cleaner's thread.
    pub(crate) fn run(&self, directory: &Arc<LogDirectory>, clock: &dyn Clock, around: &dyn Surroundings) {
        let mut memory = Memory::default();
        while let Some(config) = around.config() {
            // The dirtiest log first, as long as there is one; a pass that came to nothing is not tried again before a rest.
            let mut tried = BTreeSet::new();
            while let Some(due) = self.dirtiest(directory, clock, around, &mut memory, &tried) {
                let id = identity(&due.host);
                if !self.clean(directory, clock, around, &mut memory, due) {
                    tried.insert(id);
                }
                if *self.closed.lock() {
                    return;
                }
            }
            if self.rest(config.backoff.max(SHORTEST_REST)) {
                return;
            }
        }
    }

    /// Waits; true if closed meanwhile.
    fn rest(&self, time: Duration) -> bool {
        let mut closed = self.closed.lock();
        if !*closed && !time.is_zero() {
            self.closing.wait_for(&mut closed, time);
        }
        *closed
    }

    /// Counts what a pass has done since it was looked at last: a large log takes minutes, and its progress is seen meanwhile.
    fn advanced(&self, known: &mut PassReport, pass: &Pass) {
        self.metrics.passed(known, pass.report());
        *known = *pass.report();
    }

    /// Looks at all compacted logs: the dirtiest of those that are due and were not tried in this round.
    fn dirtiest(
        &self,
        directory: &LogDirectory,
        clock: &dyn Clock,
        around: &dyn Surroundings,
        memory: &mut Memory,
        tried: &BTreeSet<Identity>,
    ) -> Option<Due> {
        let now = clock.now().wall;
        let logs = around.logs();
        let (mut known, mut max_ratio) = (BTreeSet::new(), 0.0f64);
        let mut dirtiest: Option<Due> = None;
        for (host, config) in logs {
            let id = identity(&host);
            known.insert(id);
            let Some(compaction) = config.compaction.filter(|_| !memory.uncleanable.contains(&id)) else {
                continue;
            };
            let cleanable = match look(directory, &host, &compaction, now) {
                Ok(Some(cleanable)) => cleanable,
                Ok(None) | Err(ReadError::Stale) => continue,
                Err(error) => {
                    memory.uncleanable.insert(id);
                    leave_alone(&host, &error.to_string());
                    continue;
                }
            };
            let ratio = cleanable.dirty_ratio();
            max_ratio = max_ratio.max(ratio);
            let is_dirtier = dirtiest.as_ref().is_none_or(|due| due.cleanable.dirty_ratio() < ratio);
            if cleanable.is_due(&compaction) && is_dirtier && !tried.contains(&id) {
                dirtiest = Some(Due { host, config, cleanable });
            }
        }
        memory.uncleanable.retain(|id| known.contains(id));
        memory.without_room.retain(|id| known.contains(id));
        self.metrics.looked(now.millis(), max_ratio, memory.uncleanable.len());
        dirtiest
    }

    /// Makes a pass. True if the log is cleaner now.
    fn clean(
        &self,
        directory: &Arc<LogDirectory>,
        clock: &dyn Clock,
        around: &dyn Surroundings,
        memory: &mut Memory,
        due: Due,
    ) -> bool {
        let Due { host, config, cleanable } = due;
        let began = Instant::now();
        let mut report = PassReport::default();
        let ended = self.pass(directory, clock, around, &host, config, cleanable, &mut report);
        let took = began.elapsed();
        self.metrics.pass_seconds.observe(took);
        let (id, through) = (identity(&host), matches!(ended, Ended::Through));
        match ended {
            // A deleted partition's files are gone: whatever failed, failed for that.
            _ if host.is_closed() => self.metrics.given_up.inc(),
            Ended::Through => {
                memory.without_room.remove(&id);
                tracing::info!(
                    partition = ?host,
                    seconds = took.as_secs_f64(),
                    bytes_read = report.map_bytes_read + report.bytes_read,
                    bytes_written = report.bytes_written,
                    records_kept = report.records_kept,
                    records_dropped = report.records_read - report.records_kept,
                    keys = report.keys,
                    "compacted"
                );
            }
            Ended::GivenUp => self.metrics.given_up.inc(),
            Ended::NoRoom(error) => {
                self.metrics.given_up.inc();
                if memory.without_room.insert(id) {
                    tracing::warn!(partition = ?host, %error, "a log is not compacted as long as the disk is so full; tried again from time to time");
                }
            }
            Ended::Failed(error) => {
                memory.uncleanable.insert(id);
                leave_alone(&host, &error);
            }
        }
        through
    }

    #[expect(clippy::too_many_arguments, reason = "what a pass is made from, each from another place")]
    fn pass(
        &self,
        directory: &Arc<LogDirectory>,
        clock: &dyn Clock,
        around: &dyn Surroundings,
        host: &Arc<PartitionHost>,
        config: LogConfig,
        cleanable: Cleanable,
        report: &mut PassReport,
    ) -> Ended {
        let Some(settings) = around.config() else { return Ended::GivenUp };
        let view = host.view();
        // Asked for after the view was taken: what is in the view and last of its producer is known by now.
        let Some(producers) = host.with_log(|log| log.last_of_producers()) else { return Ended::GivenUp };
        let now = clock.now();
        let order = PassOrder { view: view.log.clone(), cleanable, config, producers, now: now.wall };
        drop(view);
        let memory = PassMemory {
            map_bytes: settings.map_bytes - settings.map_bytes / BESIDE_THE_MAP,
            load_factor: settings.load_factor,
            buffer_bytes: settings.buffer_bytes,
            secret: around.random(),
        };
        let mut throttle = Throttle::new(settings.max_bytes_per_second);
        let mut pace = |bytes| match host.is_closed() || self.rest(throttle.wait_after(bytes)) {
            true => ControlFlow::Break(()),
            false => {
                let_others_in();
                ControlFlow::Continue(())
            }
        };
        let mut pass = match Pass::begin(directory, order, memory, &mut pace) {
            Ok(pass) => pass,
            Err(error) => return ended_by(error),
        };
        let ended = loop {
            self.advanced(report, &pass);
            match pass.next_cleaned(&mut pace) {
                Ok(Some(cleaned)) => match host.swap_cleaned(cleaned) {
                    Ok(()) => {}
                    Err(SwapError::Storage(error)) => break Ended::Failed(error.to_string()),
                    Err(_) => break Ended::GivenUp,
                },
                Ok(None) => break Ended::Through,
                Err(error) => break ended_by(error),
            }
        };
        self.advanced(report, &pass);
        if let Ended::Through = ended {
            let end = pass.end();
            // Under the partition's lock: a truncation or deletion that comes now must come behind it.
            let stored = host.with_log(|log| match end <= log.log_end() {
                true => directory.store_cleaned_to(log.name(), end),
                false => Ok(()),
            });
            if let Some(Err(error)) = stored {
                warn_of_checkpoint(&error);
                return Ended::GivenUp;
            }
        }
        ended
    }
}

/// What there is to do in a log; `None` where nothing can be done.
fn look(
    directory: &LogDirectory,
    host: &PartitionHost,
    compaction: &CompactionConfig,
    now: ottla_record::Timestamp,
) -> Result<Option<Cleanable>, ReadError> {
    let view = host.view();
    if host.is_closed() || view.availability == Availability::Offline {
        return Ok(None);
    }
    // What is not decided may be aborted; what a restart would scan may be cut.
    let upper = view.last_stable.min(view.recovery_point);
    view.log.cleanable(directory.cleaned_to(host.name()), upper, compaction, now).map(Some)
}

fn identity(host: &PartitionHost) -> Identity {
    (host.topic_id(), host.index())
}

fn ended_by(error: PassError) -> Ended {
    match error {
        PassError::Aborted => Ended::GivenUp,
        PassError::NoSpace { .. } => Ended::NoRoom(error),
        error => Ended::Failed(error.to_string()),
    }
}

fn leave_alone(host: &PartitionHost, error: &str) {
    tracing::error!(
        partition = ?host,
        error,
        "a log cannot be compacted and is left as it is until the broker is restarted: it is served, and grows"
    );
}

fn warn_of_checkpoint(error: &StorageError) {
    tracing::warn!(%error, "how far compaction has come could not be stored: the next pass does the same work again");
}

/// Keeps to a rate (`log.cleaner.io.max.bytes.per.second`).
#[derive(Debug)]
struct Throttle {
    bytes_per_second: f64,
    since: Instant,
    bytes: u64,
}

impl Throttle {
    fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, since: Instant::now(), bytes: 0 }
    }

    /// How long to wait now that `bytes` more have been read or written.
    fn wait_after(&mut self, bytes: u64) -> Duration {
        self.bytes += bytes;
        let elapsed = self.since.elapsed();
        if elapsed < THROTTLE_INTERVAL
            && self.bytes as f64 <= self.bytes_per_second * THROTTLE_INTERVAL.as_secs_f64()
        {
            return Duration::ZERO;
        }
        let should_take = self.bytes as f64 / self.bytes_per_second;
        let wait = Duration::try_from_secs_f64(should_take - elapsed.as_secs_f64()).unwrap_or(Duration::ZERO);
        self.since = Instant::now() + wait;
        self.bytes = 0;
        wait
    }
}

/// This part of the memory for the map is left for what a pass holds beside it and its buffers: the batch at hand, the indexes of the
/// segments it writes, a stack. All together stays within what is configured.
const BESIDE_THE_MAP: u64 = 128;

#[cfg(test)]
mod tests;
