//! One broker's machine: a disk that outlives every process, and a process that may run on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_coordination::metadata::{Command, Image};
use ottla_coordination::shard::AppendId;
use ottla_record::{BrokerEpoch, BrokerId, DirectoryId, Incarnation, LeaderEpoch, Uuid};
use ottla_replication::{Assignment, Partition, View};
use ottla_storage::LogDirectory;

use super::coordinator::ShardHost;
use super::happening::{FetchRequest, Happening, Key};
use super::network::Site;
use super::queue::Micros;
use crate::disk::{Image as DiskImage, SimDisk};
use crate::oracle::RecordId;
use crate::rng::Rng;

/// A machine.
pub struct Machine {
    /// The broker's id.
    pub id: BrokerId,
    /// Its disk. Every process has a handle of its own, so that one that has died can write no more.
    pub disk: SimDisk,
    /// The process, if one runs.
    pub process: Option<Box<Process>>,
    /// Until when the process does not run, and which pause that is.
    pub paused: Option<Micros>,
    /// What came for it while it was paused.
    pub frozen: Vec<Happening>,
    /// Pauses and processes so far.
    pub counted: u64,
    /// What a sync takes longer than usual, times.
    pub slow: u64,
    /// The metadata that it has stored, and of how many commands.
    pub image: (Image, usize),
    /// An older one: a start may go back to it.
    pub snapshot: (Image, usize),
    /// A start is planned.
    pub starting: bool,
    /// Log directories that it has lost.
    pub lost_directories: u64,
    /// When each broker was last heard of here, in which registration, and if it was ready.
    pub heard: Vec<Option<Heard>>,
}

/// What a heartbeat said.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When.
    pub at: Micros,
    /// In which registration.
    pub epoch: BrokerEpoch,
    /// Its logs were open.
    pub ready: bool,
    /// It was refused since, or its connection has ended: it does not live.
    pub gone: bool,
}

/// A broker's process.
pub struct Process {
    /// Its number, over all processes of the machine.
    pub incarnation: u64,
    /// When it started.
    pub started: Micros,
    /// Its log directory.
    pub directory: Arc<LogDirectory>,
    /// Its registration, once the metadata that it has applied shows it.
    pub epoch: Option<BrokerEpoch>,
    /// The metadata that its partitions follow.
    pub followed: Image,
    /// Its replicas.
    pub hosts: BTreeMap<Key, Host>,
    /// The coordinators of groups in it.
    pub shards: BTreeMap<Key, ShardHost>,
    /// When the newest heartbeat was sent that the controller has answered: until when it has a session depends on that.
    pub renewed: Option<Micros>,
    /// What it has proposed and not heard of.
    pub proposals: BTreeMap<u64, Proposal>,
    /// Fetches of followers that wait for records.
    pub parked: BTreeMap<u64, Parked>,
    /// Fetches that it has sent.
    pub fetching: BTreeMap<u64, BrokerId>,
    /// Those that wait a moment before they fetch again.
    pub next_number: u64,
    /// It was asked to stop.
    pub stopping: bool,
    /// When the checkpoints are stored next, and retention is looked at.
    pub keeps: u64,
}

/// One replica in a process.
pub struct Host {
    /// Its number, over all replicas of the process: a partition may be taken away and given back.
    pub serial: u64,
    /// The machine of production.
    pub partition: Partition<u64>,
    /// What readers see.
    pub view: View,
    /// What it was last told.
    pub assignment: Option<Assignment>,
    /// In-sync replicas that are required.
    pub min_in_sync: usize,
    /// Producers that wait.
    pub waiting: BTreeMap<u64, Waiting>,
    /// The fetch that is out for it, with whom and in which term it was sent.
    pub fetch: Option<(u64, BrokerId, LeaderEpoch)>,
    /// No fetch before this time.
    pub fetch_not_before: Micros,
    /// The earliest deadline that a timer is set for.
    pub armed: Micros,
}

/// A producer's batch that was not answered.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The client's number for it.
    pub request: u64,
    /// Its records.
    pub ids: Vec<RecordId>,
    /// It waits for all in-sync replicas.
    pub all: bool,
    /// It is a coordinator's, in this term.
    pub append: Option<(LeaderEpoch, AppendId)>,
}

/// A command on its way to the controller.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// It.
    pub command: Command,
    /// What the answer is for.
    pub purpose: Purpose,
    /// How often it was sent.
    pub sent: u32,
}

/// What an answer of the controller is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// The process registers itself.
    Register,
    /// A leader changes its in-sync set.
    Isr(Key, ottla_record::PartitionEpoch),
    /// It is about to stop.
    Shutdown,
}

/// A fetch that found nothing.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Who waits.
    pub from: Site,
    /// For what.
    pub request: FetchRequest,
}

impl Machine {
    /// A machine that was never started.
    pub fn new(number: usize, brokers: usize, image: &Image, seed: u64) -> Self {
        Self {
            id: id_of(number),
            disk: SimDisk::new(DiskImage::empty(), seed),
            process: None,
            paused: None,
            frozen: Vec::new(),
            counted: 0,
            slow: 1,
            image: (image.clone(), 0),
            snapshot: (image.clone(), 0),
            starting: false,
            lost_directories: 0,
            heard: vec![None; brokers],
        }
    }

    /// True if a process runs and is not paused.
    pub fn is_up(&self) -> bool {
        self.process.is_some() && self.paused.is_none()
    }

    /// True if its process has opened its logs.
    pub fn is_ready(&self) -> bool {
        self.process.as_deref().is_some_and(|process| process.epoch.is_some())
    }

    /// The id of the one directory it has: another one after each that was lost.
    pub fn directory_id(&self) -> DirectoryId {
        DirectoryId(uuid(0xd1, u64::try_from(self.id.get()).unwrap_or(0) | self.lost_directories << 8))
    }

    /// Its disk is replaced by an empty one: logs, checkpoints and metadata are gone. `image` is that of a broker that has heard nothing.
    pub fn lose_directory(&mut self, image: &Image, seed: u64) {
        self.lost_directories += 1;
        self.disk = SimDisk::new(DiskImage::empty(), seed);
        self.image = (image.clone(), 0);
        self.snapshot = (image.clone(), 0);
    }

    /// Who a process is.
    pub fn incarnation_id(&self, incarnation: u64) -> Incarnation {
        Incarnation(uuid(u8::try_from(self.id.get()).unwrap_or(0), incarnation))
    }
}

/// Brokers are numbered from 1.
pub fn id_of(number: usize) -> BrokerId {
    BrokerId::new(i32::try_from(number).unwrap_or(0) + 1)
}

/// An id that tells what it is of.
pub fn uuid(kind: u8, number: u64) -> Uuid {
    let mut bytes = [kind; 16];
    for (place, byte) in bytes.iter_mut().rev().zip(number.to_le_bytes().into_iter().take(7)) {
        *place = byte;
    }
    Uuid::from_random(bytes)
}

/// About `mean`, between a third and double of it.
pub fn around(mean: Micros, rng: &mut Rng) -> Micros {
    mean / 3 + rng.below(mean * 4 / 3 + 1)
}
