//! One node of the metadata quorum.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::{Raft, ServerState};
use ottla_coordination::metadata::{Command, FormCluster, Image, Response};
use ottla_record::{BrokerId, ClusterId, DirectoryId};
use tokio::sync::{Semaphore, watch};

use crate::error::{ProposeError, QuorumError};
use crate::hard_state::SledHardState;
use crate::identity::Identity;
use crate::log::Log;
use crate::network::Alone;
use crate::raft::{InUse, Member, Types, broker_id, node_id, settings_alone};
use crate::snapshot::Snapshots;
use crate::state_machine::StateMachine;
use crate::witness::Witness;

/// The largest command. Commands are requests of clients, taken apart: the largest is a topic of 10,000 partitions with
/// explicit replicas, which is 1 MB.
pub const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// Proposals that wait at one time; more wait for their turn.
const MAX_PROPOSALS: usize = 256;

/// How long a start waits for a leader. A lone node elects itself in milliseconds unless its disk hangs.
const LEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stop waits for openraft's tasks to let go of the files.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a node of the quorum has to know before it starts.
#[derive(Clone, Debug)]
pub struct QuorumConfig {
    /// Where its metadata is.
    pub dir: PathBuf,
    /// Its `node.id`.
    pub node: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// What to do if there is no metadata.
    pub if_missing: IfMissing,
}

/// What a start does where there is no metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Forms a new cluster: the data directory is new too.
    Form,
    /// Refuses: the data directory belongs to a cluster, whose metadata has been lost.
    Refuse,
}

/// Where the quorum stands, as one node takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Who leads; `None` during an election.
    pub leader: Option<BrokerId>,
    /// Whether that is this node.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// How many vote.
    pub voters: usize,
    /// Index of the last entry here.
    pub last_index: Option<u64>,
    /// Index of the last entry applied here.
    pub applied_index: Option<u64>,
    /// Index of the last entry that the newest snapshot holds.
    pub snapshot_index: Option<u64>,
    /// Snapshots written by this process.
    pub snapshots_written: u64,
    /// False once the node has stopped by itself: the disk failed.
    pub is_running: bool,
}

/// A running node of the quorum.
pub struct Quorum {
    raft: Raft<Types>,
    images: watch::Receiver<Arc<Image>>,
    identity: Identity,
    proposals: Semaphore,
    closed: watch::Receiver<()>,
    snapshots_written: Arc<AtomicU64>,
}

impl Quorum {
    /// Starts the node and returns when it leads and has applied everything that was ever acknowledged.
    pub async fn start(config: QuorumConfig) -> Result<Self, QuorumError> {
        let expected = Identity { node: config.node, directory: config.directory, cluster: config.cluster };
        let dir = config.dir.clone();
        if config.node.get() < 0 {
            return Err(QuorumError::NegativeNode(config.node));
        }
        let in_use = InUse::default();
        let closed = in_use.subscribe();
        let opened =
            tokio::task::spawn_blocking(move || open(&config.dir, expected, config.if_missing, in_use));
        let (log, machine) = opened.await.map_err(|e| QuorumError::Stopped(e.to_string()))??;
        let (images, snapshots_written) = (machine.images(), machine.snapshots_written());

        let settings = settings_alone().validate().map_err(|e| QuorumError::Stopped(e.to_string()))?;
        let raft = Raft::new(node_id(expected.node), Arc::new(settings), Alone, log, machine)
            .await
            .map_err(stopped)?;
        let proposals = Semaphore::new(MAX_PROPOSALS);
        let quorum = Self { raft, images, identity: expected, proposals, closed, snapshots_written };
        match quorum.lead().await {
            Ok(()) => {
                tracing::info!(
                    cluster = %expected.cluster, node = %expected.node, dir = %dir.display(),
                    version = quorum.images.borrow().version(), "metadata quorum is up"
                );
                Ok(quorum)
            }
            Err(e) => {
                quorum.shutdown().await?;
                Err(e)
            }
        }
    }

