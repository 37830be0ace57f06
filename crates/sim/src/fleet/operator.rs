//! What an operator does to a cluster that has trouble already: topics created, deleted, created again and given more partitions,
//! configurations changed, leaders and replicas moved, moves cancelled. One thing at a time, asked again until there is an answer.
//! Records are deleted besides, which a leader decides: up to any offset, be it in the middle of a batch.
//!
//! What was asked more than once, or over a network that doubles, may still be done after its answer, and after what was asked
//! next: it is *late*, and what it asked for counts as possible from then on.

use std::time::Duration;

use ottla_coordination::metadata::{
    AlterConfigs, AlterReassignments, Command, ConfigChange, ConfigEdit, ConfigOp, ConfigResource,
    CreatePartitions, CreateTopics, DeleteTopics, ElectLeaders, Election, Layout, NewPartitions, NewTopic,
    Partition, PlacementSeed, Reassign, Response, Topic, TopicSelector,
};
use ottla_record::{BrokerId, PartitionIndex, TopicId};
use ottla_replication::{DeleteRecords, Event};

use super::Fleet;
use super::happening::{Happening, Key, Message};
use super::machine::{around, uuid};
use super::metadata::UNCLEAN;
use super::network::Site;
use super::queue::Micros;
use super::shape::{Kind, MILLI, SECOND, TopicShape};
use crate::cluster::{Cluster, TOPIC};
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;

/// A topic's name, and what the operator knows of whoever has it.
#[derive(Clone, Debug)]
pub struct TopicSlot {
    /// The name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: usize,
    /// Who has the name, as far as was answered.
    pub id: Option<TopicId>,
    /// Its partitions.
    pub keys: Vec<Key>,
    /// `min.insync.replicas`, as far as was answered.
    pub min_in_sync: usize,
    /// What it may also be, because that was asked for and came late.
    min_late: Vec<usize>,
    /// Where its partitions are.
    placed: Vec<Placed>,
    /// What was asked of topics that had the name before, and may come as late: it is asked by name.
    former: Vec<Placed>,
    /// `unclean.leader.election.enable`
    pub unclean: bool,
    /// What it is for.
    pub kind: Kind,
}

/// Where a partition's replicas are, as far as was answered.
#[derive(Clone, Debug, Default)]
struct Placed {
    /// One of these.
    told: Vec<Vec<BrokerId>>,
    /// Or one of these, because that was asked for and came late.
    late: Vec<Vec<BrokerId>>,
    /// Moves may yet be cancelled.
    late_cancel: bool,
}

/// The operator.
#[derive(Debug, Default)]
pub struct Operator {
    out: Option<Out>,
    asked: u64,
    topics_made: u64,
}

/// What was asked and not answered.
#[derive(Clone, Debug)]
struct Out {
    number: u64,
    asked: Asked,
    since: Micros,
    /// How often.
    times: u32,
}

/// What can be asked.
#[derive(Clone, Debug)]
enum Asked {
    Create(usize, TopicId),
    Delete(usize, TopicId),
    Grow(usize, usize),
    MinInSync(usize, usize),
    PreferredLeaders,
    /// A partition's replicas are to be these; and what is asked at once when that is answered.
    Move {
        slot: usize,
        partition: usize,
        target: Vec<BrokerId>,
        then: Option<Box<Asked>>,
    },
    /// The move is cancelled: back to these.
    Cancel {
        slot: usize,
        partition: usize,
        back: Vec<BrokerId>,
    },
    /// Nobody is in sync any more: whoever lives may lead.
    AcceptLoss {
        slot: usize,
        partition: usize,
    },
}

impl TopicSlot {
    /// One that is not there yet.
    pub fn new(number: usize, shape: &TopicShape, replicas: usize) -> Self {
        let name = match shape.kind {
            Kind::Records => format!("topic{number}"),
            Kind::Offsets => "__consumer_offsets".to_owned(),
            Kind::Assigned => TOPIC.to_owned(),
        };
        Self {
            name,
            partitions: shape.partitions,
            id: None,
            keys: Vec::new(),
            min_in_sync: if shape.unclean { 1 } else { replicas.min(2) },
            min_late: Vec::new(),
            placed: Vec::new(),
            former: Vec::new(),
            unclean: shape.unclean,
            kind: shape.kind,
        }
    }

