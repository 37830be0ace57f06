//! What a seed fixes before anything happens: how many partitions there are, how each is configured, who writes to it.

use std::time::Duration;

use ottla_record::ProducerId;
use ottla_replication::{Acks, Durability, PartitionConfig};
use ottla_storage::LogConfig;

use super::world::Client;
use crate::client::Producer;
use crate::rng::Rng;

/// Partitions of a run, at most.
const MAX_PARTITIONS: u64 = 4;
/// Kafka's default (`producer.id.expiration.ms`): longer than a run, clock jumps included.
const PRODUCER_EXPIRATION_MS: i64 = 7 * 86_400_000;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// One configuration a partition.
    pub partitions: Vec<PartitionConfig>,
    /// What happens in it before the faults stop.
    pub steps: u64,
    /// One step in so many is a fault.
    pub fault_every: u64,
    /// `ottla.disk.reserve.bytes`
    pub reserve_bytes: u64,
}

impl Shape {
    /// Draws one.
    pub fn draw(rng: &mut Rng) -> Self {
        let count = rng.range(1, MAX_PARTITIONS);
        Self {
            partitions: (0..count).map(|_| config(rng)).collect(),
            steps: rng.range(150, 600),
            fault_every: *rng.pick(&[8, 15, 30, 60, 1_000_000]).unwrap_or(&30),
            reserve_bytes: *rng.pick(&[0, 2_000, 20_000]).unwrap_or(&0),
        }
    }
}

/// Draws a topic's configuration, as it may also be changed to while the partition runs.
pub fn config(rng: &mut Rng) -> PartitionConfig {
    let retention = rng.chance(1, 2);
    PartitionConfig {
        durability: if rng.chance(2, 3) { Durability::Fsync } else { Durability::Os },
        min_insync_replicas: usize::try_from(rng.range(1, 2)).unwrap_or(1),
        flush_records: rng.range(4, 40),
        flush_interval: Duration::from_millis(rng.range(50, 2_000)),
        replica_lag_max: Duration::MAX,
        log: LogConfig {
            segment_bytes: u32::try_from(rng.range(1_200, 6_000)).unwrap_or(1_200),
            segment_ms: if rng.chance(1, 3) { 2_000 } else { i64::MAX },
            segment_jitter_ms: 0,
            segment_index_bytes: if rng.chance(1, 4) { 60 } else { 1 << 20 },
            index_interval_bytes: u32::try_from(rng.range(100, 600)).unwrap_or(100),
            retention_bytes: retention.then(|| rng.range(2_000, 9_000)),
            retention_ms: rng.chance(1, 3).then_some(60_000),
            delete_expired: true,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: rng.range(0, 2_000),
            preallocate: rng.chance(1, 8),
            producer_id_expiration_ms: PRODUCER_EXPIRATION_MS,
        },
    }
}

/// Draws who writes to a partition: idempotent producers, plain ones and transactional ones.
pub fn clients(rng: &mut Rng) -> Vec<Client> {
    let waits = [Acks::All, Acks::All, Acks::Leader];
    let mut clients = Vec::new();
    for n in 0..rng.range(1, 2) {
        let id = ProducerId::new(1_000 + n.cast_signed());
        let acks = *rng.pick(&waits).unwrap_or(&Acks::All);
        clients.push(Client::new(Producer::new(Some(id)), acks));
    }
    for _ in 0..rng.range(0, 2) {
        let acks = *rng.pick(&[Acks::None, Acks::Leader, Acks::All]).unwrap_or(&Acks::All);
        clients.push(Client::new(Producer::new(None), acks));
    }
    for n in 0..rng.range(0, 2) {
        let id = ProducerId::new(2_000 + n.cast_signed());
        clients.push(Client::new(Producer::transactional(id), Acks::All));
    }
    clients
}
