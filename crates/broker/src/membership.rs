//! How a broker joins its cluster: the quorum's metadata, then a registration of this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_node::Node;
use ottla_node::coordination::config::{BrokerConfig, SessionSettings};
use ottla_node::coordination::metadata::{
    BeginShutdown, Command, Endpoint, RegisterBroker, RegisterBrokerError, Response, UnfenceBroker,
};
use ottla_node::record::{BrokerEpoch, BrokerId, ClusterId, Incarnation, Uuid};
use ottla_node::storage::LogDirectory;
use ottla_quorum::{
    Announcement, ControlConfig, Identity, IfMissing, LivenessConfig, ProposeError, Quorum, QuorumConfig,
    Voter,
};
use tokio::time::timeout;

use crate::sockets::BoundControl;

/// Beside the partitions' directories, which all end in a number.
const METADATA_DIR: &str = "metadata";
/// How often a registration is decided on an image that is behind before that is given up. Each time the newer one is waited for.
const REGISTRATION_TRIES: u32 = 5;
/// Pause before a registration is asked for again whose controller was lost.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long a stop waits for the cluster to move leaderships away. When all its nodes stop together, nobody answers the last ones.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts this node's part of the quorum and makes the data directory part of its cluster.
pub(crate) async fn start_quorum(
    config: &BrokerConfig,
    control: Option<BoundControl>,
    directory: &LogDirectory,
    incarnation: Uuid,
    random: fn() -> [u8; 16],
) -> anyhow::Result<Quorum> {
    let dir = config.data_dir.join(METADATA_DIR);
    // The quorum is formed before the directory joins its cluster. A process that died in between finds the cluster's
    // id with the quorum.
    let joined = directory.cluster_id();
    let (cluster, if_missing) = match joined {
        Some(cluster) => (cluster, IfMissing::Refuse),
        None => (formed(&dir)?.unwrap_or_else(|| ClusterId(Uuid::from_random(random()))), IfMissing::Form),
    };
    // A node that is alone waits for nobody but its disk.
    let registration = if control.is_some() { config.sessions.registration } else { Duration::MAX };
    let starting = Quorum::start(QuorumConfig {
        dir,
        node: config.node_id,
        directory: directory.directory_id(),
        incarnation: Incarnation(incarnation),
        cluster,
        if_missing,
        control: control.map(|control| control_config(config, control)),
    });
    let quorum = timeout(registration, starting)
        .await
        .with_context(|| format!("no cluster to join was found within {registration:?} (initial.broker.registration.timeout.ms)"))?
        .context("cannot start the metadata quorum")?;
    directory.join_cluster(quorum.cluster_id())?;
    if !quorum.is_alone() {
        timeout(registration, quorum.ready())
            .await
            .with_context(|| format!("the metadata quorum has not taken this node within {registration:?} (initial.broker.registration.timeout.ms)"))??;
    }
    Ok(quorum)
}