    /// Nobody has the name any more.
    fn is_gone(&mut self) {
        (self.id, self.keys) = (None, Vec::new());
        for (number, placed) in self.placed.drain(..).enumerate() {
            if number >= self.former.len() {
                self.former.push(Placed::default());
            }
            if let Some(former) = self.former.get_mut(number) {
                former.late.extend(placed.late);
                former.late_cancel |= placed.late_cancel;
            }
        }
    }

    /// Partitions that are new, and where they are.
    fn add_placed(&mut self, partitions: impl Iterator<Item = Vec<BrokerId>>) {
        for (number, replicas) in partitions.enumerate().skip(self.placed.len()) {
            let former = self.former.get(number).cloned().unwrap_or_default();
            self.placed.push(Placed { told: vec![replicas], ..former });
        }
    }
}

impl Fleet {
    /// The operator's turn.
    pub(super) fn operate(&mut self) {
        self.queue.plan(self.now + around(200 * MILLI, &mut self.rng), Happening::Operator);
        if let Some(out) = self.operator.out.clone() {
            if self.now >= out.since + ASK_AGAIN {
                self.ask(out.asked, out.times);
            }
            return;
        }
        if let Some(slot) = self.topics.iter().position(|topic| topic.id.is_none()) {
            self.operator.topics_made += 1;
            let id = match self.topics.get(slot).map(|topic| topic.kind) {
                // Members know it by this one.
                Some(Kind::Assigned) => Cluster::topic_id(),
                _ => TopicId(uuid(0x70, self.operator.topics_made)),
            };
            self.ask(Asked::Create(slot, id), 0);
            return;
        }
        if let Some(asked) = self.nobody_in_sync() {
            self.ask(asked, 0);
            return;
        }
        if self.healing || !self.rng.chance(1, 25) {
            return;
        }
        let slot = self.rng.index(self.topics.len());
        let Some(topic) = self.topics.get(slot) else { return };
        let Some(id) = topic.id else { return };
        let (partitions, clients) = (topic.partitions, topic.kind == Kind::Records);
        let asked = match self.rng.below(20) {
            0 if clients => Asked::Delete(slot, id),
            1 if clients && partitions < MOST_PARTITIONS => Asked::Grow(slot, partitions + 1),
            1..5 if clients => Asked::MinInSync(slot, self.rng.index(self.shape.replicas) + 1),
            5..10 => Asked::PreferredLeaders,
            _ => match self.some_move(slot, partitions) {
                Some(asked) => asked,
                None => return,
            },
        };
        self.ask(asked, 0);
    }

    /// Now and then the records of some partition are deleted, up to somewhere below its leader's high watermark or all of them.
    pub(super) fn delete_records(&mut self) -> Verdict {
        if self.healing || !self.rng.chance(1, 40) {
            return Ok(());
        }
        let slot = self.rng.index(self.topics.len());
        let Some(topic) = self.topics.get(slot).filter(|topic| topic.kind == Kind::Records) else {
            return Ok(());
        };
        let keys = topic.keys.clone();
        let Some(key) = self.rng.pick(&keys).copied() else { return Ok(()) };
        let Some(leader) = (0..self.machines.len()).find(|broker| self.leads(*broker, key)) else {
            return Ok(());
        };
        let Some(host) = self.host(leader, key) else { return Ok(()) };
        let (first, end) = (host.view.log_start, host.view.high_watermark);
        let many = u64::try_from(end - first).unwrap_or(0);
        let some = first + i64::try_from(self.rng.below(many + 1)).unwrap_or(0);
        let before = (!self.rng.chance(1, 3)).then_some(some);
        self.tally.deletions += 1;
        let deadline = self.now_of(leader).monotonic + DELETION_TIMEOUT;
        let request = DeleteRecords { waiter: 0, before, deadline };
        self.drive(leader, key, Event::DeleteRecords(request))
    }

