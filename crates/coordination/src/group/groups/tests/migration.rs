//! An application moves from the classic protocol to the consumer protocol and back, member by member, while all of them read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use ottla_record::{Monotonic, Now, PartitionIndex, Timestamp, TopicId, Uuid};
use ottla_wire::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment as wire,
};
use ottla_wire::records::{decode_consumer_protocol, encode_versioned};

use super::story::{image, settings};
use crate::group::request::*;
use crate::group::response::*;
use crate::group::settings::{GroupSettings, MigrationPolicy};
use crate::group::{Generation, GroupId, Groups, MemberEpoch, MemberId, Record};
use crate::metadata::Image;
use crate::shard::{Machine, Step};

type Read = BTreeSet<(TopicId, PartitionIndex)>;

/// A coordinator and consumers of both protocols, each asking when it is its turn and doing what it is told.
struct World {
    groups: Groups<String>,
    settings: GroupSettings,
    image: Image,
    now: Now,
    log: Vec<Record>,
    clients: BTreeMap<String, Client>,
    draws: u8,
}

/// What a consumer knows. A classic one gives up everything before it joins again ("eager").
#[derive(Clone, Debug)]
enum Client {
    Classic { id: Option<MemberId>, generation: Generation, phase: Phase, reads: Read },
    Consumer { epoch: i32, told: Read, reads: Read },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Waiting,
    In,
}

