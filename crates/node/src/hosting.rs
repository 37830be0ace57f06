//! From the cluster image to open logs: what this broker hosts follows the metadata, step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_coordination::config::ReplicationRates;
use ottla_coordination::metadata::{Image, Topic, TopicChange};
use ottla_record::{PartitionIndex, TopicId, Uuid};
use ottla_replication::{Assignment, Event, Partition, PartitionConfig};
use ottla_storage::{Log, LogDirectory, OpenError, StorageError, TopicPartition};

use crate::directory::DirectoryShell;
use crate::host::PartitionHost;
use crate::metrics::traffic::TopicTraffic;
use crate::settings::BrokerSettings;
use crate::topics::{HostedTopic, PartitionSlot, TopicKey, TopicSettings, TopicTable};

/// Opens, assigns, configures and closes partitions, so that they become what an image says.
#[derive(Debug)]
pub(crate) struct Hosting {
    pub(crate) settings: Arc<BrokerSettings>,
    pub(crate) directory: Arc<LogDirectory>,
    pub(crate) shell: Arc<DirectoryShell>,
}

impl Hosting {
    /// Brings the partitions from what `older` said to what `image` says. Waits for the disk: call it where that is allowed.
    pub(crate) fn follow(
        &self,
        before: &TopicTable,
        older: &Image,
        image: &Image,
        random: impl Fn() -> Uuid + Sync,
    ) -> TopicTable {
        let mut table = before.clone();
        // Before any of them is in a new term: one that begins with a change of `ottla.ack.durability` is to begin with it here, too.
        if self.broker_level_changed(older, image) {
            let rates = self.settings.with_layers(image, ReplicationRates::resolve);
            self.shell.quotas.set_rates(rates, self.shell.clock.now().monotonic);
            for hosted in table.topics() {
                if let Some(topic) = image.topic_by_id(hosted.id) {
                    self.configure(hosted, image, topic);
                }
            }
        }
        // What is to be opened is opened together in the end: a directory that a deleted topic left is free by then.
        let mut opening: Vec<Opening> = Vec::new();
        for change in image.topic_changes(older) {
            match change {
                TopicChange::Created(topic) => opening.push(self.plan(None, image, topic)),
                TopicChange::Changed { old, new } => {
                    let known = table.topic(TopicKey::Id(new.id())).ok().cloned();
                    if let Some(known) = &known {
                        self.configure(known, image, &new);
                    }
                    match known {
                        Some(known) if self.is_placed(&known, &new) => assign(&known, &new, Some(&old)),
                        known => {
                            if let Some(known) = &known {
                                self.give_up(known, &new, &random);
                            }
                            opening.push(self.plan(known.as_deref(), image, new));
                        }
                    }
                }
                TopicChange::Deleted(topic) => {
                    let Some(hosted) = table.topic(TopicKey::Id(topic.id())).ok().cloned() else { continue };
                    table.remove(&hosted);
                    self.delete(&hosted, &random);
                }
            }
        }
        for (hosted, topic) in self.open(opening, &random) {
            self.throttle(&hosted);
            assign(&hosted, &topic, None);
            table.insert(Arc::new(hosted));
        }
        table
    }

    /// True if just those partitions of a topic are here that the image gives this broker.
    fn is_placed(&self, known: &HostedTopic, topic: &Topic) -> bool {
        known.partitions().len() == topic.partition_count()
            && known.partitions().iter().zip(topic.partitions()).all(|(slot, (_, partition))| {
                let is_here = !matches!(slot, PartitionSlot::Elsewhere);
                is_here == partition.replicas.contains(&self.settings.config.node_id)
            })
    }

    /// Deletes what of a topic has been moved to other brokers.
    fn give_up(&self, known: &HostedTopic, topic: &Topic, random: &impl Fn() -> Uuid) {
        for (slot, (_, partition)) in known.partitions().iter().zip(topic.partitions()) {
            if let Some(host) = slot.host()
                && !partition.replicas.contains(&self.settings.config.node_id)
            {
                self.delete_replica(host, random);
            }
        }
    }

    /// True if something changed that every topic's configuration depends on.
    fn broker_level_changed(&self, older: &Image, image: &Image) -> bool {
        let levels = [None, Some(self.settings.config.node_id)];
        older.brokers().count() != image.brokers().count()
            || levels.iter().any(|level| older.broker_configs(*level) != image.broker_configs(*level))
    }

    /// True if the image gives this broker a partition of this name.
    fn is_given(&self, image: &Image, name: &TopicPartition) -> bool {
        let partition = image.topic(&name.topic).and_then(|topic| topic.partition(name.partition));
        partition.is_some_and(|partition| partition.replicas.contains(&self.settings.config.node_id))
    }

