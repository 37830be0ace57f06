//! One node of the metadata quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft::{Raft, ServerState};
use ottla_coordination::metadata::voters::{QuorumDescription, VoterChange};
use ottla_coordination::metadata::{Command, FormCluster, Image, Response};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation};
use ottla_rpc::control::Party;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::cluster::{Cluster, ControlConfig};
use crate::error::{MembershipError, ProposeError, QuorumError};
use crate::forwarding;
use crate::hard_state::SledHardState;
use crate::identity::Identity;
use crate::joining;
use crate::log::Log;
use crate::member::{Core, leads};
use crate::network::{Network, Observer};
use crate::peers::{Me, Peers};
use crate::pulse::Announcement;
use crate::raft::{InUse, Member, broker_id, node_id, settings_alone, settings_of_several};
use crate::snapshot::Snapshots;
use crate::state_machine::StateMachine;
use crate::voters;
use crate::witness::Witness;

/// The largest command. Commands are requests of clients, taken apart: the largest is a topic of 10,000 partitions with
/// explicit replicas, which is 1 MB.
pub const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// How long a start waits for a leader. A lone node elects itself in milliseconds unless its disk hangs.
const LEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stop waits for openraft's tasks to let go of the files.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a node of the quorum has to know before it starts.
#[derive(Debug)]
pub struct QuorumConfig {
    /// Where its metadata is.
    pub dir: PathBuf,
    /// Its `node.id`.
    pub node: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// Its process, drawn at random at its start: the one it registers as a broker.
    pub incarnation: Incarnation,
    /// Its cluster; where it belongs to none yet, the id that a cluster which it forms gets.
    pub cluster: ClusterId,
    /// What to do if there is no metadata.
    pub if_missing: IfMissing,
    /// How it meets other nodes; `None` for a node that is alone.
    pub control: Option<ControlConfig>,
}

/// What a start does where there is no metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Forms a new cluster, or joins the one that it is told of: the data directory is new too.
    Form,
    /// Refuses: the data directory belongs to a cluster, whose metadata has been lost.
    Refuse,
}

/// Where the quorum stands, as one node takes part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Who leads; `None` during an election.
    pub leader: Option<BrokerId>,
    /// Whether that is this node, and a majority has heard of it lately.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// How many vote.
    pub voters: usize,
    /// All members, by id.
    pub members: Vec<MemberStatus>,
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

/// One member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its `node.id`.
    pub node: BrokerId,
    /// The log directory that was admitted.
    pub directory: DirectoryId,
    /// `host:port` of its control listener; `None` for a node that is alone.
    pub address: Option<String>,
    /// Whether it votes. The others have the whole log too.
    pub votes: bool,
    /// By how many entries it is behind; known on the leader only, and there once it has been reached.
    pub lag: Option<u64>,
}

/// A running node of the quorum.
pub struct Quorum {
    core: Arc<Core>,
    cluster: Option<Cluster>,
    closed: watch::Receiver<()>,
    snapshots_written: Arc<AtomicU64>,
}