    /// Has a command decided and applied. Once it returns, the outcome is durable and the image shows it.
    ///
    /// If the future is dropped or fails with [`ProposeError::Stopped`], the command may have been applied or not.
    pub async fn propose(&self, command: Command) -> Result<Response, ProposeError> {
        let bytes = serde_json::to_vec(&command).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { bytes, limit: MAX_COMMAND_BYTES });
        }
        let stopped = |e: &dyn std::fmt::Display| ProposeError::Stopped(e.to_string());
        let _turn = self.proposals.acquire().await.map_err(|e| stopped(&e))?;
        match self.raft.client_write(command).await {
            Ok(written) => written.data.0.ok_or_else(|| stopped(&"a command was applied without an answer")),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id.and_then(broker_id) })
            }
            Err(e) => Err(stopped(&e)),
        }
    }

    /// The newest image, and every one that follows.
    pub fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.images.clone()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        self.identity.cluster
    }

    /// Where the quorum stands, as this node takes part in it.
    pub fn status(&self) -> QuorumStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        QuorumStatus {
            leader: metrics.current_leader.and_then(broker_id),
            is_leader: metrics.state == ServerState::Leader,
            term: metrics.current_term,
            voters: metrics.membership_config.voter_ids().count(),
            last_index: metrics.last_log_index,
            applied_index: metrics.last_applied.map(|last| last.index),
            snapshot_index: metrics.snapshot.map(|last| last.index),
            snapshots_written: self.snapshots_written.load(Ordering::Relaxed),
            is_running: metrics.running_state.is_ok(),
        }
    }

    /// Resolves when the quorum has stopped on this node by itself, with the reason: the disk failed.
    pub async fn stopped(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(e) = &metrics.borrow_and_update().running_state {
                return e.to_string();
            }
            if metrics.changed().await.is_err() {
                return "it was shut down".to_owned();
            }
        }
    }

    /// Stops the node and closes its files. Everything acknowledged is durable already.
    pub async fn shutdown(self) -> Result<(), QuorumError> {
        let Self { raft, mut closed, .. } = self;
        // openraft reports its last state on its way out, and logs an error if nobody can read that any more.
        let _until_the_end = raft.metrics();
        raft.shutdown().await.map_err(|e| QuorumError::Stopped(e.to_string()))?;
        drop(raft);
        match tokio::time::timeout(CLOSE_TIMEOUT, closed.changed()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(QuorumError::Stopped(format!("its files are still open after {CLOSE_TIMEOUT:?}"))),
        }
    }

    /// Becomes the leader, which for a lone node needs nobody's consent, and catches up with its own log.
    async fn lead(&self) -> Result<(), QuorumError> {
        if self.raft.is_initialized().await.map_err(stopped)? {
            self.raft.trigger().elect().await.map_err(stopped)?;
        } else {
            let member = Member { directory: self.identity.directory };
            // Forms the quorum and elects its only member.
            self.raft
                .initialize(BTreeMap::from([(node_id(self.identity.node), member)]))
                .await
                .map_err(stopped)?;
        }
        self.raft
            .wait(Some(LEADER_TIMEOUT))
            .state(ServerState::Leader, "elected")
            .await
            .map_err(|_| QuorumError::NoLeader(LEADER_TIMEOUT))?;
        self.raft.ensure_linearizable().await.map_err(stopped)?;
        if self.images.borrow().cluster_id().is_none() {
            let form = Command::FormCluster(FormCluster { cluster: self.identity.cluster });
            self.propose(form).await.map_err(stopped)?;
        }
        match self.images.borrow().cluster_id() {
            Some(cluster) if cluster == self.identity.cluster => Ok(()),
            other => Err(QuorumError::Stopped(format!("the image is of cluster {other:?}"))),
        }
    }
}

fn stopped(error: impl std::fmt::Display) -> QuorumError {
    QuorumError::Stopped(error.to_string())
}

/// Opens everything on disk. Blocks.
fn open(
    dir: &Path,
    expected: Identity,
    if_missing: IfMissing,
    in_use: InUse,
) -> Result<(Log, StateMachine), QuorumError> {
    let found = Identity::read(dir)?;
    if let Some(found) = found {
        found.check(&expected, dir)?;
    } else if if_missing == IfMissing::Refuse {
        return Err(QuorumError::Missing { path: dir.to_owned() });
    }
    let (witness_path, state_path) = (dir.join("witness"), dir.join("state"));
    let witness = match Witness::open(&witness_path) {
        Ok(witness) => witness,
        Err(e) if found.is_none() && e.kind() == io::ErrorKind::NotFound => {
            create_dir_durably(dir)?;
            Witness::create(&witness_path).map_err(QuorumError::io(&witness_path))?
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            let what = "the witness of the hard state is missing or damaged, so nothing tells whether the hard state is whole";
            return Err(QuorumError::Damaged { path: witness_path, what: what.to_owned() });
        }
        Err(source) => return Err(QuorumError::Io { path: witness_path, source }),
    };
    if found.is_some() && !state_path.is_dir() {
        return Err(QuorumError::Damaged { path: state_path, what: "the hard state is missing".to_owned() });
    }
    let hard_state =
        SledHardState::open(&state_path).map_err(|e| QuorumError::from_hard_state(&state_path, e))?;
    let log = Log::open(Box::new(hard_state), witness, node_id(expected.node), Arc::clone(&in_use))?;
    let snapshots = Snapshots::open(dir.join("snapshots"), in_use)?;
    if found.is_none() {
        if !log.is_empty() {
            let what = "there is a log, but the file that tells whose it is is missing";
            return Err(QuorumError::Damaged { path: dir.to_owned(), what: what.to_owned() });
        }
        expected.write(dir)?;
    }
    let machine = StateMachine::open(snapshots)?;
    if log.purged() > machine.applied() {
        let what = "the log begins after the end of the newest snapshot that is whole";
        return Err(QuorumError::Damaged { path: dir.to_owned(), what: what.to_owned() });
    }
    Ok((log, machine))
}

/// Creates a directory and makes its name durable, and its parent's.
fn create_dir_durably(dir: &Path) -> Result<(), QuorumError> {
    fs::create_dir_all(dir).map_err(QuorumError::io(dir))?;
    for parent in dir.ancestors().skip(1).take(2).filter(|p| !p.as_os_str().is_empty()) {
        File::open(parent).and_then(|d| d.sync_all()).map_err(QuorumError::io(parent))?;
    }
    Ok(())
}