    /// Looks for directories of no use. Those of partitions that were moved to other brokers while this one was away are
    /// deleted; those of topics that are no more are set aside if they bear the name of one that is. What else belongs to no topic of the
    /// image is left alone: an operator decides, not we.
    pub(crate) fn clear_strays(&self, image: &Image, random: impl Fn() -> Uuid) -> Result<(), OpenError> {
        for found in self.directory.partitions()? {
            let topic = found.topic_id.and_then(|id| image.topic_by_id(id));
            let topic = topic.filter(|topic| topic.name().as_str() == found.name.topic);
            match topic.and_then(|topic| topic.partition(found.name.partition)) {
                Some(partition) if partition.replicas.contains(&self.settings.config.node_id) => {}
                Some(_) => {
                    tracing::info!(
                        directory = %found.name.directory().display(),
                        "this partition was moved to other brokers, and its copy here is deleted"
                    );
                    self.delete_files(&found.name, &random)?;
                }
                // A process that ended between a directory and its file with the topic's id: it is opened, and gets its id.
                None if found.topic_id.is_none() && self.is_given(image, &found.name) => {}
                None if found.topic_id.is_some() && image.topic(&found.name.topic).is_some() => {
                    self.set_aside(&found.name, &random)?;
                }
                None => tracing::warn!(
                    directory = %found.name.directory().display(),
                    "this directory belongs to no topic of the cluster and is left alone; import or remove it"
                ),
            }
        }
        Ok(())
    }

    fn configure(&self, hosted: &HostedTopic, image: &Image, topic: &Topic) {
        let settings = self.settings.topic_settings(image, topic);
        let before = hosted.settings();
        if before.partition != settings.partition {
            let jitter = self.jitter(image, topic);
            for host in hosted.partitions().iter().filter_map(PartitionSlot::host) {
                let config = with_jitter(&settings.partition, topic.id(), host.index(), jitter);
                host.submit(Event::Configure(config));
            }
        }
        if *before != settings {
            hosted.set_settings(settings);
            self.throttle(hosted);
        }
    }

    /// Tells the partitions of a topic whether their copies are throttled.
    fn throttle(&self, hosted: &HostedTopic) {
        let (settings, own) = (hosted.settings(), self.settings.config.node_id);
        for host in hosted.partitions().iter().filter_map(PartitionSlot::host) {
            let as_leader = settings.leader_throttled.contains(host.index(), own);
            host.set_throttled(as_leader, settings.follower_throttled.contains(host.index(), own));
        }
    }

    /// What of a topic is hosted already, and what is to be opened.
    fn plan(&self, known: Option<&HostedTopic>, image: &Image, topic: Arc<Topic>) -> Opening {
        let settings = self.settings.topic_settings(image, &topic);
        let jitter = self.jitter(image, &topic);
        let own = self.settings.config.node_id;
        let partitions = topic
            .partitions()
            .map(|(index, partition)| {
                let at = usize::try_from(index.get()).unwrap_or(usize::MAX);
                match known.and_then(|known| known.partitions().get(at)?.host().cloned()) {
                    _ if !partition.replicas.contains(&own) => Place::Elsewhere,
                    Some(host) => Place::Hosted(host),
                    None => {
                        Place::Open(index, with_jitter(&settings.partition, topic.id(), index, jitter).into())
                    }
                }
            })
            .collect();
        let traffic = known.map(|known| Arc::clone(known.traffic())).unwrap_or_default();
        Opening { name: topic.name().as_str().into(), topic, settings, partitions, traffic }
    }

    /// Opens logs, one a processor at a time: after a crash each has its tail to read. What fails is told in the order
    /// of the topics, and leaves that partition offline and no other.
    fn open(
        &self,
        topics: Vec<Opening>,
        random: &(impl Fn() -> Uuid + Sync),
    ) -> Vec<(HostedTopic, Arc<Topic>)> {
        let logs: Vec<_> = topics
            .iter()
            .flat_map(|opening| opening.partitions.iter().map(move |place| (opening, place)))
            .filter_map(|(opening, place)| match place {
                Place::Open(index, config) => Some((opening, *index, config)),
                Place::Hosted(_) | Place::Elsewhere => None,
            })
            .collect();
        let mut opened = side_by_side(&logs, |(opening, index, config)| {
            self.open_partition(opening, *index, PartitionConfig::clone(config), random)
        })
        .into_iter();
        drop(logs);
        let mut hosted = Vec::new();
        for Opening { name, topic, settings, partitions, traffic } in topics {
            let hosts = partitions.into_iter().map(|place| match place {
                Place::Hosted(host) => PartitionSlot::Hosted(host),
                Place::Elsewhere => PartitionSlot::Elsewhere,
                Place::Open(index, _) => match opened.next() {
                    Some(Ok(host)) => PartitionSlot::Hosted(host),
                    Some(Err(error)) => {
                        tracing::error!(topic = %name, partition = %index, %error, "a partition is offline; the others are served");
                        self.shell.some_log_is_shut.store(true, Ordering::Release);
                        PartitionSlot::Offline
                    }
                    None => PartitionSlot::Offline,
                },
            });
            hosted.push((
                HostedTopic::new(Arc::clone(&name), topic.id(), settings, hosts.collect(), traffic),
                topic,
            ));
        }
        hosted
    }

