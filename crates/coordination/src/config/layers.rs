//! Which of the places where a key can be set counts.

use super::definition::{Definition, Scope};
use super::synonyms::{self, Synonym};
use super::validation::Settings;
use super::value::Value;
use super::{deviation, table};

/// Where a value comes from, the one that counts most first (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Set on the group.
    Group,
    /// Set on the subscription to client metrics.
    ClientMetrics,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set on all brokers while they run.
    DynamicDefaultBroker,
    /// From the file or the command line.
    StaticBroker,
    /// Set nowhere.
    Default,
}

impl Source {
    /// The number `DescribeConfigs` (version 1 and later) gives it.
    pub const fn wire_code(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }

    /// Kafka's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "DYNAMIC_TOPIC_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
        }
    }
}

/// All settings of one broker: what was set while it ran, over what stands in its file.
///
/// A dynamic value that no longer parses (a newer version may have stored it) is passed over, so that resolving never
/// fails; what stands in the file was checked at start.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Set on this broker while it runs.
    pub broker: &'a Settings,
    /// Set on all brokers while they run.
    pub cluster: &'a Settings,
    /// From the file and the command line.
    pub file: &'a Settings,
    /// Brokers of the cluster, on which some defaults depend.
    pub brokers: usize,
}

impl<'a> Layers<'a> {
    /// The layers, the one that counts most first.
    pub(super) fn by_precedence(self) -> [(Source, &'a Settings); 3] {
        [
            (Source::DynamicBroker, self.broker),
            (Source::DynamicDefaultBroker, self.cluster),
            (Source::StaticBroker, self.file),
        ]
    }

    /// What a broker key comes to.
    pub(super) fn of_broker(self, key: &Definition) -> (Source, Option<Value>) {
        for (source, settings) in self.by_precedence() {
            if let Some(value) = parsed(settings, key) {
                return (source, Some(value));
            }
        }
        (Source::Default, self.default_of(key))
    }

    /// What a topic key comes to, for a topic with these overrides and this many replicas.
    pub(super) fn of_topic(
        self,
        key: &Definition,
        overrides: &Settings,
        replicas: usize,
    ) -> (Source, Option<Value>) {
        if let Some(value) = parsed(overrides, key) {
            return (Source::Topic, Some(value));
        }
        let synonyms = synonyms::of_topic_key(key.name);
        let of_synonym = |synonym: &Synonym, settings: &Settings| {
            let value = parsed(settings, table::find(Scope::Broker, synonym.name)?)?;
            Some(in_topic_units(value, *synonym))
        };
        for (source, settings) in self.by_precedence() {
            if let Some(value) = synonyms.iter().find_map(|synonym| of_synonym(synonym, settings)) {
                return (source, Some(value));
            }
        }
        let default = match key.name {
            "min.insync.replicas" => Some(Value::Number(deviation::default_min_insync_replicas(replicas))),
            _ => synonyms
                .iter()
                .find_map(|synonym| {
                    let broker_key = table::find(Scope::Broker, synonym.name)?;
                    Some(in_topic_units(self.default_of(broker_key)?, *synonym))
                })
                .or_else(|| self.default_of(key)),
        };
        (Source::Default, default)
    }

    /// Ottla's default of a key.
    pub(super) fn default_of(self, key: &Definition) -> Option<Value> {
        match (key.scope, key.name) {
            (Scope::Broker, "min.insync.replicas") => {
                let replicas = self.broker_number("default.replication.factor");
                let replicas = replicas.and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
                Some(Value::Number(deviation::default_min_insync_replicas(replicas)))
            }
            (Scope::Broker, "queued.max.request.bytes") => {
                let max_request_bytes = self.broker_number("socket.request.max.bytes")?;
                Some(Value::Number(deviation::default_queued_request_bytes(max_request_bytes)))
            }
            (Scope::Broker, name) => {
                let computed = deviation::computed_default(name, self.brokers).map(Value::Number);
                computed.or_else(|| key.parse(key.default_text()?).ok())
            }
            _ => key.parse(key.default_text()?).ok(),
        }
    }

    fn broker_number(self, name: &str) -> Option<i64> {
        self.of_broker(table::find(Scope::Broker, name)?).1?.as_number()
    }
}

fn parsed(settings: &Settings, key: &Definition) -> Option<Value> {
    key.parse(settings.get(key.name)?).ok()
}

/// Hours and minutes become milliseconds; in those keys every negative number means "without limit".
fn in_topic_units(value: Value, synonym: Synonym) -> Value {
    match value {
        Value::Number(number) if synonym.milliseconds > 1 && number < 0 => Value::Number(-1),
        Value::Number(number) => Value::Number(number.saturating_mul(synonym.milliseconds)),
        other => other,
    }
}