impl World {
    fn new(settings: GroupSettings) -> Self {
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_000_000) };
        let (image, mut groups) = (image(&["t"]), Groups::new(settings.clone()));
        groups.loaded(&image, now);
        Self { groups, settings, image, now, log: Vec::new(), clients: BTreeMap::new(), draws: 0 }
    }

    fn classic(&mut self, name: &str) {
        let generation = Generation::default();
        let client = Client::Classic { id: None, generation, phase: Phase::Out, reads: Read::new() };
        self.clients.insert(name.to_owned(), client);
    }

    fn consumer(&mut self, name: &str) {
        let client = Client::Consumer { epoch: 0, told: Read::new(), reads: Read::new() };
        self.clients.insert(name.to_owned(), client);
    }

    /// Everyone acts in turn, a second a round, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..40 {
            for name in self.clients.keys().cloned().collect::<Vec<_>>() {
                self.act(&name);
            }
            self.pass(1);
        }
        let reading: usize = self.clients.values().map(|client| client.reads().len()).sum();
        assert_eq!(reading, 3, "{:?}", self.clients);
        assert_eq!(self.listed().1, GroupState::Stable, "{:?}", self.clients);
    }

    fn listed(&mut self) -> (GroupType, GroupState) {
        let step = self.groups.handle(String::new(), Request::List(List::default()), &self.image, self.now);
        let Response::List(groups) = &step.replies[0].1 else { panic!("{step:?}") };
        (groups[0].group_type, groups[0].state)
    }

    fn act(&mut self, name: &str) {
        let group = GroupId::from("g");
        match self.clients[name].clone() {
            Client::Classic { phase: Phase::Waiting, .. } => {}
            Client::Classic { id, phase: Phase::Out, .. } => {
                let join = self.join(name, id);
                *self.phase(name) = Phase::Waiting;
                self.ask(name, Request::Join(join));
            }
            Client::Classic { id, generation, .. } => {
                let member = id.unwrap();
                self.ask(name, Request::Heartbeat(Heartbeat { group, generation, member, instance: None }));
            }
            Client::Consumer { epoch, reads, told } => {
                // It gives up first, then says so.
                let reads =
                    if epoch == 0 { Read::new() } else { reads.intersection(&told).copied().collect() };
                let owned =
                    reads.iter().map(|(t, p)| TopicPartitions { topic: *t, partitions: vec![*p] }).collect();
                self.clients.insert(name.to_owned(), Client::Consumer { epoch, told, reads });
                let beat = self.beat(name, epoch, owned);
                self.ask(name, Request::ConsumerHeartbeat(beat));
            }
        }
    }

    fn leave(&mut self, name: &str) {
        match self.clients.remove(name).unwrap() {
            Client::Classic { id, .. } => {
                let leaver = Leaver { member: id, instance: None, reason: None };
                let leave = Leave { group: GroupId::from("g"), members: vec![leaver] };
                self.ask(name, Request::Leave(leave));
            }
            Client::Consumer { .. } => {
                let beat =
                    ConsumerHeartbeat { rebalance_timeout_ms: None, ..self.beat(name, -1, Vec::new()) };
                self.ask(name, Request::ConsumerHeartbeat(beat));
            }
        }
    }

    fn beat(&mut self, name: &str, epoch: i32, owned: Vec<TopicPartitions>) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group: GroupId::from("g"),
            member: Some(MemberId::from(name)),
            epoch: MemberEpoch::new(epoch),
            brings_own_id: true,
            instance: None,
            client: ClientFacts { client_id: name.into(), host: "/10.0.0.1".into() },
            rack: None,
            rebalance_timeout_ms: Some(60_000),
            topics: Some(vec!["t".into()]),
            regex: None,
            assignor: None,
            owned: Some(owned),
            fresh: Uuid::ZERO,
        }
    }

    fn join(&mut self, name: &str, member: Option<MemberId>) -> Join {
        self.draws += 1;
        let metadata = ConsumerProtocolSubscription { topics: vec!["t".to_owned()], ..Default::default() };
        Join {
            group: GroupId::from("g"),
            member,
            instance: None,
            client: ClientFacts { client_id: name.into(), host: "/10.0.0.1".into() },
            protocol_type: "consumer".into(),
            protocols: vec![Protocol {
                name: "range".into(),
                metadata: encode_versioned(&metadata, 1).unwrap(),
            }],
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: Some(60_000),
            require_known_member: true,
            can_skip_assignment: true,
            reason: None,
            fresh: Uuid::from_bytes([self.draws; 16]),
        }
    }

    fn ask(&mut self, name: &str, request: Request) {
        let step = self.groups.handle(name.to_owned(), request, &self.image, self.now);
        self.follow(step);
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.now.monotonic + Duration::from_secs(seconds);
        while let Some(due) = self.groups.next_deadline().filter(|due| *due <= until) {
            self.now.monotonic = due.max(self.now.monotonic);
            let step = self.groups.tick(&self.image, self.now);
            self.follow(step);
        }
        self.now.monotonic = until;
        self.now.wall = Timestamp::from_millis(self.now.wall.millis() + seconds as i64 * 1000);
    }

    fn follow(&mut self, step: Step<Groups<String>>) {
        for record in &step.records {
            self.groups.apply(record, self.now);
        }
        self.log.extend(step.records);
        self.groups.check_invariants().unwrap();
        for (name, response) in step.replies {
            if self.clients.contains_key(&name) {
                self.hear(&name, response);
            }
        }
        let mut all = BTreeSet::new();
        for (name, client) in &self.clients {
            for read in client.reads() {
                assert!(all.insert(*read), "{name} reads what another reads: {:?}", self.clients);
            }
        }
    }

    fn hear(&mut self, name: &str, response: Response) {
        match response {
            Response::Join(Ok(joined)) => self.joined(name, joined),
            Response::Join(Err(GroupError::MemberIdRequired { member })) => {
                let join = self.join(name, Some(member));
                self.ask(name, Request::Join(join));
            }
            Response::Sync(Ok(synced)) => {
                let read: ConsumerProtocolAssignment = decode_consumer_protocol(synced.assignment).unwrap();
                let topic = self.image.topic("t").unwrap().id();
                let partitions = read.assigned_partitions.iter().flat_map(|t| &t.partitions);
                let reads = partitions.map(|p| (topic, PartitionIndex::new(*p))).collect();
                *self.reads(name) = reads;
                *self.phase(name) = Phase::In;
            }
            Response::Heartbeat(Ok(())) => {}
            Response::ConsumerHeartbeat(Ok(beat)) => {
                let Some(Client::Consumer { epoch, told, reads }) = self.clients.get_mut(name) else {
                    return;
                };
                *epoch = beat.epoch.get();
                if let Some(topics) = beat.assignment {
                    *told = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic, *p))).collect();
                    reads.extend(told.iter().copied());
                }
            }
            Response::Join(Err(error)) | Response::Sync(Err(error)) | Response::Heartbeat(Err(error)) => {
                let Some(Client::Classic { id, phase, reads, .. }) = self.clients.get_mut(name) else {
                    return;
                };
                if error == GroupError::UnknownMemberId {
                    *id = None;
                }
                (*phase, *reads) = (Phase::Out, Read::new());
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The leader of a classic group deals the partitions out in turn.
    fn joined(&mut self, name: &str, joined: Joined) {
        let all = joined.members.len();
        let part = |(at, member): (usize, &JoinedMember)| {
            let partitions = (0..3).filter(|p| *p as usize % all == at).collect();
            let assigned_partitions = vec![wire::TopicPartition { topic: "t".to_owned(), partitions }];
            let message = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
            (member.member.clone(), encode_versioned(&message, 1).unwrap())
        };
        let assignments: Vec<(MemberId, Bytes)> = joined.members.iter().enumerate().map(part).collect();
        let Some(Client::Classic { id, generation, .. }) = self.clients.get_mut(name) else { return };
        (*id, *generation) = (Some(joined.member.clone()), joined.generation);
        self.ask(
            name,
            Request::Sync(Sync {
                group: GroupId::from("g"),
                generation: joined.generation,
                member: joined.member,
                instance: None,
                protocol_type: joined.protocol_type,
                protocol_name: joined.protocol_name,
                assignments,
            }),
        );
    }

    fn phase(&mut self, name: &str) -> &mut Phase {
        match self.clients.get_mut(name).unwrap() {
            Client::Classic { phase, .. } => phase,
            Client::Consumer { .. } => panic!("{name} is of the consumer protocol"),
        }
    }

    fn reads(&mut self, name: &str) -> &mut Read {
        match self.clients.get_mut(name).unwrap() {
            Client::Classic { reads, .. } | Client::Consumer { reads, .. } => reads,
        }
    }

    /// Another broker takes over. Those that wait ask again.
    fn reload(&mut self) {
        let before = std::mem::replace(&mut self.groups, Groups::new(self.settings.clone()));
        for waiter in before.dissolve() {
            *self.phase(&waiter) = Phase::Out;
        }
        for record in &self.log {
            let (key, value) = record.encode().unwrap();
            let record = Record::decode(&key, value.as_ref()).unwrap().unwrap();
            self.groups.apply(&record, self.now);
        }
        self.groups.loaded(&self.image, self.now);
        self.groups.check_invariants().unwrap();
    }
}

