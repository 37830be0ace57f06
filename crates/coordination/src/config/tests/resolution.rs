//! Which layer counts, and what `DescribeConfigs` shows of the others.

use std::fmt::Write;

use expect_test::{Expect, expect};

use crate::config::*;

fn settings(text: &str) -> Settings {
    text.split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Settings of the layers in one text: `topic: a=b; broker: …; cluster: …; file: …`.
#[derive(Default)]
struct Story {
    topic: Settings,
    broker: Settings,
    cluster: Settings,
    file: Settings,
}

impl Story {
    fn read(text: &str) -> Self {
        let mut story = Self::default();
        for part in text.split(';') {
            let (layer, pairs) = part.split_once(':').unwrap();
            match layer.trim() {
                "topic" => story.topic = settings(pairs),
                "broker" => story.broker = settings(pairs),
                "cluster" => story.cluster = settings(pairs),
                "file" => story.file = settings(pairs),
                other => panic!("{other}"),
            }
        }
        story
    }

    fn layers(&self) -> Layers<'_> {
        Layers { broker: &self.broker, cluster: &self.cluster, file: &self.file, brokers: 3 }
    }
}

fn show(out: &mut String, entry: &Entry) {
    write!(
        out,
        "    {} = {} {}",
        entry.name,
        entry.value.as_deref().unwrap_or("null"),
        entry.source.as_str()
    )
    .unwrap();
    write!(
        out,
        "{}{}",
        if entry.read_only { " read-only" } else { "" },
        if entry.sensitive { " sensitive" } else { "" }
    )
    .unwrap();
    for place in &entry.synonyms {
        write!(
            out,
            "\n        {}: {} = {}",
            place.source.as_str(),
            place.name,
            place.value.as_deref().unwrap_or("null")
        )
        .unwrap();
    }
    out.push('\n');
}

fn check_topic(key: &str, stories: &[&str], expect: Expect) {
    let mut out = String::new();
    for text in stories {
        let story = Story::read(text);
        let entries = story.layers().describe_topic(&story.topic, 1);
        writeln!(out, "{text}").unwrap();
        show(&mut out, entries.iter().find(|entry| entry.name == key).unwrap());
    }
    expect.assert_eq(&out);
}

