//! The coordinator of one partition of `__consumer_offsets`: all its groups, and their offsets.

mod administration;
mod by_name;
mod committing;
mod consuming;
mod retention;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ottla_record::{Monotonic, Now};

use self::administration::Deletion;
use self::by_name::ByName;
use self::retention::Sweep;
use self::timers::Timers;
use super::classic::{ClassicGroup, Retention, Turn};
use super::consumer::{ConsumerGroup, Decision, Topics};
use super::ids::GroupId;
use super::offsets::Offsets;
use super::record::Record;
use super::request::{Join, Request};
use super::response::{GroupError, GroupState, GroupType, Left, Response};
use super::settings::GroupSettings;
use crate::metadata::Image;
use crate::shard::{Machine, Step};

/// The most bytes of records that one step decides, by [`Record::weight`]. They are one batch of the offsets topic, whose
/// `max.message.bytes` is 1,048,588.
pub const MAX_STEP_BYTES: usize = 900_000;

/// One tick looks after many groups; past this much written it leaves the rest to the next, which is due at once. With it, whatever
/// one more group writes, which is [`MAX_STEP_BYTES`] at most, still fits into the batch.
const MAX_TICKED_BYTES: usize = MAX_STEP_BYTES / 8;

const _: () = assert!(MAX_TICKED_BYTES + MAX_STEP_BYTES < 1_048_588, "the two together are one batch");

/// The longest text of a request that is written: 32,767 bytes is what Kafka's format has room for, and the id of a classic
/// member is 37 longer than what its client calls itself.
pub const MAX_TEXT: usize = 32_767 - 37;

/// All groups of one partition, and all offsets.
///
/// Every group with offsets is there: a group that never had members is an empty classic group without a kind.
#[derive(Clone, Debug)]
pub struct Groups<W> {
    settings: Arc<GroupSettings>,
    groups: ByName<Group<W>>,
    offsets: Offsets,
    timers: Timers,
    topics: Topics,
    deletions: VecDeque<Deletion<W>>,
    sweep: Sweep,
    rebalances: u64,
    /// Groups that became classic: once that is applied, a rebalance begins.
    downgraded: BTreeSet<GroupId>,
}

/// A group of either protocol.
#[derive(Clone, Debug)]
pub(in crate::group) enum Group<W> {
    /// The members assign.
    Classic(ClassicGroup<W>),
    /// The coordinator assigns (KIP-848).
    Consumer(ConsumerGroup),
}

impl<W> Groups<W> {
    /// A partition without groups.
    pub fn new(settings: impl Into<Arc<GroupSettings>>) -> Self {
        Self {
            settings: settings.into(),
            groups: ByName::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            topics: Topics::new(),
            deletions: VecDeque::new(),
            sweep: Sweep::default(),
            rebalances: 0,
            downgraded: BTreeSet::new(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// Number of groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Number of committed offsets.
    pub fn offset_count(&self) -> usize {
        self.offsets.len()
    }

    /// Every group's type, state and number of members.
    pub fn census(&self) -> impl Iterator<Item = (GroupType, GroupState, usize)> {
        self.groups.values().map(|group| match group {
            Group::Classic(classic) => (GroupType::Classic, classic.state(), classic.members().len()),
            Group::Consumer(group) => (GroupType::Consumer, group.state(), group.member_count()),
        })
    }

    /// Generations that classic groups have begun since the partition was loaded.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }

    /// The first broken invariant, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (id, group) in self.groups.iter() {
            group.check_invariants().map_err(|why| format!("group {id}: {why}"))?;
            if !self.timers.covers(id, group.due()) {
                return Err(format!("group {id}: no timer at {:?}", group.due()));
            }
        }
        Ok(())
    }

    fn join(&mut self, join: Join, waiter: W, image: &Image, now: Now, step: &mut Step<Self>) {
        if let Err(error) = self.check_join(&join) {
            return step.replies.push((waiter, Response::Join(Err(error))));
        }
        let id = join.group.clone();
        self.make_way_for_classic(&id, now, &mut step.records);
        if let Some(Group::Consumer(_)) = self.groups.get(&id) {
            let answer = self.in_consumer_group(&id, image, now, &mut step.records, |group, context| {
                group.classic_join(&join, context)
            });
            return step.replies.push((waiter, Response::Join(answer)));
        }
        // Only one that comes without an id can be the first.
        if join.member.is_none() && !self.groups.contains_key(&id) {
            self.groups.insert(id.clone(), Group::Classic(ClassicGroup::new(now)));
        }
        self.classic(&id, now, step, waiter, Response::Join, |group, waiter, turn| {
            group.join(join, waiter, turn);
        });
        if self.groups.get(&id).is_some_and(Group::is_forgettable) && !self.is_remembered(&id) {
            self.groups.remove(&id);
            self.timers.forget(&id);
        }
    }

    fn check_join(&self, join: &Join) -> Result<(), GroupError> {
        let settings = &self.settings.classic;
        let (min_ms, max_ms) = (settings.min_session_timeout_ms, settings.max_session_timeout_ms);
        if join.group.as_str().is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        if !(min_ms..=max_ms).contains(&join.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout { min_ms, max_ms });
        }
        Ok(())
    }

