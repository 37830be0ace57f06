//! What a member owns, what it has received and not given, and what it owes the broker. Pure: messages come in, events and
//! requests go out.
//!
//! Records wait here until they are asked for, bounded by the credit that the broker was given ([`Membership::new`]'s
//! `prefetch`). Everything else the broker says counts at once, however many records wait: so a partition is given back
//! when it is asked for, and not when its records have been read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_record::Offset;
use ottla_rpc::v1;
use ottla_rpc::v1::subscribe_request::Request;
use ottla_rpc::v1::subscribe_response::Event as Told;

use super::{GroupEvent, TopicPartition};
use crate::consumer::{Message, Start};
use crate::error::Error;
use crate::record::ConsumerRecord;
use crate::size::ByteSize;

/// The member, as the client has it.
#[derive(Debug)]
pub(super) struct Membership {
    prefetch: ByteSize,
    max_batch: ByteSize,
    /// What is given back is committed first.
    commits_by_itself: bool,
    member_id: Option<String>,
    /// Who it was over a stream that broke off: the group takes it for the same member.
    former_id: Option<String>,
    owned: BTreeMap<TopicPartition, Owned>,
    /// Received and not unpacked, with what each took of the credit.
    waiting: VecDeque<Waiting>,
    /// Being unpacked.
    message: Option<(Message, usize)>,
    records: VecDeque<ConsumerRecord>,
    events: VecDeque<Result<GroupEvent, Error>>,
    requests: VecDeque<Request>,
    /// Credit to be granted, which goes in larger portions.
    spent: usize,
    revoking: Option<Revoking>,
    next_commit: u64,
    /// Commits that are not answered: what they were about, and whether somebody waits for the answer.
    commits: BTreeMap<u64, Pending>,
    answers: BTreeMap<u64, Result<(), Error>>,
}

#[derive(Debug)]
enum Waiting {
    Records(Message, usize),
    /// From here on, records are those of another place.
    Sought(TopicPartition, Offset),
}

#[derive(Debug)]
struct Owned {
    /// Behind the last record that was given.
    position: Offset,
    /// The last place that a commit was asked for.
    committed: Option<Offset>,
    paused: bool,
    /// Seeks that are not answered: records that come before belong to the old place.
    seeks: u32,
}

#[derive(Debug)]
struct Revoking {
    partitions: BTreeSet<TopicPartition>,
    /// The commit that goes before.
    commit: Option<u64>,
}

#[derive(Debug)]
struct Pending {
    partitions: Vec<TopicPartition>,
    awaited: bool,
}

impl Membership {
    pub(super) fn new(prefetch: ByteSize, max_batch: ByteSize, commits_by_itself: bool) -> Self {
        Self {
            prefetch,
            max_batch,
            commits_by_itself,
            member_id: None,
            former_id: None,
            owned: BTreeMap::new(),
            waiting: VecDeque::new(),
            message: None,
            records: VecDeque::new(),
            events: VecDeque::new(),
            requests: VecDeque::new(),
            spent: 0,
            revoking: None,
            next_commit: 1,
            commits: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    pub(super) fn member_id(&self) -> Option<&str> {
        self.member_id.as_deref()
    }

    /// The id that the next stream joins with.
    pub(super) fn former_id(&self) -> Option<&str> {
        self.former_id.as_deref()
    }

    pub(super) fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.owned.keys()
    }

    pub(super) fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        let owned = self.owned.get(&TopicPartition { topic: topic.into(), partition })?;
        (owned.seeks == 0).then_some(owned.position)
    }

    pub(super) fn key(&self, topic: &str, partition: i32) -> Result<TopicPartition, Error> {
        let key = TopicPartition { topic: topic.into(), partition };
        match self.owned.contains_key(&key) {
            true => Ok(key),
            false => Err(Error::NotAssigned { topic: topic.to_owned(), partition }),
        }
    }

    /// True if something was given, or begun, that no commit has been asked for.
    pub(super) fn is_dirty(&self) -> bool {
        self.owned.values().any(Owned::is_dirty)
    }

    /// Everything given that no commit has been asked for.
    pub(super) fn uncommitted(&self) -> Vec<(TopicPartition, Offset)> {
        let dirty = self.owned.iter().filter(|(_, owned)| owned.is_dirty());
        dirty.map(|(key, owned)| (key.clone(), owned.position)).collect()
    }

