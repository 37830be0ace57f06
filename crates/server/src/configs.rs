//! The service `Configs`: what topics, brokers and groups are run with, under Kafka's names.

use std::sync::Arc;

use ottla_node::coordination::config::{Entry, Source};
use ottla_node::coordination::metadata::{ConfigChange, ConfigEdit, ConfigOp, ConfigResource};
use ottla_node::record::BrokerId;
use ottla_rpc::v1;
use ottla_rpc::v1::config_resource::Of;
use ottla_rpc::v1::configs_server::Configs;
use tonic::{Request, Response, Status};

use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::topics::change_options;

#[derive(Clone)]
pub(crate) struct ConfigsService {
    front: Arc<Front>,
}

impl ConfigsService {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front) }
    }
}

#[tonic::async_trait]
impl Configs for ConfigsService {
    async fn describe_configs(
        &self,
        request: Request<v1::DescribeConfigsRequest>,
    ) -> Result<Response<v1::DescribeConfigsResponse>, Status> {
        let request = request.into_inner();
        let resource = resource(request.resource)?;
        let entries = self.front.node.describe_configs(&resource);
        let entries =
            entries.map_err(|error| errors::describe_configs(&error).about(topic_of(&resource), None))?;
        let is_wanted = |entry: &Entry| request.names.is_empty() || request.names.contains(&entry.name);
        let configs = entries.into_iter().filter(is_wanted).map(config).collect();
        Ok(Response::new(v1::DescribeConfigsResponse { configs }))
    }

    async fn alter_configs(
        &self,
        request: Request<v1::AlterConfigsRequest>,
    ) -> Result<Response<v1::AlterConfigsResponse>, Status> {
        let options = change_options(&self.front, Deadline::of(&request), request.get_ref().validate_only);
        let request = request.into_inner();
        let resource = resource(request.resource)?;
        if let ConfigResource::Broker(Some(id)) = resource
            && id != self.front.node.id()
        {
            // What a broker can take depends on its file, so each one checks its own.
            let own = self.front.node.id();
            return Err(errors::invalid(format!("this is broker {own}; ask broker {id} itself")).into());
        }
        if let Some(name) = request.remove.iter().find(|name| request.set.contains_key(*name)) {
            return Err(errors::invalid(format!("{name} cannot be both set and removed")).into());
        }
        let set = request.set.into_iter().map(|(name, value)| (name, ConfigOp::Set(value)));
        let removed = request.remove.into_iter().map(|name| (name, ConfigOp::Delete));
        let edit = ConfigEdit::Incremental(set.chain(removed).collect());
        let change = ConfigChange { resource: resource.clone(), edit };
        let outcomes = self.front.node.alter_configs(vec![change], options).await;
        let about = |failure: Failure| failure.about(topic_of(&resource), None);
        let outcome = outcomes.map_err(|error| about(errors::admin(&error)))?.pop();
        outcome
            .ok_or_else(errors::mismatch)?
            .map_err(|error| about(errors::alter_config(&resource, &error)))?;
        Ok(Response::new(v1::AlterConfigsResponse {}))
    }
}

fn resource(resource: Option<v1::ConfigResource>) -> Result<ConfigResource, Failure> {
    match resource.and_then(|resource| resource.of) {
        Some(Of::Topic(name)) => Ok(ConfigResource::Topic(name)),
        Some(Of::Broker(id)) => Ok(ConfigResource::Broker(Some(BrokerId::new(id)))),
        Some(Of::AllBrokers(v1::AllBrokers {})) => Ok(ConfigResource::Broker(None)),
        Some(Of::Group(name)) => Ok(ConfigResource::Group(name)),
        None => Err(errors::invalid(
            "`resource` says neither a topic, nor a broker, nor all brokers, nor a group",
        )),
    }
}

fn topic_of(resource: &ConfigResource) -> &str {
    match resource {
        ConfigResource::Topic(name) => name,
        _ => "",
    }
}

fn config(entry: Entry) -> v1::Config {
    v1::Config {
        name: entry.name,
        value: entry.value,
        source: source(entry.source).into(),
        read_only: entry.read_only,
        sensitive: entry.sensitive,
        documentation: entry.documentation.unwrap_or_default().to_owned(),
    }
}

fn source(source: Source) -> v1::ConfigSource {
    match source {
        Source::Topic => v1::ConfigSource::Topic,
        Source::DynamicBroker => v1::ConfigSource::DynamicBroker,
        Source::DynamicDefaultBroker => v1::ConfigSource::DynamicCluster,
        Source::StaticBroker => v1::ConfigSource::StaticBroker,
        Source::Default => v1::ConfigSource::Default,
        Source::Group => v1::ConfigSource::Group,
        _ => v1::ConfigSource::Unspecified,
    }
}
