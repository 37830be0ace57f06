//! The keeper of the log directory: one thread for all that is due by time.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::Now;
use ottla_replication::Event;
use ottla_storage::{DeletedSegment, LogDirectory, StorageError};
use parking_lot::{Condvar, Mutex};

use crate::host::PartitionHost;
use crate::ports::Clock;

/// How late a deadline may be noticed.
const TICK: Duration = Duration::from_millis(100);

/// How often every partition is ticked and the checkpoints are stored.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// How soon recovery points are stored that have risen: partitions raise theirs every 64 MiB or second, each in its own
/// time. What has risen and is not stored is scanned again by a restart after a crash.
const RECOVERY_POINT_INTERVAL: Duration = Duration::from_millis(250);

/// Ticks partitions, stores checkpoints, applies retention, and removes files whose time has come.
///
/// It never runs on a client's thread: what it does may wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    requests: Mutex<Requests>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Requests {
    /// Files to remove when they are due.
    removals: Vec<DeletedSegment>,
    failed: bool,
    closed: bool,
}

impl Keeper {
    /// Takes files that have left the log; they are removed when their delay has passed.
    pub(crate) fn remove_later(&self, segments: Vec<DeletedSegment>) {
        self.requests.lock().removals.extend(segments);
    }

    /// A write or a flush failed: every partition of the directory goes offline.
    pub(crate) fn directory_failed(&self) {
        self.requests.lock().failed = true;
        self.arrived.notify_all();
    }

    /// Lets [`Keeper::run`] end.
    pub(crate) fn close(&self) {
        self.requests.lock().closed = true;
        self.arrived.notify_all();
    }

    /// The body of the keeper's thread. `hosts` gives the partitions as they are now, `in_session` tells whether the controller hears
    /// of this broker.
    pub(crate) fn run(
        &self,
        directory: &LogDirectory,
        clock: &dyn Clock,
        retention_interval: Duration,
        hosts: impl Fn() -> Vec<Arc<PartitionHost>>,
        in_session: impl Fn() -> bool,
    ) {
        let started = clock.now().monotonic;
        let mut checkpoint_due = started + CHECKPOINT_INTERVAL;
        let mut recovery_points_due = started;
        let mut retention_due = started + retention_interval;
        let mut failed = false;
        let mut was_in_session = true;
        loop {
            let now = clock.now();
            let (removals, newly_failed, closed) = self.wait(now);
            if closed {
                return;
            }
            for segment in removals {
                if let Err(error) = segment.remove(&**directory.disk()) {
                    tracing::warn!(%error, "a deleted segment's file could not be removed and takes up space; the next start removes it");
                }
            }
            let hosts = hosts();
            if newly_failed && !failed {
                failed = true;
                tracing::error!(
                    "the log directory is offline: clients are told KAFKA_STORAGE_ERROR; check the disk, then restart the broker"
                );
                hosts.iter().for_each(|host| host.submit(Event::DirectoryFailed));
            }
            let now = clock.now();
            let checkpoint = now.monotonic >= checkpoint_due;
            if checkpoint {
                checkpoint_due = now.monotonic + CHECKPOINT_INTERVAL;
            }
            let is_in_session = in_session();
            // Again each time for those that have come since.
            if is_in_session != was_in_session || (checkpoint && !is_in_session) {
                hosts.iter().for_each(|host| host.submit(Event::InSession(is_in_session)));
            }
            was_in_session = is_in_session;
            for host in &hosts {
                if checkpoint || host.next_deadline() <= now.monotonic {
                    host.submit(Event::Tick);
                }
            }
            if checkpoint && !failed {
                store_checkpoints(directory, &hosts);
            }
            if now.monotonic >= recovery_points_due && !failed {
                recovery_points_due = now.monotonic + RECOVERY_POINT_INTERVAL;
                directory.store_recovery_points().unwrap_or_else(warn_of_checkpoints);
            }
            if now.monotonic >= retention_due {
                retention_due = now.monotonic + retention_interval;
                hosts.iter().for_each(|host| host.submit(Event::Retain));
            }
        }
    }

    /// Waits a tick, or less if something must be done now.
    fn wait(&self, now: Now) -> (Vec<DeletedSegment>, bool, bool) {
        let mut requests = self.requests.lock();
        if !requests.closed && !requests.failed {
            self.arrived.wait_for(&mut requests, TICK);
        }
        let due = requests.removals.extract_if(.., |segment| segment.due <= now.monotonic).collect();
        (due, std::mem::take(&mut requests.failed), requests.closed)
    }
}

/// Stores how far each partition is committed, and the recovery points that its log has noted.
fn store_checkpoints(directory: &LogDirectory, hosts: &[Arc<PartitionHost>]) {
    for host in hosts {
        let view = host.view();
        directory.note_high_watermark(host.name(), view.high_watermark);
    }
    directory.store_checkpoints().unwrap_or_else(warn_of_checkpoints);
}

fn warn_of_checkpoints(error: StorageError) {
    tracing::warn!(%error, "checkpoints could not be stored: a restart would scan more of the logs; check the disk and its free space");
}

#[cfg(test)]
mod tests;