    /// Asks for a commit whose answer is awaited. Whoever waited for one before does no more: its time was over.
    pub(super) fn commit(&mut self, offsets: Vec<(TopicPartition, Offset)>) -> u64 {
        self.answers.clear();
        self.commits.values_mut().for_each(|pending| pending.awaited = false);
        self.ask_to_commit(offsets, true)
    }

    /// Asks for a commit of everything given, unless one is under way.
    pub(super) fn commit_by_itself(&mut self) {
        let offsets = self.uncommitted();
        if !offsets.is_empty() && self.commits.is_empty() {
            self.ask_to_commit(offsets, false);
        }
    }

    /// What became of a commit that is awaited.
    pub(super) fn take_answer(&mut self, id: u64) -> Option<Result<(), Error>> {
        self.answers.remove(&id)
    }

    pub(super) fn pause(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        let key = self.key(topic, partition)?;
        self.forget(|of| *of == key);
        if let Some(owned) = self.owned.get_mut(&key) {
            owned.paused = true;
        }
        self.requests.push_back(Request::Pause(v1::PausePartitions { partitions: vec![named(&key)] }));
        Ok(())
    }

    pub(super) fn resume(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        let key = self.key(topic, partition)?;
        let Some(owned) = self.owned.get_mut(&key).filter(|owned| owned.paused) else { return Ok(()) };
        owned.paused = false;
        let position = owned.position;
        let is_seeking = owned.seeks > 0;
        // What was on its way at the pause is not here any more.
        if !is_seeking {
            self.ask_to_seek(&key, Start::Offset(position));
        }
        self.requests.push_back(Request::Resume(v1::ResumePartitions { partitions: vec![named(&key)] }));
        Ok(())
    }

    pub(super) fn seek(&mut self, topic: &str, partition: i32, to: Start) -> Result<(), Error> {
        let key = self.key(topic, partition)?;
        self.forget(|of| *of == key);
        self.ask_to_seek(&key, to);
        Ok(())
    }

    /// What the broker says.
    pub(super) fn received(&mut self, response: v1::SubscribeResponse) {
        match response.event {
            Some(Told::Joined(joined)) => self.member_id = Some(joined.member_id),
            Some(Told::Assigned(assigned)) => self.assigned(assigned),
            Some(Told::Revoking(revoking)) => self.revoking(&revoking.partitions),
            Some(Told::Lost(lost)) => {
                tracing::warn!(reason = lost.reason, "partitions are lost to the group");
                let partitions: BTreeSet<_> = lost.partitions.iter().map(key).collect();
                self.lose(&partitions);
            }
            Some(Told::Records(records)) => self.records(records),
            Some(Told::Committed(committed)) => self.committed(committed),
            Some(Told::Sought(sought)) => {
                let key = TopicPartition { topic: sought.topic.as_str().into(), partition: sought.partition };
                if let Some(owned) = self.owned.get_mut(&key) {
                    owned.seeks = owned.seeks.saturating_sub(1);
                    self.waiting.push_back(Waiting::Sought(key, Offset::new(sought.position)));
                }
            }
            Some(Told::Unreadable(unreadable)) => {
                let error = Error::from_detail(unreadable.message, unreadable.detail.unwrap_or_default());
                self.events.push_back(Err(error));
            }
            // A newer broker's.
            None => {}
        }
    }