impl Quorum {
    /// Starts the node. One that is alone leads when this returns, and has applied everything that was ever acknowledged. One that
    /// has to meet others has its cluster by then, and no more: see [`Quorum::ready`].
    pub async fn start(config: QuorumConfig) -> Result<Self, QuorumError> {
        let QuorumConfig { dir, node, directory, incarnation, cluster, if_missing, control } = config;
        if node.get() < 0 {
            return Err(QuorumError::NegativeNode(node));
        }
        let party = Party { node, directory };
        let mut cluster_id = cluster;
        let peers = Arc::new(Peers::new(Handle::current()));
        let joined = match control {
            None => None,
            Some(control) => {
                let cluster = Cluster::open(control, party, incarnation);
                if let Some(identity) = Identity::read(&dir)? {
                    cluster_id = identity.cluster;
                } else if if_missing == IfMissing::Form {
                    cluster_id = cluster.find(&peers, cluster_id).await;
                }
                Some(cluster)
            }
        };
        let expected = Identity { node, directory, cluster: cluster_id };
        let in_use = InUse::default();
        let closed = in_use.subscribe();
        let path = dir.clone();
        let opened = tokio::task::spawn_blocking(move || open(&path, expected, if_missing, in_use));
        let (log, machine) = opened.await.map_err(|e| QuorumError::Stopped(e.to_string()))??;
        let (images, snapshots_written, tail) = (machine.images(), machine.snapshots_written(), log.tail());

        let me = Me { cluster: cluster_id, party };
        let observer = Observer { contacts: Arc::default(), tail: tail.clone(), started: Instant::now() };
        let (settings, network) = match &joined {
            None => {
                let settings = settings_alone().validate();
                let settings = settings.map_err(|e| QuorumError::Stopped(e.to_string()))?;
                (settings, Network::of_one(me, observer.clone()))
            }
            Some(_) => {
                let network = Network::of_several(me, Arc::clone(&peers), observer.clone());
                (settings_of_several(), network)
            }
        };
        let raft =
            Raft::new(node_id(node), Arc::new(settings), network, log, machine).await.map_err(stopped)?;
        let core = Arc::new(Core::new(raft, me, images, tail, peers, &observer));
        let mut quorum = Self { core, cluster: None, closed, snapshots_written };
        let started = match joined {
            None => quorum.lead(&dir).await,
            Some(mut cluster) => {
                cluster.run(&quorum.core);
                quorum.cluster = Some(cluster);
                Ok(())
            }
        };
        match started {
            Ok(()) => {
                tracing::info!(
                    cluster = %cluster_id, node = %node, dir = %dir.display(),
                    version = quorum.core.images.borrow().version(), "metadata quorum is up"
                );
                Ok(quorum)
            }
            Err(e) => {
                quorum.shutdown().await?;
                Err(e)
            }
        }
    }

    /// Waits until this node is a member of a quorum that has a leader, and has that leader's image of a formed cluster.
    pub async fn ready(&self) -> Result<(), QuorumError> {
        let mut metrics = self.core.raft.metrics();
        let mut images = self.core.images.clone();
        loop {
            let is_member = self
                .core
                .member(self.core.me.party.node)
                .is_some_and(|member| member.directory == self.core.me.party.directory);
            let has_leader = {
                let metrics = metrics.borrow_and_update();
                if let Err(error) = &metrics.running_state {
                    return Err(stopped(error));
                }
                metrics.current_leader.is_some()
            };
            if is_member && has_leader && images.borrow_and_update().cluster_id().is_some() {
                return Ok(());
            }
            tokio::select! {
                changed = metrics.changed() => changed.map_err(stopped)?,
                changed = images.changed() => changed.map_err(stopped)?,
            }
        }
    }

