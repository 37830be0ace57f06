//! What outlives the broker of a run: the clients of every partition with all that they were told, the cluster's
//! metadata, the wall clock, and what is known to be damaged.

use std::collections::BTreeMap;

use ottla_record::{Offset, PartitionIndex, Timestamp};
use ottla_replication::{Acks, Durability, PartitionConfig};
use ottla_storage::TopicPartition;

use super::consumer::Consumer;
use super::damage::Damage;
use super::shape::{self, Shape};
use crate::client::Producer;
use crate::cluster::Cluster;
use crate::disk::SimDisk;
use crate::oracle::{Oracle, RecordId};
use crate::rng::Rng;

/// Everything but the broker and its disk.
#[derive(Debug)]
pub struct World {
    /// The metadata.
    pub cluster: Cluster,
    /// The wall clock.
    pub wall: Timestamp,
    /// Of each partition, what its clients know.
    pub partitions: Vec<Clients>,
    /// What a run did, for the proof that it did anything.
    pub tally: Tally,
}

/// The clients of one partition.
#[derive(Debug)]
pub struct Clients {
    /// Topic and number.
    pub name: TopicPartition,
    /// The topic's configuration now.
    pub config: PartitionConfig,
    /// What was sent and what was promised.
    pub oracle: Oracle,
    /// Who writes.
    pub writers: Vec<Client>,
    /// Who reads.
    pub readers: Vec<Consumer>,
    /// How transactions ended, by record; records of others are not in it.
    pub fates: BTreeMap<RecordId, Fate>,
    /// The highest last stable offset that was shown and still binds.
    pub last_stable: Offset,
    /// Epoch of the next marker: each has its own, so that each can be told.
    pub next_marker: i32,
    /// Bits that were turned over and not turned back.
    pub damage: Vec<Damage>,
    /// An index file was damaged: its bytes are not judged any more, only what is read through it.
    pub indexes_damaged: bool,
    /// Records were acknowledged from the page cache once.
    pub was_cached: bool,
    /// Something acknowledged was lost with good reason (page cache, damage above the recovery point): gaps in
    /// sequences are then no fault of the log.
    pub gaps_allowed: bool,
}

/// One writer.
#[derive(Debug)]
pub struct Client {
    /// The producer.
    pub producer: Producer,
    /// What it asks for, all its life.
    pub acks: Acks,
    /// Its transaction, if it writes any.
    pub transaction: Transaction,
    /// Where its newest acknowledged records stand.
    pub newest: Option<Offset>,
    /// An acknowledged record of its present epoch, and where it stands: while it does, no older epoch may write.
    pub heard: Option<(Offset, RecordId)>,
}

/// A transactional producer's transaction, as its coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// None.
    Idle,
    /// These records belong to it.
    Open(Vec<RecordId>),
    /// Decided; the marker is not known to be written.
    Ending {
        /// How.
        commit: bool,
    },
}

/// What became of a record that is part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not decided.
    Open,
    /// Everybody may see it.
    Committed,
    /// Nobody who reads committed records may.
    Aborted,
    /// Its marker may have been lost with good reason.
    Unknown,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened.
    pub steps: u64,
    /// Processes started.
    pub lives: u64,
    /// Power cuts among their ends.
    pub power_cuts: u64,
    /// Faults planned.
    pub faults: u64,
    /// Requests answered well.
    pub acknowledged: u64,
    /// Records that consumers got.
    pub consumed: u64,
    /// Logs that refused to open because of damage below their recovery point.
    pub refused: u64,
    /// Markers written.
    pub markers: u64,
    /// Batches of fenced producers, all refused.
    pub zombies: u64,
    /// Segments that compaction has put in the place of others.
    pub swapped: u64,
    /// Simulated milliseconds.
    pub millis: u64,
}

impl Tally {
    /// Adds what another run did.
    pub const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.lives += other.lives;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.consumed += other.consumed;
        self.refused += other.refused;
        self.markers += other.markers;
        self.zombies += other.zombies;
        self.swapped += other.swapped;
        self.millis += other.millis;
    }
}

