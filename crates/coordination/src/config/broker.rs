//! What a broker's configuration comes to: the keys it honours now, as typed values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ottla_record::BrokerId;

use super::group_settings::GroupConfig;
use super::layers::Layers;
use super::listener::{self, Listener, ListenerKeys};
use super::quorum_settings::{self, QuorumSettings, SessionSettings};
use super::replication::ReplicationConfig;
use super::typed::Typed;
use super::validation::ConfigError;

/// The values of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `node.id`
    pub node_id: BrokerId,
    /// `process.roles` names `broker`. A node of which it does not votes on metadata, and has neither records nor clients.
    pub is_broker: bool,
    /// `broker.rack`
    pub rack: Option<String>,
    /// `log.dirs`, of which there is one, or `log.dir`.
    pub data_dir: PathBuf,
    /// `listeners` with what `advertised.listeners` says of them; of a broker at least one for Kafka clients, otherwise none.
    pub listeners: Vec<Listener>,
    /// How it meets the other nodes of its cluster; `None` if it is alone.
    pub quorum: Option<QuorumSettings>,
    /// When a broker is taken for lost.
    pub sessions: SessionSettings,
    /// What connections may take.
    pub connections: ConnectionLimits,
    /// What new topics get.
    pub topics: TopicDefaults,
    /// What fetches may take.
    pub fetches: FetchLimits,
    /// What groups and their topic are run with.
    pub groups: GroupConfig,
    /// What followers and leaders go by.
    pub replication: ReplicationConfig,
    /// `producer.id.expiration.ms`
    pub producer_id_expiration: Duration,
    /// `replica.lag.time.max.ms`
    pub replica_lag_max: Duration,
    /// `log.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    /// `request.timeout.ms`
    pub request_timeout: Duration,
    /// `ottla.disk.reserve.bytes`; `None` is 5 % of the file system, at most 1 GiB.
    pub disk_reserve_bytes: Option<u64>,
    /// `ottla.decompression.max.bytes`
    pub max_decompressed_bytes: usize,
    /// `ottla.log.level`; whoever writes the log knows what it may be.
    pub log_level: Option<String>,
    /// `ottla.worker.threads`; `None` is one for each core.
    pub worker_threads: Option<usize>,
}

/// Bounds on client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`
    pub max: usize,
    /// `max.connections.per.ip`
    pub max_per_ip: usize,
    /// `max.connections.per.ip.overrides`, by address or host name.
    pub max_per_ip_overrides: BTreeMap<String, usize>,
    /// `max.connection.creation.rate`, connections a second.
    pub max_creation_rate: usize,
    /// `connections.max.idle.ms`; `None` never closes an idle connection.
    pub max_idle: Option<Duration>,
    /// `socket.request.max.bytes`
    pub max_request_bytes: usize,
    /// `queued.max.request.bytes`; `None` is without bound.
    pub max_queued_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.listen.backlog.size`
    pub backlog: usize,
}

/// What topics get whose creator does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`
    pub partitions: usize,
    /// `default.replication.factor`
    pub replicas: usize,
    /// `auto.create.topics.enable`
    pub auto_create: bool,
    /// `delete.topic.enable`
    pub may_be_deleted: bool,
}

