//! Files, the command line, listeners, and what a person is told.

use std::fmt::Write;

use expect_test::{Expect, expect, expect_file};

use crate::config::*;

/// Expected texts were read with `java.util.Properties` of Java 17.
#[test]
fn properties_as_java_reads_them() {
    let text = "# comment\n! comment\n\n   \n  key = value \nk2:v2\nk3 v3\nk4\t=\tv4\nk5=\nk6\n=nameless\n\
        long = a, \\\n       b, \\\r\n\tc\nback\\=slash\\:key = \\u00e9\\t\\\\ \\z\nemoji=\\ud83d\\ude00\n\
        # no continuation \\\nk7==v:7\r\nodd=a\\\\\\\n   b\neven=a\\\\\n\\\n# alone\nlast=end\\";
    let mut out = String::new();
    for property in properties::parse(text).unwrap() {
        writeln!(out, "{:>2} {:?} = {:?}", property.line, property.name, property.value).unwrap();
    }
    expect![[r#"
         5 "key" = "value "
         6 "k2" = "v2"
         7 "k3" = "v3"
         8 "k4" = "v4"
         9 "k5" = ""
        10 "k6" = ""
        11 "" = "nameless"
        12 "long" = "a, b, c"
        15 "back=slash:key" = "é\t\\ z"
        16 "emoji" = "😀"
        18 "k7" = "=v:7"
        19 "odd" = "a\\b"
        21 "even" = "a\\"
        24 "last" = "end"
    "#]]
    .assert_eq(&out);
    for broken in ["a=b\nc=\\u12", "a=\\ud83d", "a=\\ud83d\\u0041", "a=\\uzzzz"] {
        assert!(properties::parse(broken).is_err(), "{broken}");
    }
}

fn given(text: &str, command_line: &[(&str, &str)]) -> Result<Given, GivenError> {
    let command_line: Vec<_> = command_line.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Given::read(Some(("server.properties", text)), &command_line)
}

fn resolve(given: &Given) -> Result<BrokerConfig, ConfigError> {
    let none = Settings::new();
    let layers = Layers { broker: &none, cluster: &none, file: &given.settings, brokers: 1 };
    BrokerConfig::resolve(layers, "box.example")
}

/// What Kafka 4.3 ships as `config/server.properties`, comments left out, starts a broker here.
const KAFKAS_OWN: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn kafkas_own_file() {
    let given = given(KAFKAS_OWN, &[("log.retention.hours", "1")]).unwrap();
    let mut out = String::new();
    for notice in &given.notices {
        writeln!(out, "{notice}").unwrap();
    }
    writeln!(out, "{:#?}", resolve(&given).unwrap()).unwrap();
    expect![[r#"
        accepted, but without effect in this version: num.io.threads, num.network.threads, num.recovery.threads.per.data.dir, share.coordinator.state.topic.min.isr, share.coordinator.state.topic.replication.factor, transaction.state.log.min.isr, transaction.state.log.replication.factor
        BrokerConfig {
            node_id: 1,
            is_broker: true,
            rack: None,
            data_dir: "/tmp/kraft-combined-logs",
            listeners: [
                Listener {
                    protocol: Kafka,
                    bind: Endpoint {
                        name: "PLAINTEXT",
                        host: "",
                        port: 9092,
                    },
                    advertised: Endpoint {
                        name: "PLAINTEXT",
                        host: "localhost",
                        port: 9092,
                    },
                    advertised_is_guessed: false,
                },
            ],
            quorum: Some(
                QuorumSettings {
                    bind: Endpoint {
                        name: "CONTROLLER",
                        host: "",
                        port: 9093,
                    },
                    advertised: Endpoint {
                        name: "CONTROLLER",
                        host: "localhost",
                        port: 9093,
                    },
                    voters: [],
                    bootstrap_servers: [
                        "localhost:9093",
                    ],
                },
            ),
            sessions: SessionSettings {
                session: 1.5s,
                heartbeat: 300ms,
                registration: 60s,
            },
            connections: ConnectionLimits {
                max: 2147483647,
                max_per_ip: 2147483647,
                max_per_ip_overrides: {},
                max_creation_rate: 2147483647,
                max_idle: Some(
                    600s,
                ),
                max_request_bytes: 104857600,
                max_queued_bytes: Some(
                    268435456,
                ),
                receive_buffer_bytes: Some(
                    102400,
                ),
                send_buffer_bytes: Some(
                    102400,
                ),
                backlog: 1024,
            },
            topics: TopicDefaults {
                partitions: 1,
                replicas: 1,
                auto_create: true,
                may_be_deleted: true,
            },
            fetches: FetchLimits {
                max_bytes: 57671680,
                max_sessions: 1000,
                max_described_partitions: 2000,
            },
            groups: GroupConfig {
                groups: GroupSettings {
                    classic: ClassicSettings {
                        min_session_timeout_ms: 6000,
                        max_session_timeout_ms: 1800000,
                        initial_rebalance_delay: 3s,
                        max_size: 2147483647,
                    },
                    offsets: OffsetSettings {
                        metadata_max_bytes: 4096,
                        retention: 604800s,
                        retention_check_interval: 600s,
                    },
                    consumer: ConsumerSettings {
                        enabled: true,
                        session_timeout_ms: Bounded {
                            value: 45000,
                            min: 45000,
                            max: 60000,
                        },
                        heartbeat_interval_ms: Bounded {
                            value: 5000,
                            min: 5000,
                            max: 15000,
                        },
                        assignment_interval_ms: Bounded {
                            value: 1000,
                            min: 0,
                            max: 15000,
                        },
                        max_size: 2147483647,
                        assignors: [
                            "uniform",
                            "range",
                        ],
                        migration: Bidirectional,
                        regex_refresh_interval: 600s,
                    },
                },
                topic: OffsetsTopic {
                    partitions: 50,
                    replicas: 1,
                    segment_bytes: 104857600,
                    codec: None,
                },
                commit_timeout: 5s,
                load_buffer_bytes: 5242880,
            },
            replication: ReplicationConfig {
                inter_broker_listener: "PLAINTEXT",
                fetch_wait_max: 500ms,
                fetch_min_bytes: 1,
                fetch_max_bytes: 1048576,
                fetch_response_max_bytes: 10485760,
                fetch_backoff: 1s,
                socket_timeout: 30s,
                socket_receive_buffer: None,
                leader_check_interval: Some(
                    300s,
                ),
                rack_aware_reading: false,
            },
            producer_id_expiration: 86400s,
            replica_lag_max: 30s,
            retention_check_interval: 300s,
            request_timeout: 30s,
            disk_reserve_bytes: None,
            max_decompressed_bytes: 134217728,
            log_level: None,
            worker_threads: None,
        }
    "#]].assert_eq(&out);
    let none = Settings::new();
    let layers = Layers { broker: &none, cluster: &none, file: &given.settings, brokers: 1 };
    expect![[r#"
        Not the default:
          advertised.listeners                = PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093   (default: not set)
          controller.quorum.bootstrap.servers = localhost:9093   (default: empty)
          inter.broker.listener.name          = PLAINTEXT   (default: not set)
          listener.security.protocol.map      = CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL   (default: SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT)
          listeners                           = PLAINTEXT://:9092,CONTROLLER://:9093   (default: PLAINTEXT://127.0.0.1:9092,API://127.0.0.1:9095)
          log.dirs                            = /tmp/kraft-combined-logs   (default: not set)
          log.retention.hours                 = 1   (default: 168)
          socket.receive.buffer.bytes         = 102400   (default: 1048576)
          socket.send.buffer.bytes            = 102400   (default: 524288)

        Not the default, and without effect in this version:
          num.recovery.threads.per.data.dir = 1   (default: 2)

        Defaults that are not Kafka's:
          node.id                                          = 1   (Kafka: required; one node needs no configuration)
          process.roles                                    = broker,controller   (Kafka: required; one node needs no configuration)
          controller.listener.names                        = CONTROLLER   (Kafka: required; one node needs no configuration)
          listeners                                        = PLAINTEXT://127.0.0.1:9092,API://127.0.0.1:9095   (Kafka: PLAINTEXT://:9092; a broker without authentication is not open to the network unless somebody says so)
          advertised.listeners                             = the listeners; of a wildcard address the host name   (Kafka: not set; Kafka refuses to start with 0.0.0.0; here the log says what clients will be told)
          socket.receive.buffer.bytes                      = 1048576   (Kafka: 102400; measured: less CPU per byte; left to the kernel where it does not allow as much)
          socket.send.buffer.bytes                         = 524288   (Kafka: 102400; measured: less CPU per byte; left to the kernel where it does not allow as much)
          socket.listen.backlog.size                       = 1024   (Kafka: 50; clients that all come back after a restart need not wait to be heard again)
          queued.max.request.bytes                         = 256 MiB, or socket.request.max.bytes if that is more   (Kafka: -1; no number of clients fills the memory of a broker)
          log.dir                                          = ./ottla-data   (Kafka: /tmp/kafka-logs; /tmp is emptied when the machine starts)
          broker.session.timeout.ms                        = 1500   (Kafka: 9000; fail over in less than a second)
          broker.heartbeat.interval.ms                     = 300   (Kafka: 2000; fail over in less than a second)
          offsets.topic.replication.factor                 = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          transaction.state.log.replication.factor         = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          transaction.state.log.min.isr                    = 2 at 3 replicas, else 1   (Kafka: 2; an internal topic needs no more copies than there are brokers to hold them)
          share.coordinator.state.topic.replication.factor = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          share.coordinator.state.topic.min.isr            = 2 at 3 replicas, else 1   (Kafka: 2; an internal topic needs no more copies than there are brokers to hold them)
          min.insync.replicas                              = 2 at 3 replicas and more, else 1   (Kafka: 1; with 1, three copies protect no better than one against losing the leader)
    "#]].assert_eq(&explain(layers));
}

#[test]
fn nothing_given() {
    let given = Given::default();
    expect![[r#"
        BrokerConfig {
            node_id: 1,
            is_broker: true,
            rack: None,
            data_dir: "./ottla-data",
            listeners: [
                Listener {
                    protocol: Kafka,
                    bind: Endpoint {
                        name: "PLAINTEXT",
                        host: "127.0.0.1",
                        port: 9092,
                    },
                    advertised: Endpoint {
                        name: "PLAINTEXT",
                        host: "127.0.0.1",
                        port: 9092,
                    },
                    advertised_is_guessed: false,
                },
                Listener {
                    protocol: Api,
                    bind: Endpoint {
                        name: "API",
                        host: "127.0.0.1",
                        port: 9095,
                    },
                    advertised: Endpoint {
                        name: "API",
                        host: "127.0.0.1",
                        port: 9095,
                    },
                    advertised_is_guessed: false,
                },
            ],
            quorum: None,
            sessions: SessionSettings {
                session: 1.5s,
                heartbeat: 300ms,
                registration: 60s,
            },
            connections: ConnectionLimits {
                max: 2147483647,
                max_per_ip: 2147483647,
                max_per_ip_overrides: {},
                max_creation_rate: 2147483647,
                max_idle: Some(
                    600s,
                ),
                max_request_bytes: 104857600,
                max_queued_bytes: Some(
                    268435456,
                ),
                receive_buffer_bytes: Some(
                    1048576,
                ),
                send_buffer_bytes: Some(
                    524288,
                ),
                backlog: 1024,
            },
            topics: TopicDefaults {
                partitions: 1,
                replicas: 1,
                auto_create: true,
                may_be_deleted: true,
            },
            fetches: FetchLimits {
                max_bytes: 57671680,
                max_sessions: 1000,
                max_described_partitions: 2000,
            },
            groups: GroupConfig {
                groups: GroupSettings {
                    classic: ClassicSettings {
                        min_session_timeout_ms: 6000,
                        max_session_timeout_ms: 1800000,
                        initial_rebalance_delay: 3s,
                        max_size: 2147483647,
                    },
                    offsets: OffsetSettings {
                        metadata_max_bytes: 4096,
                        retention: 604800s,
                        retention_check_interval: 600s,
                    },
                    consumer: ConsumerSettings {
                        enabled: true,
                        session_timeout_ms: Bounded {
                            value: 45000,
                            min: 45000,
                            max: 60000,
                        },
                        heartbeat_interval_ms: Bounded {
                            value: 5000,
                            min: 5000,
                            max: 15000,
                        },
                        assignment_interval_ms: Bounded {
                            value: 1000,
                            min: 0,
                            max: 15000,
                        },
                        max_size: 2147483647,
                        assignors: [
                            "uniform",
                            "range",
                        ],
                        migration: Bidirectional,
                        regex_refresh_interval: 600s,
                    },
                },
                topic: OffsetsTopic {
                    partitions: 50,
                    replicas: 1,
                    segment_bytes: 104857600,
                    codec: None,
                },
                commit_timeout: 5s,
                load_buffer_bytes: 5242880,
            },
            replication: ReplicationConfig {
                inter_broker_listener: "PLAINTEXT",
                fetch_wait_max: 500ms,
                fetch_min_bytes: 1,
                fetch_max_bytes: 1048576,
                fetch_response_max_bytes: 10485760,
                fetch_backoff: 1s,
                socket_timeout: 30s,
                socket_receive_buffer: None,
                leader_check_interval: Some(
                    300s,
                ),
                rack_aware_reading: false,
            },
            producer_id_expiration: 86400s,
            replica_lag_max: 30s,
            retention_check_interval: 300s,
            request_timeout: 30s,
            disk_reserve_bytes: None,
            max_decompressed_bytes: 134217728,
            log_level: None,
            worker_threads: None,
        }
    "#]]
    .assert_debug_eq(&resolve(&given).unwrap());
    let layers =
        Layers { broker: &given.settings, cluster: &given.settings, file: &given.settings, brokers: 1 };
    expect![[r#"
        Not the default:
          nothing

        Not the default, and without effect in this version:
          nothing

        Defaults that are not Kafka's:
          node.id                                          = 1   (Kafka: required; one node needs no configuration)
          process.roles                                    = broker,controller   (Kafka: required; one node needs no configuration)
          controller.listener.names                        = CONTROLLER   (Kafka: required; one node needs no configuration)
          listeners                                        = PLAINTEXT://127.0.0.1:9092,API://127.0.0.1:9095   (Kafka: PLAINTEXT://:9092; a broker without authentication is not open to the network unless somebody says so)
          advertised.listeners                             = the listeners; of a wildcard address the host name   (Kafka: not set; Kafka refuses to start with 0.0.0.0; here the log says what clients will be told)
          socket.receive.buffer.bytes                      = 1048576   (Kafka: 102400; measured: less CPU per byte; left to the kernel where it does not allow as much)
          socket.send.buffer.bytes                         = 524288   (Kafka: 102400; measured: less CPU per byte; left to the kernel where it does not allow as much)
          socket.listen.backlog.size                       = 1024   (Kafka: 50; clients that all come back after a restart need not wait to be heard again)
          queued.max.request.bytes                         = 256 MiB, or socket.request.max.bytes if that is more   (Kafka: -1; no number of clients fills the memory of a broker)
          log.dir                                          = ./ottla-data   (Kafka: /tmp/kafka-logs; /tmp is emptied when the machine starts)
          broker.session.timeout.ms                        = 1500   (Kafka: 9000; fail over in less than a second)
          broker.heartbeat.interval.ms                     = 300   (Kafka: 2000; fail over in less than a second)
          offsets.topic.replication.factor                 = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          transaction.state.log.replication.factor         = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          transaction.state.log.min.isr                    = 2 at 3 replicas, else 1   (Kafka: 2; an internal topic needs no more copies than there are brokers to hold them)
          share.coordinator.state.topic.replication.factor = min(3, brokers)   (Kafka: 3; an internal topic needs no more copies than there are brokers to hold them)
          share.coordinator.state.topic.min.isr            = 2 at 3 replicas, else 1   (Kafka: 2; an internal topic needs no more copies than there are brokers to hold them)
          min.insync.replicas                              = 2 at 3 replicas and more, else 1   (Kafka: 1; with 1, three copies protect no better than one against losing the leader)
    "#]].assert_eq(&explain(layers));
}

fn check(files: &[&str], expect: Expect) {
    let mut out = String::new();
    for text in files {
        writeln!(out, "{}", text.replace('\n', " ; ")).unwrap();
        match given(text, &[]) {
            Err(error) => writeln!(out, "    error: {error}").unwrap(),
            Ok(given) => {
                for notice in &given.notices {
                    writeln!(out, "    notice: {notice}").unwrap();
                }
                match resolve(&given) {
                    Err(error) => writeln!(out, "    error: {error}").unwrap(),
                    Ok(config) => {
                        for listener in config.listeners {
                            let guessed = if listener.advertised_is_guessed { " (guessed)" } else { "" };
                            writeln!(out, "    {} -> {}{guessed}", listener.bind, listener.advertised)
                                .unwrap();
                        }
                    }
                }
            }
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn what_a_person_is_told_about_values() {
    check(
        &[
            "num.partition=3",
            "retention.ms=1",
            "zookeeper.connect=localhost:2181",
            "num.partitions=many",
            "log.retention.hours=1\nmin.insync.replicas=0",
            "compression.type=brotli",
            "num.io.threads=16\nbackground.threads=2",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "a=\\u1",
            "listener.name.plaintext.max.connections=5",
            "listener.name.plaintext.max.connections=five",
        ],
        expect![[r#"
            num.partition=3
                notice: server.properties, line 1: unknown configuration num.partition; did you mean num.partitions?
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            retention.ms=1
                notice: server.properties, line 1: unknown configuration retention.ms; did you mean log.retention.ms?
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            zookeeper.connect=localhost:2181
                notice: server.properties, line 1: unknown configuration zookeeper.connect
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            num.partitions=many
                error: server.properties, line 1: Invalid value many for configuration num.partitions: Not a number of type INT; allowed: [1,...]
            log.retention.hours=1 ; min.insync.replicas=0
                error: server.properties, line 2: Invalid value 0 for configuration min.insync.replicas: Value must be at least 1; allowed: [1,...]
            compression.type=brotli
                error: server.properties, line 1: Invalid value brotli for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer
            num.io.threads=16 ; background.threads=2
                notice: accepted, but without effect in this version: background.threads, num.io.threads
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
                error: server.properties, line 1: authorizer.class.name is not supported: Ottla runs no Java classes, and without org.apache.kafka.metadata.authorizer.StandardAuthorizer more would be allowed than was meant
            a=\u1
                error: server.properties, line 1: a \u escape needs four hexadecimal digits that make a character
            listener.name.plaintext.max.connections=5
                notice: accepted, but without effect in this version: listener.name.plaintext.max.connections
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            listener.name.plaintext.max.connections=five
                error: server.properties, line 1: Invalid value five for configuration max.connections: Not a number of type INT; allowed: [0,...]
        "#]],
    );
}

#[test]
fn listeners() {
    check(
        &[
            "listeners=PLAINTEXT://:9092",
            "listeners=PLAINTEXT://0.0.0.0:0",
            "listeners=PLAINTEXT://[::]:9092\nadvertised.listeners=PLAINTEXT://[2001:db8::1]:9092",
            "listeners=plaintext://localhost:9092",
            "listeners=INTERNAL://10.0.0.1:9092,EXTERNAL://:9094\nlistener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT\nadvertised.listeners=EXTERNAL://kafka.example:443",
            "listeners=PLAINTEXT://:9092\nadvertised.listeners=PLAINTEXT://0.0.0.0:9092",
            "listeners=PLAINTEXT://:9092\nadvertised.listeners=OTHER://a:9092",
            "listeners=SSL://:9093",
            "listeners=PLAINTEXT://:9092,SASL_SSL://:9093",
            "listeners=API://127.0.0.1:9095",
            "listeners=FOO://a:1",
            "listeners=PLAINTEXT://:9092,PLAINTEXT://:9094",
            "listeners=PLAINTEXT://:9092,CONTROLLER://:9092",
            "listeners=CONTROLLER://:9093",
            "listeners=PLAINTEXT://:x",
            "listeners=PLAINTEXT://:99999",
            "listeners=PLAINTEXT:9092",
            "listeners=PLAINTEXT://::1:9092",
            "listeners=PLAINTEXT://[::1:9092",
            "listeners=://a:1",
            "listeners=",
        ],
        expect![[r#"
            listeners=PLAINTEXT://:9092
                PLAINTEXT://:9092 -> PLAINTEXT://box.example:9092 (guessed)
            listeners=PLAINTEXT://0.0.0.0:0
                PLAINTEXT://0.0.0.0:0 -> PLAINTEXT://box.example:0 (guessed)
            listeners=PLAINTEXT://[::]:9092 ; advertised.listeners=PLAINTEXT://[2001:db8::1]:9092
                PLAINTEXT://[::]:9092 -> PLAINTEXT://[2001:db8::1]:9092
            listeners=plaintext://localhost:9092
                PLAINTEXT://localhost:9092 -> PLAINTEXT://localhost:9092
            listeners=INTERNAL://10.0.0.1:9092,EXTERNAL://:9094 ; listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT ; advertised.listeners=EXTERNAL://kafka.example:443
                INTERNAL://10.0.0.1:9092 -> INTERNAL://10.0.0.1:9092
                EXTERNAL://:9094 -> EXTERNAL://kafka.example:443
            listeners=PLAINTEXT://:9092 ; advertised.listeners=PLAINTEXT://0.0.0.0:9092
                error: advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.
            listeners=PLAINTEXT://:9092 ; advertised.listeners=OTHER://a:9092
                error: advertised.listeners names OTHER, which is not among listeners
            listeners=SSL://:9093
                error: SSL://:9093 asks for SSL, which this version does not serve yet; PLAINTEXT is what it serves
            listeners=PLAINTEXT://:9092,SASL_SSL://:9093
                error: SASL_SSL://:9093 asks for SASL_SSL, which this version does not serve yet; PLAINTEXT is what it serves
            listeners=API://127.0.0.1:9095
                error: listeners names no listener for Kafka clients; PLAINTEXT://127.0.0.1:9092 is one
            listeners=FOO://a:1
                error: No security protocol defined for listener FOO: add FOO:PLAINTEXT to listener.security.protocol.map
            listeners=PLAINTEXT://:9092,PLAINTEXT://:9094
                error: Each listener must have a different name, listeners: PLAINTEXT://:9092,PLAINTEXT://:9094
            listeners=PLAINTEXT://:9092,CONTROLLER://:9092
                error: Each listener must have a different port, listeners: PLAINTEXT://:9092,CONTROLLER://:9092
            listeners=CONTROLLER://:9093
                error: listeners names no listener for Kafka clients; PLAINTEXT://127.0.0.1:9092 is one
            listeners=PLAINTEXT://:x
                error: Invalid value PLAINTEXT://:x for configuration listeners: expected NAME://host:port
            listeners=PLAINTEXT://:99999
                error: Invalid value PLAINTEXT://:99999 for configuration listeners: expected NAME://host:port
            listeners=PLAINTEXT:9092
                error: Invalid value PLAINTEXT:9092 for configuration listeners: expected NAME://host:port
            listeners=PLAINTEXT://::1:9092
                error: Invalid value PLAINTEXT://::1:9092 for configuration listeners: expected NAME://host:port
            listeners=PLAINTEXT://[::1:9092
                error: Invalid value PLAINTEXT://[::1:9092 for configuration listeners: expected NAME://host:port
            listeners=://a:1
                error: Invalid value ://a:1 for configuration listeners: expected NAME://host:port
            listeners=
                error: server.properties, line 1: Configuration 'listeners' must not be empty. Valid values include: any non-empty value
        "#]],
    );
}

/// Texts of Kafka 4.3's `KafkaConfig`, where it has the rule.
#[test]
fn rules_between_keys() {
    check(
        &[
            "log.retention.ms=0",
            "log.retention.hours=0",
            "log.retention.hours=-1",
            "log.roll.ms=0",
            "log.roll.jitter.ms=-1",
            "node.id=1\nbroker.id=3",
            "broker.id=3",
            "max.connections.per.ip=0",
            "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5,::1:6",
            "max.connections.per.ip.overrides=a:b",
            "queued.max.request.bytes=5",
            "replica.fetch.wait.max.ms=60000",
            "log.cleaner.min.compaction.lag.ms=10\nlog.cleaner.max.compaction.lag.ms=5",
            "remote.log.storage.system.enable=true",
            "log.dirs=a,b",
            "process.roles=controller",
            "process.roles=controller\ncontroller.listener.names=C",
            "process.roles=controller\ncontroller.listener.names=C\nlisteners=C://:9093\ncontroller.quorum.voters=2@b:9093",
            "process.roles=controller\ncontroller.listener.names=C\nlisteners=C://:9093\ncontroller.quorum.voters=1@a:9093",
            "process.roles=broker\ncontroller.quorum.voters=1@a:9093,2@b:9093",
            "controller.quorum.voters=1@a:9093,2@b:9093",
            "controller.quorum.voters=a:9093",
            "controller.quorum.voters=1@a:9093,1@b:9093",
            "controller.quorum.voters=1@a",
            "controller.quorum.bootstrap.servers=a:b",
            "broker.session.timeout.ms=500",
            "broker.heartbeat.interval.ms=0",
        ],
        expect![[r#"
            log.retention.ms=0
                error: log.retention.ms must be unlimited (-1) or, greater than or equal to 1
            log.retention.hours=0
                error: log.retention.ms must be unlimited (-1) or, greater than or equal to 1
            log.retention.hours=-1
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            log.roll.ms=0
                error: log.roll.ms must be greater than or equal to 1
            log.roll.jitter.ms=-1
                error: log.roll.jitter.ms must be greater than or equal to 0
            node.id=1 ; broker.id=3
                error: You must set `node.id` to the same value as `broker.id`.
            broker.id=3
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            max.connections.per.ip=0
                error: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.
            max.connections.per.ip=0 ; max.connections.per.ip.overrides=127.0.0.1:5,::1:6
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            max.connections.per.ip.overrides=a:b
                error: Invalid value a:b for configuration max.connections.per.ip.overrides: expected host:count
            queued.max.request.bytes=5
                error: queued.max.request.bytes must be larger or equal to socket.request.max.bytes
            replica.fetch.wait.max.ms=60000
                error: replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts
            log.cleaner.min.compaction.lag.ms=10 ; log.cleaner.max.compaction.lag.ms=5
                error: conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)
            remote.log.storage.system.enable=true
                notice: accepted, but without effect in this version: remote.log.storage.system.enable
                error: remote.log.storage.system.enable is not supported: Ottla has no tiered storage, and would keep local data only
            log.dirs=a,b
                error: log.dirs names 2 directories (a, b); Ottla keeps its data in one
            process.roles=controller
                error: The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller: PLAINTEXT://127.0.0.1:9092 is for clients
            process.roles=controller ; controller.listener.names=C
                error: The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller: PLAINTEXT://127.0.0.1:9092 is for clients
            process.roles=controller ; controller.listener.names=C ; listeners=C://:9093 ; controller.quorum.voters=2@b:9093
                error: If process.roles contains the 'controller' role, the node id 1 must be included in the set of voters controller.quorum.voters=Set(2)
            process.roles=controller ; controller.listener.names=C ; listeners=C://:9093 ; controller.quorum.voters=1@a:9093
            process.roles=broker ; controller.quorum.voters=1@a:9093,2@b:9093
                error: If process.roles contains just the 'broker' role, the node id 1 must not be included in the set of voters controller.quorum.voters=Set(1, 2)
            controller.quorum.voters=1@a:9093,2@b:9093
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
            controller.quorum.voters=a:9093
                error: Invalid value a:9093 for configuration controller.quorum.voters: expected id@host:port
            controller.quorum.voters=1@a:9093,1@b:9093
                error: controller.quorum.voters names a node or an address twice: 1@b:9093
            controller.quorum.voters=1@a
                error: Invalid value a for configuration controller.quorum.voters: expected host:port
            controller.quorum.bootstrap.servers=a:b
                error: Invalid value a:b for configuration controller.quorum.bootstrap.servers: expected host:port
            broker.session.timeout.ms=500
                error: broker.heartbeat.interval.ms (300) must not be more than half of broker.session.timeout.ms (500)
            broker.heartbeat.interval.ms=0
                error: Invalid value 0 for configuration broker.heartbeat.interval.ms: it must be positive
        "#]],
    );
}

#[test]
fn the_documentation_is_current() {
    expect_file!["../../../../../docs/configuration.md"].assert_eq(&document());
}

#[test]
fn the_classic_protocol_of_groups_cannot_be_switched_off() {
    check(
        &["group.coordinator.rebalance.protocols=consumer", "group.coordinator.rebalance.protocols=classic"],
        expect![[r#"
            group.coordinator.rebalance.protocols=consumer
                notice: accepted, but without effect in this version: group.coordinator.rebalance.protocols
                error: group.coordinator.rebalance.protocols must contain classic: disabling the classic protocol is not supported
            group.coordinator.rebalance.protocols=classic
                notice: accepted, but without effect in this version: group.coordinator.rebalance.protocols
                PLAINTEXT://127.0.0.1:9092 -> PLAINTEXT://127.0.0.1:9092
                API://127.0.0.1:9095 -> API://127.0.0.1:9095
        "#]],
    );
}
