//! Records made true: the only way in which a group changes for good, and how it is loaded.
//!
//! A record may come before others that it follows from: in a compacted log, a member's target may stand before the member itself. Nothing here
//! depends on an order between keys, but that a partition is given up by one before it is given to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_record::{Monotonic, Now};

use super::admission::sorted;
use super::member::{Held, Timers, to_partitions};
use super::{ConsumerGroup, Member, Seat};
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::record::{ConsumerMemberValue, CurrentAssignmentValue, MemberState, Record};

impl ConsumerGroup {
    /// Makes a record of this group true. Tells if there is a group afterwards: `false` after the record that deletes it.
    pub(in crate::group) fn apply(&mut self, record: &Record, now: Now) -> bool {
        match record {
            Record::ConsumerGroup { value: None, .. } => return false,
            Record::ConsumerGroup { value: Some(value), .. } => {
                self.epoch = value.epoch;
                self.digest = value.metadata_hash;
            }
            Record::ConsumerPartitionMetadata { value, .. } => self.has_partition_metadata = value.is_some(),
            Record::ConsumerMember { member, value: Some(value), .. } => {
                self.set_profile(member, value, now.monotonic)
            }
            Record::ConsumerMember { member, value: None, .. } => self.remove(member),
            Record::TargetEpoch { value, .. } => self.target = *value,
            Record::TargetAssignment { member, value, .. } => match value {
                Some(topics) => {
                    let known = self.members.get_key_value(member).map(|(id, _)| id.clone());
                    self.targets.insert(known.unwrap_or_else(|| member.clone()), to_partitions(topics));
                }
                None => {
                    self.targets.remove(member);
                }
            },
            Record::CurrentAssignment { member, value: Some(value), .. } => {
                self.set_current(member, value, now.monotonic)
            }
            Record::CurrentAssignment { member, value: None, .. } => self.clear_current(member),
            Record::RegularExpression { regex, value: Some(value), .. } => {
                let mut value = value.clone();
                value.topics = sorted(&value.topics);
                let version = u64::try_from(value.version).unwrap_or(0);
                self.looked.patterns.get_or_insert((version, now.monotonic));
                self.matches.insert(Arc::clone(regex), value);
            }
            Record::RegularExpression { regex, value: None, .. } => {
                self.matches.remove(regex);
            }
            Record::Offset { .. } | Record::Classic { .. } => {}
        }
        true
    }

    fn set_profile(&mut self, id: &MemberId, profile: &ConsumerMemberValue, now: Monotonic) {
        let mut profile = ConsumerMemberValue { topics: sorted(&profile.topics), ..profile.clone() };
        // Members read the same topics: one copy of each name will do.
        for name in &mut profile.topics {
            if let Some((known, _)) = self.names.get_key_value(&**name) {
                *name = Arc::clone(known);
            }
        }
        profile.topics.shrink_to_fit();
        let new = Member { profile, ..self.member(id).cloned().unwrap_or_else(Member::unknown) };
        self.put(id, new, now);
    }

    fn set_current(&mut self, id: &MemberId, value: &CurrentAssignmentValue, now: Monotonic) {
        let new = Member {
            epoch: value.epoch,
            previous_epoch: value.previous_epoch,
            state: value.state,
            assigned: Held::from_record(&value.assigned, value.epoch),
            revoking: Held::from_record(&value.pending_revocation, value.epoch),
            profile: self
                .member(id)
                .map_or_else(|| Member::unknown().profile, |member| member.profile.clone()),
        };
        let revoke_by = new.revocation_timeout().map(|timeout| now + timeout);
        self.put(id, new, now);
        if let Some(seat) = self.members.get_mut(id) {
            seat.timers.revoke_by = revoke_by;
        }
        if let Some(revoke_by) = revoke_by {
            self.wake_by(revoke_by);
        }
    }

    fn clear_current(&mut self, id: &MemberId) {
        let Some(member) = self.member(id) else { return };
        let (assigned, revoking) = (Held::default(), Held::default());
        let left = MemberEpoch::LEAVE;
        let cleared = Member { epoch: left, previous_epoch: left, assigned, revoking, ..member.clone() };
        let now = self.members.get(id).map_or(Monotonic::ZERO, |seat| seat.timers.heard_at);
        self.put(id, cleared, now);
    }

