//! Which brokers hold a new partition: round-robin over the racks, so that the replicas of one partition stand in as many
//! racks as there are and every broker leads about as many partitions as the next.
//!
//! The scheme is Kafka's (`AdminUtils.assignReplicasToBrokers`, KIP-36): brokers are listed by alternating rack, partition `p`'s leader is the
//! `p`-th from a random start, and its followers follow at a shift that grows each time the leaders have gone round once.

use std::collections::BTreeMap;

use ottla_record::BrokerId;
use serde::{Deserialize, Serialize};

/// The random choice of a placement, drawn by the proposer of a command so that every broker places alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlacementSeed(pub u64);

/// A broker that may get replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BrokerId,
    /// Its rack. Brokers without one count as one rack together.
    pub rack: Option<String>,
}

/// Why no placement is possible, in Kafka's words (`INVALID_REPLICATION_FACTOR`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// A replication factor of 0 or less.
    #[error("Replication factor was set to an invalid non-positive value.")]
    NotPositive,
    /// More replicas than brokers.
    #[error(
        "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached \
         because only {brokers} broker(s) are registered."
    )]
    TooFewBrokers {
        /// Replicas asked for.
        factor: i16,
        /// Brokers there are.
        brokers: usize,
    },
    /// Nobody could lead.
    #[error("Unable to replicate the partition {factor} time(s): All brokers are currently fenced.")]
    AllFenced {
        /// Replicas asked for.
        factor: i16,
    },
}

/// The replicas of partitions `first .. first + count`, the preferred leader first.
///
/// Leaders and as many followers as possible are `active` brokers; `fenced` ones only fill up what is missing.
pub fn place(
    active: &[Candidate],
    fenced: &[Candidate],
    first: usize,
    count: usize,
    factor: i16,
    seed: PlacementSeed,
) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
    let wanted = match usize::try_from(factor) {
        Ok(wanted) if wanted > 0 => wanted,
        _ => return Err(PlacementError::NotPositive),
    };
    let brokers = active.len() + fenced.len();
    if wanted > brokers {
        return Err(PlacementError::TooFewBrokers { factor, brokers });
    }
    if active.is_empty() {
        return Err(PlacementError::AllFenced { factor });
    }
    let leaders = Ring::new(active, seed);
    let fillers = Ring::new(fenced, seed);
    let placed = (first..first + count).map(|partition| {
        let mut replicas = leaders.replicas(partition, wanted.min(active.len()));
        if replicas.len() < wanted {
            replicas.extend(fillers.replicas(partition, wanted - replicas.len()));
        }
        replicas
    });
    Ok(placed.collect())
}

/// Brokers by alternating rack, and where to start among them.
struct Ring<'a> {
    brokers: Vec<&'a Candidate>,
    racks: usize,
    start: usize,
    shift: usize,
}

impl<'a> Ring<'a> {
    fn new(candidates: &'a [Candidate], seed: PlacementSeed) -> Self {
        let mut by_rack: BTreeMap<Option<&str>, Vec<&Candidate>> = BTreeMap::new();
        for candidate in candidates {
            by_rack.entry(candidate.rack.as_deref()).or_default().push(candidate);
        }
        for brokers in by_rack.values_mut() {
            brokers.sort_unstable_by_key(|c| c.id);
        }
        let deepest = by_rack.values().map(Vec::len).max().unwrap_or(0);
        let brokers: Vec<_> = (0..deepest)
            .flat_map(|depth| by_rack.values().filter_map(move |rack| rack.get(depth).copied()))
            .collect();
        let size = brokers.len().max(1) as u64;
        // Both remainders are below the number of brokers, so they fit.
        let (start, shift) = ((seed.0 % size) as usize, ((seed.0 >> 32) % size) as usize);
        Self { brokers, racks: by_rack.len(), start, shift }
    }

    /// The first `wanted` brokers of one partition; `wanted` is at most their number.
    fn replicas(&self, partition: usize, wanted: usize) -> Vec<BrokerId> {
        let size = self.brokers.len();
        let mut chosen: Vec<&Candidate> = Vec::with_capacity(wanted);
        if size == 0 {
            return Vec::new();
        }
        let leader = (partition + self.start) % size;
        let shift = (self.shift + partition / size) * self.racks;
        // Two rounds over all followers: in the first only brokers whose rack holds no replica yet, in the second whoever is left.
        let followers = (0..size.saturating_sub(1)).map(|k| (leader + 1 + (shift + k) % (size - 1)) % size);
        let order: Vec<&Candidate> =
            std::iter::once(leader).chain(followers).filter_map(|i| self.brokers.get(i).copied()).collect();
        for candidate in &order {
            if chosen.len() < wanted && !chosen.iter().any(|c| c.rack == candidate.rack) {
                chosen.push(candidate);
            }
        }
        for candidate in &order {
            if chosen.len() < wanted && !chosen.iter().any(|c| c.id == candidate.id) {
                chosen.push(candidate);
            }
        }
        chosen.into_iter().map(|c| c.id).collect()
    }
}