#[test]
fn precedence_of_a_topics_retention() {
    check_topic(
        "retention.ms",
        &[
            "file:",
            "file: log.retention.hours=1",
            "file: log.retention.hours=1 log.retention.minutes=30",
            "file: log.retention.hours=-7",
            "file: log.retention.hours=1; cluster: log.retention.ms=20",
            "file: log.retention.hours=1; cluster: log.retention.ms=20; broker: log.retention.ms=30",
            "file: log.retention.hours=1; cluster: log.retention.ms=20; broker: log.retention.ms=30; topic: retention.ms=40",
            "file: log.retention.ms=5; topic: retention.ms= ; cluster: log.retention.ms=nonsense",
        ],
        expect![[r#"
            file:
                retention.ms = 604800000 DEFAULT_CONFIG
            file: log.retention.hours=1
                retention.ms = 3600000 DEFAULT_CONFIG
            file: log.retention.hours=1 log.retention.minutes=30
                retention.ms = 1800000 DEFAULT_CONFIG
            file: log.retention.hours=-7
                retention.ms = -1 DEFAULT_CONFIG
            file: log.retention.hours=1; cluster: log.retention.ms=20
                retention.ms = 20 DYNAMIC_DEFAULT_BROKER_CONFIG
                    DYNAMIC_DEFAULT_BROKER_CONFIG: log.retention.ms = 20
                    STATIC_BROKER_CONFIG: log.retention.hours = 1
                    DEFAULT_CONFIG: log.retention.hours = 168
            file: log.retention.hours=1; cluster: log.retention.ms=20; broker: log.retention.ms=30
                retention.ms = 30 DYNAMIC_BROKER_CONFIG
                    DYNAMIC_BROKER_CONFIG: log.retention.ms = 30
                    DYNAMIC_DEFAULT_BROKER_CONFIG: log.retention.ms = 20
                    STATIC_BROKER_CONFIG: log.retention.hours = 1
                    DEFAULT_CONFIG: log.retention.hours = 168
            file: log.retention.hours=1; cluster: log.retention.ms=20; broker: log.retention.ms=30; topic: retention.ms=40
                retention.ms = 40 DYNAMIC_TOPIC_CONFIG
                    DYNAMIC_TOPIC_CONFIG: retention.ms = 40
                    DYNAMIC_BROKER_CONFIG: log.retention.ms = 30
                    DYNAMIC_DEFAULT_BROKER_CONFIG: log.retention.ms = 20
                    STATIC_BROKER_CONFIG: log.retention.hours = 1
                    DEFAULT_CONFIG: log.retention.hours = 168
            file: log.retention.ms=5; topic: retention.ms= ; cluster: log.retention.ms=nonsense
                retention.ms = 5 STATIC_BROKER_CONFIG
                    STATIC_BROKER_CONFIG: log.retention.ms = 5
                    DEFAULT_CONFIG: log.retention.hours = 168
        "#]],
    );
}

#[test]
fn a_key_without_a_broker_key_and_one_of_our_own() {
    check_topic(
        "remote.storage.enable",
        &["file:", "topic: remote.storage.enable=false"],
        expect![[r#"
        file:
            remote.storage.enable = false DEFAULT_CONFIG
        topic: remote.storage.enable=false
            remote.storage.enable = false DYNAMIC_TOPIC_CONFIG
                DYNAMIC_TOPIC_CONFIG: remote.storage.enable = false
    "#]],
    );
    check_topic(
        "ottla.ack.durability",
        &[
            "file:",
            "file: ottla.ack.durability=os",
            "file: ottla.ack.durability=os; topic: ottla.ack.durability=fsync",
        ],
        expect![[r#"
            file:
                ottla.ack.durability = fsync DEFAULT_CONFIG
                    DEFAULT_CONFIG: ottla.ack.durability = fsync
            file: ottla.ack.durability=os
                ottla.ack.durability = os STATIC_BROKER_CONFIG
                    STATIC_BROKER_CONFIG: ottla.ack.durability = os
                    DEFAULT_CONFIG: ottla.ack.durability = fsync
            file: ottla.ack.durability=os; topic: ottla.ack.durability=fsync
                ottla.ack.durability = fsync DYNAMIC_TOPIC_CONFIG
                    DYNAMIC_TOPIC_CONFIG: ottla.ack.durability = fsync
                    STATIC_BROKER_CONFIG: ottla.ack.durability = os
                    DEFAULT_CONFIG: ottla.ack.durability = fsync
        "#]],
    );
}

#[test]
fn min_insync_replicas_depends_on_the_replicas() {
    let unset = Story::default();
    let set = Story::read("cluster: min.insync.replicas=1");
    for (replicas, of_unset, of_set) in [(1, 1, 1), (2, 1, 1), (3, 2, 1), (5, 2, 1)] {
        let resolve =
            |story: &Story| TopicConfig::resolve(story.layers(), &story.topic, replicas).min_insync_replicas;
        assert_eq!((resolve(&unset), resolve(&set)), (of_unset, of_set), "{replicas} replicas");
    }
}

#[test]
fn broker_entries() {
    let story = Story::read(
        "file: log.retention.hours=1 ssl.key.password=secret my.plugin=secret num.partitions=4; \
         cluster: log.retention.ms=20 max.connections=7; broker: max.connections=8",
    );
    let mut out = "broker\n".to_owned();
    let entries = story.layers().describe_broker();
    for key in [
        "log.retention.ms",
        "log.retention.hours",
        "max.connections",
        "num.partitions",
        "ssl.key.password",
        "my.plugin",
        "node.id",
        "offsets.topic.replication.factor",
        "min.insync.replicas",
        "advertised.listeners",
    ] {
        show(&mut out, entries.iter().find(|entry| entry.name == key).unwrap());
    }
    expect![[r#"
        broker
            log.retention.ms = 20 DYNAMIC_DEFAULT_BROKER_CONFIG
                DYNAMIC_DEFAULT_BROKER_CONFIG: log.retention.ms = 20
                STATIC_BROKER_CONFIG: log.retention.hours = 1
                DEFAULT_CONFIG: log.retention.hours = 168
            log.retention.hours = 1 STATIC_BROKER_CONFIG read-only
                STATIC_BROKER_CONFIG: log.retention.hours = 1
                DEFAULT_CONFIG: log.retention.hours = 168
            max.connections = 8 DYNAMIC_BROKER_CONFIG
                DYNAMIC_BROKER_CONFIG: max.connections = 8
                DYNAMIC_DEFAULT_BROKER_CONFIG: max.connections = 7
                DEFAULT_CONFIG: max.connections = 2147483647
            num.partitions = 4 STATIC_BROKER_CONFIG read-only
                STATIC_BROKER_CONFIG: num.partitions = 4
                DEFAULT_CONFIG: num.partitions = 1
            ssl.key.password = null STATIC_BROKER_CONFIG sensitive
                STATIC_BROKER_CONFIG: ssl.key.password = null
            my.plugin = null STATIC_BROKER_CONFIG read-only sensitive
                STATIC_BROKER_CONFIG: my.plugin = null
            node.id = 1 DEFAULT_CONFIG read-only
                DEFAULT_CONFIG: node.id = 1
            offsets.topic.replication.factor = 3 DEFAULT_CONFIG read-only
                DEFAULT_CONFIG: offsets.topic.replication.factor = 3
            min.insync.replicas = 1 DEFAULT_CONFIG
                DEFAULT_CONFIG: min.insync.replicas = 1
            advertised.listeners = null DEFAULT_CONFIG read-only
    "#]]
    .assert_eq(&out);
    let mut out = "all brokers\n".to_owned();
    for entry in story.layers().describe_all_brokers() {
        show(&mut out, &entry);
    }
    expect![[r#"
        all brokers
            log.retention.ms = 20 DYNAMIC_DEFAULT_BROKER_CONFIG
                DYNAMIC_DEFAULT_BROKER_CONFIG: log.retention.ms = 20
            max.connections = 7 DYNAMIC_DEFAULT_BROKER_CONFIG
                DYNAMIC_DEFAULT_BROKER_CONFIG: max.connections = 7
    "#]]
    .assert_eq(&out);
    assert_eq!(entries.len(), definitions(Scope::Broker).len() + 1);
}

#[test]
fn group_and_client_metrics_entries() {
    let story = Story::read("file: group.consumer.session.timeout.ms=50000");
    let mut out = "group\n".to_owned();
    let entries = story.layers().describe_group(&settings("share.auto.offset.reset=earliest"));
    for key in [
        "consumer.session.timeout.ms",
        "consumer.heartbeat.interval.ms",
        "share.auto.offset.reset",
        "share.isolation.level",
    ] {
        show(&mut out, entries.iter().find(|entry| entry.name == key).unwrap());
    }
    for entry in story.layers().describe_client_metrics(&settings("interval.ms=1000")) {
        show(&mut out, &entry);
    }
    expect![[r#"
        group
            consumer.session.timeout.ms = 50000 STATIC_BROKER_CONFIG
                STATIC_BROKER_CONFIG: group.consumer.session.timeout.ms = 50000
                DEFAULT_CONFIG: group.consumer.session.timeout.ms = 45000
            consumer.heartbeat.interval.ms = 5000 DEFAULT_CONFIG
                DEFAULT_CONFIG: group.consumer.heartbeat.interval.ms = 5000
            share.auto.offset.reset = earliest DYNAMIC_GROUP_CONFIG
                DYNAMIC_GROUP_CONFIG: share.auto.offset.reset = earliest
            share.isolation.level = read_uncommitted DEFAULT_CONFIG
            interval.ms = 1000 DYNAMIC_CLIENT_METRICS_CONFIG
                DYNAMIC_CLIENT_METRICS_CONFIG: interval.ms = 1000
            match =  DEFAULT_CONFIG
            metrics =  DEFAULT_CONFIG
    "#]]
    .assert_eq(&out);
}

#[test]
fn the_values_of_a_topic() {
    let story = Story::default();
    expect![[r#"
        TopicConfig {
            ack_durability: Fsync,
            compact: false,
            delete: true,
            compression: None,
            delete_retention_ms: 86400000,
            file_delete_delay_ms: 60000,
            flush_messages: 9223372036854775807,
            flush_ms: 9223372036854775807,
            follower_throttled: Listed(
                [],
            ),
            index_interval_bytes: 4096,
            leader_throttled: Listed(
                [],
            ),
            max_compaction_lag_ms: 9223372036854775807,
            max_message_bytes: 1048588,
            message_timestamp_after_max_ms: 3600000,
            message_timestamp_before_max_ms: 9223372036854775807,
            message_timestamp_type: CreateTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 2,
            preallocate: false,
            retention_bytes: None,
            retention_ms: Some(
                604800000,
            ),
            segment_bytes: 1073741824,
            segment_index_bytes: 10485760,
            segment_jitter_ms: 0,
            segment_ms: 604800000,
            unclean_leader_election: false,
        }
    "#]]
    .assert_debug_eq(&TopicConfig::resolve(story.layers(), &story.topic, 3));
    let story = Story::read(
        "topic: cleanup.policy=compact,delete compression.type=zstd compression.zstd.level=9 retention.ms=-1 \
         message.timestamp.type=LogAppendTime segment.bytes=1048576 internal.segment.bytes=4096; \
         file: log.retention.bytes=1000 log.roll.hours=2 ottla.ack.durability=os",
    );
    expect![[r#"
        TopicConfig {
            ack_durability: Os,
            compact: true,
            delete: true,
            compression: Some(
                Zstd {
                    level: 9,
                },
            ),
            delete_retention_ms: 86400000,
            file_delete_delay_ms: 60000,
            flush_messages: 9223372036854775807,
            flush_ms: 9223372036854775807,
            follower_throttled: Listed(
                [],
            ),
            index_interval_bytes: 4096,
            leader_throttled: Listed(
                [],
            ),
            max_compaction_lag_ms: 9223372036854775807,
            max_message_bytes: 1048588,
            message_timestamp_after_max_ms: 3600000,
            message_timestamp_before_max_ms: 9223372036854775807,
            message_timestamp_type: LogAppendTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 2,
            preallocate: false,
            retention_bytes: Some(
                1000,
            ),
            retention_ms: None,
            segment_bytes: 4096,
            segment_index_bytes: 10485760,
            segment_jitter_ms: 0,
            segment_ms: 7200000,
            unclean_leader_election: false,
        }
    "#]]
    .assert_debug_eq(&TopicConfig::resolve(story.layers(), &story.topic, 3));
}

#[test]
fn what_is_throttled_and_how_fast() {
    use ottla_record::{BrokerId, PartitionIndex};
    let story = Story::read(
        "topic: leader.replication.throttled.replicas=0:1,12:3,0:99999999999; broker: leader.replication.throttled.rate=5000; \
         cluster: follower.replication.throttled.rate=0",
    );
    let config = TopicConfig::resolve(story.layers(), &story.topic, 3);
    let sends = |partition, broker| {
        config.leader_throttled.contains(PartitionIndex::new(partition), BrokerId::new(broker))
    };
    assert_eq!([sends(0, 1), sends(12, 3), sends(0, 3), sends(1, 1)], [true, true, false, false]);
    assert_eq!(config.follower_throttled, ThrottledReplicas::Listed(Vec::new()));
    let rates = ReplicationRates::resolve(story.layers());
    assert_eq!(rates, ReplicationRates { leader: Some(5_000), follower: Some(0) });

    let story = Story::read("topic: follower.replication.throttled.replicas=*");
    let config = TopicConfig::resolve(story.layers(), &story.topic, 3);
    assert!(config.follower_throttled.contains(PartitionIndex::new(7), BrokerId::new(7)));
    let rates = ReplicationRates::resolve(story.layers());
    assert_eq!(rates, ReplicationRates { leader: None, follower: None });
}
