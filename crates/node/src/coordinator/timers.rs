//! One real timer for the deadlines of all shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_coordination::shard::Event;
use ottla_record::Monotonic;
use tokio::sync::Notify;

use crate::coordinator::Hosted;
use crate::coordinator::shard_host::ShardHost;
use crate::ports::Clock;

/// A deadline is not noticed earlier, so that one which a tick leaves in the past does not keep a processor busy.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// No deadline.
const NEVER: u64 = u64::MAX;

/// When the timer goes off.
#[derive(Debug)]
pub(crate) struct Timers {
    /// In nanoseconds.
    armed: AtomicU64,
    earlier: Notify,
}

impl Default for Timers {
    fn default() -> Self {
        Self { armed: AtomicU64::new(NEVER), earlier: Notify::new() }
    }
}

impl Timers {
    /// A shard's deadline is this now, in nanoseconds. Costs a load where it is later than what is armed, as usual: a
    /// heartbeat only moves a deadline away.
    pub(crate) fn arm(&self, deadline: u64) {
        if deadline < self.armed.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// Ticks shards that are due, until `hosts` gives `None`.
    pub(crate) async fn run<M: Hosted>(
        &self,
        clock: Arc<dyn Clock>,
        hosts: impl Fn() -> Option<Vec<Arc<ShardHost<M>>>>,
    ) {
        loop {
            // While the deadlines are read, each new one counts as earlier: it may belong to a shard that was read already.
            self.armed.store(NEVER, Ordering::SeqCst);
            let Some(all) = hosts() else { return };
            let next = all.iter().map(|host| host.next_deadline()).min().unwrap_or(Monotonic::NEVER);
            drop(all);
            let nanos = u64::try_from(next.since_start().as_nanos()).unwrap_or(NEVER);
            self.armed.store(nanos, Ordering::SeqCst);
            let wait = async {
                match next {
                    Monotonic::NEVER => std::future::pending().await,
                    next => tokio::time::sleep((next - clock.now().monotonic).max(LEAST_WAIT)).await,
                }
            };
            tokio::select! {
                () = self.earlier.notified() => continue,
                () = wait => {}
            }
            let Some(all) = hosts() else { return };
            let now = clock.now().monotonic;
            for host in all.iter().filter(|host| host.next_deadline() <= now) {
                host.submit(Event::Tick);
            }
        }
    }
}