impl World {
    /// Before the first start.
    pub fn new(shape: &Shape, rng: &mut Rng) -> Self {
        let count = i32::try_from(shape.partitions.len()).unwrap_or(1);
        let partitions = shape.partitions.iter().zip(0..).map(|(config, number)| Clients {
            name: Cluster::partition_at(PartitionIndex::new(number)),
            config: config.clone(),
            oracle: Oracle::new(),
            writers: shape::clients(rng),
            readers: vec![Consumer::new(false), Consumer::new(true)],
            fates: BTreeMap::new(),
            last_stable: Offset::ZERO,
            next_marker: 0,
            damage: Vec::new(),
            indexes_damaged: false,
            was_cached: config.durability == Durability::Os,
            gaps_allowed: false,
        });
        Self {
            cluster: Cluster::with_partitions(count),
            wall: Timestamp::from_millis(1_700_000_000_000),
            partitions: partitions.collect(),
            tally: Tally::default(),
        }
    }

    /// The process died: whoever waited will ask again. Without power, what was in the page cache only is gone; so is
    /// it after a sync that failed, which the kernel does not try again.
    pub fn crashed(&mut self, lost_page_cache: bool) {
        for clients in &mut self.partitions {
            if lost_page_cache {
                clients.oracle.power_cut();
                if clients.was_cached {
                    clients.acknowledged_is_lost();
                }
            }
            for writer in &mut clients.writers {
                writer.producer.reconnect();
                writer.producer.answered = None;
            }
        }
    }
}

impl Client {
    /// A writer that has not written.
    pub const fn new(producer: Producer, acks: Acks) -> Self {
        Self { producer, acks, transaction: Transaction::Idle, newest: None, heard: None }
    }
}

impl Clients {
    /// What holds of an answer now.
    pub fn is_durable(&self) -> bool {
        self.config.durability == Durability::Fsync
    }

    /// The records of a transaction have got their fate.
    pub fn decide(&mut self, writer: usize, commit: bool) {
        let Some(client) = self.writers.get_mut(writer) else { return };
        let ids = match std::mem::replace(&mut client.transaction, Transaction::Ending { commit }) {
            Transaction::Open(ids) => ids,
            Transaction::Idle | Transaction::Ending { .. } => Vec::new(),
        };
        client.producer.answered = None;
        let fate = if commit { Fate::Committed } else { Fate::Aborted };
        self.fates.extend(ids.into_iter().map(|id| (id, fate)));
    }

    /// The producer starts over in a new epoch, and its transaction is aborted.
    pub fn bump(&mut self, writer: usize) {
        let Some(client) = self.writers.get_mut(writer) else { return };
        client.producer.bump();
        client.heard = None;
        if matches!(client.transaction, Transaction::Open(_)) {
            self.decide(writer, false);
        }
    }

    /// Turns back every bit that still stands turned over, does something, and turns them over again: what the checker
    /// reads is what was written.
    pub fn undamaged<T>(&self, disk: &SimDisk, look: impl FnOnce() -> T) -> T {
        let standing: Vec<&Damage> = self.damage.iter().filter(|damage| damage.stands(disk)).collect();
        standing.iter().for_each(|damage| damage.turn(disk));
        let found = disk.quietly(look);
        standing.iter().for_each(|damage| damage.turn(disk));
        found
    }

    /// Bits turned over in batches above the recovery point look like a torn tail: from the first of them on, records may
    /// be lost with one replica, acknowledged or not.
    pub fn give_up_damaged(&mut self, disk: &SimDisk, recovery_point: Offset) {
        self.damage.retain(|damage| damage.stands(disk));
        let above = |damage: &Damage| damage.batch.filter(|(_, last)| *last >= recovery_point);
        let Some((first, _)) = self.damage.iter().filter_map(above).min() else { return };
        self.oracle.truncating(first);
        self.acknowledged_is_lost();
        for reader in &mut self.readers {
            reader.position = reader.position.min(first);
        }
    }

    /// Records and markers that were acknowledged may be gone, with good reason. Coordinators send their last marker again, so
    /// that no transaction is left open.
    fn acknowledged_is_lost(&mut self) {
        self.gaps_allowed = true;
        self.last_stable = Offset::ZERO;
        self.fates.values_mut().for_each(|fate| *fate = Fate::Unknown);
        for writer in self.writers.iter_mut().filter(|writer| writer.producer.transactional) {
            match &mut writer.transaction {
                Transaction::Open(ids) => self.fates.extend(ids.drain(..).map(|id| (id, Fate::Unknown))),
                other => *other = Transaction::Ending { commit: true },
            }
        }
    }

    /// True if a reader of these offsets may meet damage.
    pub fn may_be_damaged(&self, disk: &SimDisk) -> bool {
        self.damage.iter().any(|damage| damage.stands(disk))
    }
}
