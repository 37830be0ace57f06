//! The node: one broker's operations, free of any protocol.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ottla_coordination::config::CleanerConfig;
use ottla_coordination::metadata::{Broker, Command, Image, Response};
use ottla_record::{BrokerEpoch, BrokerId, Uuid};
use ottla_storage::{LogConfig, LogDirectory, OpenError, StorageError};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::background::yield_to_others;
use crate::cleaner::{Cleaner, Surroundings};
use crate::coordinator::groups::GroupCoordinator;
use crate::coordinator::lags;
use crate::departed::Departed;
use crate::directory::DirectoryShell;
use crate::disk_report;
use crate::flush::FlushCoordinator;
use crate::follow::{Doubt, FetcherParts, HungUp, ReplicaFetchers};
use crate::host::PartitionHost;
use crate::hosting::Hosting;
use crate::in_sync::{self, IsrProposals};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::metrics::directory::DirectoryMetrics;
use crate::metrics::node::NodeMetrics;
use crate::metrics::replication::ReplicationMetrics;
use crate::ports::{Clock, MetadataPlane, PeerTransport, ProposeError};
use crate::produce::LoneClient;
use crate::producer_ids::ProducerIds;
use crate::replication_quota::ReplicationQuotas;
use crate::settings::BrokerSettings;
use crate::topics::{PartitionSlot, TopicTable};

/// A leader in doubt that is heard of again is noticed after this time.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What a node is made of.
pub struct Parts {
    /// Its settings.
    pub settings: BrokerSettings,
    /// Its data, locked for this process.
    pub directory: Arc<LogDirectory>,
    /// The cluster's metadata.
    pub metadata: Arc<dyn MetadataPlane>,
    /// The way to the brokers that lead what it copies.
    pub peers: Arc<dyn PeerTransport>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// 16 random bytes at each call.
    pub random: fn() -> [u8; 16],
}

