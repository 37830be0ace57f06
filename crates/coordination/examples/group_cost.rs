//! What the group coordinator's decisions cost, without network and disk: `cargo run --release -p ottla-coordination --example
//! group_cost`. One line a figure.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it measures, and it may fail loudly"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_coordination::group::record::CommittedOffset;
use ottla_coordination::group::request::{ClientFacts, Heartbeat, Join, Protocol, Request, Sync};
use ottla_coordination::group::response::Response;
use ottla_coordination::group::settings::{
    Bounded, ClassicSettings, ConsumerSettings, GroupSettings, MigrationPolicy, OffsetSettings,
};
use ottla_coordination::group::{Generation, GroupId, Groups, MemberId, Record};
use ottla_coordination::metadata::Image;
use ottla_coordination::shard::{Machine, Step};
use ottla_record::{Monotonic, Now, Offset, PartitionIndex, Timestamp, Uuid};

fn main() {
    heartbeats(1_000, 5);
    heartbeats(1, 5_000);
    rebalance(100);
    rebalance(1_000);
    reload(1_000, 1_000);
    reload(10_000, 100);
}

/// Heartbeats of stable groups.
fn heartbeats(groups: usize, members: usize) {
    let mut bench = Bench::new();
    let known = bench.form(groups, members);
    const ROUNDS: usize = 20;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        bench.now.monotonic = bench.now.monotonic + Duration::from_secs(3);
        for (group, member, generation) in &known {
            let beat = Heartbeat {
                group: group.clone(),
                generation: *generation,
                member: member.clone(),
                instance: None,
            };
            let step = bench.groups.handle(0, Request::Heartbeat(beat), &bench.image, bench.now);
            assert!(matches!(step.replies.as_slice(), [(_, Response::Heartbeat(Ok(())))]));
        }
        let step = bench.groups.tick(&bench.image, bench.now);
        assert!(step.replies.is_empty() && step.records.is_empty());
    }
    let each = start.elapsed() / u32::try_from(ROUNDS * known.len()).unwrap();
    println!("{groups} groups of {members}: {each:?} a heartbeat, ticks included");
}

/// From the first to the last JoinGroup of a group that is there, and what the last one costs alone.
fn rebalance(members: usize) {
    let mut bench = Bench::new();
    let known = bench.form(1, members);
    let start = Instant::now();
    let mut last = start;
    let mut replies = 0;
    for (at, (group, member, _)) in known.iter().enumerate() {
        last = Instant::now();
        let join = bench.join(group, Some(member.clone()), b"changed");
        let step = bench.groups.handle(at, join, &bench.image, bench.now);
        replies += bench.follow(step).len();
    }
    assert_eq!(replies, members, "the last join completes the rebalance");
    println!("{members} members join again: {:?}, the last {:?}", start.elapsed(), last.elapsed());
}

/// Records of committed offsets, from bytes into memory.
fn reload(groups: usize, partitions: i32) {
    let topic: Arc<str> = "a-topic-of-some-name".into();
    let mut log = Vec::new();
    for group in 0..groups {
        for partition in 0..partitions {
            let record = Record::Offset {
                group: GroupId::new(format!("group-{group}")),
                topic: Arc::clone(&topic),
                partition: PartitionIndex::new(partition),
                value: Some(CommittedOffset {
                    offset: Offset::new(i64::from(partition)),
                    leader_epoch: None,
                    metadata: "".into(),
                    committed_at: Timestamp::EPOCH,
                    expires_at: None,
                    topic_id: None,
                }),
            };
            log.push(record.encode().unwrap());
        }
    }
    let mut bench = Bench::new();
    let start = Instant::now();
    for (key, value) in &log {
        let record = Record::decode(key, value.as_ref()).unwrap().unwrap();
        bench.groups.apply(&record, bench.now);
    }
    bench.groups.loaded(&bench.image, bench.now);
    println!("{} offsets of {groups} groups: {:?}", bench.groups.offset_count(), start.elapsed());
}

struct Bench {
    groups: Groups<usize>,
    image: Image,
    now: Now,
    fresh: u128,
}

impl Bench {
    fn new() -> Self {
        let bounded = Bounded { value: 5_000, min: 5_000, max: 15_000 };
        let settings = GroupSettings {
            classic: ClassicSettings {
                min_session_timeout_ms: 6_000,
                max_session_timeout_ms: 1_800_000,
                initial_rebalance_delay: Duration::from_secs(3),
                max_size: usize::MAX,
            },
            offsets: OffsetSettings {
                metadata_max_bytes: 4096,
                retention: Duration::from_secs(7 * 24 * 3600),
                retention_check_interval: Duration::from_secs(600),
            },
            consumer: ConsumerSettings {
                enabled: true,
                session_timeout_ms: bounded,
                heartbeat_interval_ms: bounded,
                assignment_interval_ms: bounded,
                max_size: usize::MAX,
                assignors: vec!["uniform".into()],
                migration: MigrationPolicy::Bidirectional,
                regex_refresh_interval: Duration::from_secs(600),
            },
        };
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::EPOCH };
        Self { groups: Groups::new(settings), image: Image::empty(), now, fresh: 0 }
    }

    fn join(&mut self, group: &GroupId, member: Option<MemberId>, says: &'static [u8]) -> Request {
        self.fresh += 1;
        Request::Join(Join {
            group: group.clone(),
            member,
            instance: None,
            client: ClientFacts { client_id: "consumer-app-1".into(), host: "/192.168.1.1".into() },
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "range".into(), metadata: Bytes::from_static(says) }],
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: Some(300_000),
            require_known_member: false,
            can_skip_assignment: true,
            reason: None,
            fresh: Uuid::from_bytes(self.fresh.to_be_bytes()),
        })
    }

    /// Stable groups.
    fn form(&mut self, groups: usize, members: usize) -> Vec<(GroupId, MemberId, Generation)> {
        let ids: Vec<GroupId> = (0..groups).map(|group| GroupId::new(format!("group-{group}"))).collect();
        for waiter in 0..groups * members {
            let join = self.join(&ids[waiter / members], None, b"");
            let step = self.groups.handle(waiter, join, &self.image, self.now);
            assert!(self.follow(step).is_empty());
        }
        let mut joined = Vec::new();
        while joined.len() < groups * members {
            self.now.monotonic = self.groups.next_deadline().unwrap().max(self.now.monotonic);
            let step = self.groups.tick(&self.image, self.now);
            joined.extend(self.follow(step));
        }
        let mut known = Vec::new();
        for (waiter, response) in joined {
            let Response::Join(Ok(joined)) = response else { panic!("not joined: {response:?}") };
            let assignments = joined.members.iter().map(|m| (m.member.clone(), Bytes::from_static(b"part")));
            let group = &ids[waiter / members];
            let sync = Sync {
                group: group.clone(),
                generation: joined.generation,
                member: joined.member.clone(),
                instance: None,
                protocol_type: None,
                protocol_name: None,
                assignments: assignments.collect(),
            };
            let step = self.groups.handle(waiter, Request::Sync(sync), &self.image, self.now);
            self.follow(step);
            known.push((group.clone(), joined.member, joined.generation));
        }
        known
    }

    fn follow(&mut self, step: Step<Groups<usize>>) -> Vec<(usize, Response)> {
        for record in &step.records {
            self.groups.apply(record, self.now);
        }
        step.replies
    }
}
