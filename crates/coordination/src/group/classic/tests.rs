//! What other tests need to know of a classic group's inside.

use std::hash::{Hash, Hasher};

use ottla_record::Monotonic;

use super::ClassicGroup;

/// What decides the group's future, with its timers counted from now.
pub(in crate::group) fn hash_from<W: Hash>(
    group: &ClassicGroup<W>,
    now: Monotonic,
    hasher: &mut impl Hasher,
) {
    let left = |at: Monotonic| at - now;
    (group.state, group.generation.get(), &group.leader).hash(hasher);
    (group.join_ends.map(left), group.sync_ends.map(left)).hash(hasher);
    group.initial.map(|i| (i.delay, i.remaining, i.member_added)).hash(hasher);
    for (id, member) in &group.members {
        (id, &member.instance, &member.assignment, &member.joining, &member.syncing).hash(hasher);
        (member.owes_sync, member.new).hash(hasher);
        if member.is_silent() {
            left(member.session_ends).hash(hasher);
        }
    }
    for (id, ends) in &group.pending {
        (id, left(*ends)).hash(hasher);
    }
}
