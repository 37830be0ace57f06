//! Topics: create, delete, grow.

use ottla_coordination::metadata::{
    Command, CreatePartitions, CreatePartitionsError, CreateTopicError, CreateTopics, CreatedTopic,
    DeleteTopicError, DeleteTopics, DeletedTopic, Layout, ManualAssignment, NewPartitions, NewTopic,
    PlacementSeed, Response, TopicSelector,
};
use ottla_record::{BrokerId, TopicId};

use crate::admin::{AdminError, ChangeOptions};
use crate::node::Node;

/// A topic that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, and where.
    pub layout: WantedLayout,
    /// Configs to set on it.
    pub configs: Vec<(String, Option<String>)>,
}

/// How many partitions somebody wants, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedLayout {
    /// The cluster chooses the brokers.
    Placed {
        /// `None` for `num.partitions`.
        partitions: Option<i32>,
        /// `None` for `default.replication.factor`.
        replication_factor: Option<i16>,
    },
    /// The caller has chosen the brokers.
    Manual(Vec<ManualAssignment>),
}

/// Partitions that somebody wants to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPartitions {
    /// The topic.
    pub topic: String,
    /// How many it shall have in all.
    pub count: i32,
    /// The replicas of each new partition, or `None` to let the cluster choose.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Node {
    /// Creates topics; each succeeds or fails alone. The results stand in the order of the request.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn create_topics(
        &self,
        topics: Vec<WantedTopic>,
        options: ChangeOptions,
    ) -> Result<Vec<Result<CreatedTopic, CreateTopicError>>, AdminError> {
        let topics = topics.into_iter().map(|topic| self.new_topic(topic)).collect();
        match self.change(Command::CreateTopics(CreateTopics { topics }), options).await? {
            Response::CreateTopics(results) => Ok(results),
            _ => Err(AdminError::Mismatch),
        }
    }

    /// Deletes topics; each succeeds or fails alone. The results stand in the order of the request.
    ///
    /// # Errors
    /// `delete.topic.enable` forbids it, nothing was done, or it is not known.
    pub async fn delete_topics(
        &self,
        topics: Vec<TopicSelector>,
        options: ChangeOptions,
    ) -> Result<Vec<Result<DeletedTopic, DeleteTopicError>>, AdminError> {
        if !self.settings().config.topics.may_be_deleted {
            return Err(AdminError::DeletionDisabled);
        }
        match self.change(Command::DeleteTopics(DeleteTopics { topics }), options).await? {
            Response::DeleteTopics(results) => Ok(results),
            _ => Err(AdminError::Mismatch),
        }
    }

    /// Adds partitions to topics; each succeeds, with its new number of partitions, or fails alone.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn create_partitions(
        &self,
        topics: Vec<WantedPartitions>,
        options: ChangeOptions,
    ) -> Result<Vec<Result<usize, CreatePartitionsError>>, AdminError> {
        let topics = topics
            .into_iter()
            .map(|wanted| NewPartitions {
                topic: wanted.topic,
                count: wanted.count,
                assignments: wanted.assignments,
                seed: PlacementSeed(self.random_u64()),
            })
            .collect();
        match self.change(Command::CreatePartitions(CreatePartitions { topics }), options).await? {
            Response::CreatePartitions(results) => Ok(results),
            _ => Err(AdminError::Mismatch),
        }
    }

    /// Creates topics that somebody named and nobody created, with the broker's defaults (`auto.create.topics.enable`).
    /// What fails is logged and stays unknown; who asked will ask again.
    pub async fn auto_create(&self, names: &[&str]) {
        let layout = WantedLayout::Placed { partitions: None, replication_factor: None };
        let wanted = names.iter().map(|name| WantedTopic {
            name: (*name).to_owned(),
            layout: layout.clone(),
            configs: Vec::new(),
        });
        let topics = wanted.map(|topic| self.new_topic(topic)).collect();
        match self.propose(Command::CreateTopics(CreateTopics { topics })).await {
            Ok(Response::CreateTopics(results)) => {
                for (name, result) in names.iter().zip(results) {
                    match result {
                        Ok(created) => {
                            tracing::info!(topic = %name, partitions = created.partitions, "created on first use");
                        }
                        Err(error) => tracing::debug!(topic = %name, %error, "not created on first use"),
                    }
                }
            }
            Ok(_) => tracing::error!(
                "the controller's answer does not fit the question; this is a bug: please report this line"
            ),
            Err(error) => {
                tracing::warn!(%error, "topics could not be created on first use; clients ask again, and if this goes on the metadata quorum is the place to look")
            }
        }
    }

    /// Fills in the defaults and the random values.
    fn new_topic(&self, wanted: WantedTopic) -> NewTopic {
        let defaults = &self.settings().config.topics;
        let layout = match wanted.layout {
            WantedLayout::Manual(assignments) => Layout::Manual(assignments),
            WantedLayout::Placed { partitions, replication_factor } => Layout::Placed {
                partitions: partitions
                    .unwrap_or_else(|| i32::try_from(defaults.partitions).unwrap_or(i32::MAX)),
                replication_factor: replication_factor
                    .unwrap_or_else(|| i16::try_from(defaults.replicas).unwrap_or(i16::MAX)),
                seed: PlacementSeed(self.random_u64()),
            },
        };
        NewTopic { name: wanted.name, id: TopicId(self.random_uuid()), layout, configs: wanted.configs }
    }
}
