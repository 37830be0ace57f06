//! Topics come, grow and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_record::{BrokerId, LeaderEpoch, PartitionEpoch, TopicId};

use crate::metadata::command::{
    CreatePartitions, CreateTopics, DeleteTopics, Layout, ManualAssignment, NewPartitions, NewTopic,
    TopicSelector,
};
use crate::metadata::election;
use crate::metadata::image::{DELETED_TOPICS_KEPT, Image, MAX_PARTITIONS, MAX_PARTITIONS_PER_REQUEST};
use crate::metadata::name::TopicName;
use crate::metadata::placement::{self, Candidate, PlacementError, PlacementSeed};
use crate::metadata::response::{
    CreatePartitionsError, CreateTopicError, CreatedTopic, DeleteTopicError, DeletedTopic,
};
use crate::metadata::topic::{Partition, Topic};

impl Image {
    pub(super) fn create_topics(
        &mut self,
        command: &CreateTopics,
    ) -> Vec<Result<CreatedTopic, CreateTopicError>> {
        // Kafka refuses the whole request: half of a deployment is worse than none.
        let asked = command.topics.iter().map(|t| t.layout.partition_count()).fold(0, usize::saturating_add);
        if asked > MAX_PARTITIONS_PER_REQUEST {
            return command
                .topics
                .iter()
                .map(|_| Err(CreateTopicError::TooManyPartitionsInRequest))
                .collect();
        }
        let twice = named_twice(command.topics.iter().map(|t| t.name.as_str()));
        let create = |topic: &NewTopic| {
            if twice.contains(topic.name.as_str()) {
                return Err(CreateTopicError::Duplicate);
            }
            let new = self.decide_topic(topic)?;
            let created = CreatedTopic {
                name: new.name.clone(),
                id: new.id,
                partitions: new.partitions.len(),
                replication_factor: new.replication_factor(),
            };
            self.insert_topic(new);
            Ok(created)
        };
        command.topics.iter().map(create).collect()
    }

    /// The name of a topic that may be created under it, with this id.
    pub(super) fn decide_name(&self, name: &str, id: TopicId) -> Result<TopicName, CreateTopicError> {
        let name = TopicName::parse(name)?;
        if self.topics.contains_key(&name) {
            return Err(CreateTopicError::Exists(name));
        }
        if let Some(existing) = self.collisions.get(&name.collision_key()) {
            return Err(CreateTopicError::Collides { name, existing: existing.clone() });
        }
        if id.0.is_zero() || self.names.contains_key(&id) || self.deleted.contains(&id) {
            return Err(CreateTopicError::IdInUse(id));
        }
        Ok(name)
    }

    fn decide_topic(&self, new: &NewTopic) -> Result<Topic, CreateTopicError> {
        let name = self.decide_name(&new.name, new.id)?;
        let configs = self.decide_topic_configs(&new.configs).map_err(CreateTopicError::Config)?;
        let replicas = match &new.layout {
            Layout::Placed { partitions, replication_factor, seed } => {
                let count = usize::try_from(*partitions).unwrap_or(0);
                if *replication_factor <= 0 {
                    return Err(replication_factor_error(&PlacementError::NotPositive));
                }
                if count == 0 {
                    return Err(CreateTopicError::PartitionsNotPositive);
                }
                self.check_capacity(count).map_err(|would_have| CreateTopicError::TooManyPartitions {
                    would_have,
                    limit: MAX_PARTITIONS,
                })?;
                self.place(0, count, *replication_factor, *seed).map_err(|e| replication_factor_error(&e))?
            }
            Layout::Manual(assignments) => {
                self.check_capacity(assignments.len()).map_err(|would_have| {
                    CreateTopicError::TooManyPartitions { would_have, limit: MAX_PARTITIONS }
                })?;
                self.manual_replicas(assignments).map_err(CreateTopicError::Assignment)?
            }
        };
        let partitions =
            replicas.into_iter().map(|replicas| Arc::new(self.new_partition(replicas))).collect();
        Ok(Topic { name, id: new.id, partitions, configs: Arc::new(configs) })
    }

    pub(in crate::metadata) fn insert_topic(&mut self, topic: Topic) {
        if topic.name.may_collide() {
            self.collisions.insert(topic.name.collision_key(), topic.name.clone());
        }
        self.names.insert(topic.id, topic.name.clone());
        self.partition_count += topic.partitions.len();
        self.topics.insert(topic.name.clone(), Arc::new(topic));
    }

