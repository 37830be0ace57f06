//! What the broker's configuration says about groups. Values come from the configuration table, which holds the defaults.

use std::sync::Arc;
use std::time::Duration;

/// The settings of all groups of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Of classic groups.
    pub classic: ClassicSettings,
    /// Of committed offsets.
    pub offsets: OffsetSettings,
    /// Of consumer-protocol groups.
    pub consumer: ConsumerSettings,
}

/// The settings of classic groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicSettings {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`.
    pub max_size: usize,
}

/// The settings of committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetSettings {
    /// `offset.metadata.max.bytes`.
    pub metadata_max_bytes: usize,
    /// `offsets.retention.minutes`.
    pub retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
}

/// The settings of consumer-protocol groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.coordinator.rebalance.protocols` has `consumer`.
    pub enabled: bool,
    /// `group.consumer.session.timeout.ms`, with the bounds of what a group may set instead (`consumer.session.timeout.ms`).
    pub session_timeout_ms: Bounded,
    /// `group.consumer.heartbeat.interval.ms`, with the bounds of what a group may set instead.
    pub heartbeat_interval_ms: Bounded,
    /// `group.consumer.assignment.interval.ms`, with the bounds of what a group may set instead.
    pub assignment_interval_ms: Bounded,
    /// `group.consumer.max.size`.
    pub max_size: usize,
    /// `group.consumer.assignors`: names of strategies, the default first.
    pub assignors: Vec<Arc<str>>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval: Duration,
}

/// A broker's value, and the range within which a group's own counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// Without one of the group's.
    pub value: i32,
    /// Smallest of the group's.
    pub min: i32,
    /// Largest of the group's.
    pub max: i32,
}

impl Bounded {
    /// The value of a group that has set `own`: what lies outside the range counts as its nearest end.
    pub fn of_group(self, own: Option<i32>) -> i32 {
        own.map_or(self.value, |own| own.max(self.min).min(self.max))
    }
}

/// Whether groups move between the protocols while members are live (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    Bidirectional,
    /// From classic to consumer only.
    Upgrade,
    /// From consumer to classic only.
    Downgrade,
    /// Neither way.
    Disabled,
}

impl MigrationPolicy {
    /// A classic group becomes a consumer-protocol group when the first such member joins.
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// A consumer-protocol group becomes classic when its last such member leaves.
    pub const fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}
