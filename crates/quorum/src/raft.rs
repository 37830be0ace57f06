//! The types that openraft is given.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use ottla_coordination::metadata::{Command, Response};
use ottla_record::{BrokerId, DirectoryId, Uuid};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

openraft::declare_raft_types!(
    /// Everything that openraft leaves open.
    pub(crate) Types:
        D = Command,
        R = Applied,
        NodeId = NodeId,
        Node = Member,
        SnapshotData = Cursor<Vec<u8>>,
);

/// A broker in openraft's eyes. It is a `u64`, unlike a broker id, so that openraft's own tests of a store can run.
pub(crate) type NodeId = u64;

/// The broker as openraft knows it. Broker ids are never negative.
pub(crate) fn node_id(broker: BrokerId) -> NodeId {
    u64::from(broker.get().unsigned_abs())
}

/// The broker behind openraft's id.
pub(crate) fn broker_id(node: NodeId) -> Option<BrokerId> {
    i32::try_from(node).ok().map(BrokerId::new)
}

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, Member>;

/// What applying a log entry gave: nothing for the entries that are openraft's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied(pub(crate) Option<Response>);

/// Held by whatever has the node's files open. When the last one is dropped, receivers of it learn that the node is
/// closed, which is some time after openraft has stopped: its tasks end one after another.
pub(crate) type InUse = Arc<watch::Sender<()>>;

/// What the members of the quorum know about each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its log directory: a member with another one has lost its vote and its log and is not the one that was admitted.
    pub(crate) directory: DirectoryId,
    /// `host:port` of its control listener; `None` for a node that is alone.
    #[serde(default)]
    pub(crate) address: Option<String>,
}

impl Default for Member {
    /// openraft wants one for member lists without nodes, which are not used here.
    fn default() -> Self {
        Self { directory: DirectoryId(Uuid::ZERO), address: None }
    }
}

/// A snapshot is taken after this many entries, which bounds the log and the time a start takes.
pub(crate) const ENTRIES_PER_SNAPSHOT: u64 = 1_000;

/// Entries that stay in the log although the newest snapshot has them: with them the snapshot before it is complete too,
/// so one damaged snapshot loses nothing, and a follower that is a little behind needs no snapshot.
const ENTRIES_KEPT: u64 = 2 * ENTRIES_PER_SNAPSHOT;

/// Bytes of a snapshot in one message.
const SNAPSHOT_PIECE_BYTES: u64 = 1 << 20;

/// Bytes of log entries in one message, of which the last may make it more.
pub(crate) const ENTRIES_BYTES: usize = 1 << 20;

/// openraft's settings for a quorum of one.
///
/// Nobody has to hear from a lone leader, so there are no heartbeats and no election timer: the election is asked for at
/// start. The tick still runs, at the heartbeat interval, hence the long one: an idle broker uses no CPU.
pub(crate) fn settings_alone() -> Config {
    Config {
        heartbeat_interval: 600_000,
        election_timeout_min: 1_200_000,
        election_timeout_max: 1_800_000,
        enable_tick: false,
        ..settings_of_all()
    }
}

/// How often a leader of several says that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// openraft's settings for a member of a cluster.
///
/// Its elections are ours (`crate::election`), and so are its heartbeats: openraft's interval is also the time that a member
/// gets to write what it was sent, and 100 ms would be too little for a disk that is slow for once. The election timeouts are only the time for a vote
/// and openraft's own lease. The lease is as short as that allows, because the pre-vote has a better one; openraft's own check of these
/// settings, which wants it to be longer than the interval, is about elections that are off.
pub(crate) fn settings_of_several() -> Config {
    Config {
        heartbeat_interval: 1_000,
        election_timeout_min: 250,
        election_timeout_max: 251,
        enable_tick: true,
        ..settings_of_all()
    }
}

fn settings_of_all() -> Config {
    Config {
        cluster_name: "ottla".to_owned(),
        enable_heartbeat: false,
        enable_elect: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        purge_batch_size: ENTRIES_PER_SNAPSHOT / 4,
        replication_lag_threshold: 2 * ENTRIES_KEPT,
        snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
        // A snapshot may be tens of megabytes and its receiver busy: openraft's 200 ms would never end.
        install_snapshot_timeout: 30_000,
        ..Config::default()
    }
}
