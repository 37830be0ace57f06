//! Configs of topics, brokers and groups: what they come to, and changes of them.

use ottla_coordination::config::{Entry, Settings};
use ottla_coordination::metadata::name::TopicNameError;
use ottla_coordination::metadata::{
    AlterConfigError, AlterConfigs, Command, ConfigChange, ConfigResource, Response, TopicName,
};
use ottla_record::BrokerId;

use crate::admin::{AdminError, ChangeOptions};
use crate::node::Node;

/// Why configs cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeConfigsError {
    /// No topic can have that name.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// There is no such topic.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// A broker's configs lie in its file, which only that broker can read.
    #[error("Unexpected broker id, expected {expected} or empty string, but received {asked}")]
    AnotherBroker {
        /// This one.
        expected: BrokerId,
        /// The one asked for.
        asked: BrokerId,
    },
    /// Groups have names.
    #[error("Group name must not be empty")]
    EmptyGroup,
}

impl Node {
    /// Every key of a resource, with its value and where that comes from.
    ///
    /// # Errors
    /// There is no such resource, or this broker does not know its configs.
    pub fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<Entry>, DescribeConfigsError> {
        let image = self.image();
        let settings = self.settings();
        match resource {
            ConfigResource::Topic(name) => {
                TopicName::parse(name)?;
                let topic = image.topic(name).ok_or(DescribeConfigsError::UnknownTopic)?;
                Ok(settings.with_layers(&image, |layers| {
                    layers.describe_topic(topic.configs(), topic.replication_factor())
                }))
            }
            ConfigResource::Broker(None) => {
                Ok(settings.with_layers(&image, |layers| layers.describe_all_brokers()))
            }
            ConfigResource::Broker(Some(id)) if *id == self.id() => {
                Ok(settings.with_layers(&image, |layers| layers.describe_broker()))
            }
            ConfigResource::Broker(Some(id)) => {
                Err(DescribeConfigsError::AnotherBroker { expected: self.id(), asked: *id })
            }
            ConfigResource::Group(name) if name.is_empty() => Err(DescribeConfigsError::EmptyGroup),
            ConfigResource::Group(name) => {
                let none = Settings::new();
                let own = image.group_configs(name).map_or(&none, |configs| &**configs);
                Ok(settings.with_layers(&image, |layers| layers.describe_group(own)))
            }
        }
    }

    /// Every key of a topic that has just been created, or would be, with these overrides.
    pub fn describe_new_topic(&self, overrides: &Settings, replication_factor: usize) -> Vec<Entry> {
        let image = self.image();
        self.settings().with_layers(&image, |layers| layers.describe_topic(overrides, replication_factor))
    }

    /// Changes configs; each resource succeeds or fails alone. The results stand in the order of the request.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn alter_configs(
        &self,
        changes: Vec<ConfigChange>,
        options: ChangeOptions,
    ) -> Result<Vec<Result<(), AlterConfigError>>, AdminError> {
        match self.change(Command::AlterConfigs(AlterConfigs { changes }), options).await? {
            Response::AlterConfigs(results) => Ok(results),
            _ => Err(AdminError::Mismatch),
        }
    }
}
