//! What can happen in a run: messages that arrive, timers, jobs of the disk that end, faults and their ends.

use bytes::Bytes;
use ottla_coordination::group::{self, request::Request};
use ottla_coordination::metadata::{Command, Response};
use ottla_coordination::shard::AppendId;
use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use ottla_replication::{FetchPosition, FetchedOutcome};
use ottla_storage::{CheckpointJob, DeletedSegment, FlushJob};

use super::ledger::Stands;
use super::network::Site;
use super::queue::Micros;
use crate::client::SentBatch;

/// The number of a partition in a run: its place among the ledgers.
pub type Key = usize;

/// Something to come.
#[derive(Debug)]
pub enum Happening {
    /// A message arrives.
    Arrives {
        /// Whose it is.
        from: Site,
        /// Where.
        to: Site,
        /// It.
        message: Message,
    },
    /// Something within a broker's process, which may have ended meanwhile.
    Within {
        /// The broker.
        broker: usize,
        /// The process.
        incarnation: u64,
        /// What.
        what: Task,
    },
    /// A broker's machine starts a process.
    Start {
        /// The broker.
        broker: usize,
    },
    /// A process that was paused goes on.
    Resume {
        /// The broker.
        broker: usize,
        /// Which pause.
        pause: u64,
    },
    /// Whoever is controller looks at its brokers; if nobody can be, somebody else may become it.
    Control,
    /// The controller's log has a command that is stored on a majority, if its term has not ended.
    Commit {
        /// The term in which it was appended.
        term: u64,
        /// Whom to answer, and under which number.
        answer: Option<(Site, u64)>,
        /// It.
        command: Box<Command>,
    },
    /// A producer's turn.
    Producer(usize),
    /// A consumer's turn.
    Consumer(usize),
    /// A group member's turn.
    Member(usize),
    /// Somebody reads committed offsets.
    Offsets,
    /// Clients ask a broker who leads what.
    Refresh,
    /// An operator's turn.
    Operator,
    /// Something goes wrong.
    Fault,
    /// What went wrong is over.
    FaultEnds(Recovery),
}

/// How a fault ends.
#[derive(Clone, Debug)]
pub enum Recovery {
    /// These directions are free again.
    Free(Vec<(Site, Site)>),
    /// These are as fast as before.
    Quicken(Vec<(Site, Site)>),
    /// A disk is as fast as before.
    QuickDisk(usize),
}

/// Something that a process does later.
#[derive(Debug)]
pub enum Task {
    /// A disk has done a flush.
    Flushed {
        /// Of which partition.
        key: Key,
        /// Of which replica of it.
        serial: u64,
        /// The job.
        job: FlushJob,
        /// What was synced when the job began: whether it went well. `None` if it is synced when it ends.
        synced: Option<bool>,
    },
    /// A disk has done a checkpoint.
    Checkpointed {
        /// Of which partition.
        key: Key,
        /// Of which replica of it.
        serial: u64,
        /// The job.
        job: Box<CheckpointJob>,
    },
    /// A deadline of a partition.
    Deadline {
        /// Which.
        key: Key,
    },
    /// Files whose time has come.
    Remove(Vec<DeletedSegment>),
    /// The keeper's turn: ticks, checkpoints, retention.
    Keep,
    /// Time to say that it lives.
    Heartbeat,
    /// Time to ask again for what has not been answered.
    Propose {
        /// The proposal.
        number: u64,
    },
    /// A fetch may be sent that had to wait, or whose answer has not come.
    FetchAgain {
        /// The request that is given up.
        request: u64,
    },
    /// A fetch that found nothing is answered.
    Unpark {
        /// The request.
        request: u64,
    },
    /// The decision on an in-sync set is handed to its partition.
    IsrDecided {
        /// Which.
        key: Key,
        /// The proposal's version.
        partition_epoch: ottla_record::PartitionEpoch,
        /// What came of it.
        outcome: Result<ottla_replication::IsrState, ottla_replication::IsrRefused>,
    },
    /// A coordinator that is not in charge yet takes the next step.
    LoadShard {
        /// Of which partition.
        key: Key,
    },
    /// A deadline of a coordinator.
    ShardTick {
        /// Of which partition.
        key: Key,
    },
    /// A coordinator's append is committed, or is not.
    Appended {
        /// In which partition.
        key: Key,
        /// In which term.
        epoch: LeaderEpoch,
        /// Which.
        append: (AppendId, bool),
    },
    /// A process that was asked to stop has had enough time.
    Stop,
}

