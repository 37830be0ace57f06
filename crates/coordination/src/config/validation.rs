//! What a request may set: names, values, and the rules between values.

use std::collections::BTreeMap;

use super::definition::{Definition, Kind, Scope, Support, Update};
use super::value::{InvalidValue, Value};
use super::{suggestion, table};

/// Values that were set, by key, as they stand in a file or came in a request. What is absent has its default.
pub type Settings = BTreeMap<String, String>;

/// Why settings are not valid. The texts are Kafka's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No such key.
    #[error("Unknown {} config name: {name}{}", scope.as_str(), did_you_mean(*nearest))]
    UnknownName {
        /// Where it was looked for.
        scope: Scope,
        /// The key.
        name: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A value its key does not take.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Two values that do not go together, or one that this Ottla cannot serve.
    #[error("{0}")]
    Conflict(String),
    /// Keys that need a restart.
    #[error("Cannot update these configs dynamically: [{}]", .0.join(", "))]
    NotDynamic(Vec<String>),
    /// Keys that each broker has for itself, set for all of them.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: [{}]", .0.join(", "))]
    NotForAllBrokers(Vec<String>),
    /// TLS keys without the prefix of a listener.
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [{}]",
        .0.join(", ")
    )]
    OnlyPerListener(Vec<String>),
    /// Adding to or taking from a key that is no list.
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList {
        /// APPEND or SUBTRACT.
        operation: &'static str,
        /// The key.
        name: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(". Did you mean {name}?")).unwrap_or_default()
}

/// Checks all the overrides a topic will have after a change, as Kafka's `LogConfig.validate` does.
pub fn validate_topic(overrides: &Settings) -> Result<(), ConfigError> {
    check_names(Scope::Topic, overrides)?;
    check_values(Scope::Topic, overrides)?;
    let number =
        |name: &str| set_or_default(Scope::Topic, overrides, name).and_then(|value| value.as_number());
    let (min, max) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(ConfigError::Conflict(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    if set_or_default(Scope::Topic, overrides, "remote.storage.enable") == Some(Value::Boolean(true)) {
        return Err(ConfigError::Conflict(
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks all the settings a group will have after a change.
pub fn validate_group(settings: &Settings) -> Result<(), ConfigError> {
    check_names(Scope::Group, settings)?;
    check_values(Scope::Group, settings)
}

/// Checks all the settings a subscription to client metrics will have after a change.
pub fn validate_client_metrics(settings: &Settings) -> Result<(), ConfigError> {
    check_names(Scope::ClientMetrics, settings)?;
    check_values(Scope::ClientMetrics, settings)
}

/// Whose dynamic settings are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerLevel {
    /// Those of one broker.
    One,
    /// The default of all brokers.
    All,
}

/// Checks all the dynamic settings a broker, or all brokers, will have after a change, as Kafka's `DynamicBrokerConfig`
/// does. Keys it does not know pass, as in Kafka, where plug-ins may read them.
pub fn validate_broker(level: BrokerLevel, settings: &Settings) -> Result<(), ConfigError> {
    let named = |wrong: &dyn Fn(&Definition, bool) -> bool| -> Vec<String> {
        let is_wrong = |name: &&String| {
            let (key, prefixed) = without_listener_prefix(name);
            table::find(Scope::Broker, key).is_some_and(|definition| wrong(definition, prefixed))
        };
        settings.keys().filter(is_wrong).cloned().collect()
    };
    let read_only = named(&|key, prefixed| !prefixed && key.update == Update::ReadOnly);
    if !read_only.is_empty() {
        return Err(ConfigError::NotDynamic(read_only));
    }
    let bare_security = named(&|key, prefixed| !prefixed && is_key_material(key.name));
    if !bare_security.is_empty() {
        return Err(ConfigError::OnlyPerListener(bare_security));
    }
    check_values(Scope::Broker, settings)?;
    let own = named(&|key, _| key.update == Update::PerBroker);
    if level == BrokerLevel::All && !own.is_empty() {
        return Err(ConfigError::NotForAllBrokers(own));
    }
    Ok(())
}

/// Elements to add to or take from a list (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEdit {
    /// Add those that are missing.
    Append,
    /// Take out those that are there.
    Subtract,
}

/// The list after an incremental change. `current` is what is set now; nothing set means the default.
pub fn edit_list(
    scope: Scope,
    name: &str,
    current: Option<&str>,
    edit: ListEdit,
    elements: &str,
) -> Result<String, ConfigError> {
    let definition = table::find(scope, name).filter(|definition| definition.kind == Kind::List);
    let Some(definition) = definition else {
        let operation = match edit {
            ListEdit::Append => "APPEND",
            ListEdit::Subtract => "SUBTRACT",
        };
        return Err(ConfigError::NotAList { operation, name: name.to_owned() });
    };
    let current = current.or_else(|| definition.default_text()).unwrap_or_default();
    let entries = |text: &str| -> Vec<String> {
        text.split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
    };
    let mut list = entries(current);
    for element in entries(elements) {
        match edit {
            ListEdit::Append if !list.contains(&element) => list.push(element),
            ListEdit::Append => {}
            ListEdit::Subtract => list.retain(|entry| *entry != element),
        }
    }
    Ok(list.join(","))
}

/// Checks one value of a key that may be unknown; unknown keys take anything.
pub(super) fn check_value(scope: Scope, name: &str, text: &str) -> Result<(), ConfigError> {
    let Some(definition) = table::find(scope, name) else { return Ok(()) };
    let value = definition.parse(text)?;
    if definition.support == Support::Refused && value != Value::Text(String::new()) {
        return Err(ConfigError::Conflict(format!(
            "{name} is not supported: Ottla runs no Java classes, and without {text} more would be allowed than was meant"
        )));
    }
    Ok(())
}

fn check_names(scope: Scope, settings: &Settings) -> Result<(), ConfigError> {
    match settings.keys().find(|name| table::find(scope, name).is_none()) {
        None => Ok(()),
        Some(name) => Err(ConfigError::UnknownName {
            scope,
            name: name.clone(),
            nearest: suggestion::nearest(scope, name),
        }),
    }
}

fn check_values(scope: Scope, settings: &Settings) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|(name, text)| check_value(scope, without_listener_prefix(name).0, text))
}

fn set_or_default(scope: Scope, settings: &Settings, name: &str) -> Option<Value> {
    let definition = table::find(scope, name)?;
    let text = settings.get(name).map(String::as_str).or_else(|| definition.default_text())?;
    definition.parse(text).ok()
}

/// `listener.name.internal.max.connections` is `max.connections` of one listener (KIP-103).
pub(super) fn without_listener_prefix(name: &str) -> (&str, bool) {
    match name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')) {
        Some((_listener, key)) => (key, true),
        None => (name, false),
    }
}

/// Kafka's `SslConfigs.RECONFIGURABLE_CONFIGS`: stores, keys and certificates.
fn is_key_material(name: &str) -> bool {
    name == "ssl.key.password" || name.starts_with("ssl.keystore.") || name.starts_with("ssl.truststore.")
}
