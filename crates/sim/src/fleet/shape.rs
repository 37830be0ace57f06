//! What a seed fixes before anything happens: how many brokers and partitions there are, how they are configured, who writes
//! and reads, what the network is like, and which faults come how often.

use std::time::Duration;

use ottla_replication::{Durability, PartitionConfig};
use ottla_storage::LogConfig;

use super::network::Weather;
use super::queue::Micros;
use crate::groups::PARTITIONS;
use crate::rng::Rng;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Brokers: 3, sometimes 5 or 1.
    pub brokers: usize,
    /// Replicas of each partition.
    pub replicas: usize,
    /// Topics.
    pub topics: Vec<TopicShape>,
    /// Members of groups share a topic.
    pub groups: bool,
    /// The last broker joins when the cluster has worked for a while.
    pub joins_late: bool,
    /// How long faults come.
    pub storm: Micros,
    /// Between two faults, on average.
    pub fault_every: Micros,
    /// Power may be cut, and disks may fail: not where acknowledgements come from the page cache.
    pub power: bool,
    /// Between two batches of a producer, on average.
    pub pace: Micros,
    /// What a sync takes, on average.
    pub sync: Micros,
    /// How long a fetch waits for records.
    pub fetch_wait: Micros,
    /// The network.
    pub weather: Weather,
}

/// What a topic is like.
#[derive(Clone, Debug)]
pub struct TopicShape {
    /// Partitions that it begins with.
    pub partitions: usize,
    /// Its configuration but for `min.insync.replicas`.
    pub config: PartitionConfig,
    /// Somebody who is not in sync may lead it, rather than nobody.
    pub unclean: bool,
    /// What it is for.
    pub kind: Kind,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Producers write to it, consumers read it.
    Records,
    /// The coordinators of groups keep theirs in it.
    Offsets,
    /// The members of groups share its partitions, and commit offsets of it. There is nothing in it.
    Assigned,
}

/// A second.
pub const SECOND: Micros = 1_000_000;
/// A millisecond.
pub const MILLI: Micros = 1_000;

impl Shape {
    /// Draws one.
    pub fn draw(rng: &mut Rng) -> Self {
        let brokers = match rng.below(10) {
            0 => 1,
            1 | 2 => 5,
            _ => 3,
        };
        let os = rng.chance(1, 6);
        let lag = Duration::from_millis(rng.range(1_500, 10_000));
        let topic = |partitions: usize, kind: Kind, rng: &mut Rng| TopicShape {
            partitions,
            config: config(os, lag, rng),
            unclean: false,
            kind,
        };
        let mut topics: Vec<TopicShape> =
            (0..rng.range(1, 2)).map(|_| topic(rng.index(3) + 1, Kind::Records, rng)).collect();
        if brokers > 1 && rng.chance(1, 4) {
            let unclean = topic(rng.index(2) + 1, Kind::Records, rng);
            topics.push(TopicShape { unclean: true, ..unclean });
        }
        let groups = rng.chance(1, 3);
        if groups {
            let mut offsets = topic(2, Kind::Offsets, rng);
            offsets.config.log.retention_bytes = None;
            topics.extend([offsets, topic(PARTITIONS.unsigned_abs() as usize, Kind::Assigned, rng)]);
        }
        let pace = *rng.pick(&[20 * MILLI, 100 * MILLI, 400 * MILLI, SECOND, 2 * SECOND]).unwrap_or(&SECOND);
        let rough = rng.chance(1, 3);
        Self {
            brokers,
            replicas: brokers.min(3),
            topics,
            groups,
            joins_late: brokers > 3 && rng.chance(1, 2),
            // As many batches, whatever the pace.
            storm: (pace * rng.range(60, 300)).clamp(20 * SECOND, 400 * SECOND),
            fault_every: rng.range(1, 12) * SECOND * if pace > 500 * MILLI { 2 } else { 1 },
            power: !os,
            pace,
            sync: rng.range(300, 12_000),
            fetch_wait: 500 * MILLI,
            weather: Weather {
                delay: rng.range(50, 2_000),
                jitter: rng.range(0, 3_000),
                lose_one_in: if rough { rng.range(50, 500) } else { 0 },
                double_one_in: match (rough, rng.chance(1, 3)) {
                    (true, true) => rng.range(5, 15),
                    (true, false) => rng.range(50, 500),
                    (false, _) => 0,
                },
            },
        }
    }
}

/// Draws a topic's configuration.
fn config(os: bool, replica_lag_max: Duration, rng: &mut Rng) -> PartitionConfig {
    let retention = rng.chance(1, 2);
    PartitionConfig {
        durability: if os { Durability::Os } else { Durability::Fsync },
        // The metadata has the true one.
        min_insync_replicas: 1,
        flush_records: rng.range(4, 40),
        flush_interval: Duration::from_millis(rng.range(50, 2_000)),
        replica_lag_max,
        log: LogConfig {
            segment_bytes: u32::try_from(rng.range(1_500, 8_000)).unwrap_or(1_500),
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: u32::try_from(rng.range(100, 600)).unwrap_or(100),
            retention_bytes: retention.then(|| rng.range(3_000, 12_000)),
            retention_ms: None,
            delete_expired: true,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: rng.range(0, 2_000),
            preallocate: false,
            producer_id_expiration_ms: i64::MAX,
        },
    }
}