    /// Lets a classic group decide, or answers for one that is not there.
    fn classic<T>(
        &mut self,
        id: &GroupId,
        now: Now,
        step: &mut Step<Self>,
        waiter: W,
        response: fn(Result<T, GroupError>) -> Response,
        decide: impl FnOnce(&mut ClassicGroup<W>, W, &mut Turn<'_, W>),
    ) {
        if id.as_str().is_empty() {
            return step.replies.push((waiter, response(Err(GroupError::InvalidGroupId))));
        }
        let Some(group) = self.groups.get_mut(id) else {
            return step.replies.push((waiter, response(Err(GroupError::UnknownMemberId))));
        };
        let Group::Classic(classic) = group else {
            return step.replies.push((waiter, response(Err(GroupError::UnknownMemberId))));
        };
        let before = (classic.generation(), classic.due());
        decide(classic, waiter, &mut Turn { group: id, settings: &self.settings.classic, now, step });
        self.rebalances += u64::from(classic.generation() != before.0);
        // A heartbeat seldom moves it, and need not look at the timers.
        if classic.due() != before.1 {
            self.timers.arm(id, classic.due());
        }
    }

    /// What time brings to one group.
    fn tick_group(&mut self, id: &GroupId, image: &Image, now: Now, step: &mut Step<Self>) {
        let Some(Group::Classic(classic)) = self.groups.get_mut(id) else {
            return self.tick_consumer(id, image, now, &mut step.records);
        };
        let before = classic.generation();
        classic.tick(&mut Turn { group: id, settings: &self.settings.classic, now, step });
        self.rebalances += u64::from(classic.generation() != before);
        self.timers.arm(id, classic.due());
    }

    /// The group an offset's record is about, and the group of one that commits without being a member.
    fn group_of_offsets(&mut self, id: &GroupId, now: Now) {
        if !self.groups.contains_key(id) {
            self.groups.insert(id.clone(), Group::Classic(ClassicGroup::new(now)));
        }
    }

    /// True if a record tells of the group.
    fn is_remembered(&self, id: &GroupId) -> bool {
        match self.groups.get(id) {
            Some(Group::Classic(classic)) => {
                classic.generation() > super::Generation::default() || !self.offsets.is_empty(id)
            }
            Some(Group::Consumer(_)) => true,
            None => false,
        }
    }
}

/// How much of a batch records take, together.
pub(in crate::group) fn weight_of<'a>(records: impl IntoIterator<Item = &'a Record>) -> usize {
    records.into_iter().map(Record::weight).sum()
}

/// What a decision writes is one batch. A group of so many members that its assignment does not fit takes no more of them; to append it would fail,
/// and with it the coordinator of all groups of this partition.
pub(in crate::group) fn check_size(records: &[Record]) -> Result<(), GroupError> {
    if weight_of(records) > MAX_STEP_BYTES { Err(GroupError::GroupMetadataTooLarge) } else { Ok(()) }
}

/// The refusal of a request that brings a text no record has room for. Kafka's protocol cannot carry one; but a member's id
/// is made of what its client calls itself, and not every client speaks that protocol.
fn unwritable(request: &Request) -> Option<Response> {
    let long = |text: &str| text.len() > MAX_TEXT;
    let any_long = |texts: &[&Option<Arc<str>>]| texts.iter().any(|text| text.as_deref().is_some_and(long));
    let why = || GroupError::InvalidRequest(format!("a name is longer than {MAX_TEXT} bytes"));
    match request {
        Request::Join(join) => {
            let names = [join.group.as_str(), &join.client.client_id, &join.client.host, &join.protocol_type];
            let protocols = join.protocols.iter().map(|protocol| &*protocol.name);
            let instance = join.instance.as_ref().map(|instance| instance.as_str());
            names.into_iter().chain(protocols).chain(instance).any(long).then(|| Response::Join(Err(why())))
        }
        Request::CommitOffsets(commit) => {
            long(commit.group.as_str()).then(|| Response::CommitOffsets(Err(why())))
        }
        Request::ConsumerHeartbeat(beat) => {
            let names = [beat.group.as_str(), &beat.client.client_id, &beat.client.host];
            let member = beat.member.as_ref().map(|member| member.as_str());
            let instance = beat.instance.as_ref().map(|instance| instance.as_str());
            let topics = beat.topics.iter().flatten().map(|topic| &**topic);
            let is_long = names.into_iter().chain(member).chain(instance).chain(topics).any(long)
                || any_long(&[&beat.rack, &beat.regex, &beat.assignor]);
            is_long.then(|| Response::ConsumerHeartbeat(Err(why())))
        }
        _ => None,
    }
}