    /// A partition of which the metadata counts nobody as in sync: whoever was has lost its directory.
    fn nobody_in_sync(&self) -> Option<Asked> {
        let ledger = self.ledgers.iter().find(|ledger| {
            let partition = self.metadata.head.partition(ledger.topic, ledger.index());
            partition.is_some_and(|partition| partition.isr.is_empty())
        })?;
        let slot = self.topics.iter().position(|topic| topic.name == ledger.name.topic)?;
        Some(Asked::AcceptLoss { slot, partition: place_of(ledger.index()) })
    }

    /// Other replicas for some partition: any of the brokers, at least two; or one is taken away and given back at once; or
    /// what was begun is cancelled at once.
    fn some_move(&mut self, slot: usize, partitions: usize) -> Option<Asked> {
        let partition = self.rng.index(partitions);
        let now = self.placement(slot, partition)?.clone();
        let mut brokers: Vec<BrokerId> = self.metadata.head.brokers().map(|broker| broker.id).collect();
        if brokers.len() < 3 {
            return None;
        }
        self.rng.shuffle(&mut brokers);
        if now.replicas.len() > 2 && now.reassignment.is_none() && self.rng.chance(1, 3) {
            let away = self.rng.index(now.replicas.len());
            let mut fewer = now.replicas.clone();
            fewer.remove(away);
            let back = Asked::Move { slot, partition, target: now.replicas, then: None };
            return Some(Asked::Move { slot, partition, target: fewer, then: Some(Box::new(back)) });
        }
        let most = brokers.len().min(self.shape.replicas + 1);
        brokers.truncate(self.rng.index(most - 1) + 2);
        let cancel = Asked::Cancel { slot, partition, back: now.original().to_vec() };
        let then = self.rng.chance(1, 3).then(|| Box::new(cancel));
        Some(Asked::Move { slot, partition, target: brokers, then })
    }

    fn placement(&self, slot: usize, partition: usize) -> Option<&Partition> {
        let id = self.topics.get(slot)?.id?;
        self.metadata.head.partition(id, index_of(partition)).map(|partition| &**partition)
    }

    fn ask(&mut self, asked: Asked, times: u32) {
        self.operator.asked += 1;
        let number = self.operator.asked;
        let Some(command) = self.command_of(&asked) else { return };
        self.operator.out = Some(Out { number, asked, since: self.now, times: times + 1 });
        let to = self.rng.index(self.machines.len());
        let message = Message::Propose { number, command: Box::new(command) };
        self.send(Site::Clients, Site::Broker(to), message);
    }

    fn command_of(&mut self, asked: &Asked) -> Option<Command> {
        let seed = PlacementSeed(self.rng.next());
        let name = |slot: usize| self.topics.get(slot).map(|topic| topic.name.clone());
        Some(match asked {
            Asked::Create(slot, id) => {
                let topic = self.topics.get(*slot)?;
                let min = ("min.insync.replicas".to_owned(), Some(topic.min_in_sync.to_string()));
                let unclean = topic.unclean.then(|| (UNCLEAN.to_owned(), Some("true".to_owned())));
                let layout = Layout::Placed {
                    partitions: i32::try_from(topic.partitions).unwrap_or(1),
                    replication_factor: i16::try_from(self.shape.replicas).unwrap_or(1),
                    seed,
                };
                let configs = [min].into_iter().chain(unclean).collect();
                let new = NewTopic { name: topic.name.clone(), id: *id, layout, configs };
                Command::CreateTopics(CreateTopics { topics: vec![new] })
            }
            Asked::Delete(_, id) => {
                Command::DeleteTopics(DeleteTopics { topics: vec![TopicSelector::Id(*id)] })
            }
            Asked::Grow(slot, count) => {
                let count = i32::try_from(*count).unwrap_or(1);
                let more = NewPartitions { topic: name(*slot)?, count, assignments: None, seed };
                Command::CreatePartitions(CreatePartitions { topics: vec![more] })
            }
            Asked::MinInSync(slot, min) => {
                let step = ("min.insync.replicas".to_owned(), ConfigOp::Set(min.to_string()));
                let change = ConfigChange {
                    resource: ConfigResource::Topic(name(*slot)?),
                    edit: ConfigEdit::Incremental(vec![step]),
                };
                Command::AlterConfigs(AlterConfigs { changes: vec![change] })
            }
            Asked::PreferredLeaders => {
                Command::ElectLeaders(ElectLeaders { election: Election::Preferred, partitions: None })
            }
            Asked::Move { slot, partition, target, .. } => {
                reassign(name(*slot)?, *partition, Some(target.clone()))
            }
            Asked::Cancel { slot, partition, .. } => reassign(name(*slot)?, *partition, None),
            Asked::AcceptLoss { slot, partition } => {
                let partitions = Some(vec![(name(*slot)?, index_of(*partition))]);
                Command::ElectLeaders(ElectLeaders { election: Election::Unclean, partitions })
            }
        })
    }

