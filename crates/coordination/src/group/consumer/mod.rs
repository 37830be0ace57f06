//! Groups of the consumer protocol (KIP-848): the coordinator assigns, and every member is led to its part by heartbeats alone.
//!
//! Three numbers drive a group. Its *epoch* rises whenever members, subscriptions or topics change. The *target assignment* is computed for an
//! epoch and carries it. A *member's epoch* is that of the target it has caught up with; it gets there by the steps of [`reconcile`]: first it
//! gives up, then it takes what is free, later what others have given up. Whatever a member holds, or was told to give up and has not
//! reported as given up, has it as its only holder.
//!
//! The group's state follows from them:
//!
//! | state | when |
//! |---|---|
//! | `Empty` | it has no members |
//! | `Assigning` | its epoch is ahead of its target assignment |
//! | `Reconciling` | some member has not caught up with the target |
//! | `Stable` | everyone has |
//! | `Dead` | it was deleted: there is none any more |
//!
//! What a member meets in each of its states. `told`: it is told what to hold; `ok`: it is not, as it knows; after the arrow its state then, if it
//! is another. Static members that are away wait for their successor.
//!
//! | event | not a member | Stable | UnrevokedPartitions | UnreleasedPartitions | static, away |
//! |---|---|---|---|---|---|
//! | joins (epoch 0) | told → UnreleasedPartitions | told | told → Stable | told | told → Stable |
//! | joins with a pattern that is none | InvalidRegularExpression | InvalidRegularExpression | InvalidRegularExpression | InvalidRegularExpression | InvalidRegularExpression |
//! | says nothing new | UnknownMemberId | ok | ok | ok | FencedMemberEpoch |
//! | reports that it holds what it held | UnknownMemberId | told | told | told | FencedMemberEpoch |
//! | reports that it gave up what it shall not have | UnknownMemberId | told | told → Stable | told | FencedMemberEpoch |
//! | is heard after a third member joined | UnknownMemberId | ok | ok | ok | FencedMemberEpoch |
//! | is heard after the topic grew | UnknownMemberId | told | ok | told | FencedMemberEpoch |
//! | is heard after the topic was deleted | UnknownMemberId | told → UnrevokedPartitions | ok | ok → Stable | FencedMemberEpoch |
//! | is heard after the other gave up what it must | UnknownMemberId | ok | ok | told → Stable | FencedMemberEpoch |
//! | is heard after the other left | UnknownMemberId | told | ok | told → Stable | FencedMemberEpoch |
//! | reads another topic | UnknownMemberId | told → UnrevokedPartitions | told | told → Stable | FencedMemberEpoch |
//! | repeats all with the epoch before its own | UnknownMemberId | told | told | FencedMemberEpoch | FencedMemberEpoch |
//! | comes with an old epoch | UnknownMemberId | FencedMemberEpoch | FencedMemberEpoch | FencedMemberEpoch | FencedMemberEpoch |
//! | comes with an epoch to come | UnknownMemberId | FencedMemberEpoch | FencedMemberEpoch | FencedMemberEpoch | FencedMemberEpoch |
//! | leaves | UnknownMemberId | ok → not a member | ok → not a member | ok → not a member | ok → not a member |
//! | goes for a while, being static | InvalidRequest | ok → static, away | ok → static, away | ok → static, away | ok |
//! | another takes its static name | told → UnreleasedPartitions | UnreleasedInstanceId | UnreleasedInstanceId | UnreleasedInstanceId | told → Stable |
//! | its session ends | UnknownMemberId | UnknownMemberId → not a member | UnknownMemberId → not a member | UnknownMemberId → not a member | UnknownMemberId → not a member |
//! | its time to give up ends | UnknownMemberId | ok | UnknownMemberId → not a member | ok | UnknownMemberId → not a member |
//! | its time to give up ends, but it was told again | UnknownMemberId | ok | ok | ok | UnknownMemberId → not a member |
//! | another coordinator takes over | UnknownMemberId | ok | ok | ok | FencedMemberEpoch |
//! | commits with its epoch | UnknownMemberId | committed | committed | committed | StaleMemberEpoch |
//! | commits with the epoch before | UnknownMemberId | committed | StaleMemberEpoch | StaleMemberEpoch | StaleMemberEpoch |
//! | commits with an epoch to come | UnknownMemberId | StaleMemberEpoch | StaleMemberEpoch | StaleMemberEpoch | StaleMemberEpoch |
//!
//! Deciding changes nothing but what is *volatile*: when a member was heard or told again, and which image was looked at. Everything else changes by
//! records alone ([`ConsumerGroup::apply`]), which is also how it is loaded. Timers are not kept in a queue: a group has one time at which it
//! must be looked at ([`ConsumerGroup::due`]), never later than its first deadline, and a heartbeat does not move it.

mod admission;
mod apply;
mod classic;
mod commit;
mod describe;
mod draft;
mod embedded;
mod heartbeat;
mod leave;
mod member;
mod migration;
mod pattern;
mod reconcile;
mod sessions;
mod subscription;
mod target;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now, PartitionIndex, TopicId};

pub(in crate::group) use self::admission::validate;
pub(in crate::group) use self::member::Member;
use self::member::Timers;
pub(in crate::group) use self::topics::Topics;
use super::ids::{GroupEpoch, GroupId, InstanceId, MemberId};
use super::partitions::Partitions;
use super::record::{Record, RegularExpressionValue, TargetEpochValue};
use super::response::GroupState;
use super::settings::{ConsumerSettings, GroupSettings};
use crate::metadata::Image;