    fn open_partition(
        &self,
        opening: &Opening,
        index: PartitionIndex,
        config: PartitionConfig,
        random: &impl Fn() -> Uuid,
    ) -> Result<Arc<PartitionHost>, OpenError> {
        let Opening { name: topic, traffic, .. } = opening;
        let id = opening.topic.id();
        let name = TopicPartition { topic: topic.to_string(), partition: index };
        // A topic of this name was deleted, and this one created, while this broker was away. Its records are not this one's.
        if self.directory.topic_id_of(&name)?.is_some_and(|found| found != id) {
            self.set_aside(&name, random)?;
        }
        let now = self.shell.clock.now();
        let (log, recovery) = {
            let start = self.directory.log_start_of(&name);
            Log::open(&self.directory, name.directory(), id, config.log.clone(), start, now)?
        };
        self.shell.metrics.opened(&recovery);
        if !self.directory.was_clean() && recovery.scanned_bytes > 0 {
            tracing::info!(dir = %name.directory().display(), %recovery, "recovered a log after an unclean stop");
        }
        let mut partition = Partition::new(self.settings.config.node_id, log, config);
        if let Some(stored) = self.directory.high_watermark_of(&name) {
            partition = partition.recalling(stored);
        }
        let (topic, traffic, shell) = (Arc::clone(topic), Arc::clone(traffic), Arc::clone(&self.shell));
        Ok(PartitionHost::new(topic, name, id, partition, traffic, shell))
    }

    fn delete(&self, hosted: &HostedTopic, random: impl Fn() -> Uuid) {
        for host in hosted.partitions().iter().filter_map(PartitionSlot::host) {
            self.delete_replica(host, &random);
        }
    }

    fn delete_replica(&self, host: &Arc<PartitionHost>, random: &impl Fn() -> Uuid) {
        drop(host.close());
        match self.delete_files(host.name(), random) {
            Ok(()) => tracing::info!(partition = ?host, "deleted"),
            Err(error) => {
                tracing::error!(partition = ?host, %error, "a deleted partition's files could not be removed");
            }
        }
    }

    fn delete_files(&self, name: &TopicPartition, random: &impl Fn() -> Uuid) -> Result<(), StorageError> {
        let deleted = self.directory.delete_partition(name, random())?;
        self.directory.remove_directory(&deleted)
    }

    fn set_aside(&self, name: &TopicPartition, random: &impl Fn() -> Uuid) -> Result<(), StorageError> {
        let aside = self.directory.set_aside(name, random())?;
        tracing::warn!(
            directory = %name.directory().display(), to = %aside.display(),
            "this directory is of a deleted topic whose name another topic has now; it is set aside and not read: remove it when nobody needs it"
        );
        Ok(())
    }

    fn jitter(&self, image: &Image, topic: &Topic) -> i64 {
        self.settings.topic_config(image, topic).segment_jitter_ms
    }
}

/// A topic of which something is to be opened.
struct Opening {
    name: Arc<str>,
    topic: Arc<Topic>,
    settings: TopicSettings,
    /// By number.
    partitions: Vec<Place>,
    traffic: Arc<TopicTraffic>,
}

/// Where one partition of a topic is.
enum Place {
    Hosted(Arc<PartitionHost>),
    Elsewhere,
    Open(PartitionIndex, Box<PartitionConfig>),
}

/// Does something for each item, on as many threads as there are processors; the results in the items' order.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match items.get(number) {
                    Some(item) => done.push((number, work(item))),
                    None => return done,
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Tells the partitions who leads them, as far as that is another than in `old`.
fn assign(hosted: &HostedTopic, topic: &Topic, old: Option<&Topic>) {
    for (host, (index, partition)) in hosted.partitions().iter().zip(topic.partitions()) {
        let Some(host) = host.host() else { continue };
        let before = old.and_then(|old| old.partition(index));
        if before.is_some_and(|before| Arc::ptr_eq(before, partition)) {
            continue;
        }
        host.submit(Event::Assign(Assignment {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            leader: partition.leader,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
        }));
    }
}

/// Gives one partition its share of `segment.jitter.ms`: always the same one, so that a restart does not draw again.
fn with_jitter(
    config: &PartitionConfig,
    id: TopicId,
    index: PartitionIndex,
    jitter_ms: i64,
) -> PartitionConfig {
    let mut config = config.clone();
    if jitter_ms > 0 {
        let seed = id.0.as_bytes().iter().fold(i64::from(index.get()), |hash, byte| {
            hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(i64::from(*byte))
        });
        config.log.segment_jitter_ms = seed.rem_euclid(jitter_ms);
    }
    config
}

#[cfg(test)]
mod tests;
