//! Configs of topics, brokers and groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{self, BrokerLevel, ListEdit, Scope};
use crate::metadata::command::{AlterConfigs, ConfigChange, ConfigEdit, ConfigOp, ConfigResource};
use crate::metadata::image::Image;
use crate::metadata::response::AlterConfigError;
use crate::metadata::topic::{Configs, Partition, Topic};

/// The most consumer groups that have configs of their own.
const MAX_CONFIGURED_GROUPS: usize = 10_000;

/// The longest config value. The longest that means something is a list of replicas to throttle.
const MAX_VALUE: usize = 32 * 1024;

/// The longest config name. Brokers take names they do not know, so the table bounds neither this nor their number.
const MAX_NAME: usize = 256;

/// The most configs on one resource.
const MAX_CONFIGS: usize = 1_000;

impl Image {
    pub(super) fn alter_configs(&mut self, command: &AlterConfigs) -> Vec<Result<(), AlterConfigError>> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> =
            command.changes.iter().map(|c| &c.resource).filter(|resource| !seen.insert(*resource)).collect();
        let alter = |change: &ConfigChange| {
            if twice.contains(&change.resource) {
                return Err(AlterConfigError::Duplicate);
            }
            let configs = self.decide_configs(change)?;
            let before = self.clone();
            self.set_configs(&change.resource, configs);
            self.begin_terms_where_more_is_durable(&change.resource, &before);
            Ok(())
        };
        command.changes.iter().map(alter).collect()
    }

    /// The configs of a topic that is being created.
    pub(super) fn decide_topic_configs(
        &self,
        values: &[(String, Option<String>)],
    ) -> Result<Configs, String> {
        let configs = given(values)?;
        check(&ConfigResource::Topic(String::new()), &configs)?;
        Ok(configs)
    }

    fn decide_configs(&self, change: &ConfigChange) -> Result<Configs, AlterConfigError> {
        let resource = &change.resource;
        let current = match resource {
            ConfigResource::Topic(name) => {
                let topic = self.topic(name).ok_or_else(|| AlterConfigError::UnknownTopic(name.clone()))?;
                Some(topic.configs())
            }
            ConfigResource::Broker(Some(id)) if self.broker(*id).is_none() => {
                return Err(AlterConfigError::UnknownBroker(*id));
            }
            ConfigResource::Broker(id) => self.broker_configs(*id),
            ConfigResource::Group(group) => {
                let current = self.group_configs(group);
                if group.is_empty() {
                    return Err(AlterConfigError::Invalid(
                        "Default group resources are not allowed.".to_owned(),
                    ));
                }
                if current.is_none() && self.group_configs.len() >= MAX_CONFIGURED_GROUPS {
                    return Err(AlterConfigError::Invalid(format!(
                        "No more than {MAX_CONFIGURED_GROUPS} groups can have configs of their own."
                    )));
                }
                current
            }
        };
        let decide = || {
            let configs = match &change.edit {
                ConfigEdit::Replace(values) => given(values)?,
                ConfigEdit::Incremental(steps) => {
                    edited(resource, current.map(|c| (**c).clone()).unwrap_or_default(), steps)?
                }
            };
            check(resource, &configs)?;
            Ok(configs)
        };
        decide().map_err(AlterConfigError::Invalid)
    }

    /// A topic that leaves `ottla.ack.durability=os`: a follower that has not heard of it yet still says what is in its page cache, and
    /// must not be taken at its word. In a new term it is heard only once it knows the term, and with it the change.
    fn begin_terms_where_more_is_durable(&mut self, resource: &ConfigResource, before: &Self) {
        let topics: Vec<&Arc<Topic>> = match resource {
            ConfigResource::Topic(name) => self.topic(name).into_iter().collect(),
            ConfigResource::Broker(None) => self.topics().collect(),
            ConfigResource::Broker(Some(_)) | ConfigResource::Group(_) => return,
        };
        let mut begun = Vec::new();
        for topic in topics {
            let was = before.topic_by_id(topic.id).and_then(|topic| ack_durability(before, topic));
            let is = ack_durability(self, topic);
            if was != is && is != Some("os") {
                begun.extend(
                    topic.partitions().map(|(index, partition)| (topic.id, index, in_next_term(partition))),
                );
            }
        }
        for (topic, index, partition) in begun {
            self.replace_partition(topic, index, partition);
        }
    }

    fn set_configs(&mut self, resource: &ConfigResource, configs: Configs) {
        match resource {
            ConfigResource::Topic(name) => {
                if let Some(topic) = self.topics.get_mut(name.as_str()) {
                    Arc::make_mut(topic).configs = Arc::new(configs);
                }
            }
            ConfigResource::Broker(id) => put(&mut self.broker_configs, *id, configs),
            ConfigResource::Group(group) => put(&mut self.group_configs, group.clone(), configs),
        }
    }
}

