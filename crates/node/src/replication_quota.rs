//! What this broker copies as a leader and as a follower of throttled replicas, each against its rate (KIP-73).
//!
//! Which replicas are throttled stands in their topics' configs, the rates in the brokers'. A replica in sync is never held back: it
//! would leave the set, and producers would lose a copy. What it is sent counts all the same, as in Kafka, so a rate must be above
//! what producers write.

use std::time::Duration;

use ottla_coordination::config::ReplicationRates;
use ottla_record::Monotonic;
use ottla_replication::Throttle;
use parking_lot::Mutex;

/// The rates of one broker and what is owed to them.
#[derive(Debug)]
pub(crate) struct ReplicationQuotas {
    /// What it sends.
    pub(crate) leader: Quota,
    /// What it fetches.
    pub(crate) follower: Quota,
}

/// One side.
#[derive(Debug)]
pub(crate) struct Quota(Mutex<Throttle>);

impl Default for ReplicationQuotas {
    fn default() -> Self {
        let unlimited = || Quota(Mutex::new(Throttle::unlimited()));
        Self { leader: unlimited(), follower: unlimited() }
    }
}

impl ReplicationQuotas {
    /// The rates as they are configured now.
    pub(crate) fn set_rates(&self, rates: ReplicationRates, now: Monotonic) {
        self.leader.0.lock().set_rate(rates.leader, now);
        self.follower.0.lock().set_rate(rates.follower, now);
    }
}

impl Quota {
    /// How long nothing more may be copied, given that so many bytes are under way and not recorded yet; `None` if more may be.
    pub(crate) fn wait(&self, bytes: usize, now: Monotonic) -> Option<Duration> {
        let free_at = self.0.lock().free_at(bytes as u64, now);
        (free_at > now).then(|| free_at - now)
    }

    /// Bytes of throttled replicas were copied.
    pub(crate) fn record(&self, bytes: usize, now: Monotonic) {
        if bytes > 0 {
            self.0.lock().record(bytes as u64, now);
        }
    }
}
