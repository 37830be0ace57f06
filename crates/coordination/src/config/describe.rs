//! What `DescribeConfigs` answers: every key with its value, where it comes from, and what lies under it.

use super::definition::{Definition, Scope, Update};
use super::layers::{Layers, Source};
use super::validation::Settings;
use super::value::Value;
use super::{synonyms, table};

/// One key of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// What it comes to; `None` if it has no value or must not be shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Whether it needs a restart to change.
    pub read_only: bool,
    /// Whether its value is never shown.
    pub sensitive: bool,
    /// Type, as `DescribeConfigs` numbers it; 0 for a key nobody knows.
    pub kind_code: i8,
    /// A sentence for people.
    pub documentation: Option<&'static str>,
    /// All places where the value, or one in another unit, is set, the one that counts first. The first is `value` itself
    /// as it was written.
    pub synonyms: Vec<SetAt>,
}

/// A place where a key is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAt {
    /// The key there, which may have another name or unit.
    pub name: String,
    /// The text there; `None` if it must not be shown.
    pub value: Option<String>,
    /// The place.
    pub source: Source,
}

impl<'a> Layers<'a> {
    /// Every key of a topic that has these overrides and this many replicas.
    pub fn describe_topic(self, overrides: &Settings, replicas: usize) -> Vec<Entry> {
        let describe = |key: &&'static Definition| {
            let (_, value) = self.of_topic(key, overrides, replicas);
            let mut set_at: Vec<SetAt> = own(key, overrides, Source::Topic).into_iter().collect();
            let names: Vec<&str> =
                synonyms::of_topic_key(key.name).iter().map(|synonym| synonym.name).collect();
            // Only names in the topic key's own unit begin the list, and the list decides about the source: with nothing but
            // log.retention.hours set, Kafka's tools and clients see retention.ms as a default without synonyms.
            let in_own_unit = |place: &SetAt| names.first() == Some(&place.name.as_str());
            set_at.extend(self.set_at(&names).into_iter().skip_while(|place| !in_own_unit(place)));
            let source = set_at.first().map_or(Source::Default, |place| place.source);
            entry(key, value, source, set_at)
        };
        table::definitions(Scope::Topic).iter().map(describe).collect()
    }

    /// Every key of this broker.
    pub fn describe_broker(self) -> Vec<Entry> {
        let describe = |key: &&'static Definition| {
            let (source, value) = self.of_broker(key);
            let names: Vec<&str> = synonyms::of_broker_key(key.name).collect();
            // Nothing before the first mention of the key itself decides about its own value.
            let set_at = self.set_at(&names).into_iter().skip_while(|place| place.name != key.name).collect();
            entry(key, value, source, set_at)
        };
        table::definitions(Scope::Broker).iter().map(describe).chain(self.strangers()).collect()
    }

    /// The keys set as the default of all brokers, and no others.
    pub fn describe_all_brokers(self) -> Vec<Entry> {
        let describe = |(name, text): (&String, &String)| match table::find(Scope::Broker, name) {
            Some(key) => {
                let value = key.parse(text).ok();
                let set_at = own(key, self.cluster, Source::DynamicDefaultBroker).into_iter().collect();
                entry(key, value, Source::DynamicDefaultBroker, set_at)
            }
            None => stranger(name, Source::DynamicDefaultBroker),
        };
        self.cluster.iter().map(describe).collect()
    }

    /// Every key of a group with these settings.
    pub fn describe_group(self, settings: &Settings) -> Vec<Entry> {
        let describe = |key: &&'static Definition| {
            let own = own(key, settings, Source::Group);
            let broker_key = table::find(Scope::Broker, &format!("group.{}", key.name));
            let (source, value) = match (&own, broker_key) {
                (Some(_), _) => (Source::Group, settings.get(key.name).and_then(|text| key.parse(text).ok())),
                (None, Some(broker_key)) => self.of_broker(broker_key),
                (None, None) => (Source::Default, self.default_of(key)),
            };
            let below = broker_key.map(|broker_key| self.set_at(&[broker_key.name])).unwrap_or_default();
            entry(key, value, source, own.into_iter().chain(below).collect())
        };
        table::definitions(Scope::Group).iter().map(describe).collect()
    }

    /// Every key of a subscription to client metrics with these settings.
    pub fn describe_client_metrics(self, settings: &Settings) -> Vec<Entry> {
        let describe = |key: &&'static Definition| {
            let own = own(key, settings, Source::ClientMetrics);
            let set = settings.get(key.name).and_then(|text| key.parse(text).ok());
            let source = if set.is_some() { Source::ClientMetrics } else { Source::Default };
            entry(key, set.or_else(|| self.default_of(key)), source, own.into_iter().collect())
        };
        table::definitions(Scope::ClientMetrics).iter().map(describe).collect()
    }

    /// Everything set for these broker keys, by layer and then by name, the defaults at the end.
    fn set_at(self, names: &[&str]) -> Vec<SetAt> {
        let mut places = Vec::new();
        let keys = || names.iter().filter_map(|name| table::find(Scope::Broker, name));
        for (source, settings) in self.by_precedence() {
            places.extend(keys().filter_map(|key| own(key, settings, source)));
        }
        places.extend(keys().filter_map(|key| {
            let value = self.default_of(key)?;
            Some(SetAt {
                name: key.name.to_owned(),
                value: shown(key, &value.to_string()),
                source: Source::Default,
            })
        }));
        places
    }

    /// Keys in no table that were set nevertheless: a plug-in's, or a mistake. Their values may be secrets.
    fn strangers(self) -> impl Iterator<Item = Entry> + 'a {
        self.by_precedence().into_iter().flat_map(|(source, settings)| {
            settings
                .keys()
                .filter(|name| table::find(Scope::Broker, name).is_none())
                .map(move |name| stranger(name, source))
        })
    }
}

fn entry(key: &'static Definition, value: Option<Value>, source: Source, synonyms: Vec<SetAt>) -> Entry {
    Entry {
        name: key.name.to_owned(),
        value: value.and_then(|value| shown(key, &value.to_string())),
        source,
        read_only: key.update == Update::ReadOnly,
        sensitive: key.is_sensitive(),
        kind_code: key.kind.wire_code(),
        documentation: Some(key.doc),
        synonyms,
    }
}

fn stranger(name: &str, source: Source) -> Entry {
    let place = SetAt { name: name.to_owned(), value: None, source };
    Entry {
        name: name.to_owned(),
        value: None,
        source,
        read_only: true,
        sensitive: true,
        kind_code: 0,
        documentation: None,
        synonyms: vec![place],
    }
}

fn own(key: &Definition, settings: &Settings, source: Source) -> Option<SetAt> {
    // A value that no longer parses does not count, so it is not shown as if it did.
    let text = settings.get(key.name).filter(|text| key.parse(text).is_ok())?;
    Some(SetAt { name: key.name.to_owned(), value: shown(key, text), source })
}

fn shown(key: &Definition, text: &str) -> Option<String> {
    (!key.is_sensitive()).then(|| text.to_owned())
}
