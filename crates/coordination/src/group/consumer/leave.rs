//! How members go: by themselves, for a while (static members), or removed.

use super::draft::Draft;
use super::member::Held;
use super::{ConsumerGroup, Context, Decision, Member};
use crate::group::groups::check_size;
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::record::Record;
use crate::group::request::ConsumerHeartbeat;
use crate::group::response::{ConsumerBeat, GroupError};

impl ConsumerGroup {
    /// A heartbeat with epoch -1 or -2.
    pub(super) fn leave(
        &self,
        request: &ConsumerHeartbeat,
        context: &Context<'_>,
    ) -> Result<Decision<ConsumerBeat>, GroupError> {
        let unknown = GroupError::UnknownMemberId;
        let given = request.member.as_ref().ok_or(unknown.clone());
        let records = match &request.instance {
            None => {
                let id = given?;
                self.member(id).ok_or(unknown)?;
                self.fence(&[id], context)
            }
            Some(instance) => {
                let (id, member) = self.static_member(instance).ok_or(unknown)?;
                if request.member.as_ref() != Some(id) {
                    return Err(GroupError::FencedInstanceId);
                }
                if request.epoch == MemberEpoch::LEAVE_STATIC {
                    vec![self.pause(id, member)]
                } else {
                    self.fence(&[id], context)
                }
            }
        };
        let member = request.member.clone().ok_or(GroupError::UnknownMemberId)?;
        let answer =
            ConsumerBeat { member, epoch: request.epoch, heartbeat_interval_ms: 0, assignment: None };
        Ok(Decision { records, answer })
    }

    /// A static member goes for a while: its partitions wait for it until its session ends. What it was told to give up is given up now. Its
    /// partitions count as held since epoch 0, so that whoever returns under its name may commit what it read.
    fn pause(&self, id: &MemberId, member: &Member) -> Record {
        let paused = Member {
            epoch: MemberEpoch::LEAVE_STATIC,
            revoking: Held::default(),
            assigned: member.assigned.all_since(MemberEpoch::JOIN),
            ..member.clone()
        };
        Record::CurrentAssignment {
            group: self.id.clone(),
            member: id.clone(),
            value: Some(paused.current()),
        }
    }

    /// Removes members, in one step; those that are none are passed over. If only members of the classic protocol remain, the group becomes
    /// classic, unless it is too large to be written as one.
    pub(in crate::group) fn fence(&self, ids: &[&MemberId], context: &Context<'_>) -> Vec<Record> {
        let members: Vec<(&MemberId, &Member)> =
            ids.iter().filter_map(|id| Some((*id, self.member(id)?))).collect();
        if members.is_empty() {
            return Vec::new();
        }
        let ids: Vec<&MemberId> = members.iter().map(|(id, _)| *id).collect();
        if self.downgrades_without(&ids, 0, context) {
            let records = self.to_classic(&ids, context);
            if check_size(&records).is_ok() {
                return records;
            }
        }
        let mut draft = Draft::new(self, context);
        for (id, _) in &members {
            draft.remove(id);
        }
        let gone: Vec<&Member> = members.iter().map(|(_, member)| *member).collect();
        for (pattern, count) in &self.patterns {
            if gone.iter().filter(|member| member.pattern() == Some(pattern)).count() == *count {
                draft.forget_pattern(pattern);
            }
        }
        draft.update_epoch(true, &gone, None);
        draft.records
    }
}
