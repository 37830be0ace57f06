//! What the requests of one connection take of the memory for all requests (`queued.max.request.bytes`).
//!
//! A connection is counted, and held back, where it reads its socket, like one of Kafka's listeners: what has come counts from
//! then on, whoever holds it. First that is hyper, which keeps DATA until a call takes it; then the call, until its message is
//! whole, packed and appended. An acknowledgement is waited for without its records, so they do not count that long.
//!
//! HTTP/2 mixes the requests of a connection, so what [`RequestMemory`](ottla_node::connections::RequestMemory) says of one
//! request is here said of a connection: when memory is spent and its turn comes to read beyond the bound, it may read until one
//! of its messages is whole. If none is after as much as one message and the connection's window may be, it is closed.
//!
//! What hyper throws away (DATA of a call that has ended) it tells nobody. It is forgotten here when the next call ends, or when
//! nothing has come for a second: what hyper still has for a call that wants it was taken by then.

mod framing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ottla_node::connections::pace::STALL;
use ottla_node::connections::{Account, Pace, RequestMemory};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::memory::framing::{Frames, Messages};

/// One connection's part.
#[derive(Debug)]
pub(crate) struct ConnectionMemory {
    state: Mutex<State>,
    /// Bytes that may be read in one turn beyond the bound.
    max_beyond: usize,
    /// It has begun to be counted.
    counted: Notify,
    /// Calls whose last answer the client has not taken.
    unread: AtomicUsize,
}

#[derive(Debug)]
struct State {
    account: Account,
    frames: Frames,
    /// DATA that no call has taken yet.
    untaken: usize,
    /// Calls that take no DATA because we have not done what is asked in what they took.
    held_back: usize,
    calls: usize,
    /// Taken by calls, of messages that are not whole.
    arriving: usize,
    /// Of messages that are whole and in work.
    in_work: usize,
    /// Read in this turn beyond the bound.
    beyond: usize,
    pace: Pace,
    /// DATA that has come since `pace` was set up, and when the last of it came.
    sent: usize,
    last_sent: Instant,
}

/// One call's part of its connection's.
#[derive(Debug)]
pub(crate) struct CallMemory {
    connection: Arc<ConnectionMemory>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    messages: Messages,
    /// What it takes from now on is of no weight: it is let go at once.
    let_go: bool,
    held_back: bool,
    unread: bool,
}

/// A message in work; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct InWork {
    connection: Arc<ConnectionMemory>,
    bytes: usize,
}

impl ConnectionMemory {
    /// A connection that has sent nothing yet, whose messages and whose window may have so many bytes together.
    pub(crate) fn new(memory: &Arc<RequestMemory>, max_beyond: usize) -> Arc<Self> {
        let state = State {
            account: Account::new(memory),
            frames: Frames::default(),
            untaken: 0,
            held_back: 0,
            calls: 0,
            arriving: 0,
            in_work: 0,
            beyond: 0,
            pace: Pace::default(),
            sent: 0,
            last_sent: Instant::now(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            max_beyond,
            counted: Notify::new(),
            unread: AtomicUsize::new(0),
        })
    }

    /// How many bytes may be read now. Asked when there are some.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state.lock();
        if self.is_unfair(&state) {
            // It is about to be closed.
            return Poll::Pending;
        }
        let held = state.held();
        let allowed = state.account.poll_read(held, cx);
        if allowed.is_pending() {
            state.pace.stop(Instant::now());
        }
        allowed
    }

    /// Nothing has come: the client is waited for, if it has begun something.
    pub(crate) fn awaited(&self) {
        let mut state = self.state.lock();
        if state.begun() > 0 {
            state.pace.start(Instant::now());
        }
    }

    /// Counts what was read from the socket.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        let data = state.frames.push(bytes);
        if data > 0 {
            // Without a call there is nobody hyper could keep it for; the first DATA of the first call counts when it is taken.
            state.untaken += if state.calls > 0 { data } else { 0 };
            state.sent += data;
            state.last_sent = Instant::now();
        }
        state.beyond = if state.account.is_beyond() { state.beyond + bytes.len() } else { 0 };
        self.settle(&mut state);
    }

    /// A call begins on this connection.
    pub(crate) fn call(self: &Arc<Self>) -> Arc<CallMemory> {
        self.state.lock().calls += 1;
        Arc::new(CallMemory { connection: Arc::clone(self), taken: Mutex::default() })
    }

    /// Waits until this client is too slow to be waited for by others. Returns what it holds.
    pub(crate) async fn in_the_way(&self) -> usize {
        loop {
            self.counted.notified().await;
            while self.state.lock().account.is_charged() {
                tokio::time::sleep(STALL).await;
                if let Some(held) = self.look(Instant::now()) {
                    return held;
                }
            }
        }
    }

    fn look(&self, now: Instant) -> Option<usize> {
        let mut state = self.state.lock();
        if now >= state.last_sent + STALL {
            self.forget_what_is_gone(&mut state);
        }
        let dawdles = state.begun() > 0 && state.pace.is_slow(state.sent, state.last_sent, now);
        let takes_nothing = self.unread.load(Ordering::Relaxed) > 0 && now >= state.last_sent + STALL;
        let is_slow = state.account.is_in_the_way() && (dawdles || takes_nothing);
        (is_slow || self.is_unfair(&state)).then(|| state.held())
    }

    /// What no call has taken though it could is not there any more, but for a frame that is not whole.
    fn forget_what_is_gone(&self, state: &mut State) {
        if state.calls == 0 || state.held_back == 0 {
            state.untaken = state.frames.partial_data();
            state.note_an_end();
            self.settle(state);
        }
    }

    /// Whether the connection has used its turn beyond the bound for several messages at once, none of which it has ended.
    fn is_unfair(&self, state: &State) -> bool {
        state.account.is_beyond() && state.beyond > self.max_beyond
    }

    fn settle(&self, state: &mut State) {
        let was_charged = state.account.is_charged();
        let (held, in_work) = (state.held(), state.in_work);
        state.account.settle(held, in_work);
        if state.account.is_charged() && !was_charged {
            self.counted.notify_one();
        }
    }
}

