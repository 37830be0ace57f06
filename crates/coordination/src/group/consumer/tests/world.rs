//! A coordinator with one consumer group, clients that behave as Kafka's do, and a log from which the group can be loaded again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{
    BrokerId, ClusterId, DirectoryId, Incarnation, Monotonic, Now, PartitionIndex, Timestamp, TopicId, Uuid,
};

use super::super::{ConsumerGroup, Context, Topics, validate};
use crate::group::ids::{GroupId, InstanceId, MemberEpoch, MemberId};
use crate::group::record::Record;
use crate::group::request::{ClientFacts, ConsumerHeartbeat, TopicPartitions};
use crate::group::response::{ConsumerBeat, GroupError};
use crate::group::settings::{
    Bounded, ClassicSettings, ConsumerSettings, GroupSettings, MigrationPolicy, OffsetSettings,
};
use crate::metadata::{
    Command, CreatePartitions, CreateTopics, DeleteTopics, FormCluster, Image, Layout, NewPartitions,
    NewTopic, PlacementSeed, RegisterBroker, TopicSelector, UnfenceBroker,
};

pub(super) struct World {
    pub(super) image: Image,
    pub(super) topics: Topics,
    pub(super) settings: GroupSettings,
    pub(super) now: Now,
    pub(super) group: Option<ConsumerGroup>,
    pub(super) log: Vec<Record>,
    pub(super) clients: BTreeMap<String, Client>,
    fresh: u32,
}

/// A consumer: what it was told, and what it has in its hands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Client {
    pub(super) epoch: i32,
    pub(super) topics: Vec<String>,
    pub(super) pattern: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) assignor: Option<String>,
    /// What it was told to hold.
    pub(super) told: BTreeSet<(TopicId, PartitionIndex)>,
    /// What it has: that, and what it has not given up yet.
    pub(super) has: BTreeSet<(TopicId, PartitionIndex)>,
}

pub(super) fn topic_id(name: &str) -> TopicId {
    let mut bytes = [7; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(b, c)| *b = c);
    TopicId(Uuid::from_bytes(bytes))
}

