//! The way of one member from what it holds to what it shall hold (Kafka's `CurrentAssignmentBuilder`).
//!
//! A member first gives up what it shall not keep, in its old epoch; only then does it take over the epoch of the target assignment and what is
//! free of it; what others still hold it gets later. So no partition has two holders, however late anyone is.
//!
//! ```text
//!            something to give up                    given up, or nothing to
//!  any state ────────────────────▶ UnrevokedPartitions ──┬────────────────▶ Stable
//!                                    (old epoch)         │ some of the target is held by others
//!                                                        └────────────────▶ UnreleasedPartitions ─▶ … ─▶ Stable
//! ```

use std::collections::BTreeSet;

use ottla_record::{PartitionIndex, TopicId};

use super::member::{Held, Member};
use crate::group::ids::{GroupEpoch, MemberEpoch};
use crate::group::partitions::Partitions;
use crate::group::record::MemberState;
use crate::group::request::TopicPartitions;
use crate::group::response::GroupError;

/// What a member is reconciled with.
pub(super) struct Goal<'a> {
    /// The epoch of the target assignment.
    pub(super) epoch: GroupEpoch,
    /// The member's part of it.
    pub(super) target: &'a Partitions,
    /// The topics the member subscribes to that exist. The target may be older than the subscription.
    pub(super) subscribed: &'a BTreeSet<TopicId>,
    /// The member changed its subscription in this very request.
    pub(super) subscription_changed: bool,
    /// What the member says it holds; `None`: as it said before.
    pub(super) owned: Option<&'a [TopicPartitions]>,
}

/// The member after its next step; unchanged if it cannot take one. `is_free` tells whether a partition is held by nobody but this member.
///
/// # Errors
/// [`GroupError::FencedMemberEpoch`] for a member in a state of a newer Kafka, until it comes with nothing.
pub(super) fn step(
    member: &Member,
    goal: &Goal<'_>,
    is_free: impl Fn(TopicId, PartitionIndex) -> bool,
) -> Result<Member, GroupError> {
    if !goal.subscription_changed && member.is_reconciled_to(goal.epoch) {
        return Ok(member.clone());
    }
    let next = || advance(member, member.epoch, goal, &is_free);
    Ok(match member.state {
        MemberState::Stable if member.epoch.get() != goal.epoch.get() => next(),
        MemberState::Stable => shed(member, goal),
        MemberState::UnrevokedPartitions if goal.still_owns(&member.revoking) => shed(member, goal),
        MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => next(),
        MemberState::Unknown if goal.owned.is_none_or(|owned| !owned.is_empty()) => {
            return Err(GroupError::FencedMemberEpoch(
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.".to_owned(),
            ));
        }
        MemberState::Unknown => advance(member, MemberEpoch::new(goal.epoch.get()), goal, &is_free),
    })
}

impl Goal<'_> {
    /// True unless the member reports what it holds and none of these is among it.
    fn still_owns(&self, partitions: &Held) -> bool {
        self.owned.is_none_or(|owned| partitions.contains_any(owned))
    }
}

/// Takes topics out that the member no longer subscribes to, in whatever state and epoch it is: it may be long until a target assignment says
/// so, and the client dropped them already.
fn shed(member: &Member, goal: &Goal<'_>) -> Member {
    let (kept, dropped) = member.assigned.split(|topic, _| goal.subscribed.contains(&topic));
    if !goal.subscription_changed || dropped.is_empty() {
        return member.clone();
    }
    let revoking: Held = member.revoking.iter().chain(dropped.iter()).collect();
    let mut next = Member { assigned: kept, previous_epoch: member.epoch, ..member.clone() };
    if goal.still_owns(&revoking) {
        next.revoking = revoking;
        next.state = MemberState::UnrevokedPartitions;
    }
    next
}

/// One step towards the target, as far as can be gone now.
fn advance(
    member: &Member,
    epoch: MemberEpoch,
    goal: &Goal<'_>,
    is_free: impl Fn(TopicId, PartitionIndex) -> bool,
) -> Member {
    let wanted =
        |topic, partition| goal.subscribed.contains(&topic) && goal.target.contains(topic, partition);
    let (kept, revoking) = member.assigned.split(wanted);
    if !revoking.is_empty() && goal.still_owns(&revoking) {
        let state = MemberState::UnrevokedPartitions;
        return Member {
            epoch,
            previous_epoch: member.epoch,
            state,
            assigned: kept,
            revoking,
            ..member.clone()
        };
    }

    let epoch = MemberEpoch::new(goal.epoch.get());
    let missing =
        goal.target.iter().filter(|(topic, p)| wanted(*topic, *p) && !member.assigned.contains(*topic, *p));
    let (free, held_by_others): (Vec<_>, Vec<_>) =
        missing.partition(|(topic, partition)| is_free(*topic, *partition));
    let state =
        if held_by_others.is_empty() { MemberState::Stable } else { MemberState::UnreleasedPartitions };
    let gained = free.into_iter().map(|(topic, partition)| (topic, partition, epoch));
    let assigned = if gained.len() == 0 { kept } else { kept.iter().chain(gained).collect() };
    Member {
        epoch,
        previous_epoch: member.epoch,
        state,
        assigned,
        revoking: Held::default(),
        ..member.clone()
    }
}
