//! What a broker's configuration says of groups, and of the topic they live in.

use std::time::Duration;

use ottla_record::Codec;

use super::layers::Layers;
use super::typed::Typed;
use super::validation::ConfigError;
use crate::group::GroupSettings;
use crate::group::settings::{Bounded, ClassicSettings, ConsumerSettings, MigrationPolicy, OffsetSettings};

/// The values of a broker's group coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// What groups are run with.
    pub groups: GroupSettings,
    /// The topic they live in.
    pub topic: OffsetsTopic,
    /// `offsets.commit.timeout.ms`
    pub commit_timeout: Duration,
    /// `offsets.load.buffer.size`
    pub load_buffer_bytes: usize,
}

/// What `__consumer_offsets` is created and written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsTopic {
    /// `offsets.topic.num.partitions`
    pub partitions: i32,
    /// `offsets.topic.replication.factor`; unless set, the smaller one of 3 and the number of brokers.
    pub replicas: i16,
    /// `offsets.topic.segment.bytes`
    pub segment_bytes: i64,
    /// `offsets.topic.compression.codec`
    pub codec: Codec,
}

impl GroupConfig {
    /// The values of a broker with these settings, or the first of Kafka's rules they break.
    pub fn resolve(layers: Layers<'_>) -> Result<Self, ConfigError> {
        let keys = Typed::broker(layers);
        let milliseconds = |name| Duration::from_millis(keys.number(name).unsigned_abs());
        let protocols = keys.list("group.coordinator.rebalance.protocols");
        let enabled = |protocol: &str| protocols.iter().any(|named| named == protocol);
        if !enabled("classic") {
            // As in Kafka: its other protocols can be switched off.
            return Err(ConfigError::Conflict(
                "group.coordinator.rebalance.protocols must contain classic: disabling the classic protocol is not supported"
                    .to_owned(),
            ));
        }
        Ok(Self {
            groups: GroupSettings {
                classic: ClassicSettings {
                    min_session_timeout_ms: number32(&keys, "group.min.session.timeout.ms"),
                    max_session_timeout_ms: number32(&keys, "group.max.session.timeout.ms"),
                    initial_rebalance_delay: Duration::from_millis(
                        keys.size("group.initial.rebalance.delay.ms") as u64,
                    ),
                    max_size: keys.size("group.max.size"),
                },
                offsets: OffsetSettings {
                    metadata_max_bytes: keys.size("offset.metadata.max.bytes"),
                    retention: Duration::from_secs(keys.size("offsets.retention.minutes") as u64 * 60),
                    retention_check_interval: milliseconds("offsets.retention.check.interval.ms"),
                },
                consumer: consumer(&keys, enabled("consumer"))?,
            },
            topic: OffsetsTopic {
                partitions: number32(&keys, "offsets.topic.num.partitions"),
                replicas: i16::try_from(keys.number("offsets.topic.replication.factor")).unwrap_or(i16::MAX),
                segment_bytes: keys.number("offsets.topic.segment.bytes"),
                codec: codec(keys.number("offsets.topic.compression.codec"))?,
            },
            commit_timeout: milliseconds("offsets.commit.timeout.ms"),
            load_buffer_bytes: keys.size("offsets.load.buffer.size"),
        })
    }
}

fn consumer(keys: &Typed<'_>, enabled: bool) -> Result<ConsumerSettings, ConfigError> {
    let session_timeout_ms = bounded(
        keys,
        "group.consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    )?;
    let heartbeat_interval_ms = bounded(
        keys,
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    )?;
    let assignment_interval_ms = bounded(
        keys,
        "group.consumer.assignment.interval.ms",
        "group.consumer.min.assignment.interval.ms",
        "group.consumer.max.assignment.interval.ms",
    )?;
    if heartbeat_interval_ms.value >= session_timeout_ms.value {
        return Err(ConfigError::Conflict(
            "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms"
                .to_owned(),
        ));
    }
    Ok(ConsumerSettings {
        enabled,
        session_timeout_ms,
        heartbeat_interval_ms,
        assignment_interval_ms,
        max_size: keys.size("group.consumer.max.size"),
        assignors: keys.list("group.consumer.assignors").into_iter().map(Into::into).collect(),
        migration: match keys.text("group.consumer.migration.policy").to_ascii_lowercase().as_str() {
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "disabled" => MigrationPolicy::Disabled,
            _ => MigrationPolicy::Bidirectional,
        },
        regex_refresh_interval: Duration::from_millis(
            keys.number("group.consumer.regex.refresh.interval.ms").unsigned_abs(),
        ),
    })
}

/// A value with the bounds within which a group may set its own; Kafka's rules and words.
fn bounded(
    keys: &Typed<'_>,
    name: &'static str,
    least: &'static str,
    most: &'static str,
) -> Result<Bounded, ConfigError> {
    let (value, min, max) = (number32(keys, name), number32(keys, least), number32(keys, most));
    let broken = if max < min {
        Some(format!("{most} must be greater than or equal to {least}"))
    } else if value < min {
        Some(format!("{name} must be greater than or equal to {least}"))
    } else if value > max {
        Some(format!("{name} must be less than or equal to {most}"))
    } else {
        None
    };
    broken.map_or(Ok(Bounded { value, min, max }), |rule| Err(ConfigError::Conflict(rule)))
}

/// A codec by its number, at the level Kafka writes its own topics with.
fn codec(number: i64) -> Result<Codec, ConfigError> {
    match number {
        0 => Ok(Codec::None),
        1 => Ok(Codec::Gzip { level: -1 }),
        2 => Ok(Codec::Snappy),
        3 => Ok(Codec::Lz4),
        4 => Ok(Codec::Zstd { level: 3 }),
        other => Err(ConfigError::Conflict(format!(
            "offsets.topic.compression.codec: unknown compression type id: {other}"
        ))),
    }
}

/// A number of the type `Int`, whose range the table has checked.
fn number32(keys: &Typed<'_>, name: &'static str) -> i32 {
    i32::try_from(keys.number(name)).unwrap_or(i32::MAX)
}
