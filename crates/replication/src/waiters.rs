//! Producers (and deletions) waiting for a mark to pass an offset.

use std::collections::VecDeque;

use ottla_record::{Monotonic, Offset};

/// Waiters in the order of the offset they wait for.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    queue: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    /// Satisfied once the mark is at or above this.
    end: Offset,
    deadline: Monotonic,
    what: T,
}

impl<T> Waiters<T> {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a waiter. Appends come in offset order; only a duplicate's answer waits for an older offset.
    pub(crate) fn add(&mut self, end: Offset, deadline: Monotonic, what: T) {
        let at = self.queue.partition_point(|w| w.end <= end);
        self.queue.insert(at, Waiting { end, deadline, what });
    }

    /// Takes the first waiter that the mark has passed.
    pub(crate) fn pop_passed(&mut self, mark: Offset) -> Option<T> {
        self.queue.pop_front_if(|w| w.end <= mark).map(|w| w.what)
    }

    /// Takes every waiter whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Monotonic) -> Vec<T> {
        if self.next_deadline() > now {
            return Vec::new();
        }
        let (expired, kept) = self.queue.drain(..).partition::<Vec<_>, _>(|w| w.deadline <= now);
        self.queue = kept.into();
        expired.into_iter().map(|w| w.what).collect()
    }

    /// Takes all.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.queue).into_iter().map(|w| w.what)
    }

    /// The earliest deadline; [`Monotonic::NEVER`] if nobody waits.
    pub(crate) fn next_deadline(&self) -> Monotonic {
        self.queue.iter().map(|w| w.deadline).min().unwrap_or(Monotonic::NEVER)
    }
}
