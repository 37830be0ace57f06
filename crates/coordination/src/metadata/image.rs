//! The cluster image: one immutable value per version, sharing whatever did not change with the one before.
//!
//! A clone copies a handful of pointers. A change copies the path to what changed: for one partition of ten thousand that
//! is its tree node of pointers, its topic's header and itself (see `docs/adr/0010`). Readers hold an `Arc<Image>` for
//! as long as they like and see one consistent state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, Vector};
use ottla_record::{BrokerId, ClusterId, PartitionIndex, ProducerId, TopicId};

use super::broker::Broker;
use super::name::TopicName;
use super::topic::{Configs, Partition, Reassignment, Topic};

/// The rules by which this program applies commands. It rises when `apply` changes its meaning, and only once every
/// broker knows the new rules; until then all apply the old ones, or their images would part.
pub const METADATA_VERSION: u16 = 1;

/// Producer ids are handed out in blocks of this many (KIP-730).
pub const PRODUCER_ID_BLOCK: i32 = 1000;

/// The most brokers in one image.
pub const MAX_BROKERS: usize = 1_000;

/// The most partitions one request may create, over all its topics (Kafka's bound).
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// The most partitions in one image. A snapshot of that many is some 40 MB and must be written, sent and read in seconds.
pub const MAX_PARTITIONS: usize = 200_000;

const _: () = assert!(MAX_PARTITIONS_PER_REQUEST <= MAX_PARTITIONS);

/// So many ids of deleted topics are remembered. A command that is asked for again is so within seconds.
pub const DELETED_TOPICS_KEPT: usize = 1_000;

/// What the cluster is, after some number of commands.
///
/// Invariants (checked by `check_invariants`): every topic stands under its name and its id; every topic has at least one partition; leaders are
/// registered and in sync; in-sync replicas are replicas.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) cluster: Option<ClusterId>,
    pub(super) version: u64,
    pub(super) metadata_version: u16,
    pub(super) brokers: OrdMap<BrokerId, Arc<Broker>>,
    pub(super) topics: OrdMap<TopicName, Arc<Topic>>,
    pub(super) names: OrdMap<TopicId, TopicName>,
    /// The ids of the topics that were deleted last, oldest first: a command that created one of them and arrives once more, late, does
    /// not bring it back under an id whose records brokers may still have.
    pub(super) deleted: Vector<TopicId>,
    /// Names in which '.' and '_' may collide, by the spelling in which they would.
    pub(super) collisions: OrdMap<String, TopicName>,
    pub(super) partition_count: usize,
    pub(super) broker_configs: OrdMap<Option<BrokerId>, Arc<Configs>>,
    pub(super) group_configs: OrdMap<String, Arc<Configs>>,
    pub(super) next_producer_id: ProducerId,
}

/// What became of one topic between two images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// It is new.
    Created(Arc<Topic>),
    /// Its partitions or configs changed; its identity is the same.
    Changed {
        /// Before.
        old: Arc<Topic>,
        /// After.
        new: Arc<Topic>,
    },
    /// It is gone.
    Deleted(Arc<Topic>),
}

impl Image {
    /// A cluster before its first command.
    pub fn empty() -> Self {
        Self {
            cluster: None,
            version: 0,
            metadata_version: METADATA_VERSION,
            brokers: OrdMap::new(),
            topics: OrdMap::new(),
            names: OrdMap::new(),
            deleted: Vector::new(),
            collisions: OrdMap::new(),
            partition_count: 0,
            broker_configs: OrdMap::new(),
            group_configs: OrdMap::new(),
            next_producer_id: ProducerId::ZERO,
        }
    }