    /// What the caller is to have next: news first, then records.
    pub(super) fn next_event(&mut self) -> Option<Result<GroupEvent, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(record) = self.records.pop_front() {
                let key = TopicPartition { topic: record.topic.clone(), partition: record.partition };
                if let Some(owned) = self.owned.get_mut(&key) {
                    owned.position = record.offset.next();
                }
                return Some(Ok(GroupEvent::Record(record)));
            }
            if let Some(failure) = self.unpack() {
                return Some(Err(failure));
            }
            if self.records.is_empty() && self.message.is_none() {
                self.message = match self.waiting.pop_front()? {
                    Waiting::Records(message, bytes) => Some((message, bytes)),
                    Waiting::Sought(key, position) => {
                        if let Some(owned) = self.owned.get_mut(&key) {
                            owned.position = position;
                        }
                        None
                    }
                };
            }
        }
    }

    /// Gives partitions back, if some are asked for, the caller knows, and what goes before is committed. Call it when the
    /// caller asks for more.
    pub(super) fn release_if_ready(&mut self) {
        let commits = &self.commits;
        let is_ready = |revoking: &mut Revoking| revoking.commit.is_none_or(|id| !commits.contains_key(&id));
        if let Some(revoking) = self.revoking.take_if(is_ready) {
            self.owned.retain(|key, _| !revoking.partitions.contains(key));
            self.requests.push_back(Request::Release(v1::ReleasePartitions {}));
        }
    }

    /// What the broker is to hear.
    pub(super) fn next_request(&mut self) -> Option<v1::SubscribeRequest> {
        // In portions: each is a message of its own.
        let is_due = self.spent > 0 && (self.spent >= self.prefetch.get() / 4 || self.waiting.is_empty());
        if is_due {
            let bytes = i64::try_from(std::mem::take(&mut self.spent)).unwrap_or(i64::MAX);
            self.requests.push_back(Request::Credit(v1::GrantCredit { bytes }));
        }
        let request = self.requests.pop_front()?;
        Some(v1::SubscribeRequest { request: Some(request) })
    }

    /// The stream has ended, and with it the membership.
    pub(super) fn left(&mut self) {
        let partitions: BTreeSet<_> = self.owned.keys().cloned().collect();
        self.lose(&partitions);
        self.former_id = self.member_id.take().or(self.former_id.take());
        self.waiting.clear();
        self.message = None;
        self.records.clear();
        self.requests.clear();
        self.spent = 0;
        self.commits.clear();
    }

    fn assigned(&mut self, assigned: v1::Assigned) {
        let mut partitions = Vec::new();
        for v1::AssignedPartition { topic, partition, position, committed, .. } in assigned.partitions {
            let key = TopicPartition { topic: topic.into(), partition };
            let owned = Owned {
                position: Offset::new(position),
                committed: committed.map(Offset::new),
                paused: false,
                seeks: 0,
            };
            self.owned.insert(key.clone(), owned);
            partitions.push(key);
        }
        self.events.push_back(Ok(GroupEvent::Assigned(partitions)));
    }

    fn revoking(&mut self, partitions: &[v1::TopicPartition]) {
        let partitions: BTreeSet<_> = partitions.iter().map(key).collect();
        self.forget(|of| partitions.contains(of));
        let offsets: Vec<_> =
            self.uncommitted().into_iter().filter(|(key, _)| partitions.contains(key)).collect();
        let commit =
            (self.commits_by_itself && !offsets.is_empty()).then(|| self.ask_to_commit(offsets, false));
        self.events.push_back(Ok(GroupEvent::Revoking(partitions.iter().cloned().collect())));
        self.revoking = Some(Revoking { partitions, commit });
    }

    fn lose(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.revoking = None;
        self.forget(|of| partitions.contains(of));
        let before = self.owned.len();
        self.owned.retain(|key, _| !partitions.contains(key));
        if self.owned.len() < before {
            self.events.push_back(Ok(GroupEvent::Lost(partitions.iter().cloned().collect())));
        }
    }

    fn records(&mut self, records: v1::FetchResponse) {
        let bytes = prost_len(&records);
        let topic = records.topic.as_str().into();
        let key = TopicPartition { topic, partition: records.partition };
        let wanted = self.owned.get_key_value(&key).filter(|(_, owned)| owned.seeks == 0 && !owned.paused);
        match wanted {
            Some((known, _)) => {
                let message = Message::new(known.topic.clone(), records);
                self.waiting.push_back(Waiting::Records(message, bytes));
            }
            None => self.spent += bytes,
        }
    }

    fn committed(&mut self, committed: v1::Committed) {
        let Some(pending) = self.commits.remove(&committed.id) else { return };
        let failure = committed.failures.into_iter().next();
        if failure.is_some() {
            // Not there yet: the next commit is about them again.
            for key in &pending.partitions {
                if let Some(owned) = self.owned.get_mut(key) {
                    owned.committed = None;
                }
            }
        }
        let answer = failure.map_or(Ok(()), |failure| {
            Err(Error::from_detail(failure.message, failure.detail.unwrap_or_default()))
        });
        match (pending.awaited, answer) {
            (true, answer) => {
                self.answers.insert(committed.id, answer);
            }
            (false, Ok(())) => {}
            (false, Err(error)) => {
                tracing::warn!(%error, "an automatic commit was refused; the next one tries again")
            }
        }
    }

    /// Unpacks until there are records, or the message ends.
    fn unpack(&mut self) -> Option<Error> {
        while self.records.is_empty() {
            let (message, bytes) = self.message.as_mut()?;
            let key = TopicPartition { topic: message.topic.clone(), partition: message.partition };
            let Some(owned) = self.owned.get_mut(&key) else {
                self.spent += *bytes;
                self.message = None;
                return None;
            };
            match message.next_batch(owned.position, self.max_batch) {
                Ok(Some(records)) => self.records.extend(records),
                Ok(None) => {
                    owned.position = owned.position.max(message.next_offset);
                    self.spent += *bytes;
                    self.message = None;
                }
                Err(reason) => {
                    let offset = owned.position;
                    self.spent += *bytes;
                    self.message = None;
                    // What cannot be read is not skipped: whoever goes on decides where.
                    let TopicPartition { topic, partition } = key;
                    let _owned = self.pause(&topic, partition);
                    return Some(Error::Batch { topic: topic.to_string(), partition, offset, reason });
                }
            }
        }
        None
    }

    /// Drops records that wait.
    fn forget(&mut self, is_of: impl Fn(&TopicPartition) -> bool) {
        let of =
            |message: &Message| TopicPartition { topic: message.topic.clone(), partition: message.partition };
        let mut spent = 0;
        self.waiting.retain(|waiting| match waiting {
            Waiting::Records(message, bytes) if is_of(&of(message)) => {
                spent += *bytes;
                false
            }
            Waiting::Sought(key, _) => !is_of(key),
            Waiting::Records(..) => true,
        });
        if let Some((_, bytes)) = self.message.take_if(|(message, _)| is_of(&of(message))) {
            spent += bytes;
            self.records.clear();
        }
        self.spent += spent;
        let of = |record: &ConsumerRecord| TopicPartition {
            topic: record.topic.clone(),
            partition: record.partition,
        };
        self.records.retain(|record| !is_of(&of(record)));
    }

    fn ask_to_commit(&mut self, offsets: Vec<(TopicPartition, Offset)>, awaited: bool) -> u64 {
        let id = self.next_commit;
        self.next_commit += 1;
        let mut partitions = Vec::with_capacity(offsets.len());
        let mut asked = Vec::with_capacity(offsets.len());
        for (key, offset) in offsets {
            if let Some(owned) = self.owned.get_mut(&key) {
                owned.committed = Some(offset);
            }
            asked.push(v1::CommitOffset {
                topic: key.topic.to_string(),
                partition: key.partition,
                offset: offset.get(),
                ..Default::default()
            });
            partitions.push(key);
        }
        self.commits.insert(id, Pending { partitions, awaited });
        self.requests.push_back(Request::Commit(v1::CommitOffsets { id, offsets: asked }));
        id
    }

    fn ask_to_seek(&mut self, key: &TopicPartition, to: Start) {
        if let Some(owned) = self.owned.get_mut(key) {
            owned.seeks += 1;
        }
        let to = to.to_v1(&key.topic, key.partition).from;
        let (topic, partition) = (key.topic.to_string(), key.partition);
        self.requests.push_back(Request::Seek(v1::SeekPartition { topic, partition, to }));
    }
}

impl Owned {
    /// A seek's place is not known yet.
    fn is_dirty(&self) -> bool {
        self.seeks == 0 && self.committed != Some(self.position)
    }
}

/// What a message takes of the credit: its size as the broker has counted it.
fn prost_len(records: &v1::FetchResponse) -> usize {
    ottla_rpc::size(records)
}

fn key(partition: &v1::TopicPartition) -> TopicPartition {
    TopicPartition { topic: partition.topic.as_str().into(), partition: partition.partition }
}

fn named(key: &TopicPartition) -> v1::TopicPartition {
    v1::TopicPartition { topic: key.topic.to_string(), partition: key.partition }
}
