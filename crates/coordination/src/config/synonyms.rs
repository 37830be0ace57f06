//! Keys of a broker that stand in for keys of a topic, and keys that say the same thing in another unit.

use super::definition::Scope;

/// A broker key whose value counts where the topic sets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// The topic key's unit in units of this one: 3,600,000 for a broker key in hours.
    pub milliseconds: i64,
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, milliseconds: 1 }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, milliseconds: 60_000 }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym { name, milliseconds: 3_600_000 }
}

/// By topic key: the broker keys, the one that counts most first (Kafka's `ServerTopicConfigSynonyms`).
const SYNONYMS: &[(&str, &[Synonym])] = &[
    ("cleanup.policy", &[same("log.cleanup.policy")]),
    ("compression.gzip.level", &[same("compression.gzip.level")]),
    ("compression.lz4.level", &[same("compression.lz4.level")]),
    ("compression.type", &[same("compression.type")]),
    ("compression.zstd.level", &[same("compression.zstd.level")]),
    ("delete.retention.ms", &[same("log.cleaner.delete.retention.ms")]),
    ("file.delete.delay.ms", &[same("log.segment.delete.delay.ms")]),
    ("flush.messages", &[same("log.flush.interval.messages")]),
    ("flush.ms", &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ("index.interval.bytes", &[same("log.index.interval.bytes")]),
    ("local.retention.bytes", &[same("log.local.retention.bytes")]),
    ("local.retention.ms", &[same("log.local.retention.ms")]),
    ("max.compaction.lag.ms", &[same("log.cleaner.max.compaction.lag.ms")]),
    ("max.message.bytes", &[same("message.max.bytes")]),
    ("message.timestamp.after.max.ms", &[same("log.message.timestamp.after.max.ms")]),
    ("message.timestamp.before.max.ms", &[same("log.message.timestamp.before.max.ms")]),
    ("message.timestamp.type", &[same("log.message.timestamp.type")]),
    ("min.cleanable.dirty.ratio", &[same("log.cleaner.min.cleanable.ratio")]),
    ("min.compaction.lag.ms", &[same("log.cleaner.min.compaction.lag.ms")]),
    ("min.insync.replicas", &[same("min.insync.replicas")]),
    ("ottla.ack.durability", &[same("ottla.ack.durability")]),
    ("preallocate", &[same("log.preallocate")]),
    ("retention.bytes", &[same("log.retention.bytes")]),
    (
        "retention.ms",
        &[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")],
    ),
    ("segment.bytes", &[same("log.segment.bytes")]),
    ("segment.index.bytes", &[same("log.index.size.max.bytes")]),
    ("segment.jitter.ms", &[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ("segment.ms", &[same("log.roll.ms"), hours("log.roll.hours")]),
    ("unclean.leader.election.enable", &[same("unclean.leader.election.enable")]),
];

/// Broker keys of a topic key, the one that counts most first. Empty if the broker has none.
pub fn of_topic_key(name: &str) -> &'static [Synonym] {
    SYNONYMS.iter().find(|(topic, _)| *topic == name).map_or(&[], |(_, synonyms)| synonyms)
}

/// All broker keys that say what this broker key says, itself among them, the one that counts most first.
pub(super) fn of_broker_key(name: &str) -> impl Iterator<Item = &str> {
    let group = SYNONYMS
        .iter()
        .map(|(_, synonyms)| *synonyms)
        .find(|synonyms| synonyms.len() > 1 && synonyms.iter().any(|synonym| synonym.name == name))
        .unwrap_or_default();
    let alone = group.is_empty().then_some(name);
    group.iter().map(|synonym| synonym.name).chain(alone)
}

/// The key of `scope` that somebody meant who wrote a topic's key for a broker, or a broker's for a topic.
pub(super) fn across(scope: Scope, name: &str) -> Option<&'static str> {
    match scope {
        Scope::Broker => of_topic_key(name).first().map(|synonym| synonym.name),
        Scope::Topic => SYNONYMS
            .iter()
            .find(|(_, synonyms)| synonyms.iter().any(|synonym| synonym.name == name))
            .map(|(topic, _)| *topic),
        Scope::Group | Scope::ClientMetrics => None,
    }
}
