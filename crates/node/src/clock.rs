//! The clock of a real process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_record::{Monotonic, Now, Timestamp};

use crate::ports::Clock;

/// The operating system's clocks; monotonic time counts from when this was made.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now {
            monotonic: Monotonic::from_start(self.started.elapsed()),
            wall: Timestamp::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}
