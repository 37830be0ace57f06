//! The table against Kafka's facts, and what may be set.

use expect_test::{Expect, expect};

use super::*;

mod given;
mod resolution;

const FACTS: &str = include_str!("../../facts/kafka-4.3-configs.tsv");

/// Every row of the table, written as the facts file writes Kafka's `ConfigDef`s.
#[test]
fn the_table_says_what_kafka_says() {
    let mut rows = vec!["scope\tname\ttype\tdefault\tvalid\timportance\tupdate\tsynonyms".to_owned()];
    let mut keys: Vec<&Definition> = [Scope::Topic, Scope::Broker, Scope::Group, Scope::ClientMetrics]
        .into_iter()
        .flat_map(|scope| definitions(scope).iter().copied())
        .filter(|key| !key.is_own())
        .collect();
    keys.sort_by_key(|key| (key.scope.as_str(), key.name));
    for key in keys {
        let default = match key.kafka_default {
            Initial::Text(text) => text,
            Initial::Null => "null",
            Initial::Required => "(required)",
        };
        let synonyms = match key.scope {
            Scope::Topic => synonyms::of_topic_key(key.name),
            _ => &[],
        };
        rows.push(
            [
                key.scope.as_str(),
                key.name,
                key.kind.as_str(),
                default,
                &key.allowed.to_string(),
                key.importance.as_str(),
                key.update.as_str(),
                &synonyms.iter().map(|synonym| synonym.name).collect::<Vec<_>>().join(","),
            ]
            .join("\t"),
        );
    }
    let facts: Vec<&str> = FACTS.lines().collect();
    for (row, fact) in rows.iter().zip(&facts) {
        assert_eq!(row, fact);
    }
    assert_eq!(rows.len(), facts.len());
}

#[test]
fn names_are_unique_and_defaults_are_valid() {
    for scope in [Scope::Topic, Scope::Broker, Scope::Group, Scope::ClientMetrics] {
        for pair in definitions(scope).windows(2) {
            assert!(pair[0].name < pair[1].name, "{} twice", pair[0].name);
        }
        for key in definitions(scope) {
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            for default in [key.default_text(), as_text(key.kafka_default)].into_iter().flatten() {
                let value = key.parse(default).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(
                    value.to_string(),
                    if key.is_sensitive() { "[hidden]" } else { default },
                    "{}",
                    key.name
                );
            }
        }
    }
}

fn as_text(initial: Initial) -> Option<&'static str> {
    match initial {
        Initial::Text(text) => Some(text),
        _ => None,
    }
}

#[test]
fn deviations_and_synonyms_name_keys_that_exist() {
    for deviation in deviation::DEVIATIONS {
        let key = find(Scope::Broker, deviation.name).unwrap_or_else(|| panic!("{}", deviation.name));
        if let Some(default) = deviation.default {
            assert_ne!(as_text(key.kafka_default), Some(default), "{} is no deviation", deviation.name);
        }
    }
    for key in definitions(Scope::Topic) {
        for synonym in synonyms::of_topic_key(key.name) {
            assert!(find(Scope::Broker, synonym.name).is_some(), "{}", synonym.name);
        }
    }
    // Whatever Kafka insists on, we have a default for.
    for key in definitions(Scope::Broker).iter().filter(|key| key.kafka_default == Initial::Required) {
        assert!(key.default_text().is_some(), "{}", key.name);
    }
}