/// One broker's operations. Cheap to share: `Arc<Node>`.
pub struct Node {
    pub(crate) settings: Arc<BrokerSettings>,
    pub(crate) directory: Arc<LogDirectory>,
    pub(crate) metadata: Arc<dyn MetadataPlane>,
    pub(crate) lone_client: LoneClient,
    pub(crate) broker_epoch: BrokerEpoch,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) groups: GroupCoordinator,
    fetchers: ReplicaFetchers,
    departed: Departed,
    metrics: Arc<Metrics>,
    random: fn() -> [u8; 16],
    images: watch::Receiver<Arc<Image>>,
    topics: ArcSwap<TopicTable>,
    /// Version of the last image that the hosted partitions follow.
    followed: watch::Sender<u64>,
    /// Set once by [`Node::close`]: ends the task that follows the metadata.
    closing: watch::Sender<bool>,
    pub(crate) shell: Arc<DirectoryShell>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log directory cannot be read.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The system refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl Node {
    /// Opens the logs that the image of now gives this broker, and starts to follow the metadata.
    ///
    /// Call it inside the runtime that serves clients, and after this process has been registered: the leader epochs in
    /// the image must be this incarnation's before a record is appended.
    ///
    /// # Errors
    /// The directory cannot be listed, or a thread cannot be started. A log that does not open takes only its own partition
    /// offline.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts { settings, directory, metadata, peers, clock, broker_epoch, random } = parts;
        let settings = Arc::new(settings);
        let counts = Arc::<DirectoryMetrics>::default();
        let shell = Arc::new(DirectoryShell {
            clock,
            flusher: FlushCoordinator::new(Arc::clone(directory.disk()), Arc::clone(&counts)),
            background_flusher: FlushCoordinator::new(Arc::clone(directory.disk()), Arc::clone(&counts)),
            keeper: Keeper::default(),
            cleaner: Cleaner::default(),
            metrics: counts,
            isr: IsrProposals::default(),
            replication: Arc::<ReplicationMetrics>::default(),
            quotas: ReplicationQuotas::default(),
            some_log_is_shut: AtomicBool::new(false),
        });
        let hosting = Arc::new(Hosting {
            settings: Arc::clone(&settings),
            directory: Arc::clone(&directory),
            shell: Arc::clone(&shell),
        });
        let mut images = metadata.images();
        let image = Arc::clone(&images.borrow_and_update());
        hosting.clear_strays(&image, || Uuid::from_random(random()))?;
        for leftover in directory.deleted_directories().map_err(OpenError::from)? {
            directory.remove_directory(&leftover).map_err(OpenError::from)?;
        }
        let before = shell.clock.now().monotonic;
        let topics =
            hosting.follow(&TopicTable::default(), &Image::empty(), &image, || Uuid::from_random(random()));
        shell.metrics.started(shell.clock.now().monotonic - before);
        let own = settings.config.node_id;
        let groups =
            GroupCoordinator::new(own, &settings.config.groups, images.clone(), Arc::clone(&shell.clock));
        groups.shards.follow(&topics, &image);
        let regroup = Arc::<Notify>::default();
        let fetchers = ReplicaFetchers::new(FetcherParts {
            regroup: Arc::clone(&regroup),
            own,
            epoch: broker_epoch,
            config: settings.config.replication.clone(),
            peers,
            shell: Arc::clone(&shell),
            images: images.clone(),
            hung_up: HungUp::default(),
        });
        fetchers.follow(&topics, &image);
        let node = Arc::new(Self {
            settings,
            directory,
            metadata,
            lone_client: LoneClient::default(),
            broker_epoch,
            producer_ids: ProducerIds::default(),
            groups,
            fetchers,
            departed: Departed::new(&image, Instant::now()),
            metrics: Arc::default(),
            random,
            images: images.clone(),
            topics: ArcSwap::from_pointee(topics),
            followed: watch::Sender::new(image.version()),
            closing: watch::Sender::new(false),
            shell,
            threads: Mutex::default(),
        });
        node.start_threads()?;
        node.metrics.register(Arc::new(NodeMetrics(Arc::downgrade(&node))));
        tokio::spawn(Arc::clone(&node).follow(hosting, images, image, regroup));
        tokio::spawn(in_sync::run(Arc::downgrade(&node)));
        tokio::spawn(node.groups.run_timer(Arc::downgrade(&node)));
        tokio::spawn(lags::watch(Arc::downgrade(&node)));
        tokio::spawn(disk_report::run(Arc::downgrade(&node)));
        Ok(node)
    }

    /// The clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.shell.clock
    }

    /// What a monitoring system sees: [`Metrics::encode`] writes it down.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// This broker's id.
    pub fn id(&self) -> BrokerId {
        self.settings.config.node_id
    }

    /// This broker's settings.
    pub fn settings(&self) -> &BrokerSettings {
        &self.settings
    }

    /// The cluster's metadata now.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.images.borrow())
    }

    /// Brokers that the metadata has for leaders and that have closed their connections to this one a moment ago. They are gone, most likely:
    /// first this waits until the metadata knows the next leaders, for half a second at most, and where that takes longer clients are better
    /// told that there is no leader. For one that does not answer this waits longer (1.5 s at most); it may be slow, and is not among the
    /// result. Look at [`Self::image`] afterwards.
    pub async fn hung_up(&self) -> Vec<BrokerId> {
        loop {
            let now = Instant::now();
            let in_doubt = self.fetchers.in_doubt(now);
            if in_doubt.is_empty() {
                return Vec::new();
            }
            let mut images = self.images.clone();
            let image = Arc::clone(&images.borrow_and_update());
            let is_waited_for = |(broker, doubt): &(BrokerId, Doubt)| {
                let is_active = image.broker(*broker).is_some_and(|broker| !broker.fenced);
                is_active && doubt.is_waited_for(now)
            };
            // Neither the end of a doubt nor its age is an event: both are looked at again.
            let ended = in_doubt.iter().any(is_waited_for)
                && tokio::time::timeout(LOOKED_AGAIN_AFTER, images.changed())
                    .await
                    .is_ok_and(|changed| changed.is_err());
            if ended || !in_doubt.iter().any(is_waited_for) {
                let hung_up = in_doubt.into_iter().filter(|(_, doubt)| doubt.hung_up);
                return hung_up.map(|(broker, _)| broker).collect();
            }
        }
    }

    /// The brokers that clients are told of: those that are alive, and those that were a moment ago (ADR 0062).
    pub fn listed_brokers<'image>(
        &self,
        image: &'image Image,
    ) -> impl Iterator<Item = &'image Arc<Broker>> + use<'image> {
        let departed = self.departed.follow(image, Instant::now());
        image.brokers().filter(move |broker| !broker.fenced || departed.contains(&broker.id))
    }

    /// The partitions hosted now.
    pub fn topics(&self) -> Arc<TopicTable> {
        self.topics.load_full()
    }

    /// A random id.
    pub fn random_uuid(&self) -> Uuid {
        Uuid::from_random((self.random)())
    }

    /// Random bits.
    pub fn random_u64(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = (self.random)();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Commits a command, and waits until this broker's partitions follow it: who created a topic may write to it.
    pub(crate) async fn propose(&self, command: Command) -> Result<Response, ProposeError> {
        let response = self.metadata.propose(command).await?;
        self.follow_to(self.image().version()).await?;
        Ok(response)
    }

    /// Waits until this broker's partitions follow the metadata up to a version.
    ///
    /// # Errors
    /// The node stopped before.
    pub async fn follow_to(&self, version: u64) -> Result<(), ProposeError> {
        let mut followed = self.followed.subscribe();
        followed.wait_for(|followed| *followed >= version).await.map_err(|_| ProposeError::Stopping)?;
        Ok(())
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) fn subscribe_closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// The node that leads the metadata quorum, as this one knows it; `None` during an election.
    pub fn controller(&self) -> Option<BrokerId> {
        match self.metadata.quorum() {
            Some(status) => status.leader,
            // Without a quorum behind it the metadata are this node's own.
            None => Some(self.id()),
        }
    }

    /// How long the oldest flush that is not finished has been waiting or running; `None` if there is none.
    pub fn oldest_unfinished_flush(&self) -> Option<std::time::Duration> {
        Some(self.shell.oldest_unfinished_flush()).filter(|age| !age.is_zero())
    }

    /// Stops cleanly: refuses new work, flushes, closes every log and marks the directory as cleanly stopped. Blocks.
    ///
    /// # Errors
    /// The marks could not be stored: the next start recovers as after a crash, and nothing is lost.
    pub fn close(&self) -> Result<(), StorageError> {
        self.closing.send_replace(true);
        self.fetchers.close();
        self.groups.shards.resign_all();
        self.shell.keeper.close();
        self.shell.cleaner.close();
        self.shell.flusher.close();
        self.shell.background_flusher.close();
        for thread in self.threads.lock().drain(..) {
            // A panicked thread has said so already.
            let _panicked = thread.join();
        }
        let topics = self.topics();
        let hosts: Vec<_> = topics.partitions().cloned().collect();
        let mut clean = !self.shell.some_log_is_shut.load(Ordering::Acquire);
        for host in &hosts {
            let Some(log) = host.close() else { continue };
            match log.close() {
                Ok(end) => {
                    self.directory.note_recovery_point(host.name(), end);
                    self.directory.note_high_watermark(host.name(), host.view().high_watermark);
                }
                Err(error) => {
                    clean = false;
                    tracing::error!(partition = ?host, %error, "a log could not be closed; it is recovered at the next start");
                }
            }
        }
        self.directory.store_checkpoints()?;
        if clean {
            self.directory.mark_clean(Some(self.broker_epoch))?;
        }
        Ok(())
    }

    fn start_threads(self: &Arc<Self>) -> Result<(), std::io::Error> {
        let flusher = Arc::clone(&self.shell);
        let flusher =
            std::thread::Builder::new().name("flush".into()).spawn(move || flusher.flusher.run())?;
        let background = Arc::clone(&self.shell);
        let background = std::thread::Builder::new().name("flush-behind".into()).spawn(move || {
            yield_to_others();
            background.background_flusher.run();
        })?;
        let node = Arc::downgrade(self);
        let (shell, directory) = (Arc::clone(&self.shell), Arc::clone(&self.directory));
        let interval = self.settings.config.retention_check_interval;
        let keeper = std::thread::Builder::new().name("keeper".into()).spawn(move || {
            let hosts = || {
                node.upgrade().map(|node| node.topics().partitions().cloned().collect()).unwrap_or_default()
            };
            let in_session = || node.upgrade().is_none_or(|node| node.session().is_open());
            shell.keeper.run(&directory, &*shell.clock, interval, hosts, in_session);
        })?;
        self.threads.lock().extend([flusher, background, keeper]);
        if !self.cleaner_config().enabled {
            tracing::warn!("log.cleaner.enable=false: topics with cleanup.policy=compact grow without end");
            return Ok(());
        }
        let around = CleanerSurroundings(Arc::downgrade(self));
        let (shell, directory) = (Arc::clone(&self.shell), Arc::clone(&self.directory));
        let cleaner = std::thread::Builder::new().name("cleaner".into()).spawn(move || {
            yield_to_others();
            shell.cleaner.run(&directory, &*shell.clock, &around);
        })?;
        self.threads.lock().push(cleaner);
        Ok(())
    }

    fn cleaner_config(&self) -> CleanerConfig {
        self.settings.with_layers(&self.image(), CleanerConfig::resolve)
    }

    /// Follows the metadata until it ends.
    async fn follow(
        self: Arc<Self>,
        hosting: Arc<Hosting>,
        mut images: watch::Receiver<Arc<Image>>,
        mut followed_image: Arc<Image>,
        regroup: Arc<Notify>,
    ) {
        let node = Arc::downgrade(&self);
        let mut closing = self.closing.subscribe();
        drop(self);
        loop {
            tokio::select! {
                _closed = closing.wait_for(|closing| *closing) => return,
                () = regroup.notified() => {
                    let Some(node) = node.upgrade() else { return };
                    node.fetchers.follow(&node.topics(), &followed_image);
                    continue;
                }
                changed = images.changed() => if changed.is_err() { return },
            }
            let image = Arc::clone(&images.borrow_and_update());
            let Some(node) = node.upgrade() else { return };
            let (hosting, topics, random) = (Arc::clone(&hosting), node.topics(), node.random);
            let version = image.version();
            node.departed.follow(&image, Instant::now());
            let older = std::mem::replace(&mut followed_image, Arc::clone(&image));
            // Logs are opened and deleted here, which waits for the disk.
            let of_hosting = Arc::clone(&image);
            let followed = tokio::task::spawn_blocking(move || {
                hosting.follow(&topics, &older, &of_hosting, || Uuid::from_random(random()))
            });
            match followed.await {
                Ok(table) => {
                    node.topics.store(Arc::new(table));
                    let topics = node.topics();
                    node.fetchers.follow(&topics, &image);
                    node.groups.shards.follow(&topics, &image);
                }
                Err(panicked) => {
                    tracing::error!(%panicked, "following the metadata failed; restart the broker")
                }
            }
            // Also after a failure: whoever waits for this version must not wait for ever.
            node.followed.send_replace(version);
        }
    }
}

/// What the cleaner's thread asks of the node, as long as it lives.
struct CleanerSurroundings(Weak<Node>);

impl Surroundings for CleanerSurroundings {
    fn config(&self) -> Option<CleanerConfig> {
        self.0.upgrade().map(|node| node.cleaner_config())
    }

    fn logs(&self) -> Vec<(Arc<PartitionHost>, LogConfig)> {
        let Some(node) = self.0.upgrade() else { return Vec::new() };
        let topics = node.topics();
        let compacted = topics.topics().map(|topic| (topic, topic.settings()));
        let compacted = compacted.filter(|(_, settings)| settings.partition.log.compaction.is_some());
        let logs = compacted.flat_map(|(topic, settings)| {
            let hosts = topic.partitions().iter().filter_map(PartitionSlot::host);
            hosts.map(move |host| (Arc::clone(host), settings.partition.log.clone()))
        });
        logs.collect()
    }

    fn random(&self) -> [u8; 16] {
        // Without a node there is no pass.
        self.0.upgrade().map_or([0; 16], |node| (node.random)())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}