impl Client {
    fn reads(&self) -> &Read {
        match self {
            Self::Classic { reads, .. } | Self::Consumer { reads, .. } => reads,
        }
    }
}

#[test]
fn members_move_to_the_consumer_protocol_and_back_one_by_one() {
    for reloads in [false, true] {
        let mut world = World::new(settings());
        let settle = |world: &mut World, expected| {
            world.settle();
            assert_eq!(world.listed().0, expected);
            if reloads {
                world.reload();
                world.settle();
                assert_eq!(world.listed().0, expected);
            }
        };
        world.classic("a");
        world.classic("b");
        settle(&mut world, GroupType::Classic);
        world.consumer("c");
        settle(&mut world, GroupType::Consumer);
        world.leave("a");
        world.consumer("d");
        settle(&mut world, GroupType::Consumer);
        world.leave("b");
        settle(&mut world, GroupType::Consumer);
        // And back.
        world.classic("e");
        settle(&mut world, GroupType::Consumer);
        world.leave("c");
        settle(&mut world, GroupType::Consumer);
        world.leave("d");
        settle(&mut world, GroupType::Classic);
        world.classic("f");
        settle(&mut world, GroupType::Classic);
    }
}

#[test]
fn a_consumer_member_joins_in_the_middle_of_a_classic_rebalance() {
    for rounds in 0..6 {
        let mut world = World::new(settings());
        world.classic("a");
        world.classic("b");
        world.settle();
        world.classic("x");
        for _ in 0..rounds {
            for name in ["a", "b", "x"] {
                world.act(name);
            }
        }
        world.consumer("c");
        world.settle();
        assert_eq!(world.listed().0, GroupType::Consumer, "after {rounds} rounds");
    }
}

#[test]
fn the_last_consumer_member_is_silent_and_the_group_becomes_classic() {
    let mut world = World::new(settings());
    world.consumer("c");
    world.settle();
    world.classic("a");
    world.settle();
    assert_eq!(world.listed().0, GroupType::Consumer);
    world.clients.remove("c");
    world.settle();
    assert_eq!(world.listed().0, GroupType::Classic);
}

#[test]
fn without_the_policy_nothing_is_converted() {
    let mut settings = settings();
    settings.consumer.migration = MigrationPolicy::Disabled;
    let mut world = World::new(settings);
    world.classic("a");
    world.settle();
    let beat = world.beat("c", 0, Vec::new());
    let step = world.groups.handle("c".to_owned(), Request::ConsumerHeartbeat(beat), &world.image, world.now);
    assert!(step.records.is_empty());
    let refused = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    let expected = Response::ConsumerHeartbeat(Err(GroupError::GroupIdNotFound(refused.to_owned())));
    assert_eq!(step.replies, [("c".to_owned(), expected)]);
}

#[test]
fn groups_without_members_give_way_to_the_other_protocol() {
    let mut world = World::new(settings());
    world.classic("a");
    world.settle();
    world.leave("a");
    world.consumer("c");
    world.settle();
    assert_eq!(world.listed().0, GroupType::Consumer);
    world.leave("c");
    world.reload();
    world.classic("b");
    world.settle();
    assert_eq!(world.listed().0, GroupType::Classic);
    world.reload();
    world.settle();
    assert_eq!(world.listed().0, GroupType::Classic);
}
