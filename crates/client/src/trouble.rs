//! A reader's trouble: how long it waits before it tries again, and when its caller hears of it.

use std::time::Duration;

use ottla_rpc::KafkaError;
use tokio::time::Instant;

use crate::backoff::{Backoff, Random};
use crate::error::Error;

/// A topic that is unknown for so long is taken to be missing, not in the making.
pub(crate) const TOPIC_TIMEOUT: Duration = Duration::from_secs(5);

/// Failures since something last worked.
#[derive(Debug)]
pub(crate) struct Trouble {
    backoff: Backoff,
    random: Random,
    attempts: u32,
    since: Option<Instant>,
}

impl Trouble {
    /// None yet.
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, random: Random::from_entropy(), attempts: 0, since: None }
    }

    /// Something has worked.
    pub(crate) fn is_over(&mut self) {
        self.since = None;
        self.attempts = 0;
    }

    /// How long to wait before the next try.
    pub(crate) fn wait(&mut self) -> Duration {
        self.attempts += 1;
        self.backoff.wait(self.attempts, &mut self.random)
    }

    /// What the caller hears of a failure: nothing as long as it may pass by itself. After that it has another
    /// `patience`, if the caller goes on.
    pub(crate) fn tell(&mut self, error: Error, patience: Duration, what: &'static str) -> Option<Error> {
        if !error.is_retriable() {
            return Some(error);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let missing = error.is(KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        let after = if missing { TOPIC_TIMEOUT } else { patience };
        if since.elapsed() < after {
            return None;
        }
        self.since = None;
        if missing {
            return Some(error);
        }
        Some(Error::TimedOut { what, after, maybe_sent: false, last: Some(Box::new(error)) })
    }
}
