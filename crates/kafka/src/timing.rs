//! Where a request's time goes: a stopwatch from its last byte in to its answer's last byte out.
//!
//! Five looks at the clock a request, no lock, no allocation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ottla_node::metrics::{ApiMetrics, Phases};

use crate::outbox::Frame;

/// Answers of one connection whose leaving is waited for. Past this the oldest are counted as if they had left: only a client
/// that sends and does not read gets there.
const MAX_DEPARTING: usize = 1024;

/// A request on its way to its answer.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// Place of its API in the table of what is served.
    api: usize,
    received: Instant,
    started: Instant,
    /// When it was first put off until others have done something.
    worked: Option<Instant>,
}

impl Stopwatch {
    pub(crate) fn start(api: usize, received: Instant, started: Instant) -> Self {
        Self { api, received, started, worked: None }
    }

    /// What this broker can do at once has been done; from now on the request waits for others. Counts the first time.
    pub(crate) fn put_off(&mut self) {
        self.worked.get_or_insert_with(Instant::now);
    }
}

/// Answers that wait in the outbox, in order.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    queue: VecDeque<Departing>,
    /// Bytes given to the outbox so far.
    given: u64,
}

#[derive(Debug)]
struct Departing {
    watch: Stopwatch,
    answered: Instant,
    bytes: u64,
    /// [`Departures::given`] with this one.
    end: u64,
}

impl Departures {
    /// Takes an answer that goes into the outbox now; `None` for a request that gets none. Counts its errors.
    pub(crate) fn push(&mut self, watch: Stopwatch, answer: Option<&Frame>, apis: &[Arc<ApiMetrics>]) {
        let bytes = answer.map_or(0, |frame| frame.message.frame_len());
        if let (Some(frame), Some(api)) = (answer, apis.get(watch.api)) {
            for (code, count) in frame.message.errors() {
                api.errors(code.name().unwrap_or("UNKNOWN"), u64::from(*count));
            }
        }
        self.given += bytes;
        self.queue.push_back(Departing { watch, answered: Instant::now(), bytes, end: self.given });
        while self.queue.len() > MAX_DEPARTING {
            self.count_first(Instant::now(), apis);
        }
    }

    /// Counts what has left, when so many bytes are still in the outbox.
    pub(crate) fn left(&mut self, unsent: u64, apis: &[Arc<ApiMetrics>]) {
        let sent = self.given.saturating_sub(unsent);
        if self.queue.front().is_none_or(|first| first.end > sent) {
            return;
        }
        let now = Instant::now();
        while self.queue.front().is_some_and(|first| first.end <= sent) {
            self.count_first(now, apis);
        }
    }

    fn count_first(&mut self, now: Instant, apis: &[Arc<ApiMetrics>]) {
        let Some(Departing { watch, answered, bytes, .. }) = self.queue.pop_front() else { return };
        let Some(api) = apis.get(watch.api) else { return };
        let worked = watch.worked.unwrap_or(answered);
        let phases = Phases {
            queue: Some(watch.started - watch.received),
            local: worked - watch.started,
            remote: Some(answered - worked),
            send: now - answered,
        };
        api.answered(phases, bytes);
    }
}

#[cfg(test)]
mod tests;
