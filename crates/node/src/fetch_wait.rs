//! Long polls: readers that wait for partitions to grow.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::host::PartitionHost;

/// The long polls registered with one partition.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiters {
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
    hosts: Vec<Arc<PartitionHost>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl FetchWaiters {
    /// Wakes every long poll; they look for themselves whether it is enough.
    pub(crate) fn wake_all(&self) {
        for signal in self.waits.lock().values() {
            if !signal.set.swap(true, Ordering::AcqRel)
                && let Some(waker) = signal.waker.lock().take()
            {
                waker.wake();
            }
        }
    }
}

impl GrowthWait {
    /// Registers a reader of these partitions.
    pub fn register(hosts: Vec<Arc<PartitionHost>>) -> Self {
        let wait = Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), signal: Arc::default(), hosts };
        for host in &wait.hosts {
            host.fetchers().waits.lock().insert(wait.id, Arc::clone(&wait.signal));
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
            host.fetchers().waits.lock().remove(&self.id);
        }
    }
}