impl<W> Group<W> {
    fn is_forgettable(&self) -> bool {
        match self {
            Self::Classic(classic) => classic.is_forgettable(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    fn due(&self) -> Monotonic {
        match self {
            Self::Classic(classic) => classic.due(),
            Self::Consumer(group) => group.due(),
        }
    }

    /// The records that delete it.
    fn tombstones(&self, id: &GroupId) -> Vec<Record> {
        match self {
            Self::Classic(_) => vec![Record::Classic { group: id.clone(), value: None }],
            Self::Consumer(group) => group.tombstones(),
        }
    }

    fn check_delete_offsets(&self) -> Result<(), GroupError> {
        match self {
            Self::Classic(classic) => classic.check_delete_offsets(),
            // Which offsets are in use can always be told.
            Self::Consumer(_) => Ok(()),
        }
    }

    /// The topics that a classic group's members read, which takes a look into what they said.
    fn subscribed_topics(&self) -> BTreeSet<String> {
        match self {
            Self::Classic(classic) => classic.subscribed_topics().unwrap_or_default(),
            Self::Consumer(_) => BTreeSet::new(),
        }
    }

    /// True if a member reads the topic; `subscribed` are the group's [`subscribed_topics`](Self::subscribed_topics).
    fn reads(&self, subscribed: &BTreeSet<String>, topic: &str) -> bool {
        match self {
            Self::Classic(_) => subscribed.contains(topic),
            Self::Consumer(group) => group.is_subscribed(topic),
        }
    }

    fn retention(&self) -> Retention {
        match self {
            Self::Classic(classic) => classic.retention(),
            Self::Consumer(_) => Retention::SinceCommit,
        }
    }

    fn check_invariants(&self) -> Result<(), String> {
        match self {
            Self::Classic(classic) => classic.check_invariants(),
            Self::Consumer(group) => group.check_invariants(),
        }
    }
}

impl<W> Machine for Groups<W> {
    type Waiter = W;
    type Request = Request;
    type Response = Response;
    type Record = Record;

    fn handle(&mut self, waiter: W, request: Request, image: &Image, now: Now) -> Step<Self> {
        if let Some(refusal) = unwritable(&request) {
            return Step::reply(waiter, refusal);
        }
        let mut step = Step::none();
        match request {
            Request::Join(join) => self.join(join, waiter, image, now, &mut step),
            Request::Sync(sync) => {
                let id = sync.group.clone();
                if let Some(Group::Consumer(_)) = self.groups.get(&id) {
                    let answer =
                        self.in_consumer_group(&id, image, now, &mut step.records, |group, context| {
                            group.classic_sync(&sync, context).map(Decision::without_records)
                        });
                    step.replies.push((waiter, Response::Sync(answer)));
                    return step;
                }
                self.classic(&id, now, &mut step, waiter, Response::Sync, |group, waiter, turn| {
                    group.sync(sync, waiter, turn);
                });
            }
            Request::Heartbeat(beat) => {
                let id = beat.group.clone();
                if let Some(Group::Consumer(_)) = self.groups.get(&id) {
                    let answer =
                        self.in_consumer_group(&id, image, now, &mut step.records, |group, context| {
                            group.classic_heartbeat(&beat, context).map(Decision::without_records)
                        });
                    step.replies.push((waiter, Response::Heartbeat(answer)));
                    return step;
                }
                self.classic(&id, now, &mut step, waiter, Response::Heartbeat, |group, waiter, turn| {
                    let answer = group.heartbeat(&beat, now);
                    turn.step.replies.push((waiter, Response::Heartbeat(answer)));
                });
            }
            Request::Leave(leave) => {
                let id = leave.group.clone();
                if let Some(Group::Consumer(_)) = self.groups.get(&id) {
                    let answer =
                        self.in_consumer_group(&id, image, now, &mut step.records, |group, context| {
                            Ok(group.classic_leave(&leave, context))
                        });
                    step.replies.push((waiter, Response::Leave(answer)));
                    return step;
                }
                if !self.groups.contains_key(&id) && !id.as_str().is_empty() {
                    let left = leave.members.into_iter().map(Left::unknown).collect();
                    return Step::reply(waiter, Response::Leave(Ok(left)));
                }
                self.classic(&id, now, &mut step, waiter, Response::Leave, |group, waiter, turn| {
                    group.leave(leave, waiter, turn);
                });
            }
            Request::CommitOffsets(commit) => {
                let answer = self.commit_offsets(commit, image, now, &mut step.records);
                step.replies.push((waiter, Response::CommitOffsets(answer)));
            }
            Request::FetchOffsets(fetch) => {
                let answer = self.fetch_offsets(&fetch, image);
                step.replies.push((waiter, Response::FetchOffsets(answer)));
            }
            Request::DeleteOffsets(delete) => {
                let answer = self.delete_offsets(delete, image, &mut step.records);
                step.replies.push((waiter, Response::DeleteOffsets(answer)));
            }
            Request::List(list) => step.replies.push((waiter, Response::List(self.list(&list)))),
            Request::Describe(describe) => {
                step.replies.push((waiter, Response::Describe(self.describe(describe))));
            }
            Request::Delete(delete) => {
                self.deletions.push_back(Deletion::new(waiter, delete));
                self.advance_deletions(&mut step);
            }
            Request::ConsumerHeartbeat(beat) => {
                let answer = self.consumer_heartbeat(&beat, image, now, &mut step);
                step.replies.push((waiter, Response::ConsumerHeartbeat(answer)));
            }
            Request::DescribeConsumer(describe) => {
                let answer = self.describe_consumer(describe, image, now);
                step.replies.push((waiter, Response::DescribeConsumer(answer)));
            }
        }
        step
    }

    fn apply(&mut self, record: &Record, now: Now) {
        match record {
            Record::Offset { group, topic, partition, value: Some(value) } => {
                self.group_of_offsets(group, now);
                self.offsets.put(group, topic, *partition, value);
            }
            Record::Offset { group, topic, partition, value: None } => {
                self.offsets.remove(group, topic, *partition);
            }
            Record::Classic { group: id, value: Some(value) } => {
                if !matches!(self.groups.get(id), Some(Group::Classic(_))) {
                    self.groups.insert(id.clone(), Group::Classic(ClassicGroup::new(now)));
                }
                let Some(Group::Classic(classic)) = self.groups.get_mut(id) else { return };
                classic.adopt(value);
                self.timers.arm(id, classic.due());
            }
            Record::Classic { group, value: None } => {
                if matches!(self.groups.get(group), Some(Group::Consumer(_))) {
                    return;
                }
                self.groups.remove(group);
                self.timers.forget(group);
            }
            consumer => self.apply_consumer(consumer, now),
        }
    }

    fn loaded(&mut self, image: &Image, now: Now) {
        let mut step = Step::none();
        for (id, group) in self.groups.iter_mut() {
            match group {
                Group::Classic(classic) => {
                    let settings = &self.settings.classic;
                    classic.loaded(&mut Turn { group: id, settings, now, step: &mut step });
                }
                Group::Consumer(group) => group.loaded(now.monotonic),
            }
            self.timers.arm(id, group.due());
        }
        debug_assert!(step.records.is_empty() && step.replies.is_empty(), "nobody waits and nobody has come");
        self.sweep.start(image, now, self.settings.offsets.retention_check_interval);
    }

    fn tick(&mut self, image: &Image, now: Now) -> Step<Self> {
        let mut step = Step::none();
        for id in std::mem::take(&mut self.downgraded) {
            if let Some(Group::Classic(classic)) = self.groups.get_mut(&id) {
                let settings = &self.settings.classic;
                classic.start_over(&mut Turn { group: &id, settings, now, step: &mut step });
                self.timers.arm(&id, classic.due());
            }
        }
        let mut written = 0;
        while written <= MAX_TICKED_BYTES
            && let Some(id) = self.timers.pop_due(now.monotonic)
        {
            let known = step.records.len();
            self.tick_group(&id, image, now, &mut step);
            written += weight_of(step.records.iter().skip(known));
        }
        self.advance_deletions(&mut step);
        self.sweep(image, now, &mut step.records);
        step
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        if !self.deletions.is_empty() || !self.downgraded.is_empty() {
            return Some(Monotonic::ZERO);
        }
        [self.timers.next(), self.sweep.next()].into_iter().flatten().min()
    }

    fn dissolve(self) -> Vec<W> {
        let members = self.groups.into_values().filter_map(|group| match group {
            Group::Classic(classic) => Some(classic.dissolve()),
            Group::Consumer(_) => None,
        });
        let members = members.flatten();
        members.chain(self.deletions.into_iter().map(Deletion::into_waiter)).collect()
    }
}
