//! Brokers that have just been fenced, and stay in the list that clients get for a moment.
//!
//! librdkafka (since 2.10) takes down what it has of a broker as soon as the list lacks it. Where the same answer moves a partition away
//! from that broker, the two race, and the partition may end up without a broker until librdkafka looks for such partitions, which
//! it does each second. A broker that is listed and cannot be reached harms nobody: Kafka lists one until its session ends, 9 s after
//! its death.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_coordination::metadata::{Broker, Image};
use ottla_record::BrokerId;
use parking_lot::Mutex;

/// As long as Kafka lists a dead broker (`broker.session.timeout.ms` there).
const LISTED_FOR: Duration = Duration::from_secs(9);

/// What is known of the brokers that this node has seen alive.
#[derive(Debug)]
pub(crate) struct Departed {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The version of the image that was followed last.
    version: u64,
    seen: BTreeMap<BrokerId, Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Active,
    Left(Instant),
}

impl Departed {
    /// Whoever is fenced in this image has been gone for long, or is not there yet.
    pub(crate) fn new(image: &Image, now: Instant) -> Self {
        let departed = Self { known: Mutex::default() };
        departed.follow(image, now);
        departed
    }

    /// Follows an image, and says who has left a moment ago. An image that is older than one before only says that.
    pub(crate) fn follow(&self, image: &Image, now: Instant) -> Vec<BrokerId> {
        let mut known = self.known.lock();
        let Known { version, seen } = &mut *known;
        if image.version() >= *version {
            let stands = |broker: &Broker| match (broker.fenced, seen.get(&broker.id)) {
                (false, _) => Some(Standing::Active),
                (true, Some(Standing::Active)) => Some(Standing::Left(now)),
                (true, before) => before.copied(),
            };
            *seen = image.brokers().filter_map(|broker| Some((broker.id, stands(broker)?))).collect();
            *version = image.version();
        }
        let is_recent = |standing: &Standing| matches!(standing, Standing::Left(left) if now.saturating_duration_since(*left) < LISTED_FOR);
        seen.iter().filter(|(_, standing)| is_recent(standing)).map(|(broker, _)| *broker).collect()
    }
}

#[cfg(test)]
mod tests {
    use ottla_coordination::metadata::{
        Command, FenceBroker, FormCluster, RegisterBroker, Response, UnfenceBroker, UnregisterBroker,
    };
    use ottla_record::{BrokerEpoch, ClusterId, DirectoryId, Incarnation, Uuid};

    use super::*;

    const CLUSTER: ClusterId = ClusterId(Uuid::from_bytes([1; 16]));

    struct Cluster(Image);

    impl Cluster {
        fn new() -> Self {
            let mut image = Image::empty();
            image.apply(&Command::FormCluster(FormCluster { cluster: CLUSTER }));
            Self(image)
        }

        fn register(&mut self, broker: i32, incarnation: u8, replaces: Option<BrokerEpoch>) -> BrokerEpoch {
            let registered = self.0.apply(&Command::RegisterBroker(RegisterBroker {
                broker: BrokerId::new(broker),
                incarnation: Incarnation(Uuid::from_bytes([incarnation; 16])),
                cluster: CLUSTER,
                directory: DirectoryId(Uuid::from_bytes([9; 16])),
                endpoints: Vec::new(),
                rack: None,
                replaces,
            }));
            let Response::RegisterBroker(Ok(epoch)) = registered else { panic!("{registered:?}") };
            epoch
        }

        fn unfence(&mut self, broker: i32, epoch: BrokerEpoch) {
            self.0.apply(&Command::UnfenceBroker(UnfenceBroker { broker: BrokerId::new(broker), epoch }));
        }

        fn fence(&mut self, broker: i32, epoch: BrokerEpoch) {
            self.0.apply(&Command::FenceBroker(FenceBroker { broker: BrokerId::new(broker), epoch }));
        }
    }

    #[test]
    fn who_was_active_and_is_fenced_stays_listed_for_a_while_until_it_is_back_or_unregistered() {
        let mut cluster = Cluster::new();
        let start = Instant::now();
        let epoch = cluster.register(1, 1, None);
        let departed = Departed::new(&cluster.0, start);
        let recently = |cluster: &Cluster, seconds: f64| -> Vec<i32> {
            let now = start + Duration::from_secs_f64(seconds);
            departed.follow(&cluster.0, now).iter().map(|broker| broker.get()).collect()
        };
        // Not there yet is not gone.
        assert_eq!(recently(&cluster, 0.0), [0; 0]);
        cluster.unfence(1, epoch);
        assert_eq!(recently(&cluster, 1.0), [0; 0]);
        cluster.fence(1, epoch);
        assert_eq!(recently(&cluster, 2.0), [1]);
        assert_eq!(recently(&cluster, 10.9), [1]);
        assert_eq!(recently(&cluster, 11.0), [0; 0]);
        // It comes back, and goes again.
        let epoch = cluster.register(1, 2, Some(epoch));
        assert_eq!(recently(&cluster, 12.0), [0; 0]);
        cluster.unfence(1, epoch);
        assert_eq!(recently(&cluster, 13.0), [0; 0]);
        cluster.fence(1, epoch);
        assert_eq!(recently(&cluster, 14.0), [1]);
        let unregister = UnregisterBroker { broker: BrokerId::new(1), epoch };
        let unregistered = cluster.0.apply(&Command::UnregisterBroker(unregister));
        assert_eq!(recently(&cluster, 15.0), [0; 0], "{unregistered:?}");
    }

    #[test]
    fn who_was_fenced_when_the_node_started_is_not_listed() {
        let mut cluster = Cluster::new();
        let epoch = cluster.register(1, 1, None);
        cluster.unfence(1, epoch);
        cluster.fence(1, epoch);
        let now = Instant::now();
        assert_eq!(Departed::new(&cluster.0, now).follow(&cluster.0, now), []);
    }
}
