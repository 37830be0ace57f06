//! The data directory of a broker that does not run, as `ottla log import` needs it: locked, with its logs and its metadata.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use ottla_cli::{ImportHost, ImportJournal, ImportTarget, NewTopic};
use ottla_node::SystemClock;
use ottla_node::coordination::config::{self, BrokerConfig, Scope};
use ottla_node::coordination::metadata::{Command, Image, ImportTopics, ImportedTopic, Response};
use ottla_node::ports::Clock;
use ottla_node::record::{BrokerEpoch, BrokerId, Now, ProducerId, TopicId, Uuid};
use ottla_node::storage::LogDirectory;
use ottla_node::storage::offline;
use ottla_quorum::Quorum;
use tokio::runtime::{Builder, Runtime};

use crate::cli::Serve;
use crate::limits::raise_descriptors;
use crate::membership::{Membership, start_quorum};
use crate::serve::{open_directory, random};
use crate::settings;

/// The `node.id` of a directory that is new, as the default configuration has it.
const DEFAULT_NODE: BrokerId = BrokerId::new(1);

/// Topics of an interrupted import that are named in the log; the others are counted.
const MAX_NAMED_TOPICS: usize = 10;

/// Says so if an import into this directory was interrupted before its topics were created: they may be expected here.
pub(crate) fn tell_if_interrupted(data_dir: &Path, image: &Image) {
    let journal = match ImportJournal::read(data_dir) {
        Ok(Some(journal)) => journal,
        Ok(None) => return,
        Err(error) => {
            return tracing::warn!(
                %error,
                "an import into this data directory was interrupted, and what it was cannot be read; nothing of it is served"
            );
        }
    };
    let missing: Vec<&str> = journal
        .topics
        .iter()
        .filter(|(_, id)| image.topic_by_id(*id).is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if missing.is_empty() {
        return;
    }
    let mut topics = missing.iter().take(MAX_NAMED_TOPICS).copied().collect::<Vec<_>>().join(", ");
    if let Some(others @ 1..) = missing.len().checked_sub(MAX_NAMED_TOPICS) {
        topics = format!("{topics} and {others} more");
    }
    tracing::warn!(
        source_cluster = journal.cluster,
        topics,
        "an import into this data directory was interrupted, and these topics are not served; stop this broker and run the same `ottla log import` again, which ends it"
    );
}

/// Opens data directories of this machine.
#[derive(Debug)]
pub struct LocalDirectories;

impl ImportHost for LocalDirectories {
    fn open(&self, data_dir: &Path, new_node: Option<BrokerId>) -> Result<Box<dyn ImportTarget>, String> {
        match StoppedBroker::open(data_dir, new_node) {
            Ok(target) => Ok(Box::new(target)),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn is_topic_config(&self, name: &str) -> bool {
        config::find(Scope::Topic, name).is_some()
    }
}

/// A broker's directory without the broker: nobody is served, nothing is led.
struct StoppedBroker {
    config: BrokerConfig,
    directory: Arc<LogDirectory>,
    quorum: Arc<Quorum>,
    runtime: Runtime,
    clock: SystemClock,
    /// From the first change on, this process counts as the broker's newest, so that no older one can come in between.
    membership: Option<Membership>,
    /// The directory was new, or its last stop was clean: then this one may be, too.
    may_be_clean: bool,
}

impl StoppedBroker {
    fn open(data_dir: &Path, new_node: Option<BrokerId>) -> anyhow::Result<Self> {
        let meta = data_dir.join("meta.properties");
        let is_new = !meta.try_exists().with_context(|| format!("cannot look at {}", meta.display()))?;
        let node = match is_new {
            true => new_node.unwrap_or(DEFAULT_NODE),
            false => {
                let found = offline::meta_properties(&meta)?.node_id;
                if let Some(asked) = new_node.filter(|asked| *asked != found) {
                    bail!("{} belongs to node {found}, not {asked}", data_dir.display());
                }
                found
            }
        };
        let serve = Serve {
            data_dir: Some(data_dir.to_owned()),
            settings: vec![("node.id".to_owned(), node.to_string())],
            ..Serve::default()
        };
        let config = settings::load(&serve)?.broker.config;
        let directory = Arc::new(open_directory(&config, raise_descriptors())?);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let may_be_clean = is_new || directory.was_clean();
        let quorum =
            runtime.block_on(start_quorum(&config, None, &directory, Uuid::from_random(random()), random))?;
        Ok(Self {
            config,
            directory,
            quorum: Arc::new(quorum),
            runtime,
            clock: SystemClock::start(),
            membership: None,
            may_be_clean,
        })
    }

    fn image(&self) -> Arc<Image> {
        Arc::clone(&self.quorum.images().borrow())
    }

    /// Registers this process as the broker's, without an address: it stays fenced and serves nobody.
    fn membership(&mut self) -> anyhow::Result<BrokerEpoch> {
        if let Some(membership) = &self.membership {
            return Ok(membership.epoch);
        }
        let incarnation = Uuid::from_random(random());
        let quorum = Arc::clone(&self.quorum);
        let registering =
            Membership::register(quorum, &self.config, &self.directory, Vec::new(), incarnation);
        let membership = self.runtime.block_on(registering)?;
        let epoch = membership.epoch;
        self.membership = Some(membership);
        Ok(epoch)
    }

    fn propose(&mut self, topics: &[NewTopic], next_producer_id: ProducerId) -> anyhow::Result<()> {
        let epoch = self.membership()?;
        let command = import_command(self.config.node_id, epoch, topics, next_producer_id);
        match self.runtime.block_on(self.quorum.propose(command))? {
            Response::ImportTopics(done) => Ok(done?),
            other => bail!("an import was answered by {other:?}"),
        }
    }
}

fn import_command(
    broker: BrokerId,
    epoch: BrokerEpoch,
    topics: &[NewTopic],
    next_producer_id: ProducerId,
) -> Command {
    let imported = |topic: &NewTopic| ImportedTopic {
        name: topic.name.clone(),
        id: topic.id,
        leader_epochs: topic.leader_epochs.clone(),
        configs: topic.configs.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
    };
    let topics = topics.iter().map(imported).collect();
    Command::ImportTopics(ImportTopics { broker, epoch, topics, next_producer_id })
}

impl ImportTarget for StoppedBroker {
    fn directory(&self) -> &Arc<LogDirectory> {
        &self.directory
    }

    fn topic_named(&self, name: &str) -> Option<TopicId> {
        self.image().topic(name).map(|topic| topic.id())
    }

    fn topic_with_id(&self, id: TopicId) -> Option<String> {
        self.image().topic_by_id(id).map(|topic| topic.name().to_string())
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn check(&mut self, topics: &[NewTopic], next_producer_id: ProducerId) -> Result<(), String> {
        let epoch = self.membership().map_err(|error| format!("{error:#}"))?;
        let command = import_command(self.config.node_id, epoch, topics, next_producer_id);
        match self.image().preview(&command) {
            Response::ImportTopics(Err(error)) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn create(&mut self, topics: &[NewTopic], next_producer_id: ProducerId) -> Result<(), String> {
        self.propose(topics, next_producer_id).map_err(|error| format!("creating the topics: {error:#}"))
    }

    fn close(self: Box<Self>) -> Result<(), String> {
        let Self { directory, quorum, runtime, membership, may_be_clean, .. } = *self;
        let epoch = membership.as_ref().map(|membership| membership.epoch);
        // It holds the quorum, too.
        drop(membership);
        let closed = || -> anyhow::Result<()> {
            directory.store_checkpoints()?;
            if may_be_clean {
                directory.mark_clean(epoch)?;
            }
            match Arc::try_unwrap(quorum) {
                Ok(quorum) => Ok(runtime.block_on(quorum.shutdown())?),
                Err(_) => bail!("the metadata quorum is still in use"),
            }
        };
        closed()
            .map_err(|error| format!("closing {:?}: {error:#}", directory.disk().root().unwrap_or_default()))
    }
}
