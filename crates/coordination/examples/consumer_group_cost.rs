//! What groups of the consumer protocol cost, without network and disk: `cargo run --release -p ottla-coordination --example
//! consumer_group_cost`. One line a figure.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "it measures, and it may fail loudly"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_coordination::group::assignor::{Assignor, Member, Topic};
use ottla_coordination::group::partitions::Partitions;
use ottla_coordination::group::request::{ClientFacts, ConsumerHeartbeat, Request, TopicPartitions};
use ottla_coordination::group::response::{ConsumerBeat, Response};
use ottla_coordination::group::settings::{
    Bounded, ClassicSettings, ConsumerSettings, GroupSettings, MigrationPolicy, OffsetSettings,
};
use ottla_coordination::group::{GroupId, Groups, MemberEpoch, MemberId};
use ottla_coordination::metadata::{
    Command, CreateTopics, FormCluster, Image, Layout, NewTopic, PlacementSeed, RegisterBroker, UnfenceBroker,
};
use ottla_coordination::shard::Machine;
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, Monotonic, Now, Timestamp, TopicId, Uuid};

fn main() {
    assign("same topics", |_, _| true);
    assign("different topics", |member, topic| !(member + topic).is_multiple_of(3));
    groups(1_000, 5, 15);
    groups(1, 1_000, 10_000);
}

/// A thousand members share ten thousand partitions of a hundred topics.
fn assign(what: &str, wants: impl Fn(usize, usize) -> bool) {
    let topic = |number: usize| {
        let mut id = [0; 16];
        id.iter_mut().zip(number.to_be_bytes().iter().skip(4)).for_each(|(to, from)| *to = *from);
        Topic { id: TopicId(Uuid::from_bytes(id)), partitions: 100, racks: &[] }
    };
    let topics: Vec<Topic> = (0..100).map(topic).collect();
    let ids: Vec<String> = (0..1_000).map(|m| format!("member-{m:04}")).collect();
    let wanted = |m: usize| (0..100).filter(|t| wants(m, *t)).map(|t| u32::try_from(t).unwrap()).collect();
    let wanted: Vec<Vec<u32>> = (0..1_000).map(wanted).collect();
    for assignor in [Assignor::Uniform, Assignor::Range] {
        let mut owned = vec![Partitions::none(); 1_000];
        for situation in ["from nothing", "unchanged", "one left"] {
            if situation == "one left" {
                owned.pop();
            }
            let members: Vec<Member<'_>> = ids
                .iter()
                .zip(&wanted)
                .zip(&owned)
                .map(|((id, topics), assigned)| Member { id, instance: None, topics, assigned, rack: None })
                .collect();
            let start = Instant::now();
            let assigned = assignor.assign(&topics, &members);
            println!(
                "{assignor}, 1,000 members of {what}, 10,000 partitions, {situation}: {:?}",
                start.elapsed()
            );
            owned = assigned;
        }
    }
}

/// Groups come to rest, then their members are heard as in everyday life.
fn groups(count: usize, members: usize, partitions: i32) {
    let mut bench = Bench::new(partitions);
    let mut known: Vec<Known> = Vec::new();
    let start = Instant::now();
    for group in 0..count {
        for member in 0..members {
            let group = GroupId::new(format!("group-{group}"));
            let id = MemberId::new(format!("consumer-{member:022}"));
            known.push(Known { group, id, epoch: 0, owned: Vec::new() });
        }
    }
    for round in 0..4 {
        bench.pass();
        for member in &mut known {
            bench.beat(member, true);
        }
        if round == 0 {
            println!("{count} groups of {members}: everyone joined after {:?}", start.elapsed());
        }
    }
    println!("{count} groups of {members} with {partitions} partitions: at rest after {:?}", start.elapsed());

    const ROUNDS: usize = 20;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        bench.pass();
        for member in &mut known {
            bench.beat(member, false);
        }
    }
    let each = start.elapsed() / u32::try_from(ROUNDS * known.len()).unwrap();
    println!("{count} groups of {members}: {each:?} a heartbeat, its request and the ticks included");
}

struct Known {
    group: GroupId,
    id: MemberId,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

struct Bench {
    groups: Groups<u32>,
    image: Image,
    now: Now,
    client: ClientFacts,
    topics: Vec<Arc<str>>,
}

impl Bench {
    fn new(partitions: i32) -> Self {
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) };
        let image = image(partitions);
        let mut groups = Groups::new(settings());
        groups.loaded(&image, now);
        let client = ClientFacts { client_id: "app".into(), host: "/127.0.0.1".into() };
        Self { groups, image, now, client, topics: vec!["orders".into()] }
    }

    fn pass(&mut self) {
        self.now.monotonic = self.now.monotonic + Duration::from_secs(5);
        self.now.wall = Timestamp::from_millis(self.now.wall.millis() + 5_000);
        let step = self.groups.tick(&self.image, self.now);
        assert!(step.records.is_empty());
    }

    fn beat(&mut self, member: &mut Known, full: bool) {
        let beat = ConsumerHeartbeat {
            group: member.group.clone(),
            member: Some(member.id.clone()),
            epoch: MemberEpoch::new(member.epoch),
            brings_own_id: true,
            instance: None,
            client: self.client.clone(),
            rack: None,
            rebalance_timeout_ms: full.then_some(300_000),
            topics: full.then(|| self.topics.clone()),
            regex: None,
            assignor: None,
            owned: full.then(|| member.owned.clone()),
            fresh: Uuid::ZERO,
        };
        let step = self.groups.handle(0, Request::ConsumerHeartbeat(beat), &self.image, self.now);
        for record in &step.records {
            self.groups.apply(record, self.now);
        }
        let Some((_, Response::ConsumerHeartbeat(Ok(ConsumerBeat { epoch, assignment, .. })))) =
            step.replies.into_iter().next()
        else {
            panic!("refused");
        };
        member.epoch = epoch.get();
        if let Some(assignment) = assignment {
            member.owned = assignment;
        }
    }
}

fn image(partitions: i32) -> Image {
    let uuid = Uuid::from_bytes([1; 16]);
    let (mut image, cluster, broker) = (Image::empty(), ClusterId(uuid), BrokerId::new(1));
    image.apply(&Command::FormCluster(FormCluster { cluster }));
    image.apply(&Command::RegisterBroker(RegisterBroker {
        broker,
        incarnation: Incarnation(uuid),
        cluster,
        directory: DirectoryId(uuid),
        endpoints: Vec::new(),
        rack: None,
        replaces: None,
    }));
    let epoch = image.broker(broker).unwrap().epoch;
    image.apply(&Command::UnfenceBroker(UnfenceBroker { broker, epoch }));
    let layout = Layout::Placed { partitions, replication_factor: 1, seed: PlacementSeed(0) };
    let topic = NewTopic { name: "orders".to_owned(), id: TopicId(uuid), layout, configs: Vec::new() };
    image.apply(&Command::CreateTopics(CreateTopics { topics: vec![topic] }));
    assert!(image.topic("orders").is_some());
    image
}

fn settings() -> GroupSettings {
    GroupSettings {
        classic: ClassicSettings {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: 10_000,
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
            assignment_interval_ms: Bounded { value: 1_000, min: 0, max: 15_000 },
            max_size: 10_000,
            assignors: vec!["uniform".into(), "range".into()],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_interval: Duration::from_secs(600),
        },
    }
}