/// What sites say to each other.
#[derive(Clone, Debug)]
pub enum Message {
    /// A follower asks a leader.
    Fetch(FetchRequest),
    /// A leader answers.
    Fetched {
        /// The request's number.
        request: u64,
        /// By partition; `None` where nothing came of it.
        parts: Vec<(Key, LeaderEpoch, FetchPosition, Option<FetchedOutcome>)>,
    },
    /// A broker lives.
    Heartbeat {
        /// Its process.
        incarnation: u64,
        /// Its registration.
        epoch: Option<BrokerEpoch>,
        /// It has opened its logs.
        ready: bool,
        /// What it has applied of the metadata.
        applied: usize,
        /// When it was sent.
        sent: Micros,
    },
    /// The controller has heard it.
    Heard {
        /// When the heartbeat was sent.
        sent: Micros,
    },
    /// A broker's machine says that its process has ended.
    Ended {
        /// The process.
        incarnation: u64,
    },
    /// The metadata's log, up to here.
    Metadata {
        /// How many commands.
        upto: usize,
    },
    /// A command for the controller.
    Propose {
        /// Of the asker's choice.
        number: u64,
        /// It.
        command: Box<Command>,
    },
    /// The controller's answer.
    Decided {
        /// The asker's number.
        number: u64,
        /// The answer.
        response: Box<Response>,
        /// How many commands the answer's version has.
        version: usize,
    },
    /// A producer's batch.
    Produce {
        /// The client's number for it.
        request: u64,
        /// The partition.
        key: Key,
        /// Wait for all in-sync replicas?
        all: bool,
        /// What.
        batch: SentBatch,
    },
    /// The broker's answer.
    Produced {
        /// The client's number.
        request: u64,
        /// The first offset, or why not.
        outcome: Result<Offset, Refusal>,
    },
    /// A consumer's fetch.
    Poll {
        /// The consumer.
        consumer: usize,
        /// The client's number for it.
        request: u64,
        /// The partition.
        key: Key,
        /// From where.
        position: Offset,
        /// The term that the client believes in.
        epoch: LeaderEpoch,
        /// The batch that it has read last.
        last: Option<Stands>,
    },
    /// The answer.
    Polled {
        /// The consumer.
        consumer: usize,
        /// The client's number.
        request: u64,
        /// What.
        outcome: Polled,
    },
    /// A member asks its coordinator.
    GroupAsk {
        /// The client's number for it.
        request: u64,
        /// The partition that its coordinator writes to.
        key: Key,
        /// What.
        asked: Box<Request>,
    },
    /// The answer; `None` from a broker that does not coordinate.
    GroupAnswer {
        /// The client's number.
        request: u64,
        /// What.
        answer: Option<Box<group::response::Response>>,
    },
    /// A client asks who leads what.
    WhoLeads,
    /// By partition: the leader and its term.
    Leaders(Vec<(Key, Option<BrokerId>, LeaderEpoch)>),
}

impl Message {
    /// True if the network may bring it twice. What a plain producer sends it may not: nothing would tell the two apart. Nor what a
    /// member does: the second of two commits is refused if it has left in between, and the first one stands.
    pub fn may_arrive_twice(&self) -> bool {
        match self {
            Self::Produce { batch, .. } => batch.is_idempotent(),
            Self::GroupAsk { .. } | Self::GroupAnswer { .. } => false,
            _ => true,
        }
    }
}

/// What a follower asks for.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// Of the follower's choice.
    pub request: u64,
    /// Who asks.
    pub follower: BrokerId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// The partitions.
    pub parts: Vec<(Key, LeaderEpoch, FetchPosition)>,
}

/// Why a producer's batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Ask somebody else.
    NotLeader,
    /// Too few replicas are in sync, nothing was written; or written and not confirmed in time: try again.
    Later,
    /// The one before it is missing.
    OutOfOrder,
}

/// What a poll brings.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Batches, maybe none, and the high watermark if the leader knows it.
    Batches {
        /// As they stand in the log.
        bytes: Bytes,
        /// Where the reader may read up to, and the leader's term.
        high_watermark: Option<Offset>,
        /// The leader's term.
        epoch: LeaderEpoch,
    },
    /// The log does not reach there.
    OutOfRange {
        /// First offset.
        log_start: Offset,
        /// The end.
        log_end: Offset,
    },
    /// What the reader has read last is not in this log: it ends here.
    Diverging {
        /// Where the two part.
        end: Offset,
    },
    /// Ask somebody else.
    NotLeader,
}
