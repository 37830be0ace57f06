//! Topics: create, delete, grow.

use ottla_coordination::metadata::{Command, CreateTopics, Layout, NewTopic, PlacementSeed, Response};
use ottla_record::TopicId;

use crate::node::Node;

impl Node {
    /// Creates topics that somebody named and nobody created, with the broker's defaults (`auto.create.topics.enable`).
    /// What fails is logged and stays unknown; who asked will ask again.
    pub async fn auto_create(&self, names: &[&str]) {
        let topics = names.iter().map(|name| self.default_topic((*name).to_owned())).collect();
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
            Ok(_) => tracing::error!("the controller's answer does not fit the question"),
            Err(error) => tracing::warn!(%error, "topics could not be created on first use"),
        }
    }

    fn default_topic(&self, name: String) -> NewTopic {
        let defaults = &self.settings().config.topics;
        NewTopic {
            name,
            id: TopicId(self.random_uuid()),
            layout: Layout::Placed {
                partitions: i32::try_from(defaults.partitions).unwrap_or(i32::MAX),
                replication_factor: i16::try_from(defaults.replicas).unwrap_or(i16::MAX),
                seed: PlacementSeed(self.random_u64()),
            },
            configs: Vec::new(),
        }
    }
}