    /// Has a command decided and applied, wherever the leader is. Once it returns, the outcome is durable and the image here shows it.
    ///
    /// If the future is dropped or fails with [`ProposeError::Stopped`] or [`ProposeError::Unknown`], the command may have been applied or not.
    pub async fn propose(&self, command: Command) -> Result<Response, ProposeError> {
        let json = serde_json::to_vec(&command).unwrap_or_default();
        let bytes = json.len();
        if bytes > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { bytes, limit: MAX_COMMAND_BYTES });
        }
        match self.cluster {
            None => self.core.write(command).await.map(|decided| decided.response),
            Some(_) => forwarding::propose(&self.core, command, json).await,
        }
    }

    /// The quorum as its leader sees it, wherever that is.
    ///
    /// # Errors
    /// No leader answers within this time.
    pub async fn describe(&self, within: Duration) -> Result<QuorumDescription, MembershipError> {
        voters::describe_wherever(&self.core, within).await
    }

    /// Gives a vote to a member ([`Quorum::start`] sees to it that a node is one), or takes it, wherever the leader is. What is
    /// not possible yet is tried again for this time.
    ///
    /// # Errors
    /// It is refused, or no leader was found, and nothing was done; or the outcome is not known.
    pub async fn change_voter(&self, change: VoterChange, within: Duration) -> Result<(), MembershipError> {
        let listed = self.cluster.as_ref().map_or(&[][..], Cluster::listed);
        voters::change_wherever(&self.core, change, listed, within).await
    }

    /// What this broker says of itself to the voters from here on. Where it is alone there is nobody to tell.
    pub fn announce(&self, announcement: Announcement) {
        if let Some(cluster) = &self.cluster {
            cluster.announce(announcement);
        }
    }

    /// The age of this broker's session: since the last heartbeat was sent that the controller has acknowledged; `None` before the first.
    /// A broker that is alone, or the only voter, is always in session: nobody can fence it behind its back.
    pub fn session_age(&self) -> Option<Duration> {
        let own = node_id(self.core.me.party.node);
        let membership = self.core.membership();
        let mut voters = membership.voter_ids();
        match &self.cluster {
            None => Some(Duration::ZERO),
            Some(_) if voters.next() == Some(own) && voters.next().is_none() => Some(Duration::ZERO),
            Some(cluster) => cluster.renewed().map(|renewed| self.core.monotonic() - renewed),
        }
    }

    /// Whether this node has no other to reach.
    pub fn is_alone(&self) -> bool {
        self.cluster.is_none()
    }

    /// The newest image, and every one that follows.
    pub fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.core.images.clone()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        self.core.cluster()
    }

    /// Where the quorum stands, as this node takes part in it.
    pub fn status(&self) -> QuorumStatus {
        let metrics = self.core.metrics();
        let voters: BTreeSet<_> = metrics.membership_config.voter_ids().collect();
        let members = metrics.membership_config.nodes().filter_map(|(id, member)| {
            let is_self = *id == metrics.id && metrics.replication.is_some();
            Some(MemberStatus {
                node: broker_id(*id)?,
                directory: member.directory,
                address: member.address.clone(),
                votes: voters.contains(id),
                lag: if is_self { Some(0) } else { joining::lag(&metrics, *id) },
            })
        });
        QuorumStatus {
            leader: metrics.current_leader.and_then(broker_id),
            is_leader: leads(&metrics),
            term: metrics.current_term,
            voters: voters.len(),
            members: members.collect(),
            last_index: metrics.last_log_index,
            applied_index: metrics.last_applied.map(|last| last.index),
            snapshot_index: metrics.snapshot.map(|last| last.index),
            snapshots_written: self.snapshots_written.load(Ordering::Relaxed),
            is_running: metrics.running_state.is_ok(),
        }
    }

    /// Resolves when the quorum has stopped on this node by itself, with the reason: the disk failed.
    pub async fn stopped(&self) -> String {
        let mut metrics = self.core.raft.metrics();
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
        let Self { core, cluster, mut closed, .. } = self;
        // openraft reports its last state on its way out, and logs an error if nobody can read that any more.
        let _until_the_end = core.raft.metrics();
        if let Some(cluster) = cluster {
            cluster.stop().await;
        }
        core.raft.shutdown().await.map_err(|e| QuorumError::Stopped(e.to_string()))?;
        drop(core);
        match tokio::time::timeout(CLOSE_TIMEOUT, closed.changed()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(QuorumError::Stopped(format!("its files are still open after {CLOSE_TIMEOUT:?}"))),
        }
    }

    /// Becomes the leader, which for a lone node needs nobody's consent, and catches up with its own log.
    async fn lead(&self, dir: &Path) -> Result<(), QuorumError> {
        let raft = &self.core.raft;
        if raft.is_initialized().await.map_err(stopped)? {
            if self.core.membership().voter_ids().any(|voter| voter != node_id(self.core.me.party.node)) {
                return Err(QuorumError::NotAlone { path: dir.to_owned() });
            }
            raft.trigger().elect().await.map_err(stopped)?;
        } else {
            let member = Member { directory: self.core.me.party.directory, address: None };
            // Forms the quorum and elects its only member.
            raft.initialize(BTreeMap::from([(node_id(self.core.me.party.node), member)]))
                .await
                .map_err(stopped)?;
        }
        raft.wait(Some(LEADER_TIMEOUT))
            .state(ServerState::Leader, "elected")
            .await
            .map_err(|_| QuorumError::NoLeader(LEADER_TIMEOUT))?;
        raft.ensure_linearizable().await.map_err(stopped)?;
        let cluster = self.core.cluster();
        if self.core.images.borrow().cluster_id().is_none() {
            let form = Command::FormCluster(FormCluster { cluster });
            self.propose(form).await.map_err(stopped)?;
        }
        match self.core.images.borrow().cluster_id() {
            Some(found) if found == cluster => Ok(()),
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
