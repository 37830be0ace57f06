//! Where answers go: one call of a client waits for the outcomes of several partitions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll, Waker};

use ottla_record::Offset;
use ottla_replication::{DeleteRecordsError, FollowerFetchError, FollowerPosition, Produced};
use ottla_storage::compaction::SwapError;
use parking_lot::Mutex;

use crate::produce::ProduceOutcome;

/// The handle a partition keeps for whoever waits on it.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A producer's slot.
    Produce(Slot<ProduceOutcome>),
    /// A deletion's slot.
    DeleteRecords(Slot<Result<Offset, DeleteRecordsError>>),
    /// A coordinator's append.
    Append(AppendSlot),
    /// A follower's slot.
    FollowerFetch(Slot<Result<FollowerPosition, FollowerFetchError>>),
    /// The cleaner's thread.
    Swap(SyncSender<Result<(), SwapError>>),
}

/// Told once whether an append of a coordinator is committed; dropped without an outcome, it is not.
pub(crate) struct AppendSlot(Option<Box<dyn FnOnce(bool) + Send>>);

impl AppendSlot {
    pub(crate) fn new(tell: impl FnOnce(bool) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    fn complete(mut self, committed: bool) {
        if let Some(tell) = self.0.take() {
            tell(committed);
        }
    }
}

impl Drop for AppendSlot {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(false);
        }
    }
}

impl fmt::Debug for AppendSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppendSlot")
    }
}

impl Waiter {
    pub(crate) fn produced(self, outcome: Result<Produced, ottla_replication::ProduceError>) {
        match self {
            Self::Produce(slot) => slot.complete(outcome.map_err(Into::into)),
            Self::Append(slot) => {
                match &outcome {
                    // Another broker's turn, or this one stops.
                    Ok(_) | Err(ottla_replication::ProduceError::NotLeader) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a coordinator's records were not appended; it is loaded again");
                    }
                }
                slot.complete(outcome.is_ok());
            }
            Self::DeleteRecords(_) | Self::FollowerFetch(_) | Self::Swap(_) => {}
        }
    }

    pub(crate) fn swapped(self, outcome: Result<(), SwapError>) {
        if let Self::Swap(cleaner) = self {
            // The cleaner waits for it, unless its thread is gone.
            let _gone = cleaner.send(outcome);
        }
    }

    pub(crate) fn follower_fetched(self, outcome: Result<FollowerPosition, FollowerFetchError>) {
        if let Self::FollowerFetch(slot) = self {
            slot.complete(outcome);
        }
    }

    pub(crate) fn records_deleted(self, outcome: Result<Offset, DeleteRecordsError>) {
        if let Self::DeleteRecords(slot) = self {
            slot.complete(outcome);
        }
    }
}

/// A future of several outcomes, in the order of the slots; ready when the last one is in.
#[derive(Debug)]
pub struct Ticket<T> {
    call: Arc<Mutex<Call<T>>>,
}

/// One outcome that a [`Ticket`] waits for. Dropped without an outcome it leaves `None`, so that no ticket waits for ever.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    call: Option<Arc<Mutex<Call<T>>>>,
    index: usize,
}

#[derive(Debug)]
struct Call<T> {
    outcomes: Vec<Option<T>>,
    remaining: usize,
    waker: Option<Waker>,
}

/// A ticket for `n` outcomes, and their slots.
pub(crate) fn ticket<T>(n: usize) -> (Ticket<T>, impl Iterator<Item = Slot<T>>) {
    let outcomes = std::iter::repeat_with(|| None).take(n).collect();
    let call = Arc::new(Mutex::new(Call { outcomes, remaining: n, waker: None }));
    let slots = {
        let call = Arc::clone(&call);
        (0..n).map(move |index| Slot { call: Some(Arc::clone(&call)), index })
    };
    (Ticket { call }, slots)
}

impl<T> Slot<T> {
    /// Puts the outcome in; the last one wakes the ticket's owner.
    pub(crate) fn complete(mut self, outcome: T) {
        self.fill(Some(outcome));
    }

    fn fill(&mut self, outcome: Option<T>) {
        let Some(call) = self.call.take() else { return };
        let mut call = call.lock();
        if let Some(slot) = call.outcomes.get_mut(self.index) {
            *slot = outcome;
        }
        call.remaining -= 1;
        if call.remaining == 0
            && let Some(waker) = call.waker.take()
        {
            drop(call);
            waker.wake();
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        self.fill(None);
    }
}

impl<T> Future for Ticket<T> {
    type Output = Vec<Option<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut call = self.call.lock();
        if call.remaining == 0 {
            return Poll::Ready(std::mem::take(&mut call.outcomes));
        }
        match &mut call.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
