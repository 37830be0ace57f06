//! Groups listed, described and deleted.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Group, Groups, MAX_STEP_BYTES, weight_of};
use crate::group::ids::GroupId;
use crate::group::record::Record;
use crate::group::request::{Delete, Describe, List};
use crate::group::response::{ClassicDescription, GroupError, GroupType, Listed, Response};
use crate::shard::Step;

/// A DeleteGroups under way. A group may have more offsets than one batch can delete; then it takes several steps.
#[derive(Clone, Debug)]
pub(super) struct Deletion<W> {
    waiter: W,
    todo: VecDeque<GroupId>,
    done: Vec<(GroupId, Result<(), GroupError>)>,
}

impl<W> Deletion<W> {
    pub(super) fn new(waiter: W, delete: Delete) -> Self {
        Self { waiter, todo: delete.groups.into(), done: Vec::new() }
    }

    pub(super) fn into_waiter(self) -> W {
        self.waiter
    }
}

impl<W> Groups<W> {
    pub(super) fn list(&self, list: &List) -> Vec<Listed> {
        let among = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let listed = self.groups.iter().map(|(id, group)| {
            let (protocol_type, state, group_type) = match group {
                Group::Classic(classic) => (classic.protocol_type(), classic.state(), GroupType::Classic),
                Group::Consumer(group) => (Arc::from("consumer"), group.state(), GroupType::Consumer),
            };
            Listed { group: id.clone(), protocol_type, state, group_type }
        });
        listed
            .filter(|group| among(&list.states, group.state.as_str()))
            .filter(|group| among(&list.types, group.group_type.as_str()))
            .collect()
    }

    pub(super) fn describe(
        &self,
        Describe { groups }: Describe,
    ) -> Vec<(GroupId, Result<ClassicDescription, GroupError>)> {
        let describe = |id: GroupId| {
            let described = match self.groups.get(&id) {
                Some(Group::Classic(classic)) => Ok(classic.describe()),
                Some(Group::Consumer(_)) => {
                    Err(GroupError::GroupIdNotFound(format!("Group {id} is not a classic group.")))
                }
                None => Err(not_found(&id)),
            };
            (id, described)
        };
        groups.into_iter().map(describe).collect()
    }

    /// Goes on with deletions, as far as one batch of records reaches. The answer leaves with the last of them.
    pub(super) fn advance_deletions(&mut self, step: &mut Step<Self>) {
        let mut room = MAX_STEP_BYTES.saturating_sub(weight_of(&step.records)).min(MAX_STEP_BYTES / 2);
        while let Some(deletion) = self.deletions.front_mut() {
            let Some(id) = deletion.todo.front() else {
                if let Some(Deletion { waiter, done, .. }) = self.deletions.pop_front() {
                    step.replies.push((waiter, Response::Delete(done)));
                }
                continue;
            };
            let result = match self.groups.get(id) {
                Some(Group::Classic(classic)) => classic.check_delete(),
                Some(Group::Consumer(group)) if group.is_empty() => Ok(()),
                Some(Group::Consumer(_)) => Err(GroupError::NonEmptyGroup),
                None => Err(not_found(id)),
            };
            if result.is_ok() {
                let offsets = self
                    .offsets
                    .of_group(id)
                    .flat_map(|(topic, partitions)| partitions.map(move |(partition, _)| (topic, partition)));
                for (topic, partition) in offsets {
                    let record =
                        Record::Offset { group: id.clone(), topic: topic.clone(), partition, value: None };
                    let Some(left) = room.checked_sub(record.weight()) else { return };
                    room = left;
                    step.records.push(record);
                }
                let tombstones = match self.groups.get(id) {
                    Some(Group::Consumer(group)) => group.tombstones(),
                    _ => vec![Record::Classic { group: id.clone(), value: None }],
                };
                let Some(left) = room.checked_sub(weight_of(&tombstones)) else { return };
                room = left;
                step.records.extend(tombstones);
            }
            if let Some(id) = deletion.todo.pop_front() {
                deletion.done.push((id, result));
            }
        }
    }
}

/// Kafka's text.
pub(super) fn not_found(group: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group} not found."))
}