    pub(super) fn delete_topics(
        &mut self,
        command: &DeleteTopics,
    ) -> Vec<Result<DeletedTopic, DeleteTopicError>> {
        let delete = |selector: &TopicSelector| {
            let topic = match selector {
                TopicSelector::Name(name) => self.topic(name).ok_or(DeleteTopicError::UnknownTopic),
                TopicSelector::Id(id) => self.topic_by_id(*id).ok_or(DeleteTopicError::UnknownTopicId),
            }?;
            let topic = Arc::clone(topic);
            self.topics.remove(&topic.name);
            self.names.remove(&topic.id);
            self.deleted.push_back(topic.id);
            if self.deleted.len() > DELETED_TOPICS_KEPT {
                self.deleted.pop_front();
            }
            if topic.name.may_collide() {
                self.collisions.remove(&topic.name.collision_key());
            }
            self.partition_count -= topic.partitions.len();
            Ok(DeletedTopic { name: topic.name.clone(), id: topic.id })
        };
        command.topics.iter().map(delete).collect()
    }

    pub(super) fn create_partitions(
        &mut self,
        command: &CreatePartitions,
    ) -> Vec<Result<usize, CreatePartitionsError>> {
        let asked = command.topics.iter().map(|t| self.growth(t)).fold(0, usize::saturating_add);
        if asked > MAX_PARTITIONS_PER_REQUEST {
            return command
                .topics
                .iter()
                .map(|_| Err(CreatePartitionsError::TooManyPartitionsInRequest))
                .collect();
        }
        let twice = named_twice(command.topics.iter().map(|t| t.topic.as_str()));
        let create = |new: &NewPartitions| {
            if twice.contains(new.topic.as_str()) {
                return Err(CreatePartitionsError::Duplicate);
            }
            let added = self.decide_growth(new)?;
            self.partition_count += added.len();
            let topic = self.topics.get_mut(new.topic.as_str()).ok_or(CreatePartitionsError::UnknownTopic)?;
            let topic = Arc::make_mut(topic);
            topic.partitions.extend(added.into_iter().map(Arc::new));
            Ok(topic.partitions.len())
        };
        command.topics.iter().map(create).collect()
    }

    /// How many partitions a request would add; 0 if it will be refused anyway.
    fn growth(&self, new: &NewPartitions) -> usize {
        let current = self.topic(&new.topic).map_or(usize::MAX, |t| t.partition_count());
        usize::try_from(new.count).unwrap_or(0).saturating_sub(current)
    }

