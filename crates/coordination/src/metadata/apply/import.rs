//! Topics come from elsewhere, with their logs.

use std::sync::Arc;

use ottla_record::{BrokerId, LeaderEpoch, PartitionEpoch};

use crate::metadata::command::{ImportTopics, ImportedTopic};
use crate::metadata::election;
use crate::metadata::image::{Image, MAX_PARTITIONS, MAX_PARTITIONS_PER_REQUEST, PRODUCER_ID_BLOCK};
use crate::metadata::response::{BrokerError, CreateTopicError, ImportTopicsError};
use crate::metadata::topic::{Partition, Topic, index};

/// The highest leader epoch a log may bring along: a million more elections must fit above it.
const MAX_IMPORTED_EPOCH: LeaderEpoch = LeaderEpoch::new(i32::MAX - 1_000_000);

impl Image {
    pub(super) fn import_topics(&mut self, command: &ImportTopics) -> Result<(), ImportTopicsError> {
        self.check_epoch(command.broker, command.epoch)?;
        let next = command.next_producer_id;
        if next.get().checked_add(i64::from(PRODUCER_ID_BLOCK)).is_none() {
            return Err(BrokerError::ProducerIdsExhausted.into());
        }
        let asked =
            command.topics.iter().map(|topic| topic.leader_epochs.len()).fold(0, usize::saturating_add);
        let too_many = asked > MAX_PARTITIONS_PER_REQUEST;
        let mut after = self.clone();
        let mut refused = Vec::new();
        for imported in &command.topics {
            check_epochs(imported)?;
            let decided = if too_many {
                Err(CreateTopicError::TooManyPartitionsInRequest)
            } else {
                after.decide_import(command.broker, imported)
            };
            match decided {
                Ok(topic) => after.insert_topic(topic),
                Err(error) => refused.push((imported.name.clone(), error)),
            }
        }
        if !refused.is_empty() {
            return Err(ImportTopicsError::Topics(refused));
        }
        after.next_producer_id = after.next_producer_id.max(next);
        *self = after;
        Ok(())
    }

    fn decide_import(&self, broker: BrokerId, imported: &ImportedTopic) -> Result<Topic, CreateTopicError> {
        let name = self.decide_name(&imported.name, imported.id)?;
        let configs = self.decide_topic_configs(&imported.configs).map_err(CreateTopicError::Config)?;
        if imported.leader_epochs.is_empty() {
            return Err(CreateTopicError::PartitionsNotPositive);
        }
        self.check_capacity(imported.leader_epochs.len()).map_err(|would_have| {
            CreateTopicError::TooManyPartitions { would_have, limit: MAX_PARTITIONS }
        })?;
        let partition = |leader_epoch: &LeaderEpoch| {
            // It has every record there is, so it is in sync even while it is fenced: it leads as soon as it may.
            let mut partition = Partition {
                replicas: vec![broker],
                isr: vec![broker],
                leader: None,
                leader_epoch: *leader_epoch,
                partition_epoch: PartitionEpoch::ZERO,
                reassignment: None,
            };
            partition.leader = election::in_sync_leader(&partition, |b| self.is_active(b));
            Arc::new(partition)
        };
        let partitions = imported.leader_epochs.iter().map(partition).collect();
        Ok(Topic { name, id: imported.id, partitions, configs: Arc::new(configs) })
    }
}

fn check_epochs(imported: &ImportedTopic) -> Result<(), ImportTopicsError> {
    let wrong = imported
        .leader_epochs
        .iter()
        .position(|epoch| *epoch < LeaderEpoch::ZERO || *epoch > MAX_IMPORTED_EPOCH);
    match wrong.and_then(|at| Some((at, *imported.leader_epochs.get(at)?))) {
        Some((at, epoch)) => {
            Err(ImportTopicsError::LeaderEpoch { topic: imported.name.clone(), partition: index(at), epoch })
        }
        None => Ok(()),
    }
}