    fn put(&mut self, id: &MemberId, new: Member, now: Monotonic) {
        let known = self.members.get_key_value(id).map(|(id, seat)| (id.clone(), seat.member.clone()));
        let (id, old) = known.map_or_else(|| (id.clone(), None), |(id, old)| (id, Some(old)));
        self.count_out(&id, old.as_ref());
        self.count_in(&id, &new);
        match self.members.get_mut(&id) {
            Some(seat) => seat.member = new,
            None => {
                let mut timers = Timers::started(now);
                // A classic member that has joined must ask for its part.
                timers.sync_by =
                    new.is_classic().then(|| now + super::millis(new.profile.rebalance_timeout_ms));
                self.members.insert(id, Seat { member: new, timers });
                // Its session timeout is a setting, which only a look at the group knows.
                self.wake_by(now);
            }
        }
    }

    fn remove(&mut self, id: &MemberId) {
        let seat = self.members.remove(id);
        self.count_out(id, seat.map(|seat| seat.member).as_ref());
        if self.members.is_empty() {
            self.wake = None;
        }
    }

    fn count_in(&mut self, id: &MemberId, new: &Member) {
        for (topic, partition, _) in new.assigned.iter().chain(new.revoking.iter()) {
            self.holders.insert((topic, partition), id.clone());
        }
        if let Some(instance) = &new.profile.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        for name in &new.profile.topics {
            count_up(&mut self.names, name);
        }
        if let Some(pattern) = new.pattern() {
            count_up(&mut self.patterns, pattern);
        }
        self.classic_members += usize::from(new.is_classic());
    }

    fn count_out(&mut self, id: &MemberId, old: Option<&Member>) {
        let Some(old) = old else { return };
        for (topic, partition, _) in old.assigned.iter().chain(old.revoking.iter()) {
            if self.holders.get(&(topic, partition)) == Some(id) {
                self.holders.remove(&(topic, partition));
            }
        }
        if let Some(instance) =
            old.profile.instance.as_ref().filter(|instance| self.statics.get(*instance) == Some(id))
        {
            self.statics.remove(instance);
        }
        for name in &old.profile.topics {
            count_down(&mut self.names, name);
        }
        if let Some(pattern) = old.pattern() {
            count_down(&mut self.patterns, pattern);
        }
        self.classic_members -= usize::from(old.is_classic());
    }

    /// The first broken invariant, in words.
    pub(in crate::group) fn check_invariants(&self) -> Result<(), String> {
        let mut anew = Self::new(self.id.clone());
        for (id, seat) in &self.members {
            let member = &seat.member;
            for (topic, partition, _) in member.assigned.iter().chain(member.revoking.iter()) {
                if let Some(other) = anew.holders.insert((topic, partition), id.clone()) {
                    return Err(format!("{topic:?}-{partition} is held by {other} and {id}"));
                }
            }
            anew.count_in(id, member);
            if !member.revoking.is_empty() && member.state != MemberState::UnrevokedPartitions {
                return Err(format!("{id} gives up partitions in state {:?}", member.state));
            }
        }
        let same = anew.holders == self.holders
            && anew.statics == self.statics
            && anew.names == self.names
            && anew.patterns == self.patterns
            && anew.classic_members == self.classic_members;
        if same { Ok(()) } else { Err("counts do not agree with the members".to_owned()) }
    }

    /// The records that delete the group.
    pub(in crate::group) fn tombstones(&self) -> Vec<Record> {
        let group = || self.id.clone();
        let mut records = Vec::new();
        for member in self.members.keys() {
            records.push(Record::CurrentAssignment { group: group(), member: member.clone(), value: None });
        }
        for member in self.targets.keys() {
            records.push(Record::TargetAssignment { group: group(), member: member.clone(), value: None });
        }
        records.push(Record::TargetEpoch { group: group(), value: None });
        for member in self.members.keys() {
            records.push(Record::ConsumerMember { group: group(), member: member.clone(), value: None });
        }
        for regex in self.matches.keys() {
            records.push(Record::RegularExpression { group: group(), regex: Arc::clone(regex), value: None });
        }
        if self.has_partition_metadata {
            records.push(Record::ConsumerPartitionMetadata { group: group(), value: None });
        }
        records.push(Record::ConsumerGroup { group: group(), value: None });
        records
    }
}

fn count_up(counts: &mut BTreeMap<Arc<str>, usize>, key: &Arc<str>) {
    match counts.get_mut(&**key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(Arc::clone(key), 1);
        }
    }
}

fn count_down(counts: &mut BTreeMap<Arc<str>, usize>, key: &Arc<str>) {
    if let Some(count) = counts.get_mut(&**key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&**key);
        }
    }
}
