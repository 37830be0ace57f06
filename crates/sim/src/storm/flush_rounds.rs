//! The flush coordinator of a run: all jobs that are wanted go into one round, the device finishes their files in any
//! order, and what else happens comes in between. Directories follow files, as in production.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_replication::Event;
use ottla_storage::{CheckpointJob, File, FlushJob};

use crate::disk::SimDisk;
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::Rng;

/// A partition's job.
#[derive(Debug)]
enum Job {
    Flush(FlushJob),
    Checkpoint(CheckpointJob),
}

#[derive(Debug)]
struct Running {
    number: usize,
    job: Job,
    succeeded: bool,
}

/// One sync of a round.
#[derive(Debug)]
enum Operation {
    File(Arc<dyn File>),
    Dir(PathBuf),
}

/// Jobs that wait, the round that runs, and what is done and not reported.
#[derive(Debug, Default)]
pub struct FlushRounds {
    wanted: Vec<(usize, Job)>,
    running: Vec<Running>,
    /// Of which running job, and what; the next one last.
    operations: Vec<(usize, Operation)>,
    done: Vec<Running>,
}

impl FlushRounds {
    /// A partition wants to be flushed.
    ///
    /// # Errors
    /// It has a flush out already.
    pub fn want_flush(&mut self, number: usize, job: FlushJob) -> Result<(), Violation> {
        self.want(number, Job::Flush(job))
    }

    /// A partition wants its checkpoint.
    ///
    /// # Errors
    /// It has one out already.
    pub fn want_checkpoint(&mut self, number: usize, job: CheckpointJob) -> Result<(), Violation> {
        self.want(number, Job::Checkpoint(job))
    }

    fn want(&mut self, number: usize, job: Job) -> Result<(), Violation> {
        if self.jobs().any(|(of, other)| of == number && other.is_flush() == job.is_flush()) {
            return Err(broken(Invariant::AnswerIsTrue, "a partition has two jobs of a kind out"));
        }
        self.wanted.push((number, job));
        Ok(())
    }

    /// True if this partition has no job out.
    pub fn is_quiet(&self, number: usize) -> bool {
        self.jobs().all(|(of, _)| of != number)
    }

    /// True if nothing is out.
    pub fn is_idle(&self) -> bool {
        self.jobs().next().is_none()
    }

    fn jobs(&self) -> impl Iterator<Item = (usize, &Job)> {
        let wanted = self.wanted.iter().map(|(number, job)| (*number, job));
        wanted.chain(self.running.iter().chain(&self.done).map(|running| (running.number, &running.job)))
    }

    /// Does the next part of a round: begins one, or syncs one thing of it.
    pub fn step(&mut self, disk: &SimDisk, rng: &mut Rng) {
        if self.running.is_empty() {
            self.begin(rng);
        }
        match self.operations.pop() {
            Some((index, operation)) => {
                let result = match operation {
                    Operation::File(file) => file.sync(),
                    Operation::Dir(dir) => disk.port().sync_dir(&dir),
                };
                if let Some(running) = self.running.get_mut(index) {
                    running.succeeded &= result.is_ok();
                }
            }
            None => self.done.append(&mut self.running),
        }
    }

    fn begin(&mut self, rng: &mut Rng) {
        let wanted = std::mem::take(&mut self.wanted);
        self.running =
            wanted.into_iter().map(|(number, job)| Running { number, job, succeeded: true }).collect();
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for (index, running) in self.running.iter().enumerate() {
            files.extend(running.job.files().iter().map(|file| (index, Operation::File(Arc::clone(file)))));
            dirs.extend(running.job.dirs().iter().map(|dir| (index, Operation::Dir(dir.clone()))));
        }
        rng.shuffle(&mut files);
        rng.shuffle(&mut dirs);
        // Taken from the end.
        dirs.append(&mut files);
        self.operations = dirs;
    }

    /// One of the jobs that are done, with the event that says so.
    pub fn report(&mut self, rng: &mut Rng) -> Option<(usize, Event<u64>)> {
        if self.done.is_empty() {
            return None;
        }
        let Running { number, job, succeeded } = self.done.swap_remove(rng.index(self.done.len()));
        Some((number, job.ended(succeeded)))
    }
}

impl Job {
    const fn is_flush(&self) -> bool {
        matches!(self, Self::Flush(_))
    }

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

    fn ended(self, succeeded: bool) -> Event<u64> {
        match self {
            Self::Flush(job) => Event::Flushed { end: job.end, succeeded },
            Self::Checkpoint(job) => Event::Checkpointed { job, succeeded },
        }
    }
}