/// Bounds on what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// `fetch.max.bytes`
    pub max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`
    pub max_sessions: usize,
    /// `max.request.partition.size.limit`
    pub max_described_partitions: usize,
}

impl BrokerConfig {
    /// The values of a broker with these settings on a host of this name, or the first of Kafka's rules they break.
    pub fn resolve(layers: Layers<'_>, host_name: &str) -> Result<Self, ConfigError> {
        let keys = Typed::broker(layers);
        check_relations(&keys)?;
        let milliseconds = |name| Duration::from_millis(keys.number(name).unsigned_abs());
        let node_id = node_id(&keys, layers)?;
        let listener_keys = ListenerKeys {
            listeners: keys.list("listeners"),
            advertised: keys.optional_list("advertised.listeners"),
            security_protocols: keys.text("listener.security.protocol.map"),
            controller_names: keys.list("controller.listener.names"),
        };
        let is_broker = keys.list("process.roles").iter().any(|role| role == "broker");
        let listeners = match is_broker {
            true => listener::resolve(&listener_keys, host_name)?,
            false => listener::none_for_clients(&listener_keys)?,
        };
        let is_set = |key: &str| layers.file.contains_key(key);
        let replication = ReplicationConfig::resolve(&keys, is_set, is_broker.then_some(&listeners))?;
        Ok(Self {
            node_id,
            is_broker,
            rack: keys.optional_text("broker.rack"),
            data_dir: data_dir(&keys)?,
            listeners,
            quorum: quorum_settings::resolve(&keys, &listener_keys, node_id, host_name)?,
            sessions: SessionSettings::resolve(&keys)?,
            connections: connections(&keys)?,
            topics: TopicDefaults {
                partitions: keys.size("num.partitions"),
                replicas: keys.size("default.replication.factor").max(1),
                auto_create: keys.boolean("auto.create.topics.enable"),
                may_be_deleted: keys.boolean("delete.topic.enable"),
            },
            fetches: FetchLimits {
                max_bytes: keys.size("fetch.max.bytes"),
                max_sessions: keys.size("max.incremental.fetch.session.cache.slots"),
                max_described_partitions: keys.size("max.request.partition.size.limit"),
            },
            groups: GroupConfig::resolve(layers)?,
            replication,
            producer_id_expiration: milliseconds("producer.id.expiration.ms"),
            replica_lag_max: milliseconds("replica.lag.time.max.ms"),
            retention_check_interval: milliseconds("log.retention.check.interval.ms"),
            request_timeout: milliseconds("request.timeout.ms"),
            disk_reserve_bytes: keys.optional_number("ottla.disk.reserve.bytes").map(i64::unsigned_abs),
            max_decompressed_bytes: keys.size("ottla.decompression.max.bytes"),
            log_level: keys.optional_text("ottla.log.level"),
            worker_threads: keys
                .optional_number("ottla.worker.threads")
                .and_then(|n| usize::try_from(n).ok()),
        })
    }
}

pub(super) fn conflict(text: impl Into<String>) -> ConfigError {
    ConfigError::Conflict(text.into())
}

fn node_id(keys: &Typed<'_>, layers: Layers<'_>) -> Result<BrokerId, ConfigError> {
    let older = keys.optional_number("broker.id").filter(|id| *id >= 0);
    let id = keys.number("node.id");
    let id = match older {
        Some(older) if !layers.file.contains_key("node.id") => older,
        Some(older) if older != id => {
            return Err(conflict("You must set `node.id` to the same value as `broker.id`."));
        }
        _ => id,
    };
    i32::try_from(id).map(BrokerId::new).map_err(|_| conflict(format!("{id} is no node.id")))
}

fn data_dir(keys: &Typed<'_>) -> Result<PathBuf, ConfigError> {
    let directories = keys.optional_list("log.dirs").unwrap_or_else(|| keys.list("log.dir"));
    match directories.as_slice() {
        [one] => Ok(PathBuf::from(one)),
        several => Err(conflict(format!(
            "log.dirs names {} directories ({}); Ottla keeps its data in one",
            several.len(),
            several.join(", ")
        ))),
    }
}

fn connections(keys: &Typed<'_>) -> Result<ConnectionLimits, ConfigError> {
    let mut max_per_ip_overrides = BTreeMap::new();
    let overrides = keys.text("max.connections.per.ip.overrides");
    for entry in overrides.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let parsed =
            entry.rsplit_once(':').and_then(|(host, count)| Some((host.trim(), count.trim().parse().ok()?)));
        let (host, count) = parsed.ok_or_else(|| {
            conflict(format!(
                "Invalid value {entry} for configuration max.connections.per.ip.overrides: expected host:count"
            ))
        })?;
        max_per_ip_overrides.insert(host.to_owned(), count);
    }
    let max_per_ip = keys.size("max.connections.per.ip");
    if max_per_ip == 0 && max_per_ip_overrides.is_empty() {
        return Err(conflict(
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
        ));
    }
    let buffer = |name| keys.limit(name).and_then(|bytes| usize::try_from(bytes).ok());
    Ok(ConnectionLimits {
        max: keys.size("max.connections"),
        max_per_ip,
        max_per_ip_overrides,
        max_creation_rate: keys.size("max.connection.creation.rate"),
        max_idle: keys.limit("connections.max.idle.ms").map(|ms| Duration::from_millis(ms.unsigned_abs())),
        max_request_bytes: keys.size("socket.request.max.bytes"),
        // 0 is without bound, too: Kafka makes a pool from 1 on.
        max_queued_bytes: buffer("queued.max.request.bytes").filter(|bytes| *bytes > 0),
        receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
        send_buffer_bytes: buffer("socket.send.buffer.bytes"),
        backlog: keys.size("socket.listen.backlog.size"),
    })
}

/// What Kafka's `KafkaConfig.validateValues` asks of several keys together.
fn check_relations(keys: &Typed<'_>) -> Result<(), ConfigError> {
    let of_topic_defaults = |names: &[(&'static str, i64)]| {
        names.iter().find_map(|(name, unit)| Some(keys.optional_number(name)?.saturating_mul(*unit)))
    };
    let retention = of_topic_defaults(&[
        ("log.retention.ms", 1),
        ("log.retention.minutes", 60_000),
        ("log.retention.hours", 3_600_000),
    ]);
    if retention == Some(0) {
        return Err(conflict("log.retention.ms must be unlimited (-1) or, greater than or equal to 1"));
    }
    if of_topic_defaults(&[("log.roll.ms", 1)]).is_some_and(|ms| ms < 1) {
        return Err(conflict("log.roll.ms must be greater than or equal to 1"));
    }
    if of_topic_defaults(&[("log.roll.jitter.ms", 1)]).is_some_and(|ms| ms < 0) {
        return Err(conflict("log.roll.jitter.ms must be greater than or equal to 0"));
    }
    let (min, max) =
        (keys.number("log.cleaner.min.compaction.lag.ms"), keys.number("log.cleaner.max.compaction.lag.ms"));
    if min > max {
        return Err(conflict(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )));
    }
    let queued = keys.number("queued.max.request.bytes");
    if queued > 0 && queued < keys.number("socket.request.max.bytes") {
        return Err(conflict("queued.max.request.bytes must be larger or equal to socket.request.max.bytes"));
    }
    if keys.number("replica.fetch.wait.max.ms") > keys.number("replica.socket.timeout.ms") {
        return Err(conflict(
            "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts",
        ));
    }
    if keys.boolean("remote.log.storage.system.enable") {
        return Err(conflict(
            "remote.log.storage.system.enable is not supported: Ottla has no tiered storage, and would keep local data only",
        ));
    }
    Ok(())
}