/// What an acknowledgement means, as far as the metadata know: a value in a broker's own file is not among them.
fn ack_durability<'image>(image: &'image Image, topic: &'image Topic) -> Option<&'image str> {
    const NAME: &str = "ottla.ack.durability";
    let of_all = || image.broker_configs(None).and_then(|configs| configs.get(NAME));
    topic.configs.get(NAME).or_else(of_all).map(|value| value.trim())
}

/// A partition as it is, led in a new term.
fn in_next_term(partition: &Partition) -> Partition {
    Partition {
        leader_epoch: partition.leader_epoch.next(),
        partition_epoch: partition.partition_epoch.next(),
        ..partition.clone()
    }
}

/// Whoever has no configs has no entry, so that equal states are equal images.
fn put<K: Ord + Clone>(all: &mut imbl::OrdMap<K, Arc<Configs>>, key: K, configs: Configs) {
    if configs.is_empty() {
        all.remove(&key);
    } else {
        all.insert(key, Arc::new(configs));
    }
}

/// The values of a full replacement; a value that is missing is no way to delete one.
fn given(values: &[(String, Option<String>)]) -> Result<Configs, String> {
    let mut configs = Configs::new();
    for (name, value) in values {
        let value = value.as_ref().ok_or_else(|| format!("Null value not supported for configs: {name}"))?;
        if configs.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("Config {name} is given twice."));
        }
    }
    Ok(configs)
}

fn edited(
    resource: &ConfigResource,
    mut configs: Configs,
    steps: &[(String, ConfigOp)],
) -> Result<Configs, String> {
    for (name, op) in steps {
        let edit_list = |edit, elements: &str| {
            let current = configs.get(name).map(String::as_str);
            config::edit_list(scope(resource), name, current, edit, elements).map_err(|e| e.to_string())
        };
        let value = match op {
            ConfigOp::Set(value) => value.clone(),
            ConfigOp::Append(elements) => edit_list(ListEdit::Append, elements)?,
            ConfigOp::Subtract(elements) => edit_list(ListEdit::Subtract, elements)?,
            ConfigOp::Delete => {
                // Also for names nobody knows (any more): that is how they are got rid of.
                configs.remove(name);
                continue;
            }
        };
        configs.insert(name.clone(), value);
    }
    Ok(configs)
}

fn scope(resource: &ConfigResource) -> Scope {
    match resource {
        ConfigResource::Topic(_) => Scope::Topic,
        ConfigResource::Broker(_) => Scope::Broker,
        ConfigResource::Group(_) => Scope::Group,
    }
}

/// Checks all the configs a resource would have: some values are only wrong together.
fn check(resource: &ConfigResource, configs: &Configs) -> Result<(), String> {
    if let Some(name) = configs.keys().find(|name| name.len() > MAX_NAME) {
        return Err(format!("A config name of {} bytes is longer than the {MAX_NAME} allowed.", name.len()));
    }
    if let Some((name, _)) = configs.iter().find(|(_, value)| value.len() > MAX_VALUE) {
        return Err(format!("The value of {name} is longer than {MAX_VALUE} bytes."));
    }
    if configs.len() > MAX_CONFIGS {
        return Err(format!("No more than {MAX_CONFIGS} configs can be set on one resource."));
    }
    match resource {
        ConfigResource::Topic(_) => config::validate_topic(configs),
        ConfigResource::Broker(Some(_)) => config::validate_broker(BrokerLevel::One, configs),
        ConfigResource::Broker(None) => config::validate_broker(BrokerLevel::All, configs),
        ConfigResource::Group(_) => config::validate_group(configs),
    }
    .map_err(|e| e.to_string())
}
