//! One member of a consumer group: what it said of itself, where it stands, what it holds.

use std::collections::BTreeMap;

use ottla_record::{Monotonic, PartitionIndex, TopicId};

use crate::group::ids::{GroupEpoch, MemberEpoch};
use crate::group::partitions::Partitions;
use crate::group::record::{AssignedPartitions, ConsumerMemberValue, CurrentAssignmentValue, MemberState};
use crate::group::request::TopicPartitions;

/// A member as its records describe it.
///
/// Invariants: `assigned` and `revoking` have no partition in common; `revoking` is empty unless the state is `UnrevokedPartitions`; the names
/// in `profile.topics` ascend and none stands twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Member {
    /// What it said of itself.
    pub(in crate::group) profile: ConsumerMemberValue,
    /// Its epoch: the target assignment it has caught up with.
    pub(in crate::group) epoch: MemberEpoch,
    /// The epoch before: it may not have got the answer that raised it.
    pub(in crate::group) previous_epoch: MemberEpoch,
    /// How far it is.
    pub(in crate::group) state: MemberState,
    /// What it may use.
    pub(in crate::group) assigned: Held,
    /// What it was told to give up and has not reported as given up.
    pub(in crate::group) revoking: Held,
}

impl Member {
    /// A member of which nothing is known yet.
    pub(super) fn unknown() -> Self {
        let profile = ConsumerMemberValue {
            instance: None,
            rack: None,
            client_id: "".into(),
            client_host: "".into(),
            topics: Vec::new(),
            regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
        };
        let (assigned, revoking) = (Held::default(), Held::default());
        let (epoch, previous_epoch) = (MemberEpoch::JOIN, MemberEpoch::LEAVE);
        Self { profile, epoch, previous_epoch, state: MemberState::Stable, assigned, revoking }
    }

    /// True if it speaks the classic protocol.
    pub(in crate::group) fn is_classic(&self) -> bool {
        self.profile.classic.is_some()
    }

    /// The pattern it subscribes to.
    pub(super) fn pattern(&self) -> Option<&std::sync::Arc<str>> {
        self.profile.regex.as_ref().filter(|pattern| !pattern.is_empty())
    }

    /// True if it holds what the target assignment of this epoch gives it.
    pub(super) fn is_reconciled_to(&self, target: GroupEpoch) -> bool {
        self.state == MemberState::Stable && self.epoch.get() == target.get()
    }

    /// The epoch at which it got a partition that it holds, be it told to give it up or not.
    pub(super) fn held_since(&self, topic: TopicId, partition: PartitionIndex) -> Option<MemberEpoch> {
        self.assigned.since(topic, partition).or_else(|| self.revoking.since(topic, partition))
    }

    /// The record of what it holds.
    pub(super) fn current(&self) -> CurrentAssignmentValue {
        CurrentAssignmentValue {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: self.state,
            assigned: self.assigned.to_record(),
            pending_revocation: self.revoking.to_record(),
        }
    }
}

/// When a member is given up. Volatile: after a reload all of it starts anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    /// When it was heard last; its session counts from here.
    pub(super) heard_at: Monotonic,
    /// By when it must have given up what it was told to; counts from when it was told last.
    pub(super) revoke_by: Option<Monotonic>,
    /// By when a member of the classic protocol must have joined again.
    pub(super) join_by: Option<Monotonic>,
    /// By when a member of the classic protocol must have asked for its assignment.
    pub(super) sync_by: Option<Monotonic>,
}

impl Timers {
    pub(super) fn started(now: Monotonic) -> Self {
        Self { heard_at: now, revoke_by: None, join_by: None, sync_by: None }
    }

    /// The earliest of its deadlines, with this session timeout.
    pub(super) fn next(&self, session: std::time::Duration) -> Monotonic {
        let others = [self.revoke_by, self.join_by, self.sync_by];
        others.into_iter().flatten().fold(self.heard_at + session, Ord::min)
    }
}

