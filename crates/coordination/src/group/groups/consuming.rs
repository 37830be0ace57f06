//! Groups of the consumer protocol, among the others.

use ottla_record::Now;

use super::administration::not_found;
use super::{Group, Groups, check_size};
use crate::group::classic::{ClassicGroup, Turn};
use crate::group::consumer::{self, ConsumerGroup, Context, Decision};
use crate::group::ids::{GroupId, MemberEpoch};
use crate::group::record::Record;
use crate::group::request::{ConsumerHeartbeat, DescribeConsumer};
use crate::group::response::{ConsumerBeat, ConsumerDescription, GroupError};
use crate::metadata::Image;
use crate::shard::Step;

impl<W> Groups<W> {
    /// A heartbeat of the consumer protocol. The first of a member makes the group; one without members, of whatever protocol, gives way to it.
    pub(super) fn consumer_heartbeat(
        &mut self,
        request: &ConsumerHeartbeat,
        image: &Image,
        now: Now,
        step: &mut Step<Self>,
    ) -> Result<ConsumerBeat, GroupError> {
        if !self.settings.consumer.enabled {
            return Err(GroupError::UnsupportedVersion);
        }
        self.topics.observe(image);
        let context = Context { image, topics: &self.topics, settings: &self.settings, now };
        consumer::validate(request, &context)?;
        let id = &request.group;
        let joins = request.epoch == MemberEpoch::JOIN;
        let decision = match self.groups.get_mut(id) {
            Some(Group::Consumer(group)) => group.heartbeat(request, &context)?,
            None if joins => ConsumerGroup::new(id.clone()).heartbeat(request, &context)?,
            Some(Group::Classic(classic)) if joins && classic.is_empty() => {
                let mut decision = ConsumerGroup::new(id.clone()).heartbeat(request, &context)?;
                decision.records.insert(0, Record::Classic { group: id.clone(), value: None });
                decision
            }
            None => return Err(not_found(id)),
            Some(Group::Classic(classic)) if joins => {
                let decision = ConsumerGroup::upgrade(classic, request, &context)?;
                check_size(&decision.records)?;
                let settings = &self.settings.classic;
                classic.send_everyone_away(&mut Turn { group: id, settings, now, step });
                decision
            }
            Some(Group::Classic(_)) => return Err(not_a_consumer_group(id)),
        };
        check_size(&decision.records)?;
        self.note_downgrade(&decision.records);
        step.records.extend(decision.records);
        Ok(decision.answer)
    }

    /// What time brings to a group of the consumer protocol.
    pub(super) fn tick_consumer(&mut self, id: &GroupId, image: &Image, now: Now, records: &mut Vec<Record>) {
        self.topics.observe(image);
        let context = Context { image, topics: &self.topics, settings: &self.settings, now };
        if let Some(Group::Consumer(group)) = self.groups.get_mut(id) {
            let decided = group.tick(&context);
            self.timers.arm(id, group.due());
            self.note_downgrade(&decided);
            records.extend(decided);
        }
    }

    /// Lets a group of the consumer protocol decide about a request of the classic one.
    pub(super) fn in_consumer_group<T>(
        &mut self,
        id: &GroupId,
        image: &Image,
        now: Now,
        records: &mut Vec<Record>,
        decide: impl FnOnce(&mut ConsumerGroup, &Context<'_>) -> Result<Decision<T>, GroupError>,
    ) -> Result<T, GroupError> {
        self.topics.observe(image);
        let context = Context { image, topics: &self.topics, settings: &self.settings, now };
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else {
            return Err(GroupError::UnknownMemberId);
        };
        let due = group.due();
        let decision = decide(group, &context);
        if group.due() != due {
            self.timers.arm(id, group.due());
        }
        let decision = decision?;
        check_size(&decision.records)?;
        self.note_downgrade(&decision.records);
        records.extend(decision.records);
        Ok(decision.answer)
    }

    /// A group that becomes classic rebalances as soon as it is one.
    fn note_downgrade(&mut self, records: &[Record]) {
        self.downgraded.extend(records.iter().filter_map(|record| match record {
            Record::Classic { group, value: Some(_) } => Some(group.clone()),
            _ => None,
        }));
    }

    pub(super) fn describe_consumer(
        &mut self,
        DescribeConsumer { groups }: DescribeConsumer,
        image: &Image,
        now: Now,
    ) -> Vec<(GroupId, Result<ConsumerDescription, GroupError>)> {
        self.topics.observe(image);
        let context = Context { image, topics: &self.topics, settings: &self.settings, now };
        let describe = |id: GroupId| {
            let described = match self.groups.get(&id) {
                Some(Group::Consumer(group)) => Ok(group.describe(&context)),
                Some(Group::Classic(_)) => Err(not_a_consumer_group(&id)),
                None => Err(not_found(&id)),
            };
            (id, described)
        };
        groups.into_iter().map(describe).collect()
    }

    /// Makes a record of the consumer protocol true. The first of a group makes it; what deletes does not.
    pub(super) fn apply_consumer(&mut self, record: &Record, now: Now) {
        let id = record.group();
        if !matches!(self.groups.get(id), Some(Group::Consumer(_))) {
            if record.deletes() {
                return;
            }
            self.groups.insert(id.clone(), Group::Consumer(ConsumerGroup::new(id.clone())));
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else { return };
        if group.apply(record, now) {
            self.timers.arm(id, group.due());
        } else {
            self.groups.remove(id);
            self.timers.forget(id);
            if !self.offsets.is_empty(id) {
                self.group_of_offsets(id, now);
            }
        }
    }

    /// A member of the classic protocol comes to a consumer group that nobody is in: the group gives way.
    pub(super) fn make_way_for_classic(&mut self, id: &GroupId, now: Now, records: &mut Vec<Record>) {
        if let Some(Group::Consumer(group)) = self.groups.get(id).filter(|group| group.is_forgettable()) {
            records.extend(group.tombstones());
            self.groups.insert(id.clone(), Group::Classic(ClassicGroup::new(now)));
            self.timers.forget(id);
        }
    }
}

fn not_a_consumer_group(group: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group} is not a consumer group."))
}
