//! A few threads that call `fdatasync` side by side, so that the device can merge the flushes.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

use crate::disk::File;

/// Threads: with write-back going on beside us, six kept the 99th percentile at half of what two did.
const THREADS: usize = 6;
/// Files waiting for a thread; who brings more waits too.
const QUEUE: usize = 64;

/// The pool. Its threads start with the first use and end when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct SyncPool {
    jobs: OnceLock<SyncSender<Job>>,
}

#[derive(Debug)]
struct Job {
    file: Arc<dyn File>,
    index: usize,
    answer: SyncSender<(usize, io::Result<()>)>,
}

impl SyncPool {
    /// Syncs all the files and returns one result each, in their order.
    pub(crate) fn sync(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        let jobs = self.jobs.get_or_init(start);
        let (answer, answers) = sync_channel(files.len().max(1));
        for (index, file) in files.iter().enumerate() {
            let job = Job { file: Arc::clone(file), index, answer: answer.clone() };
            if let Err(lost) = jobs.send(job) {
                // No thread is left to take it (none could be started): sync here.
                let Job { file, index, answer } = lost.0;
                // The receiver lives below and has room for every file.
                let _ = answer.send((index, file.sync()));
            }
        }
        drop(answer);
        let mut results: Vec<io::Result<()>> =
            files.iter().map(|_| Err(io::Error::other("the sync thread died before it answered"))).collect();
        for (index, result) in answers {
            if let Some(place) = results.get_mut(index) {
                *place = result;
            }
        }
        results
    }
}

fn start() -> SyncSender<Job> {
    let (jobs, queue) = sync_channel::<Job>(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..THREADS {
        let queue = Arc::clone(&queue);
        // A thread that cannot be started is missed only if all are: then `send` fails and the caller syncs.
        let _ = thread::Builder::new().name("ottla-sync".to_owned()).spawn(move || run(&queue));
    }
    jobs
}

fn run(queue: &Mutex<Receiver<Job>>) {
    loop {
        let Ok(job) = queue.lock().recv() else { return };
        // The caller may have gone only if it panicked; nobody is left to tell.
        let _ = job.answer.send((job.index, job.file.sync()));
    }
}