    /// The operator has an answer.
    pub(super) fn answered_operator(&mut self, number: u64, response: &Response) -> Verdict {
        let Some(Out { asked, times, .. }) = self.operator.out.take_if(|out| out.number == number) else {
            return Ok(());
        };
        self.tally.operations += 1;
        let refused = Self::was_refused(response);
        let late = times > 1 || self.shape.weather.double_one_in > 0;
        match asked {
            Asked::Create(slot, id) => return self.created(slot, id, response),
            Asked::Delete(slot, id) => {
                if self.metadata.head.topic_by_id(id).is_some() {
                    return Err(broken(
                        Invariant::MetadataStays,
                        format!("a deleted topic is there: {response:?}"),
                    ));
                }
                if let Some(topic) = self.topics.get_mut(slot) {
                    topic.is_gone();
                }
            }
            Asked::Grow(slot, count) => self.grown(slot, count),
            Asked::MinInSync(slot, min) => {
                if let Some(topic) = self.topics.get_mut(slot) {
                    topic.min_late.extend(late.then_some(min));
                    if !refused {
                        topic.min_in_sync = min;
                    }
                }
            }
            Asked::Move { slot, partition, target, then } => {
                self.tally.moves += u64::from(!refused);
                let original = self.placement(slot, partition).map(|now| now.original().to_vec());
                if let Some(placed) = self.placed(slot, partition) {
                    placed.late.extend(late.then(|| target.clone()));
                    placed.late.extend(original.clone().filter(|_| placed.late_cancel));
                    if !refused {
                        placed.told = vec![target];
                    }
                }
                if let Some(mut next) = then {
                    // An older move may have ended since this was thought of.
                    if let (Asked::Cancel { back, .. }, Some(original)) = (&mut *next, original) {
                        *back = original;
                    }
                    self.ask(*next, 0);
                }
            }
            Asked::Cancel { slot, partition, back } => {
                if let Some(placed) = self.placed(slot, partition) {
                    placed.late_cancel |= late;
                    // Refused because nothing moved any more: it was done, or this was asked and done before.
                    if !refused {
                        placed.told.clear();
                    }
                    placed.told.push(back);
                }
            }
            Asked::PreferredLeaders | Asked::AcceptLoss { .. } => {}
        }
        Ok(())
    }

