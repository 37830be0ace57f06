//! The flush coordinator of the log directory: while one round of syncs runs, what arrives waits for the next together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_replication::Event;
use ottla_storage::{CheckpointJob, Disk, File, FlushJob};
use parking_lot::{Condvar, Mutex};

use crate::completion::Waiter;
use crate::host::PartitionHost;
use crate::metrics::directory::DirectoryMetrics;

/// Collects sync jobs, at most one of a kind a partition, and runs all that have come in one round of [`Disk::sync_files`].
///
/// Idle, a round starts at once; there is no timer. Under load the rounds group by themselves: the longer the disk
/// takes, the more jobs wait for the next round.
#[derive(Debug)]
pub(crate) struct FlushCoordinator {
    disk: Arc<dyn Disk>,
    rounds: Mutex<Rounds>,
    arrived: Condvar,
    metrics: Arc<DirectoryMetrics>,
}

/// Something of one partition that must be synced.
#[derive(Debug)]
pub(crate) enum SyncJob {
    Flush(FlushJob),
    Checkpoint(CheckpointJob),
}

#[derive(Debug, Default)]
struct Rounds {
    next: Vec<(Arc<PartitionHost>, SyncJob)>,
    /// When the first job of `next` came.
    next_since: Option<Instant>,
    /// When the first job of the running round came; `None` if none runs.
    running_since: Option<Instant>,
    /// When the last job began that is run where it arose; `None` if none is.
    inline_since: Option<Instant>,
    closed: bool,
}

impl FlushCoordinator {
    pub(crate) fn new(disk: Arc<dyn Disk>, metrics: Arc<DirectoryMetrics>) -> Self {
        Self { disk, rounds: Mutex::default(), arrived: Condvar::new(), metrics }
    }

    /// Adds a job to the next round.
    pub(crate) fn submit(&self, host: Arc<PartitionHost>, job: SyncJob) {
        let mut rounds = self.rounds.lock();
        rounds.next.push((host, job));
        if rounds.next.len() == 1 {
            rounds.next_since = Some(Instant::now());
        }
        drop(rounds);
        self.arrived.notify_one();
    }

    /// True if no round runs and none is wanted: then a lone client's job may be run where it arose.
    pub(crate) fn is_idle(&self) -> bool {
        let rounds = self.rounds.lock();
        rounds.running_since.is_none() && rounds.next.is_empty()
    }

    /// Runs a job on the calling thread. True if everything in it is durable.
    pub(crate) fn run_now(&self, host: &PartitionHost, job: &FlushJob) -> bool {
        let began = Instant::now();
        self.rounds.lock().inline_since = Some(began);
        let succeeded = job.run(&*self.disk).inspect_err(|error| report(host, &error.to_string())).is_ok();
        self.rounds.lock().inline_since = None;
        self.metrics.flush_seconds.observe(began.elapsed());
        self.metrics.flush_partitions.observe_value(1);
        self.metrics.flush_failures.add(u64::from(!succeeded));
        succeeded
    }

    /// How long the oldest job that is not finished has been waiting or running; zero if there is none.
    pub(crate) fn oldest_unfinished(&self) -> Duration {
        let rounds = self.rounds.lock();
        let since =
            [rounds.running_since, rounds.inline_since, rounds.next_since].into_iter().flatten().min();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Runs rounds until closed and empty. The body of the coordinator's thread.
    pub(crate) fn run(&self) {
        loop {
            let round = {
                let mut rounds = self.rounds.lock();
                rounds.running_since = None;
                while rounds.next.is_empty() {
                    if rounds.closed {
                        return;
                    }
                    self.arrived.wait(&mut rounds);
                }
                rounds.running_since = rounds.next_since.take();
                std::mem::take(&mut rounds.next)
            };
            self.run_round(round);
        }
    }

    /// Lets [`FlushCoordinator::run`] end once nothing is left.
    pub(crate) fn close(&self) {
        self.rounds.lock().closed = true;
        self.arrived.notify_all();
    }

    fn run_round(&self, round: Vec<(Arc<PartitionHost>, SyncJob)>) {
        let began = Instant::now();
        let files: Vec<_> = round.iter().flat_map(|(_, job)| job.files().iter().cloned()).collect();
        let mut synced = self.disk.sync_files(&files).into_iter();
        // A directory that several jobs name is synced once; after the files, so that no name outlives its bytes.
        let dirs: BTreeSet<&PathBuf> = round.iter().flat_map(|(_, job)| job.dirs()).collect();
        let failed: BTreeMap<PathBuf, io::Error> =
            dirs.into_iter().filter_map(|dir| Some((dir.clone(), self.disk.sync_dir(dir).err()?))).collect();
        self.metrics.flush_seconds.observe(began.elapsed());
        self.metrics.flush_partitions.observe_value(round.len() as u64);
        for (host, job) in round {
            let mut failure = job.dirs().iter().find_map(|dir| failed.get(dir)).map(ToString::to_string);
            for _ in job.files() {
                // A missing result is a failure: nothing is known of that file.
                let result = synced.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                failure = failure.or(result.err().map(|error| error.to_string()));
            }
            let succeeded = failure.is_none();
            if let Some(error) = failure {
                self.metrics.flush_failures.inc();
                report(&host, &error);
            }
            host.submit(job.ended(succeeded));
        }
    }
}

/// A deleted partition's directory has another name by now; that is no failure of the disk.
fn report(host: &PartitionHost, error: &str) {
    if host.is_closed() {
        tracing::debug!(partition = ?host, error, "a deleted partition's flush came too late");
    } else {
        tracing::error!(
            partition = ?host,
            error,
            "a flush failed: the log directory goes offline; check the disk, then restart the broker"
        );
    }
}

impl SyncJob {
    fn files(&self) -> &[Arc<dyn File>] {
        match self {
            Self::Flush(job) => &job.files,
            Self::Checkpoint(job) => &job.files,
        }
    }

    fn dirs(&self) -> &[PathBuf] {
        match self {
            Self::Flush(job) => &job.dirs,
            Self::Checkpoint(job) => &job.dirs,
        }
    }

    fn ended(self, succeeded: bool) -> Event<Waiter> {
        match self {
            Self::Flush(job) => Event::Flushed { end: job.end, succeeded },
            Self::Checkpoint(job) => Event::Checkpointed { job, succeeded },
        }
    }
}