    fn decide_growth(&self, new: &NewPartitions) -> Result<Vec<Partition>, CreatePartitionsError> {
        let topic = self.topic(&new.topic).ok_or(CreatePartitionsError::UnknownTopic)?;
        let current = topic.partition_count();
        let added = self.growth(new);
        if usize::try_from(new.count) == Ok(current) {
            return Err(CreatePartitionsError::Same(current));
        }
        if added == 0 {
            let topic = topic.name.clone();
            return Err(CreatePartitionsError::Fewer { topic, current, requested: new.count });
        }
        self.check_capacity(added).map_err(|would_have| CreatePartitionsError::TooManyPartitions {
            would_have,
            limit: MAX_PARTITIONS,
        })?;
        let factor = topic.replication_factor();
        let replicas = match &new.assignments {
            Some(assignments) if assignments.len() != added => {
                return Err(CreatePartitionsError::Assignment(format!(
                    "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                )));
            }
            Some(assignments) => {
                for (position, replicas) in assignments.iter().enumerate() {
                    self.check_manual(current + position, replicas, Some(factor))
                        .map_err(CreatePartitionsError::Assignment)?;
                }
                assignments.clone()
            }
            None => {
                let factor = i16::try_from(factor).unwrap_or(i16::MAX);
                self.place(current, added, factor, new.seed)
                    .map_err(|e| CreatePartitionsError::ReplicationFactor(e.to_string()))?
            }
        };
        Ok(replicas.into_iter().map(|replicas| self.new_partition(replicas)).collect())
    }

    /// `Err` is the number of partitions there would be.
    pub(super) fn check_capacity(&self, added: usize) -> Result<(), usize> {
        match self.partition_count.saturating_add(added) {
            total if total > MAX_PARTITIONS => Err(total),
            _ => Ok(()),
        }
    }

    fn place(
        &self,
        first: usize,
        count: usize,
        factor: i16,
        seed: PlacementSeed,
    ) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
        let (mut active, mut others) = (Vec::new(), Vec::new());
        // Where no disk has room, that tells nobody apart.
        let any_has_room = self.brokers().any(|b| b.has_room());
        // Whoever is about to go comes back, as one who has gone does: both fill up what is missing. (Kafka leaves out who is about to go for
        // the moments until it has gone, so that a topic which needs every broker cannot be created while brokers are restarted in turn.)
        for broker in self.brokers() {
            let candidate = Candidate { id: broker.id, rack: broker.rack.clone() };
            let is_wanted = if any_has_room { broker.has_room() } else { broker.is_active() };
            if is_wanted { active.push(candidate) } else { others.push(candidate) }
        }
        placement::place(&active, &others, first, count, factor, seed)
    }

    fn manual_replicas(&self, assignments: &[ManualAssignment]) -> Result<Vec<Vec<BrokerId>>, String> {
        let mut ordered: Vec<&ManualAssignment> = assignments.iter().collect();
        ordered.sort_by_key(|a| a.partition);
        let mut factor = None;
        for (expected, assignment) in ordered.iter().enumerate() {
            let index = usize::try_from(assignment.partition.get()).ok();
            if index.is_some_and(|i| i < expected) {
                return Err(format!(
                    "Found multiple manual partition assignments for partition {}",
                    assignment.partition
                ));
            }
            if index != Some(expected) {
                return Err("partitions should be a consecutive 0-based integer sequence".to_owned());
            }
            self.check_manual(expected, &assignment.replicas, factor)?;
            factor = Some(assignment.replicas.len());
        }
        if ordered.is_empty() {
            return Err("The manual partition assignment includes no partition.".to_owned());
        }
        Ok(ordered.into_iter().map(|a| a.replicas.clone()).collect())
    }

    /// Checks one partition's replicas as a user gave them. The texts are Kafka's.
    fn check_manual(
        &self,
        partition: usize,
        replicas: &[BrokerId],
        factor: Option<usize>,
    ) -> Result<(), String> {
        self.check_replicas(replicas, factor)?;
        if !replicas.iter().any(|b| self.is_active(*b)) {
            return Err(format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            ));
        }
        Ok(())
    }

    /// Checks that replicas are registered brokers, none of them twice, and as many as `factor` says.
    pub(super) fn check_replicas(&self, replicas: &[BrokerId], factor: Option<usize>) -> Result<(), String> {
        const PREFIX: &str = "The manual partition assignment includes";
        if replicas.is_empty() {
            return Err(format!("{PREFIX} an empty replica list."));
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for broker in sorted {
            if self.broker(broker).is_none() {
                return Err(format!("{PREFIX} broker {broker}, but no such broker is registered."));
            }
            if previous == Some(broker) {
                return Err(format!("{PREFIX} the broker {broker} more than once."));
            }
            previous = Some(broker);
        }
        if let Some(factor) = factor.filter(|factor| *factor != replicas.len()) {
            return Err(format!(
                "{PREFIX} a partition with {} replica(s), but this is not consistent with previous partitions, which \
                 have {factor} replica(s).",
                replicas.len()
            ));
        }
        Ok(())
    }

    /// A partition in which every living replica is in sync: there is nothing yet that one could lack. Those without room would not
    /// be for long.
    fn new_partition(&self, replicas: Vec<BrokerId>) -> Partition {
        let mut isr: Vec<BrokerId> = replicas.iter().copied().filter(|b| self.has_room(*b)).collect();
        if isr.is_empty() {
            isr.extend(replicas.iter().filter(|b| self.is_active(**b)));
        }
        let mut partition = Partition {
            replicas,
            isr,
            leader: None,
            leader_epoch: LeaderEpoch::ZERO,
            partition_epoch: PartitionEpoch::ZERO,
            reassignment: None,
        };
        partition.leader = election::in_sync_leader(&partition, |b| self.is_active(b));
        partition
    }
}

impl Layout {
    fn partition_count(&self) -> usize {
        match self {
            Self::Placed { partitions, .. } => usize::try_from(*partitions).unwrap_or(0),
            Self::Manual(assignments) => assignments.len(),
        }
    }
}

fn replication_factor_error(error: &PlacementError) -> CreateTopicError {
    CreateTopicError::ReplicationFactor(error.to_string())
}

fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}
