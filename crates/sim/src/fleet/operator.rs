//! What an operator does to a cluster that has trouble already: topics created, deleted and created again, configurations
//! changed, leaders moved. One thing at a time, asked again until there is an answer.

use ottla_coordination::metadata::{
    AlterConfigs, Command, ConfigChange, ConfigEdit, ConfigOp, ConfigResource, CreateTopics, DeleteTopics,
    ElectLeaders, Election, Layout, NewTopic, PlacementSeed, Response, TopicSelector,
};
use ottla_record::TopicId;

use super::Fleet;
use super::happening::{Happening, Key, Message};
use super::machine::{around, uuid};
use super::network::Site;
use super::queue::Micros;
use super::shape::{MILLI, SECOND};
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
}

/// The operator.
#[derive(Debug, Default)]
pub struct Operator {
    /// What was asked and not answered: its number, and when.
    out: Option<(u64, Asked, Micros)>,
    asked: u64,
    topics_made: u64,
}

/// What can be asked.
#[derive(Clone, Debug)]
enum Asked {
    Create(usize, TopicId),
    Delete(usize, TopicId),
    MinInSync(usize, usize),
    PreferredLeaders,
}

impl Fleet {
    /// The operator's turn.
    pub(super) fn operate(&mut self) {
        self.queue.plan(self.now + around(200 * MILLI, &mut self.rng), Happening::Operator);
        if let Some((_, asked, since)) = self.operator.out.clone() {
            if self.now >= since + ASK_AGAIN {
                self.ask(asked);
            }
            return;
        }
        if let Some(slot) = self.topics.iter().position(|topic| topic.id.is_none()) {
            self.operator.topics_made += 1;
            let id = TopicId(uuid(0x70, self.operator.topics_made));
            self.ask(Asked::Create(slot, id));
            return;
        }
        if self.healing || !self.rng.chance(1, 40) {
            return;
        }
        let slot = self.rng.index(self.topics.len());
        let Some(id) = self.topics.get(slot).and_then(|topic| topic.id) else { return };
        let asked = match self.rng.below(10) {
            0 => Asked::Delete(slot, id),
            1..4 => Asked::MinInSync(slot, self.rng.index(self.shape.replicas) + 1),
            _ => Asked::PreferredLeaders,
        };
        self.ask(asked);
    }

    fn ask(&mut self, asked: Asked) {
        self.operator.asked += 1;
        let number = self.operator.asked;
        self.operator.out = Some((number, asked.clone(), self.now));
        let command = match asked {
            Asked::Create(slot, id) => {
                let Some(topic) = self.topics.get(slot) else { return };
                Command::CreateTopics(CreateTopics {
                    topics: vec![NewTopic {
                        name: topic.name.clone(),
                        id,
                        layout: Layout::Placed {
                            partitions: i32::try_from(topic.partitions).unwrap_or(1),
                            replication_factor: i16::try_from(self.shape.replicas).unwrap_or(1),
                            seed: PlacementSeed(self.rng.next()),
                        },
                        configs: vec![(
                            "min.insync.replicas".to_owned(),
                            Some(topic.min_in_sync.to_string()),
                        )],
                    }],
                })
            }
            Asked::Delete(_, id) => {
                Command::DeleteTopics(DeleteTopics { topics: vec![TopicSelector::Id(id)] })
            }
            Asked::MinInSync(slot, min) => {
                let Some(topic) = self.topics.get(slot) else { return };
                let step = ("min.insync.replicas".to_owned(), ConfigOp::Set(min.to_string()));
                let change = ConfigChange {
                    resource: ConfigResource::Topic(topic.name.clone()),
                    edit: ConfigEdit::Incremental(vec![step]),
                };
                Command::AlterConfigs(AlterConfigs { changes: vec![change] })
            }
            Asked::PreferredLeaders => {
                Command::ElectLeaders(ElectLeaders { election: Election::Preferred, partitions: None })
            }
        };
        let to = self.rng.index(self.machines.len());
        let message = Message::Propose { number, command: Box::new(command) };
        self.send(Site::Clients, Site::Broker(to), message);
    }

    /// The operator has an answer.
    pub(super) fn answered_operator(&mut self, number: u64, response: &Response) -> Verdict {
        let Some((_, asked, _)) = self.operator.out.take_if(|(out, ..)| *out == number) else {
            return Ok(());
        };
        self.tally.operations += 1;
        let refused = Self::was_refused(response);
        match asked {
            // Refused because it was done when it was asked first: whoever asks again sees that.
            Asked::Create(slot, id) => {
                let keys = self.keys_of(id);
                if keys.is_empty() {
                    let enough =
                        self.metadata.head.brokers().filter(|b| b.is_active()).count() >= self.shape.replicas;
                    if !refused || enough && self.healing && self.now > self.heals_at + 15 * SECOND {
                        let found = format!("topic {slot} was not created: {response:?}");
                        return Err(broken(Invariant::MetadataStays, found));
                    }
                    return Ok(());
                }
                if let Some(topic) = self.topics.get_mut(slot) {
                    (topic.id, topic.keys) = (Some(id), keys);
                }
            }
            Asked::Delete(slot, id) => {
                if self.metadata.head.topic_by_id(id).is_some() {
                    return Err(broken(
                        Invariant::MetadataStays,
                        format!("a deleted topic is there: {response:?}"),
                    ));
                }
                if let Some(topic) = self.topics.get_mut(slot) {
                    (topic.id, topic.keys) = (None, Vec::new());
                }
            }
            Asked::MinInSync(slot, min) => {
                if !refused && let Some(topic) = self.topics.get_mut(slot) {
                    topic.min_in_sync = min;
                }
            }
            Asked::PreferredLeaders => {}
        }
        Ok(())
    }

    /// M2: what was answered is there at the end.
    pub(super) fn answered_stays(&self) -> Verdict {
        for topic in &self.topics {
            let there = self.metadata.head.topic(&topic.name);
            let min = there.and_then(|topic| topic.configs().get("min.insync.replicas").cloned());
            if there.map(|topic| topic.id()) != topic.id
                || min.as_deref() != Some(&*topic.min_in_sync.to_string())
            {
                let found = format!("{topic:?} was answered, and {there:?} is there");
                return Err(broken(Invariant::MetadataStays, found));
            }
        }
        Ok(())
    }
}

/// When the operator asks again.
const ASK_AGAIN: Micros = 2 * SECOND;
