//! Configs of topics, brokers and groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::metadata::command::{AlterConfigs, ConfigChange, ConfigEdit, ConfigOp, ConfigResource};
use crate::metadata::image::Image;
use crate::metadata::response::AlterConfigError;
use crate::metadata::topic::Configs;

/// The most consumer groups that have configs of their own.
const MAX_CONFIGURED_GROUPS: usize = 10_000;

/// The longest config value. The longest that means something is a list of replicas to throttle.
const MAX_VALUE: usize = 32 * 1024;

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
            self.set_configs(&change.resource, configs);
            Ok(())
        };
        command.changes.iter().map(alter).collect()
    }

    /// The configs of a topic that is being created.
    pub(super) fn decide_topic_configs(
        &self,
        values: &[(String, Option<String>)],
    ) -> Result<Configs, String> {
        let resource = ConfigResource::Topic(String::new());
        replaced(&resource, values)
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
        match &change.edit {
            ConfigEdit::Replace(values) => replaced(resource, values),
            ConfigEdit::Incremental(steps) => {
                edited(resource, current.map(|c| (**c).clone()).unwrap_or_default(), steps)
            }
        }
        .map_err(AlterConfigError::Invalid)
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

/// Whoever has no configs has no entry, so that equal states are equal images.
fn put<K: Ord + Clone>(all: &mut imbl::OrdMap<K, Arc<Configs>>, key: K, configs: Configs) {
    if configs.is_empty() {
        all.remove(&key);
    } else {
        all.insert(key, Arc::new(configs));
    }
}

fn replaced(resource: &ConfigResource, values: &[(String, Option<String>)]) -> Result<Configs, String> {
    let mut configs = Configs::new();
    for (name, value) in values {
        let value = value.as_ref().ok_or_else(|| format!("Null value not supported for configs: {name}"))?;
        check(resource, name, value)?;
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
        let value = match op {
            ConfigOp::Set(value) => value.clone(),
            ConfigOp::Delete => {
                // Also for names nobody knows (any more): that is how they are got rid of.
                configs.remove(name);
                continue;
            }
            ConfigOp::Append(added) => {
                let mut elements = elements_of(resource, name, &configs, "APPEND")?;
                for element in split(added) {
                    if !elements.contains(&element) {
                        elements.push(element);
                    }
                }
                elements.join(",")
            }
            ConfigOp::Subtract(removed) => {
                let mut elements = elements_of(resource, name, &configs, "SUBTRACT")?;
                let removed = split(removed);
                elements.retain(|element| !removed.contains(element));
                elements.join(",")
            }
        };
        check(resource, name, &value)?;
        configs.insert(name.clone(), value);
    }
    Ok(configs)
}

/// The elements of a list as it stands, the default one if nothing is set.
fn elements_of(
    resource: &ConfigResource,
    name: &str,
    configs: &Configs,
    op: &'static str,
) -> Result<Vec<String>, String> {
    let default = list_default(resource, name)
        .ok_or_else(|| format!("Can't {op} to key {name} because its type is not LIST."))?;
    Ok(split(configs.get(name).map_or(default, String::as_str)))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

/// Checks one value. Until the configuration table is joined here, this knows form and size only.
fn check(_resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
    let named = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !named {
        return Err(format!("Unknown config name: {name}"));
    }
    if value.len() > MAX_VALUE {
        return Err(format!("The value of {name} is longer than {MAX_VALUE} bytes."));
    }
    Ok(())
}

/// The default of a config whose type is a list; `None` for any other.
fn list_default(resource: &ConfigResource, name: &str) -> Option<&'static str> {
    match (resource, name) {
        (ConfigResource::Topic(_), "cleanup.policy") => Some("delete"),
        (
            ConfigResource::Topic(_),
            "leader.replication.throttled.replicas" | "follower.replication.throttled.replicas",
        ) => Some(""),
        _ => None,
    }
}
