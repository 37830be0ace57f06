//! Which partitions this broker hosts: an immutable table, replaced as a whole when the metadata changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use ottla_coordination::config::ThrottledReplicas;
use ottla_record::produce::ProduceRules;
use ottla_record::{PartitionIndex, TopicId};
use ottla_replication::PartitionConfig;

use crate::coordinator::internal_topics::is_internal;
use crate::host::PartitionHost;
use crate::metrics::traffic::TopicTraffic;

/// How a caller names a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKey<'a> {
    /// By name.
    Name(&'a str),
    /// By id (KIP-516).
    Id(TopicId),
}

/// The topics with partitions on this broker.
#[derive(Clone, Debug, Default)]
pub struct TopicTable {
    by_name: HashMap<Arc<str>, Arc<HostedTopic>>,
    by_id: HashMap<TopicId, Arc<HostedTopic>>,
}

/// One topic with partitions on this broker.
#[derive(Debug)]
pub struct HostedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: TopicId,
    internal: bool,
    settings: ArcSwap<TopicSettings>,
    /// By partition number.
    partitions: Vec<PartitionSlot>,
    traffic: Arc<TopicTraffic>,
    /// Where the next records without a key go, modulo the number of partitions.
    next_keyless: AtomicUsize,
}

/// What this broker has of one partition.
#[derive(Clone, Debug)]
pub enum PartitionSlot {
    /// Its log is open here.
    Hosted(Arc<PartitionHost>),
    /// Other brokers have its replicas.
    Elsewhere,
    /// It belongs here, but its log could not be opened.
    Offline,
}

/// The topic's configuration as the data path needs it.
#[derive(Debug, PartialEq)]
pub struct TopicSettings {
    /// What a producer's batches are checked against.
    pub produce: ProduceRules,
    /// What each partition is run with.
    pub partition: PartitionConfig,
    /// Replicas that are sent no faster than their leaders' rates, while they catch up.
    pub leader_throttled: ThrottledReplicas,
    /// Replicas that fetch no faster than their brokers' rates, while they catch up.
    pub follower_throttled: ThrottledReplicas,
}

/// Why a partition is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No topic of that name has that partition.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// No topic has that id.
    #[error("unknown topic id")]
    UnknownTopicId,
    /// The partition exists, but no replica of it is on this broker.
    #[error("this broker has no replica of the partition")]
    NotHosted,
    /// The partition has a replica here, but its log could not be opened.
    #[error("the partition is offline")]
    Offline,
}

impl TopicTable {
    /// Finds a topic.
    pub fn topic(&self, key: TopicKey<'_>) -> Result<&Arc<HostedTopic>, LookupError> {
        match key {
            TopicKey::Name(name) => self.by_name.get(name).ok_or(LookupError::UnknownTopicOrPartition),
            TopicKey::Id(id) => self.by_id.get(&id).ok_or(LookupError::UnknownTopicId),
        }
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<HostedTopic>> {
        self.by_name.values()
    }

    /// All partitions, in no order.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<PartitionHost>> {
        self.topics().flat_map(|topic| topic.partitions.iter().filter_map(PartitionSlot::host))
    }

    pub(crate) fn insert(&mut self, topic: Arc<HostedTopic>) {
        if let Some(before) = self.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic)) {
            self.by_id.remove(&before.id);
        }
        self.by_id.insert(topic.id, topic);
    }

    pub(crate) fn remove(&mut self, topic: &HostedTopic) {
        self.by_name.remove(&topic.name);
        self.by_id.remove(&topic.id);
    }
}

impl HostedTopic {
    pub(crate) fn new(
        name: Arc<str>,
        id: TopicId,
        settings: TopicSettings,
        partitions: Vec<PartitionSlot>,
        traffic: Arc<TopicTraffic>,
    ) -> Self {
        let settings = ArcSwap::from_pointee(settings);
        let internal = is_internal(&name);
        Self { name, id, internal, settings, partitions, traffic, next_keyless: AtomicUsize::new(0) }
    }

    /// True if only brokers write to it.
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    /// What goes in and out.
    pub(crate) fn traffic(&self) -> &Arc<TopicTraffic> {
        &self.traffic
    }

    /// The configuration now.
    pub fn settings(&self) -> Arc<TopicSettings> {
        self.settings.load_full()
    }

    pub(crate) fn set_settings(&self, settings: TopicSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// The partition of a raw number, as clients send it.
    pub fn partition(&self, index: i32) -> Result<&Arc<PartitionHost>, LookupError> {
        let index = usize::try_from(index).map_err(|_| LookupError::UnknownTopicOrPartition)?;
        match self.partitions.get(index) {
            Some(PartitionSlot::Hosted(host)) => Ok(host),
            Some(PartitionSlot::Elsewhere) => Err(LookupError::NotHosted),
            Some(PartitionSlot::Offline) => Err(LookupError::Offline),
            None => Err(LookupError::UnknownTopicOrPartition),
        }
    }

    /// The partition for the next records that have no key and belong together: each in its turn, those that are not
    /// led here left out as long as there is another one.
    pub fn next_keyless_partition(&self) -> PartitionIndex {
        let turn = self.next_keyless.fetch_add(1, Ordering::Relaxed);
        let count = self.partitions.len().max(1);
        let led = |at: &usize| {
            let host = self.partitions.get(*at).and_then(PartitionSlot::host);
            host.is_some_and(|host| host.view().availability.leading().is_some())
        };
        let at = (0..count).map(|step| turn.wrapping_add(step) % count).find(led).unwrap_or(turn % count);
        PartitionIndex::new(i32::try_from(at).unwrap_or(i32::MAX))
    }

    /// The partitions by number, hosted or not.
    pub fn partitions(&self) -> &[PartitionSlot] {
        &self.partitions
    }

    /// Number of partitions of the topic.
    pub fn partition_count(&self) -> PartitionIndex {
        PartitionIndex::new(i32::try_from(self.partitions.len()).unwrap_or(i32::MAX))
    }
}

impl PartitionSlot {
    /// The partition, if its log is open here.
    pub fn host(&self) -> Option<&Arc<PartitionHost>> {
        match self {
            Self::Hosted(host) => Some(host),
            Self::Elsewhere | Self::Offline => None,
        }
    }
}