pub(super) fn settings() -> GroupSettings {
    GroupSettings {
        classic: ClassicSettings {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: 1_000,
        },
        offsets: OffsetSettings {
            metadata_max_bytes: 4_096,
            retention: Duration::from_secs(604_800),
            retention_check_interval: Duration::from_secs(600),
        },
        consumer: ConsumerSettings {
            enabled: true,
            session_timeout_ms: Bounded { value: 45_000, min: 45_000, max: 60_000 },
            heartbeat_interval_ms: Bounded { value: 5_000, min: 5_000, max: 15_000 },
            assignment_interval_ms: Bounded { value: 0, min: 0, max: 15_000 },
            max_size: 1_000,
            assignors: vec!["uniform".into(), "range".into()],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_interval: Duration::from_secs(600),
        },
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut image = Image::empty();
        let cluster = ClusterId(Uuid::from_random([1; 16]));
        image.apply(&Command::FormCluster(FormCluster { cluster }));
        let broker = BrokerId::new(1);
        image.apply(&Command::RegisterBroker(RegisterBroker {
            broker,
            incarnation: Incarnation(Uuid::from_random([2; 16])),
            cluster,
            directory: DirectoryId(Uuid::from_random([3; 16])),
            endpoints: Vec::new(),
            rack: Some("r1".to_owned()),
            replaces: None,
        }));
        let epoch = image.broker(broker).unwrap().epoch;
        image.apply(&Command::UnfenceBroker(UnfenceBroker { broker, epoch }));
        let now = Now {
            monotonic: Monotonic::from_start(Duration::from_secs(100)),
            wall: Timestamp::from_millis(1_000_000),
        };
        let (topics, settings) = (Topics::new(), settings());
        Self {
            image,
            topics,
            settings,
            now,
            group: None,
            log: Vec::new(),
            clients: BTreeMap::new(),
            fresh: 0,
        }
    }

    /// Makes a topic, or makes it grow.
    pub(super) fn topic(&mut self, name: &str, partitions: i32) {
        let seed = PlacementSeed(0);
        let command = match self.image.topic(name) {
            Some(_) => Command::CreatePartitions(CreatePartitions {
                topics: vec![NewPartitions {
                    topic: name.to_owned(),
                    count: partitions,
                    assignments: None,
                    seed,
                }],
            }),
            None => Command::CreateTopics(CreateTopics {
                topics: vec![NewTopic {
                    name: name.to_owned(),
                    id: topic_id(name),
                    layout: Layout::Placed { partitions, replication_factor: 1, seed },
                    configs: Vec::new(),
                }],
            }),
        };
        self.image.apply(&command);
        assert_eq!(self.image.topic(name).unwrap().partition_count(), partitions as usize);
    }

    pub(super) fn delete_topic(&mut self, name: &str) {
        let topics = vec![TopicSelector::Name(name.to_owned())];
        self.image.apply(&Command::DeleteTopics(DeleteTopics { topics }));
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now.monotonic = self.now.monotonic + time;
        self.now.wall = Timestamp::from_millis(self.now.wall.millis() + time.as_millis() as i64);
    }

    pub(super) fn request(&mut self, who: &str, epoch: i32) -> ConsumerHeartbeat {
        self.fresh += 1;
        let client = self.clients.get(who).cloned().unwrap_or_default();
        ConsumerHeartbeat {
            group: GroupId::from("g"),
            member: Some(MemberId::from(who)),
            epoch: MemberEpoch::new(epoch),
            brings_own_id: true,
            instance: client.instance.as_deref().map(InstanceId::from),
            client: ClientFacts { client_id: "c".into(), host: "/127.0.0.1".into() },
            rack: None,
            rebalance_timeout_ms: None,
            topics: None,
            regex: None,
            assignor: None,
            owned: None,
            fresh: Uuid::from_random([self.fresh as u8; 16]),
        }
    }

    /// A request that says everything, as a client sends it when it joins or after an answer was lost.
    pub(super) fn full_request(&mut self, who: &str, epoch: i32) -> ConsumerHeartbeat {
        let client = self.clients.get(who).cloned().unwrap_or_default();
        let shared = |name: &String| Arc::from(name.as_str());
        ConsumerHeartbeat {
            rebalance_timeout_ms: Some(60_000),
            topics: Some(client.topics.iter().map(shared).collect()),
            regex: client.pattern.as_ref().map(shared),
            assignor: client.assignor.as_ref().map(shared),
            owned: Some(if epoch == 0 { Vec::new() } else { topics_of(&client.has) }),
            ..self.request(who, epoch)
        }
    }

    /// Sends a request to the coordinator and makes its records true.
    pub(super) fn send(&mut self, request: &ConsumerHeartbeat) -> Result<ConsumerBeat, GroupError> {
        self.topics.observe(&self.image);
        let mut fresh = ConsumerGroup::new(request.group.clone());
        let context = context(&self.image, &self.topics, &self.settings, self.now);
        let group = self.group.as_mut();
        if group.is_none() && request.epoch != MemberEpoch::JOIN {
            return Err(GroupError::GroupIdNotFound("Consumer group g not found.".to_owned()));
        }
        validate(request, &context)?;
        let decision = group.unwrap_or(&mut fresh).heartbeat(request, &context)?;
        self.append(decision.records);
        Ok(decision.answer)
    }

    /// What time brings.
    pub(super) fn tick(&mut self) {
        self.topics.observe(&self.image);
        let context = context(&self.image, &self.topics, &self.settings, self.now);
        let records = self.group.as_mut().map(|group| group.tick(&context)).unwrap_or_default();
        self.append(records);
    }

    pub(super) fn append(&mut self, records: Vec<Record>) {
        apply(&mut self.group, &records, self.now);
        self.log.extend(records);
        if let Some(group) = &self.group {
            group.check_invariants().unwrap();
        }
    }

    /// Another broker takes over: the group is what the log says, written and read.
    pub(super) fn reload(&mut self) {
        let mut group = None;
        for record in &self.log {
            let (key, value) = record.encode().unwrap();
            let read = Record::decode(&key, value.as_ref()).unwrap().unwrap();
            assert_eq!(&read, record);
            apply(&mut group, &[read], self.now);
        }
        if let Some(group) = &mut group {
            group.loaded(self.now.monotonic);
            group.check_invariants().unwrap();
        }
        assert_eq!(group.as_ref().map(durable), self.group.as_ref().map(durable));
        self.group = group;
        self.topics = Topics::new();
    }

    /// A client takes note of an answer, or of being thrown out.
    pub(super) fn receive(&mut self, who: &str, answer: &Result<ConsumerBeat, GroupError>) {
        let client = self.clients.get_mut(who).unwrap();
        match answer {
            Ok(beat) => {
                client.epoch = beat.epoch.get();
                if let Some(assignment) = &beat.assignment {
                    client.told = pairs(assignment).collect();
                    client.has.extend(client.told.iter().copied());
                }
                if beat.epoch.get() < 0 {
                    (client.told, client.has) = (BTreeSet::new(), BTreeSet::new());
                }
            }
            Err(
                GroupError::FencedMemberEpoch(_)
                | GroupError::UnknownMemberId
                | GroupError::GroupIdNotFound(_),
            ) => {
                client.epoch = 0;
                (client.told, client.has) = (BTreeSet::new(), BTreeSet::new());
            }
            Err(_) => {}
        }
    }

    pub(super) fn show(&self, partitions: impl IntoIterator<Item = (TopicId, PartitionIndex)>) -> String {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            let name = self.image.topic_by_id(topic).map_or("?".to_owned(), |t| t.name().to_string());
            topics.entry(name).or_default().push(partition.get());
        }
        if topics.is_empty() {
            return "nothing".to_owned();
        }
        topics.iter().map(|(name, p)| format!("{name}{p:?}")).collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn context<'a>(
    image: &'a Image,
    topics: &'a Topics,
    settings: &'a GroupSettings,
    now: Now,
) -> Context<'a> {
    Context { image, topics, settings, now }
}

pub(super) fn apply(group: &mut Option<ConsumerGroup>, records: &[Record], now: Now) {
    for record in records {
        let held = group.get_or_insert_with(|| ConsumerGroup::new(record.group().clone()));
        if !held.apply(record, now) {
            *group = None;
        }
    }
}

/// What a group is but for its timers.
pub(super) fn durable(group: &ConsumerGroup) -> String {
    let members = group.members.iter().map(|(id, seat)| (id, &seat.member)).collect::<BTreeMap<_, _>>();
    format!(
        "{:?} {:?} {:?} {members:?} {:?} {:?} {:?} {:?}",
        group.epoch, group.digest, group.target, group.targets, group.statics, group.holders, group.matches
    )
}

pub(super) fn pairs(topics: &[TopicPartitions]) -> impl Iterator<Item = (TopicId, PartitionIndex)> + '_ {
    topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic, *p)))
}

pub(super) fn topics_of(pairs: &BTreeSet<(TopicId, PartitionIndex)>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, partition) in pairs {
        topics.entry(*topic).or_default().push(*partition);
    }
    topics.into_iter().map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect()
}