/// Partitions that a member holds, each with the epoch at which it got it (KIP-1251): an offset committed with an older epoch of this member
/// is still good as long as it held the partition then.
///
/// Invariant: topics ascend and each has a partition; partitions ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct Held(Vec<(TopicId, Vec<(PartitionIndex, MemberEpoch)>)>);

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (TopicId, &[(PartitionIndex, MemberEpoch)])> {
        self.0.iter().map(|(topic, held)| (*topic, held.as_slice()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex, MemberEpoch)> + '_ {
        self.topics()
            .flat_map(|(topic, held)| held.iter().map(move |(partition, since)| (topic, *partition, *since)))
    }

    pub(super) fn since(&self, topic: TopicId, partition: PartitionIndex) -> Option<MemberEpoch> {
        let at = self.0.binary_search_by_key(&topic, |(id, _)| *id).ok()?;
        let (_, held) = self.0.get(at)?;
        let at = held.binary_search_by_key(&partition, |(index, _)| *index).ok()?;
        held.get(at).map(|(_, since)| *since)
    }

    pub(super) fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.since(topic, partition).is_some()
    }

    /// True if all of these partitions are among them. Asked with a list from a request, in any order.
    pub(super) fn contains_all(&self, topics: &[TopicPartitions]) -> bool {
        topics.iter().all(|t| t.partitions.iter().all(|p| self.contains(t.topic, *p)))
    }

    /// True if any of these partitions is among them.
    pub(super) fn contains_any(&self, topics: &[TopicPartitions]) -> bool {
        !self.is_empty() && topics.iter().any(|t| t.partitions.iter().any(|p| self.contains(t.topic, *p)))
    }

    /// The same partitions as if held since `epoch`.
    pub(super) fn all_since(&self, epoch: MemberEpoch) -> Self {
        let topics =
            self.topics().map(|(topic, held)| (topic, held.iter().map(|(p, _)| (*p, epoch)).collect()));
        Self(topics.collect())
    }

    /// The partitions alone.
    pub(super) fn partitions(&self) -> Vec<TopicPartitions> {
        let topic = |(topic, held): (TopicId, &[(PartitionIndex, MemberEpoch)])| TopicPartitions {
            topic,
            partitions: held.iter().map(|(p, _)| *p).collect(),
        };
        self.topics().map(topic).collect()
    }

    /// Those for which `keep` holds, and the others.
    pub(super) fn split(&self, keep: impl Fn(TopicId, PartitionIndex) -> bool) -> (Self, Self) {
        self.iter().fold(
            (Self::default(), Self::default()),
            |(mut kept, mut rest), (topic, partition, since)| {
                let to = if keep(topic, partition) { &mut kept } else { &mut rest };
                to.push(topic, partition, since);
                (kept, rest)
            },
        )
    }

    pub(super) fn to_record(&self) -> Vec<AssignedPartitions> {
        let topic = |(topic, held): (TopicId, &[(PartitionIndex, MemberEpoch)])| AssignedPartitions {
            topic,
            partitions: held.iter().map(|(p, _)| *p).collect(),
            epochs: Some(held.iter().map(|(_, since)| since.get()).collect()),
        };
        self.topics().map(topic).collect()
    }

    /// Reads a record. One without epochs is of Kafka before 4.3: everything counts as got at the member's epoch then, or at 0 for a static
    /// member that has left for a while.
    pub(super) fn from_record(topics: &[AssignedPartitions], epoch: MemberEpoch) -> Self {
        let epoch = epoch.max(MemberEpoch::JOIN);
        let pairs = topics.iter().flat_map(|t| {
            let epochs = t.epochs.as_deref().filter(|epochs| epochs.len() == t.partitions.len());
            let since =
                move |at: usize| epochs.and_then(|e| e.get(at)).map_or(epoch, |e| MemberEpoch::new(*e));
            t.partitions.iter().enumerate().map(move |(at, partition)| (t.topic, *partition, since(at)))
        });
        pairs.collect()
    }

    /// Adds one that comes after all there are.
    fn push(&mut self, topic: TopicId, partition: PartitionIndex, since: MemberEpoch) {
        match self.0.last_mut() {
            Some((last, held)) if *last == topic => held.push((partition, since)),
            _ => self.0.push((topic, vec![(partition, since)])),
        }
    }
}

impl FromIterator<(TopicId, PartitionIndex, MemberEpoch)> for Held {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex, MemberEpoch)>>(triples: I) -> Self {
        let sorted: BTreeMap<_, _> =
            triples.into_iter().map(|(topic, p, since)| ((topic, p), since)).collect();
        let mut held = Self::default();
        for ((topic, partition), since) in sorted {
            held.push(topic, partition, since);
        }
        held.0.iter_mut().for_each(|(_, partitions)| partitions.shrink_to_fit());
        held.0.shrink_to_fit();
        held
    }
}

/// The partitions of a record or a request.
pub(super) fn to_partitions(topics: &[TopicPartitions]) -> Partitions {
    Partitions::new(topics.iter().map(|t| (t.topic, t.partitions.clone())))
}

/// The same for a record or an answer.
pub(super) fn to_topics(partitions: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(topic, partitions): (TopicId, &[PartitionIndex])| TopicPartitions {
        topic,
        partitions: partitions.to_vec(),
    };
    partitions.topics().map(topic).collect()
}