fn settings(text: &str) -> Settings {
    text.lines()
        .filter_map(|line| line.trim_start().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn check(validate: impl Fn(&Settings) -> Result<(), ConfigError>, cases: &[&str], expect: Expect) {
    let mut out = String::new();
    for case in cases {
        let answer = match validate(&settings(case)) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        out += &format!("{}\n    {answer}\n", case.replace('\n', " "));
    }
    expect.assert_eq(&out);
}

/// The texts were taken from Kafka 4.3's own `LogConfig.validate`, case by case; only "Did you mean" is ours.
#[test]
fn topic_settings() {
    check(
        validate_topic,
        &[
            "retention.ms=-5",
            "retention.ms=-1",
            "retention.ms=abc",
            "retention.ms=",
            "retention.ms= 7 ",
            "retention.ms=+7",
            "retention.ms=0x10",
            "retention.ms=1_000",
            "segment.bytes=10",
            "segment.bytes=99999999999",
            "cleanup.policy=foo",
            "cleanup.policy=",
            "cleanup.policy=delete,delete",
            "cleanup.policy=compact, delete",
            "cleanup.policy=delete,,compact",
            "compression.type=bar",
            "compression.type=GZIP",
            "compression.gzip.level=0",
            "compression.gzip.level=-1",
            "compression.lz4.level=0",
            "compression.zstd.level=23",
            "min.cleanable.dirty.ratio=1.5",
            "min.cleanable.dirty.ratio=x",
            "min.cleanable.dirty.ratio=1e-1",
            "preallocate=yes",
            "preallocate=TRUE",
            "preallocate= true ",
            "message.timestamp.type=x",
            "leader.replication.throttled.replicas=x",
            "leader.replication.throttled.replicas=*",
            "leader.replication.throttled.replicas=1:2,3:4",
            "leader.replication.throttled.replicas=1:2,*",
            "nope=1",
            "retention.msec=1",
            "log.retention.ms=1",
            "min.compaction.lag.ms=10\nmax.compaction.lag.ms=5",
            "remote.storage.enable=true",
            "ottla.ack.durability=os",
            "ottla.ack.durability=maybe",
        ],
        expect![[r#"
            retention.ms=-5
                Invalid value -5 for configuration retention.ms: Value must be at least -1
            retention.ms=-1
                ok
            retention.ms=abc
                Invalid value abc for configuration retention.ms: Not a number of type LONG
            retention.ms=
                Invalid value  for configuration retention.ms: Not a number of type LONG
            retention.ms= 7 
                ok
            retention.ms=+7
                ok
            retention.ms=0x10
                Invalid value 0x10 for configuration retention.ms: Not a number of type LONG
            retention.ms=1_000
                Invalid value 1_000 for configuration retention.ms: Not a number of type LONG
            segment.bytes=10
                Invalid value 10 for configuration segment.bytes: Value must be at least 1048576
            segment.bytes=99999999999
                Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT
            cleanup.policy=foo
                Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete
            cleanup.policy=
                ok
            cleanup.policy=delete,delete
                ok
            cleanup.policy=compact, delete
                ok
            cleanup.policy=delete,,compact
                Configuration 'cleanup.policy' values must not be empty.
            compression.type=bar
                Invalid value bar for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer
            compression.type=GZIP
                Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer
            compression.gzip.level=0
                Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1
            compression.gzip.level=-1
                ok
            compression.lz4.level=0
                Invalid value 0 for configuration compression.lz4.level: Value must be at least 1
            compression.zstd.level=23
                Invalid value 23 for configuration compression.zstd.level: Value must be no more than 22
            min.cleanable.dirty.ratio=1.5
                Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1
            min.cleanable.dirty.ratio=x
                Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE
            min.cleanable.dirty.ratio=1e-1
                ok
            preallocate=yes
                Invalid value yes for configuration preallocate: Expected value to be either true or false
            preallocate=TRUE
                ok
            preallocate= true 
                ok
            message.timestamp.type=x
                Invalid value x for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime
            leader.replication.throttled.replicas=x
                Invalid value [x] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...
            leader.replication.throttled.replicas=*
                ok
            leader.replication.throttled.replicas=1:2,3:4
                ok
            leader.replication.throttled.replicas=1:2,*
                Invalid value [1:2, *] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...
            nope=1
                Unknown topic config name: nope
            retention.msec=1
                Unknown topic config name: retention.msec. Did you mean retention.ms?
            log.retention.ms=1
                Unknown topic config name: log.retention.ms. Did you mean retention.ms?
            min.compaction.lag.ms=10 max.compaction.lag.ms=5
                conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)
            remote.storage.enable=true
                Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.
            ottla.ack.durability=os
                ok
            ottla.ack.durability=maybe
                Invalid value maybe for configuration ottla.ack.durability: String must be one of: fsync, os
        "#]],
    );
}

/// As Kafka 4.3's `DynamicBrokerConfig.validateConfigs` answers.
#[test]
fn dynamic_broker_settings() {
    let cases = [
        "node.id=1",
        "listeners=PLAINTEXT://:1",
        "max.connections=x",
        "max.connections=5",
        "listener.name.external.max.connections=x",
        "foo.bar=5",
        "ssl.keystore.type=JKS",
        "listener.name.external.ssl.keystore.type=JKS",
        "log.retention.ms=-3",
        "log.retention.hours=3\nnum.partitions=3",
        "leader.replication.throttled.rate=-1",
        "log.cleanup.policy=compact",
    ];
    check(
        |settings| validate_broker(BrokerLevel::One, settings),
        &cases,
        expect![[r#"
        node.id=1
            Cannot update these configs dynamically: [node.id]
        listeners=PLAINTEXT://:1
            ok
        max.connections=x
            Invalid value x for configuration max.connections: Not a number of type INT
        max.connections=5
            ok
        listener.name.external.max.connections=x
            Invalid value x for configuration max.connections: Not a number of type INT
        foo.bar=5
            ok
        ssl.keystore.type=JKS
            These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.type]
        listener.name.external.ssl.keystore.type=JKS
            ok
        log.retention.ms=-3
            ok
        log.retention.hours=3 num.partitions=3
            Cannot update these configs dynamically: [log.retention.hours, num.partitions]
        leader.replication.throttled.rate=-1
            Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0
        log.cleanup.policy=compact
            ok
    "#]],
    );
    check(
        |settings| validate_broker(BrokerLevel::All, settings),
        &cases,
        expect![[r#"
        node.id=1
            Cannot update these configs dynamically: [node.id]
        listeners=PLAINTEXT://:1
            Cannot update these configs at default cluster level, broker id must be specified: [listeners]
        max.connections=x
            Invalid value x for configuration max.connections: Not a number of type INT
        max.connections=5
            ok
        listener.name.external.max.connections=x
            Invalid value x for configuration max.connections: Not a number of type INT
        foo.bar=5
            ok
        ssl.keystore.type=JKS
            These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.type]
        listener.name.external.ssl.keystore.type=JKS
            Cannot update these configs at default cluster level, broker id must be specified: [listener.name.external.ssl.keystore.type]
        log.retention.ms=-3
            ok
        log.retention.hours=3 num.partitions=3
            Cannot update these configs dynamically: [log.retention.hours, num.partitions]
        leader.replication.throttled.rate=-1
            Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0
        log.cleanup.policy=compact
            ok
    "#]],
    );
}

#[test]
fn group_and_client_metrics_settings() {
    check(
        validate_group,
        &[
            "consumer.session.timeout.ms=0",
            "share.auto.offset.reset=earliest",
            "share.auto.offset.reset=by_duration:PT1H30M",
            "share.auto.offset.reset=by_duration:soon",
            "session.timeout.ms=1",
        ],
        expect![[r#"
            consumer.session.timeout.ms=0
                Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1
            share.auto.offset.reset=earliest
                ok
            share.auto.offset.reset=by_duration:PT1H30M
                ok
            share.auto.offset.reset=by_duration:soon
                Invalid value by_duration:soon for configuration share.auto.offset.reset: Value must be latest, earliest, or by_duration: with an ISO 8601 duration such as PT1H
            session.timeout.ms=1
                Unknown group config name: session.timeout.ms. Did you mean share.session.timeout.ms?
        "#]],
    );
    check(
        validate_client_metrics,
        &["interval.ms=50", "interval.ms=1000", "metrics=a,a", "metric=a"],
        expect![[r#"
            interval.ms=50
                Invalid value 50 for configuration interval.ms: Value must be at least 100
            interval.ms=1000
                ok
            metrics=a,a
                Configuration 'metrics' values must not be duplicated.
            metric=a
                Unknown client-metrics config name: metric. Did you mean metrics?
        "#]],
    );
}

#[test]
fn values_keep_their_types_ranges() {
    let cases: &[(&str, &str)] = &[
        ("offsets.topic.replication.factor", "99999"),
        ("group.share.delivery.count.limit", "11"),
        ("listeners", ""),
        ("log.dirs", ""),
        ("log.dirs", "a,a"),
        ("log.dirs", " a , b "),
        ("process.roles", "x"),
        ("process.roles", ""),
        ("group.consumer.migration.policy", "foo"),
        ("group.consumer.migration.policy", "UpGrade"),
        ("remote.log.metadata.manager.class.name", ""),
        ("remote.log.manager.task.retry.jitter", "0.6"),
        ("remote.log.manager.task.retry.jitter", "-0.1"),
        ("log.cleaner.io.max.bytes.per.second", "12345678"),
        ("log.cleaner.io.max.bytes.per.second", "0.0005"),
        ("log.cleaner.io.max.bytes.per.second", "inf"),
        ("ssl.key.password", "open sesame"),
    ];
    let mut out = String::new();
    for (name, text) in cases {
        let answer = match find(Scope::Broker, name).unwrap().parse(text) {
            Ok(value) => format!("{value}  {value:?}"),
            Err(error) => error.to_string(),
        };
        out += &format!("{name}={text}\n    {answer}\n");
    }
    expect![[r#"
        offsets.topic.replication.factor=99999
            Invalid value 99999 for configuration offsets.topic.replication.factor: Not a number of type SHORT
        group.share.delivery.count.limit=11
            Invalid value 11 for configuration group.share.delivery.count.limit: Value must be no more than 10
        listeners=
            Configuration 'listeners' must not be empty. Valid values include: any non-empty value
        log.dirs=
            Configuration 'log.dirs' must not be empty. Valid values include: any non-empty value
        log.dirs=a,a
            Configuration 'log.dirs' values must not be duplicated.
        log.dirs= a , b 
            a,b  List(["a", "b"])
        process.roles=x
            Invalid value x for configuration process.roles: String must be one of: broker, controller
        process.roles=
            Configuration 'process.roles' must not be empty. Valid values include: [broker, controller]
        group.consumer.migration.policy=foo
            Invalid value foo for configuration group.consumer.migration.policy: String must be one of (case insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL
        group.consumer.migration.policy=UpGrade
            UpGrade  Text("UpGrade")
        remote.log.metadata.manager.class.name=
            Invalid value  for configuration remote.log.metadata.manager.class.name: String must be non-empty
        remote.log.manager.task.retry.jitter=0.6
            Invalid value 0.6 for configuration remote.log.manager.task.retry.jitter: Value must be no more than 0.5
        remote.log.manager.task.retry.jitter=-0.1
            Invalid value -0.1 for configuration remote.log.manager.task.retry.jitter: Value must be at least 0
        log.cleaner.io.max.bytes.per.second=12345678
            1.2345678E7  Double(12345678.0)
        log.cleaner.io.max.bytes.per.second=0.0005
            5.0E-4  Double(0.0005)
        log.cleaner.io.max.bytes.per.second=inf
            Invalid value inf for configuration log.cleaner.io.max.bytes.per.second: Not a number of type DOUBLE
        ssl.key.password=open sesame
            [hidden]  Password([hidden])
    "#]].assert_eq(&out);
}

#[test]
fn lists_change_by_elements() {
    let mut out = String::new();
    for (name, current, edit, elements) in [
        ("cleanup.policy", None, ListEdit::Append, "compact"),
        ("cleanup.policy", Some("compact"), ListEdit::Append, "compact,delete"),
        ("cleanup.policy", Some("compact,delete"), ListEdit::Subtract, "delete"),
        ("cleanup.policy", None, ListEdit::Subtract, "delete"),
        ("retention.ms", Some("1"), ListEdit::Append, "2"),
        ("retention.ms", Some("1"), ListEdit::Subtract, "2"),
    ] {
        let answer = match edit_list(Scope::Topic, name, current, edit, elements) {
            Ok(list) => format!("[{list}]"),
            Err(error) => error.to_string(),
        };
        out += &format!("{name}: {current:?} {edit:?} {elements} -> {answer}\n");
    }
    expect![[r#"
        cleanup.policy: None Append compact -> [delete,compact]
        cleanup.policy: Some("compact") Append compact,delete -> [compact,delete]
        cleanup.policy: Some("compact,delete") Subtract delete -> [compact]
        cleanup.policy: None Subtract delete -> []
        retention.ms: Some("1") Append 2 -> Can't APPEND to key retention.ms because its type is not LIST.
        retention.ms: Some("1") Subtract 2 -> Can't SUBTRACT to key retention.ms because its type is not LIST.
    "#]]
    .assert_eq(&out);
}

#[test]
fn unknown_names_get_a_suggestion() {
    let mut out = String::new();
    for (scope, name) in [
        (Scope::Broker, "num.partition"),
        (Scope::Broker, "retention.ms"),
        (Scope::Broker, "advertized.listeners"),
        (Scope::Broker, "log.retention.hour"),
        (Scope::Broker, "zookeeper.connect"),
        (Scope::Broker, "x"),
        (Scope::Topic, "log.retention.hours"),
        (Scope::Topic, "cleanup.polcy"),
        (Scope::Topic, ""),
    ] {
        out += &format!("{} {name:?} -> {:?}\n", scope.as_str(), nearest(scope, name));
    }
    expect![[r#"
        broker "num.partition" -> Some("num.partitions")
        broker "retention.ms" -> Some("log.retention.ms")
        broker "advertized.listeners" -> Some("advertised.listeners")
        broker "log.retention.hour" -> Some("log.retention.hours")
        broker "zookeeper.connect" -> None
        broker "x" -> None
        topic "log.retention.hours" -> Some("retention.ms")
        topic "cleanup.polcy" -> Some("cleanup.policy")
        topic "" -> None
    "#]]
    .assert_eq(&out);
}