impl State {
    fn held(&self) -> usize {
        self.frames.partial_other() + self.untaken + self.arriving + self.in_work
    }

    /// What the client has begun and not ended, as far as the delay is not ours.
    fn begun(&self) -> usize {
        self.arriving + if self.held_back == 0 { self.untaken } else { 0 }
    }

    /// Starts the client's time anew when it has ended what it had begun.
    fn note_an_end(&mut self) {
        if self.begun() == 0 {
            (self.pace, self.sent) = (Pace::default(), 0);
        }
    }
}

impl CallMemory {
    /// Takes DATA from hyper.
    pub(crate) fn take(&self, data: &[u8]) {
        let mut taken = self.taken.lock();
        let mut state = self.connection.state.lock();
        state.untaken = state.untaken.saturating_sub(data.len());
        if !taken.let_go {
            let before = taken.messages.partial();
            let whole = taken.messages.push(data);
            state.arriving = (state.arriving + taken.messages.partial()).saturating_sub(before);
            state.in_work += whole;
            if whole > 0 {
                state.account.request_started();
            }
        }
        state.note_an_end();
        self.connection.settle(&mut state);
    }

    /// The message that was decoded just now, as a part of its own.
    pub(crate) fn next_message(&self) -> InWork {
        let bytes = self.taken.lock().messages.next().unwrap_or(0);
        InWork { connection: Arc::clone(&self.connection), bytes }
    }

    /// Nothing of what has come is needed any more, nor of what comes.
    pub(crate) fn let_go(&self) {
        let mut taken = self.taken.lock();
        if std::mem::replace(&mut taken.let_go, true) {
            return;
        }
        let mut state = self.connection.state.lock();
        state.arriving = state.arriving.saturating_sub(taken.messages.partial());
        state.in_work = state.in_work.saturating_sub(taken.messages.unasked());
        state.note_an_end();
        self.connection.settle(&mut state);
    }

    /// Whether the call takes no DATA for now, for a reason that is ours.
    pub(crate) fn hold_back(&self, held_back: bool) {
        let mut taken = self.taken.lock();
        if std::mem::replace(&mut taken.held_back, held_back) == held_back {
            return;
        }
        let mut state = self.connection.state.lock();
        if held_back { state.held_back += 1 } else { state.held_back -= 1 }
    }

    /// Whether an answer was given out that the client has yet to take: hyper asks for the next one when it has.
    pub(crate) fn answer_is_unread(&self, unread: bool) {
        let mut taken = self.taken.lock();
        if std::mem::replace(&mut taken.unread, unread) == unread {
            return;
        }
        let count = &self.connection.unread;
        if unread {
            count.fetch_add(1, Ordering::Relaxed)
        } else {
            count.fetch_sub(1, Ordering::Relaxed)
        };
    }
}

impl Drop for CallMemory {
    fn drop(&mut self) {
        self.let_go();
        self.hold_back(false);
        self.answer_is_unread(false);
        let mut state = self.connection.state.lock();
        state.calls -= 1;
        // Its own is gone, and what hyper has for others they take any moment: it counts again then.
        self.connection.forget_what_is_gone(&mut state);
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        let mut state = self.connection.state.lock();
        state.in_work = state.in_work.saturating_sub(self.bytes);
        self.connection.settle(&mut state);
    }
}

#[cfg(test)]
mod tests;
