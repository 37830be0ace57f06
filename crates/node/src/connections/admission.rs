//! Who may connect: bounds on connections over all listeners, as Kafka's `ConnectionQuotas` keeps them.
//!
//! Beyond `max.connections` a listener stops accepting until one closes; beyond `max.connection.creation.rate` it pauses; a
//! connection beyond its address's number is closed at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Refusals of this long make one line in the log.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How many connections there may be, and how fast they may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// At once (`max.connections`).
    pub total: usize,
    /// At once from one address (`max.connections.per.ip`).
    pub per_address: usize,
    /// The same for addresses with a number of their own (`max.connections.per.ip.overrides`).
    pub of_address: HashMap<IpAddr, usize>,
    /// A second (`max.connection.creation.rate`). As on Kafka, 0 does not close the door: one a second comes in.
    pub per_second: usize,
}

/// The connections that are open. Shared by all listeners.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    open: Mutex<Open>,
    /// One has closed.
    closed: Notify,
}

#[derive(Debug)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// When the next connection would come if they came evenly at the rate that is allowed.
    next: Instant,
    refused: Refused,
}

/// What the log has not said yet.
#[derive(Debug)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

/// A connection's right to be open; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    /// Counted under its address.
    address: Option<IpAddr>,
}

impl Admission {
    /// Nobody is connected yet.
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        let open = Open {
            total: 0,
            by_address: HashMap::new(),
            next: Instant::now(),
            refused: Refused { count: 0, told: None },
        };
        Arc::new(Self { limits, open: Mutex::new(open), closed: Notify::new() })
    }

    /// Connections open at this moment.
    pub fn open(&self) -> usize {
        self.open.lock().total
    }

    /// Waits until there is room for one more, and until it is time for it.
    pub async fn place(self: &Arc<Self>) -> Place {
        loop {
            let closed = self.closed.notified();
            if let Some(place) = self.try_place() {
                sleep_until(self.admit_at(Instant::now())).await;
                return place;
            }
            closed.await;
        }
    }

    fn try_place(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open.lock();
        if open.total >= self.limits.total {
            return None;
        }
        open.total += 1;
        Some(Place { admission: Arc::clone(self), address: None })
    }

    /// When the rate allows the next connection. After a quiet second, a second's worth may come at once.
    fn admit_at(&self, now: Instant) -> Instant {
        let second = Duration::from_secs(1);
        let per_second = u32::try_from(self.limits.per_second).unwrap_or(u32::MAX).max(1);
        let interval = second / per_second;
        let mut open = self.open.lock();
        let ahead = open.next.saturating_duration_since(now);
        open.next = now + ahead + interval;
        now + (ahead + interval).saturating_sub(second)
    }
}

impl Place {
    /// Counts the connection under its address.
    ///
    /// # Errors
    /// The address has as many as it may; the connection is to be closed. Comes with what to write to the log, if it is time.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), TooMany> {
        // A socket for both families names IPv4 clients in IPv6.
        let address = address.to_canonical();
        let limits = &self.admission.limits;
        let allowed = limits.of_address.get(&address).copied().unwrap_or(limits.per_address);
        let mut open = self.admission.open.lock();
        let taken = match open.by_address.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if allowed > 0 => entry.insert(0),
            Entry::Vacant(_) => {
                return Err(TooMany { allowed, to_tell: open.refused.count_and_tell(Instant::now()) });
            }
        };
        if *taken >= allowed {
            return Err(TooMany { allowed, to_tell: open.refused.count_and_tell(Instant::now()) });
        }
        *taken += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.total -= 1;
        if let Some(address) = self.address
            && let Entry::Occupied(mut taken) = open.by_address.entry(address)
        {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
        drop(open);
        self.admission.closed.notify_one();
    }
}

/// An address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// How many those are.
    pub allowed: usize,
    /// Refusals the log has not told of, if it is time to do so.
    pub to_tell: Option<u64>,
}

impl Refused {
    /// One more. A client that comes again and again must not fill the log.
    fn count_and_tell(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| now < told + LOG_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests;
