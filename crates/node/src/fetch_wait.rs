//! Long polls: readers that wait for partitions to grow.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::host::PartitionHost;

/// The long polls registered with one partition for one kind of growth.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiters {
    /// Entries of `waits`. Most partitions have none, and whoever makes one grow need not take the lock to see that.
    count: AtomicUsize,
    waits: Mutex<BTreeMap<u64, Arc<Signal>>>,
}

#[derive(Debug, Default)]
struct Signal {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// One reader that waits, registered with all its partitions until dropped: a long poll, or a stream that follows them.
///
/// Register first, then read: what is published between a read and a registration would be missed. Waiting costs no timer
/// and no buffer. A partition that is closed wakes its readers too; the next read says why.
#[derive(Debug)]
pub struct GrowthWait {
    id: u64,
    signal: Arc<Signal>,
    growth: Growth,
    hosts: Vec<Arc<PartitionHost>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl FetchWaiters {
    /// Wakes every long poll; they look for themselves whether it is enough. Call it once the new view is published.
    pub(crate) fn wake_all(&self) {
        // With the fence of `register`: either the count is seen here, or the new view there.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for signal in self.waits.lock().values() {
            if !signal.set.swap(true, Ordering::AcqRel)
                && let Some(waker) = signal.waker.lock().take()
            {
                waker.wake();
            }
        }
    }

    fn register(&self, id: u64, signal: &Arc<Signal>) {
        if self.waits.lock().insert(id, Arc::clone(signal)).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    fn leave(&self, id: u64) {
        if self.waits.lock().remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Readable,
    Written,
}

impl Growth {
    fn waiters(self, host: &PartitionHost) -> &FetchWaiters {
        match self {
            Self::Readable => host.fetchers(),
            Self::Written => host.copiers(),
        }
    }
}

impl GrowthWait {
    /// Registers a reader of these partitions: it waits for what consumers may read.
    pub fn register(hosts: Vec<Arc<PartitionHost>>) -> Self {
        Self::wait_for(Growth::Readable, hosts)
    }

    /// Registers somebody who copies these partitions, or copies to them: it waits for what is written, committed or not,
    /// and for the next fetch from a leader to become another one.
    pub(crate) fn of_written(hosts: Vec<Arc<PartitionHost>>) -> Self {
        Self::wait_for(Growth::Written, hosts)
    }

    fn wait_for(growth: Growth, hosts: Vec<Arc<PartitionHost>>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let wait = Self { id, signal: Arc::default(), growth, hosts };
        for host in &wait.hosts {
            growth.waiters(host).register(id, &wait.signal);
        }
        wait
    }

    /// Waits until any of the partitions has grown since the last time this returned.
    pub async fn grown(&self) {
        poll_fn(|cx| self.poll_grown(cx)).await;
    }

    /// The same as a poll.
    pub fn poll_grown(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The waker goes in before the flag is read, or a signal between the two would be lost.
        *self.signal.waker.lock() = Some(cx.waker().clone());
        if self.signal.set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for GrowthWait {
    fn drop(&mut self) {
        for host in &self.hosts {
            self.growth.waiters(host).leave(self.id);
        }
    }
}