    /// The cluster's id; `None` before it was formed.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Number of commands applied so far. Two images of one cluster with the same version are equal.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The rules by which commands are applied.
    pub fn metadata_version(&self) -> u16 {
        self.metadata_version
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// One registered broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// All topics whose name is `first` or after it, by name: for answers in pages.
    pub fn topics_from<'a>(&'a self, first: &str) -> impl Iterator<Item = &'a Arc<Topic>> + use<'a> {
        use std::ops::Bound;
        self.topics.range::<_, str>((Bound::Included(first), Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// The topic that has this name now.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// One topic by its identity.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// One partition by its topic's identity.
    pub fn partition(&self, topic: TopicId, index: PartitionIndex) -> Option<&Arc<Partition>> {
        self.topic_by_id(topic)?.partition(index)
    }

    /// Number of topics.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Number of partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The configs set on one broker, or with `None` as the default of all.
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> Option<&Arc<Configs>> {
        self.broker_configs.get(&broker)
    }

    /// All brokers that have configs set, the default of all among them.
    pub fn configured_brokers(&self) -> impl Iterator<Item = (Option<BrokerId>, &Arc<Configs>)> {
        self.broker_configs.iter().map(|(id, configs)| (*id, configs))
    }

    /// The configs set on one consumer group.
    pub fn group_configs(&self, group: &str) -> Option<&Arc<Configs>> {
        self.group_configs.get(group)
    }

    /// All consumer groups that have configs set.
    pub fn configured_groups(&self) -> impl Iterator<Item = (&str, &Arc<Configs>)> {
        self.group_configs.iter().map(|(group, configs)| (group.as_str(), configs))
    }

    /// The first producer id of the next block.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// What became of topics since an older image of the same cluster. Parts that both share are skipped without a look
    /// inside. A topic deleted and created again under its name is reported as both, the deletion first.
    pub fn topic_changes(&self, older: &Self) -> Vec<TopicChange> {
        let mut changes = Vec::new();
        for item in older.topics.diff(&self.topics) {
            match item {
                DiffItem::Add(_, new) => changes.push(TopicChange::Created(Arc::clone(new))),
                DiffItem::Remove(_, old) => changes.push(TopicChange::Deleted(Arc::clone(old))),
                DiffItem::Update { old: (_, old), new: (_, new) } if old.id == new.id => {
                    changes.push(TopicChange::Changed { old: Arc::clone(old), new: Arc::clone(new) });
                }
                DiffItem::Update { old: (_, old), new: (_, new) } => {
                    changes.push(TopicChange::Deleted(Arc::clone(old)));
                    changes.push(TopicChange::Created(Arc::clone(new)));
                }
            }
        }
        changes
    }

    /// All partitions that are moving, by topic and number (KIP-455).
    pub fn reassignments(&self) -> impl Iterator<Item = (&Arc<Topic>, PartitionIndex, &Arc<Partition>)> {
        self.topics().flat_map(|topic| {
            let moving = topic.partitions().filter(|(_, partition)| partition.reassignment.is_some());
            moving.map(move |(index, partition)| (topic, index, partition))
        })
    }

    /// What a command would do, without doing it: Kafka's `validate_only`, which needs no quorum.
    pub fn preview(&self, command: &super::Command) -> super::Response {
        self.clone().apply(command)
    }

    /// The first broken invariant, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut partitions = 0;
        let mut names = BTreeMap::new();
        for (name, topic) in self.topics.iter() {
            if topic.name != *name
                || names.insert(topic.id, name).is_some()
                || self.names.get(&topic.id) != Some(name)
            {
                return Err(format!("topic {name} does not stand under its name and id"));
            }
            if topic.partitions.is_empty() {
                return Err(format!("topic {name} has no partition"));
            }
            partitions += topic.partitions.len();
            for (index, partition) in topic.partitions() {
                self.check_partition(partition).map_err(|why| format!("{name}-{index}: {why}"))?;
            }
        }
        if self.names.len() != self.topics.len() {
            return Err("a topic id names no topic".to_owned());
        }
        if partitions != self.partition_count {
            return Err(format!("{partitions} partitions, counted as {}", self.partition_count));
        }
        match self.brokers.iter().find(|(id, broker)| **id != broker.id) {
            Some((id, _)) => Err(format!("broker {id} does not stand under its id")),
            None => Ok(()),
        }
    }

    fn check_partition(&self, partition: &Partition) -> Result<(), String> {
        let mut replicas = partition.replicas.clone();
        replicas.sort_unstable();
        replicas.dedup();
        if replicas.is_empty() || replicas.len() != partition.replicas.len() {
            return Err("no replica, or one named twice".to_owned());
        }
        let mut isr = partition.isr.clone();
        isr.sort_unstable();
        isr.dedup();
        if isr.len() != partition.isr.len() || !isr.iter().all(|b| replicas.binary_search(b).is_ok()) {
            return Err("in-sync replicas that are no replicas, or one named twice".to_owned());
        }
        if let Some(reassignment) = &partition.reassignment {
            check_reassignment(partition, reassignment)?;
        }
        match partition.leader {
            Some(leader) if !isr.contains(&leader) => Err(format!("leader {leader} is not in sync")),
            Some(leader) if self.broker(leader).is_none_or(|b| b.fenced) => {
                Err(format!("leader {leader} is fenced or not registered"))
            }
            _ => Ok(()),
        }
    }
}

fn check_reassignment(partition: &Partition, reassignment: &Reassignment) -> Result<(), String> {
    let Reassignment { original, target } = reassignment;
    let sound = |brokers: &[BrokerId]| {
        let distinct: BTreeSet<_> = brokers.iter().collect();
        !brokers.is_empty() && distinct.len() == brokers.len()
    };
    if !sound(original) || !sound(target) {
        return Err("a move from or to no replica, or one named twice".to_owned());
    }
    if reassignment.adding().next().is_none() && reassignment.removing().next().is_none() {
        return Err("a move that goes nowhere".to_owned());
    }
    if partition.replicas != reassignment.replicas() {
        return Err("replicas that are not those of its move".to_owned());
    }
    let arrived = target.iter().all(|member| partition.isr.contains(member));
    if arrived && partition.leader.is_none_or(|leader| target.contains(&leader)) {
        return Err("a move that is done and stands as under way".to_owned());
    }
    Ok(())
}