    /// Refused because it was done when it was asked first: whoever asks again sees that.
    fn created(&mut self, slot: usize, id: TopicId, response: &Response) -> Verdict {
        let Some(name) = self.topics.get(slot).map(|topic| topic.name.clone()) else { return Ok(()) };
        // One of this name may have come late: then that is the topic.
        let there = self.metadata.head.topic(&name).map(|topic| topic.id());
        let Some(there) = there else {
            let enough =
                self.metadata.head.brokers().filter(|b| b.is_active()).count() >= self.shape.replicas;
            let refused = Self::was_refused(response);
            if !refused || enough && self.healing && self.now > self.heals_at + 15 * SECOND {
                let found = format!("topic {slot} ({id}) was not created: {response:?}");
                return Err(broken(Invariant::MetadataStays, found));
            }
            return Ok(());
        };
        let keys = self.keys_of(there);
        let placed = self.placed_now(there);
        let min = self.metadata.head.topic(&name).and_then(|topic| min_in_sync(topic));
        if let Some(topic) = self.topics.get_mut(slot) {
            topic.partitions = keys.len();
            topic.min_in_sync = min.unwrap_or(topic.min_in_sync);
            (topic.id, topic.keys) = (Some(there), keys);
            topic.add_placed(placed.into_iter());
        }
        Ok(())
    }

    fn placed_now(&self, topic: TopicId) -> Vec<Vec<BrokerId>> {
        let topic = self.metadata.head.topic_by_id(topic);
        let partitions = topic.iter().flat_map(|topic| topic.partitions());
        partitions.map(|(_, partition)| partition.target().to_vec()).collect()
    }

    /// A topic has so many partitions: clients come for those that are new.
    fn grown(&mut self, slot: usize, count: usize) {
        let Some(id) = self.topics.get(slot).and_then(|topic| topic.id) else { return };
        let (keys, placed) = (self.keys_of(id), self.placed_now(id));
        if keys.len() < count {
            return;
        }
        let Some(topic) = self.topics.get_mut(slot) else { return };
        let known = topic.partitions;
        topic.partitions = known.max(keys.len());
        topic.keys = keys;
        topic.add_placed(placed.into_iter());
        let clients = topic.kind == Kind::Records;
        for partition in (known..topic.partitions).filter(|_| clients) {
            self.add_clients((slot, partition));
        }
    }

    fn placed(&mut self, slot: usize, partition: usize) -> Option<&mut Placed> {
        self.topics.get_mut(slot)?.placed.get_mut(partition)
    }

    /// M2: what was answered is there at the end.
    pub(super) fn answered_stays(&self) -> Verdict {
        for slot in &self.topics {
            let there = self.metadata.head.topic(&slot.name);
            let min = there.and_then(|topic| min_in_sync(topic));
            let is_sound = there.map(|topic| topic.id()) == slot.id
                && there.is_some_and(|topic| topic.partition_count() >= slot.partitions)
                && min.is_some_and(|min| min == slot.min_in_sync || slot.min_late.contains(&min));
            let moved = there.iter().flat_map(|topic| topic.partitions()).zip(&slot.placed);
            let mut astray = moved.filter(|((_, partition), placed)| {
                !placed.told.contains(&partition.replicas) && !placed.late.contains(&partition.replicas)
            });
            if !is_sound || astray.next().is_some() {
                let found = format!("{slot:?} was answered, and {there:?} is there");
                return Err(broken(Invariant::MetadataStays, found));
            }
        }
        Ok(())
    }
}

fn min_in_sync(topic: &Topic) -> Option<usize> {
    topic.configs().get("min.insync.replicas")?.trim().parse().ok()
}

fn reassign(topic: String, partition: usize, target: Option<Vec<BrokerId>>) -> Command {
    let partitions = vec![Reassign { topic, partition: index_of(partition), target }];
    Command::AlterReassignments(AlterReassignments { partitions, may_change_replication_factor: true })
}

fn index_of(partition: usize) -> PartitionIndex {
    PartitionIndex::new(i32::try_from(partition).unwrap_or(0))
}

fn place_of(partition: PartitionIndex) -> usize {
    usize::try_from(partition.get()).unwrap_or(0)
}

/// How long whoever deletes records waits for the followers.
const DELETION_TIMEOUT: Duration = Duration::from_secs(10);
/// When the operator asks again.
const ASK_AGAIN: Micros = 2 * SECOND;
/// A topic grows to so many partitions.
const MOST_PARTITIONS: usize = 5;
