//! Threads behind those that answer somebody.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// While others have work for every processor, a thread with it gets about a tenth of one.
const NICE: i32 = 10;

/// A runtime of one such thread. Dropping this ends it, with what it runs.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    _running: oneshot::Sender<()>,
}

impl Background {
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            yield_to_others();
            let _dropped = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _running: running })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Puts the current thread behind those that answer somebody.
pub(crate) fn yield_to_others() {
    // On Linux a thread has a priority of its own.
    let own = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(own), NICE) {
        let thread = thread::current();
        let name = thread.name().unwrap_or_default();
        tracing::warn!(name, %error, "this thread works at the priority of requests: their latency may rise while it does");
    }
}

/// To be called every millisecond or more often by a thread that computes and never waits: lets those in that wait for its processor.
///
/// A niceness says who gets how much, not when: on Linux a thread that wakes may wait for the next tick, 4 ms at 250 Hz, until one that
/// computes leaves its processor, which doubles the 99th percentile of what producers wait for their flush.
pub(crate) fn let_others_in() {
    thread::yield_now();
}