/// A group of the consumer protocol.
///
/// Invariants ([`check_invariants`](Self::check_invariants)): `holders` has exactly the partitions that members hold or were told to give up,
/// each under its one holder; `statics` names the member of each instance id; `names`, `patterns` and `classic_members` count what members say.
#[derive(Clone, Debug)]
pub(in crate::group) struct ConsumerGroup {
    id: GroupId,
    epoch: GroupEpoch,
    /// The digest of its topics at that epoch.
    digest: i64,
    target: Option<TargetEpochValue>,
    members: BTreeMap<MemberId, Seat>,
    /// By member. Apart from the members: in a compacted log a target may come before its member.
    targets: BTreeMap<MemberId, Partitions>,
    statics: BTreeMap<InstanceId, MemberId>,
    holders: BTreeMap<(TopicId, PartitionIndex), MemberId>,
    /// Topics subscribed to by name, with the number of members.
    names: BTreeMap<Arc<str>, usize>,
    /// Patterns subscribed to, with the number of members.
    patterns: BTreeMap<Arc<str>, usize>,
    /// What the patterns matched.
    matches: BTreeMap<Arc<str>, RegularExpressionValue>,
    classic_members: usize,
    /// There is a record of an older Kafka to be deleted.
    has_partition_metadata: bool,
    looked: Looked,
    wake: Option<Monotonic>,
}

/// A member and its timers.
#[derive(Clone, Debug)]
struct Seat {
    member: Member,
    timers: Timers,
}

/// How far the group has looked at the image. Volatile.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    /// Up to which change of topics the digest was compared.
    topics: Option<u64>,
    /// Up to which new topic patterns were matched, and when.
    patterns: Option<(u64, Monotonic)>,
}

/// What decisions depend on besides the group.
#[derive(Clone, Copy, Debug)]
pub(in crate::group) struct Context<'a> {
    /// The cluster.
    pub(in crate::group) image: &'a Image,
    /// What was noticed of its topics.
    pub(in crate::group) topics: &'a Topics,
    /// The broker's settings.
    pub(in crate::group) settings: &'a GroupSettings,
    /// The time.
    pub(in crate::group) now: Now,
}

/// What was decided: records, and an answer that waits for them.
#[derive(Debug)]
pub(in crate::group) struct Decision<T> {
    /// To be appended and applied in this order.
    pub(in crate::group) records: Vec<Record>,
    /// The answer.
    pub(in crate::group) answer: T,
}

impl<T> Decision<T> {
    /// An answer that changes nothing for good.
    pub(in crate::group) fn without_records(answer: T) -> Self {
        Self { records: Vec::new(), answer }
    }
}

impl ConsumerGroup {
    /// A group without members, which no record tells of yet.
    pub(in crate::group) fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: GroupEpoch::new(1),
            digest: 0,
            target: None,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            statics: BTreeMap::new(),
            holders: BTreeMap::new(),
            names: BTreeMap::new(),
            patterns: BTreeMap::new(),
            matches: BTreeMap::new(),
            classic_members: 0,
            has_partition_metadata: false,
            looked: Looked::default(),
            wake: None,
        }
    }

    /// True if it has no members.
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many members it has.
    pub(in crate::group) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Its state.
    pub(in crate::group) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            return GroupState::Empty;
        }
        let target = self.target_epoch();
        match self.epoch > target {
            true => GroupState::Assigning,
            false if self.members.values().all(|seat| seat.member.is_reconciled_to(target)) => {
                GroupState::Stable
            }
            false => GroupState::Reconciling,
        }
    }

    /// True if a member subscribes to the topic, by name or by a pattern that matched it.
    pub(in crate::group) fn is_subscribed(&self, topic: &str) -> bool {
        self.names.contains_key(topic)
            || self.matches.values().any(|found| found.topics.iter().any(|name| &**name == topic))
    }

    /// The epoch of its target assignment; zero before the first.
    fn target_epoch(&self) -> GroupEpoch {
        self.target.map_or(GroupEpoch::new(0), |target| target.epoch)
    }

    fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id).map(|seat| &seat.member)
    }

    /// What a member shall hold.
    fn target_of(&self, id: &MemberId) -> Partitions {
        self.targets.get(id).cloned().unwrap_or_default()
    }
}

impl Context<'_> {
    fn consumer(&self) -> &ConsumerSettings {
        &self.settings.consumer
    }

    /// How long a member of the consumer protocol may be silent.
    fn session_timeout(&self, group: &GroupId) -> Duration {
        let own = self.own(group, "consumer.session.timeout.ms");
        millis(self.consumer().session_timeout_ms.of_group(own))
    }

    fn heartbeat_interval_ms(&self, group: &GroupId) -> i32 {
        self.consumer().heartbeat_interval_ms.of_group(self.own(group, "consumer.heartbeat.interval.ms"))
    }

    fn assignment_interval_ms(&self, group: &GroupId) -> i32 {
        self.consumer().assignment_interval_ms.of_group(self.own(group, "consumer.assignment.interval.ms"))
    }

    /// A setting of the group itself.
    fn own(&self, group: &GroupId, key: &str) -> Option<i32> {
        self.image.group_configs(group.as_str())?.get(key)?.parse().ok()
    }
}

/// A duration of a request or a setting; a negative one is none at all.
fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests;