/// Proposes again what a controller was asked for that was lost meanwhile: of one process, a registration counts once. A start that gave up
/// instead would end the process whenever the controller changes in that moment, as in a rolling restart.
async fn propose_until_known(quorum: &Quorum, command: Command) -> Result<Response, ProposeError> {
    loop {
        match quorum.propose(command.clone()).await {
            Err(ProposeError::Unknown(why)) => {
                tracing::info!(
                    why,
                    "the controller was lost while it registered this broker: it is asked again"
                );
                tokio::time::sleep(ASK_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

fn control_config(config: &BrokerConfig, control: BoundControl) -> ControlConfig {
    let BoundControl { listener, address } = control;
    let quorum = config.quorum.as_ref();
    let voters = quorum.map(|quorum| quorum.voters.iter()).into_iter().flatten();
    let SessionSettings { session, heartbeat, .. } = config.sessions;
    ControlConfig {
        listener,
        address,
        voters: voters.map(|voter| Voter { node: voter.node, address: voter.address.clone() }).collect(),
        bootstrap_servers: quorum.map(|quorum| quorum.bootstrap_servers.clone()).unwrap_or_default(),
        liveness: LivenessConfig { session, heartbeat },
        leader_check_interval: config.replication.leader_check_interval,
    }
}

fn formed(dir: &Path) -> anyhow::Result<Option<ClusterId>> {
    Ok(Identity::read(dir)?.map(|identity| identity.cluster))
}

/// This process in its cluster.
#[derive(Clone)]
pub(crate) struct Membership {
    quorum: Arc<Quorum>,
    broker: BrokerId,
    pub(crate) epoch: BrokerEpoch,
}

impl Membership {
    /// Registers this process. The epochs of all partitions it led rise with it, so that nothing written from here on
    /// can be taken for something its predecessor wrote.
    pub(crate) async fn register(
        quorum: Arc<Quorum>,
        config: &BrokerConfig,
        directory: &LogDirectory,
        endpoints: Vec<Endpoint>,
        incarnation: Uuid,
    ) -> anyhow::Result<Self> {
        let broker = config.node_id;
        let mut images = quorum.images();
        for _ in 0..REGISTRATION_TRIES {
            let replaces = images.borrow_and_update().broker(broker).map(|registered| registered.epoch);
            let command = Command::RegisterBroker(RegisterBroker {
                broker,
                incarnation: Incarnation(incarnation),
                cluster: quorum.cluster_id(),
                directory: directory.directory_id(),
                endpoints: endpoints.clone(),
                rack: config.rack.clone(),
                // The lock on the data directory says that the process of that registration is gone.
                replaces,
            });
            match propose_until_known(&quorum, command).await? {
                Response::RegisterBroker(Ok(epoch)) => {
                    let membership = Self { quorum, broker, epoch };
                    membership.announce(None, false);
                    return Ok(membership);
                }
                // The image here was behind: the registration that stands is on its way.
                Response::RegisterBroker(Err(RegisterBrokerError::Duplicate { registered }))
                    if !quorum.is_alone() && registered != replaces =>
                {
                    let is_seen = |image: &Arc<ottla_node::coordination::metadata::Image>| {
                        image.broker(broker).map(|broker| broker.epoch) >= registered
                    };
                    images.wait_for(is_seen).await.context("the metadata quorum stopped")?;
                }
                Response::RegisterBroker(Err(error)) => {
                    return Err(error).context("the cluster refuses this broker");
                }
                other => bail!("a registration was answered by {other:?}"),
            }
        }
        bail!("another process keeps registering as node {broker}: is node.id used twice?")
    }

    /// Lets this broker lead. Its logs are open in `node`, whose disk the controller hears of from here on.
    pub(crate) async fn unfence(&self, node: &Arc<Node>) -> anyhow::Result<()> {
        if self.quorum.is_alone() {
            let command = Command::UnfenceBroker(UnfenceBroker { broker: self.broker, epoch: self.epoch });
            return match self.quorum.propose(command).await? {
                Response::UnfenceBroker(done) => done.context("the cluster does not let this broker lead"),
                other => bail!("an unfencing was answered by {other:?}"),
            };
        }
        // The controller decides, by our heartbeats. It goes on doing so for as long as we live.
        self.announce(Some(node), false);
        let mut images = self.quorum.images();
        let image = images
            .wait_for(|image| {
                image.broker(self.broker).is_none_or(|broker| broker.epoch != self.epoch || !broker.fenced)
            })
            .await
            .context("the metadata quorum stopped")?;
        match image.broker(self.broker) {
            Some(broker) if broker.epoch == self.epoch => Ok(()),
            _ => bail!("another process has registered as node {}: is node.id used twice?", self.broker),
        }
    }

    /// Moves leaderships away before this broker stops.
    pub(crate) async fn begin_shutdown(&self, node: &Arc<Node>) -> anyhow::Result<()> {
        self.announce(Some(node), true);
        let command = Command::BeginShutdown(BeginShutdown { broker: self.broker, epoch: self.epoch });
        let answer = timeout(GOODBYE_TIMEOUT, self.quorum.propose(command));
        match answer.await.context("no controller answers")?? {
            Response::BeginShutdown(done) => Ok(done?),
            other => bail!("the announcement of a stop was answered by {other:?}"),
        }
    }

    /// What the voters hear from here on. Without a node this broker is not ready: its logs are not open.
    fn announce(&self, node: Option<&Arc<Node>>, wants_to_stop: bool) {
        let (ready, node) = (node.is_some(), node.map(Arc::downgrade));
        // A disk that hangs is as good as gone: the controller fences who waits for one longer than a session.
        let oldest_flush = Arc::new(move || node.as_ref()?.upgrade()?.oldest_unfinished_flush());
        self.quorum.announce(Announcement { epoch: self.epoch, ready, wants_to_stop, oldest_flush });
    }
}
