//! The memory that all connections together spend on requests (`queued.max.request.bytes`).
//!
//! What counts is what has arrived and is not answered yet, and receive buffers that have grown; never what a length claims.
//! A connection pays after it has read, so that the amount may be overrun by one read of each worker thread, and reading costs
//! a small request nothing but a look at one number: a connection that holds less than [`SMALL`] is not counted.
//!
//! When the amount is spent, connections stop reading, and TCP holds their clients back. Nobody waits for ever:
//! - a connection may always read up to [`SMALL`]: metadata, heartbeats and small records go on;
//! - requests that are whole need no more memory, and give theirs back when they are answered;
//! - the others stand in a line. Where all have begun a request and none can end it, one reads on *beyond* the bound
//!   until its request is answered: one at a time, so that the bound is overrun by one request;
//! - who joined the line last goes first. Requests that end leave no line. Where they do not end, those who stand longest are
//!   many that hold each other up, and who is in earnest would wait for all of them;
//! - a client that is slow to send what it has begun, or to take its answers, is let be as long as there is memory. When there is
//!   none, its connection is closed (by its [`Pace`](super::Pace)); the time it stood in the line does not count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// What one connection may hold without being counted.
pub const SMALL: usize = 16 << 10;

/// A bound on the bytes of requests in memory. Shared by the connections of all listeners.
#[derive(Debug)]
pub struct RequestMemory {
    limit: usize,
    used: AtomicUsize,
    /// Whether anybody stands in the line: looked at without its lock.
    awaited: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// By ticket, in the order of joining.
    waiting: BTreeMap<u64, Waker>,
    last_ticket: u64,
    /// Whether one reads beyond the bound.
    beyond: bool,
}

/// One connection's part.
#[derive(Debug)]
pub struct Account {
    memory: Arc<RequestMemory>,
    charged: usize,
    ticket: Option<u64>,
    beyond: Beyond,
}

/// Reading beyond the bound is for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    No,
    Reading,
    /// The request is whole, and in work.
    Read,
}

impl RequestMemory {
    /// A bound of this many bytes, or none.
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.unwrap_or(usize::MAX),
            used: AtomicUsize::new(0),
            awaited: AtomicBool::new(false),
            line: Mutex::new(Line::default()),
        })
    }

    /// Bytes that count at this moment.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.used.load(Ordering::SeqCst) >= self.limit
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::SeqCst);
            self.wake_next();
        }
    }

    /// The next in the line looks again. It wakes the one after it when it leaves, so that nobody is forgotten and a thousand are
    /// not woken for what is enough for one.
    fn wake_next(&self) {
        if self.awaited.load(Ordering::SeqCst)
            && let Some((_, next)) = self.line.lock().waiting.last_key_value()
        {
            next.wake_by_ref();
        }
    }

    fn return_beyond(&self) {
        self.line.lock().beyond = false;
        self.wake_next();
    }
}

impl Account {
    /// A connection that holds nothing yet.
    pub fn new(memory: &Arc<RequestMemory>) -> Self {
        Self { memory: Arc::clone(memory), charged: 0, ticket: None, beyond: Beyond::No }
    }

    /// How many bytes a connection that holds so many may read now. Ask only when there is something to read: who stands in the
    /// line for nothing keeps others waiting.
    pub fn poll_read(&mut self, held: usize, cx: &mut Context<'_>) -> Poll<usize> {
        let allowed = if !self.memory.is_spent() || self.beyond == Beyond::Reading {
            usize::MAX
        } else if held < SMALL {
            SMALL - held
        } else {
            return self.stand_in_line(cx);
        };
        self.leave_the_line();
        Poll::Ready(allowed)
    }

    fn stand_in_line(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut line = self.memory.line.lock();
        let ticket = *self.ticket.get_or_insert_with(|| {
            line.last_ticket += 1;
            line.last_ticket
        });
        line.waiting.insert(ticket, cx.waker().clone());
        self.memory.awaited.store(true, Ordering::SeqCst);
        let is_next = line.waiting.last_key_value().is_some_and(|(next, _)| *next == ticket);
        if is_next && !line.beyond {
            line.beyond = true;
            self.beyond = Beyond::Reading;
        }
        drop(line);
        // Looked at again: what was given back before the line was joined has woken nobody.
        if self.beyond == Beyond::Reading || !self.memory.is_spent() {
            self.leave_the_line();
            return Poll::Ready(usize::MAX);
        }
        Poll::Pending
    }

    fn leave_the_line(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut line = self.memory.line.lock();
        line.waiting.remove(&ticket);
        self.memory.awaited.store(!line.waiting.is_empty(), Ordering::SeqCst);
        drop(line);
        self.memory.wake_next();
    }

    /// Says that a request is whole and in work.
    pub fn request_started(&mut self) {
        if self.beyond == Beyond::Reading {
            self.beyond = Beyond::Read;
        }
    }

    /// Counts what the connection holds now; `in_work` of it are requests that are not answered.
    pub fn settle(&mut self, held: usize, in_work: usize) {
        let owed = if held > SMALL { held } else { 0 };
        if owed > self.charged {
            self.memory.used.fetch_add(owed - self.charged, Ordering::SeqCst);
        }
        let given_back = self.charged.saturating_sub(owed);
        self.charged = owed;
        self.memory.give_back(given_back);
        let is_over = match self.beyond {
            Beyond::No => false,
            Beyond::Reading => !self.memory.is_spent(),
            Beyond::Read => in_work == 0 || !self.memory.is_spent(),
        };
        if is_over {
            self.beyond = Beyond::No;
            self.memory.return_beyond();
        }
    }

    /// Whether anything of this connection's is counted.
    pub fn is_charged(&self) -> bool {
        self.charged > 0
    }

    /// Whether this connection may read beyond the bound now.
    pub fn is_beyond(&self) -> bool {
        self.beyond == Beyond::Reading
    }

    /// Whether this connection holds memory that others may be waiting for.
    pub fn is_in_the_way(&self) -> bool {
        self.charged > 0 && self.memory.is_spent()
    }

    /// Whether it stands in the line itself.
    pub fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.leave_the_line();
        if self.beyond != Beyond::No {
            self.memory.return_beyond();
        }
        self.memory.give_back(self.charged);
    }
}

#[cfg(test)]
mod tests;
