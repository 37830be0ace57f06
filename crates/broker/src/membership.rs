//! How a broker joins its cluster: the quorum's metadata, then a registration of this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use ottla_node::coordination::config::BrokerConfig;
use ottla_node::coordination::metadata::{
    BeginShutdown, Command, Endpoint, RegisterBroker, Response, UnfenceBroker,
};
use ottla_node::record::{BrokerEpoch, BrokerId, ClusterId, Incarnation, Uuid};
use ottla_node::storage::LogDirectory;
use ottla_quorum::{Identity, IfMissing, Quorum, QuorumConfig};

/// Beside the partitions' directories, which all end in a number.
const METADATA_DIR: &str = "metadata";

/// Starts this node's voter and makes the data directory part of its cluster.
pub(crate) async fn start_quorum(
    config: &BrokerConfig,
    directory: &LogDirectory,
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
    let quorum = Quorum::start(QuorumConfig {
        dir,
        node: config.node_id,
        directory: directory.directory_id(),
        cluster,
        if_missing,
    })
    .await
    .context("cannot start the metadata quorum")?;
    directory.join_cluster(quorum.cluster_id())?;
    Ok(quorum)
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
        let replaces = quorum.images().borrow().broker(broker).map(|registered| registered.epoch);
        let command = Command::RegisterBroker(RegisterBroker {
            broker,
            incarnation: Incarnation(incarnation),
            cluster: quorum.cluster_id(),
            directory: directory.directory_id(),
            endpoints,
            rack: config.rack.clone(),
            // The lock on the data directory says that the process of that registration is gone.
            replaces,
        });
        match quorum.propose(command).await? {
            Response::RegisterBroker(registered) => {
                let epoch = registered.context("the cluster refuses this broker")?;
                Ok(Self { quorum, broker, epoch })
            }
            other => bail!("a registration was answered by {other:?}"),
        }
    }

    /// Lets this broker lead. Its logs are open.
    pub(crate) async fn unfence(&self) -> anyhow::Result<()> {
        let command = Command::UnfenceBroker(UnfenceBroker { broker: self.broker, epoch: self.epoch });
        match self.quorum.propose(command).await? {
            Response::UnfenceBroker(done) => done.context("the cluster does not let this broker lead"),
            other => bail!("an unfencing was answered by {other:?}"),
        }
    }

    /// Moves leaderships away before this broker stops.
    pub(crate) async fn begin_shutdown(&self) -> anyhow::Result<()> {
        let command = Command::BeginShutdown(BeginShutdown { broker: self.broker, epoch: self.epoch });
        match self.quorum.propose(command).await? {
            Response::BeginShutdown(done) => Ok(done?),
            other => bail!("the announcement of a stop was answered by {other:?}"),
        }
    }
}
