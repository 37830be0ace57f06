//! gRPC through a broker that leads and coordinates nothing of what it is asked for: it hands on, and goes on when the others die.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::ensure;
use it::batch::Batch;
use it::broker::Kind;
use it::clients::{Telling, grpc_python};
use it::cluster::{Cluster, Plan};
use it::raw::error;
use it::tools::{self, Tool};
use it::wait;
use ottla_client::{Client, GroupConsumer, Offset, Reassignment};

const TOPIC: &str = "numbers";
/// By single calls, and by one stream.
const SERIES: [&str; 2] = ["p", "s"];
/// What a story waits for: many times what an election takes.
const WITHIN: Duration = Duration::from_secs(30);
/// A member that lost its coordinator is at work again: far below the 45 s after which the group would miss it.
const REJOINED_WITHIN: Duration = Duration::from_secs(15);

/// Three brokers and one partition: who leads it, who is next, and the third one, whom the clients talk to.
struct Roles {
    cluster: Cluster,
    leader: i32,
    next: i32,
    third: i32,
}

impl Roles {
    /// `None` where there is no gRPC, or no client.
    fn begin() -> Option<Self> {
        if Kind::under_test() == Kind::Kafka {
            tools::note("Kafka has no gRPC");
            return None;
        }
        if !tools::require(&[Tool::Python]) {
            return None;
        }
        let cluster = Plan::under_test(3).start();
        cluster.create_topic(TOPIC, 1, &[]);
        let view = cluster.view(Some(TOPIC)).unwrap();
        let [leader, next, third] = view.partitions[0].replicas[..] else { panic!("{view:?}") };
        assert_eq!(view.partitions[0].leader, Some(leader));
        Some(Self { cluster, leader, next, third })
    }

    /// Publishes numbers as its leader's client.
    fn publish(&self, numbers: std::ops::Range<u32>) {
        let batch = Batch::of_values(numbers.map(|number| number.to_string())).bytes();
        let mut connection = self.cluster.connect_to_leader(TOPIC, 0);
        let (code, _) = connection.produce_once_led(TOPIC, 0, &batch).unwrap();
        assert_eq!(code, error::NONE);
    }

    /// A group that this broker coordinates.
    fn group_of(&self, broker: i32) -> String {
        let mut names = (0..).map(|number| format!("readers-{number}"));
        names.find(|name| self.cluster.coordinator(name) == broker).expect("names without end")
    }
}

#[test]
fn publishing_and_reading_through_another_broker_outlive_the_leader() {
    let Some(mut roles) = Roles::begin() else { return };
    let address = roles.cluster.broker(roles.third).api_address();
    let command = grpc_python("grpc_through_another.py", &[&address, TOPIC]).unwrap();
    let mut client = Telling::start(command).unwrap();
    // Some more of each series, acknowledged and read.
    let go_on = |client: &mut Telling| {
        let begin = Instant::now();
        let wanted = SERIES.map(|series| (series, Story::of(client.told()).last(series) + 40));
        wait::until("both series to go on", WITHIN, || {
            let story = Story::of(client.told());
            ensure!(story.ended.is_empty(), "{:?}", story.ended);
            Ok(wanted.iter().all(|(series, number)| story.last(series) >= *number).then_some(()))
        })
        .unwrap();
        eprintln!("went on after {:?}", begin.elapsed());
    };
    go_on(&mut client);
    for dies in [roles.leader, roles.next] {
        assert_eq!(roles.cluster.leader(TOPIC, 0), dies);
        roles.cluster.kill(dies);
        go_on(&mut client);
        assert_ne!(roles.cluster.leader(TOPIC, 0), roles.third, "the client's broker still leads nothing");
        roles.cluster.restart(dies);
        roles.cluster.wait_in_sync(TOPIC);
    }
    client.close();
    let stored: BTreeMap<i64, String> = wait::until("everything to be read", WITHIN, || {
        ensure!(client.told().iter().any(|line| line == "stopped"), "the publishers go on");
        let stored = roles.cluster.read_all(TOPIC, 0).into_iter();
        let stored: BTreeMap<i64, String> =
            stored.map(|record| (record.offset, String::from_utf8(record.value).unwrap())).collect();
        let read = Story::of(client.told()).read;
        ensure!(read.len() == stored.len(), "{} of {} records", read.len(), stored.len());
        Ok(Some(stored))
    })
    .unwrap();
    let story = Story::of(client.told());
    assert_eq!(story.read, stored, "what one Fetch was given is what is stored");
    assert_eq!(story.lines_read, stored.len(), "each record came once");
    for (value, offset) in &story.acked {
        assert_eq!(stored.get(offset), Some(value), "what was acknowledged stands at its offset");
    }
    // What broke off may be there twice, in its place in the order.
    for series in SERIES {
        let numbers: Vec<u32> = story.numbers(series).collect();
        assert!(numbers.is_sorted(), "{series}: {numbers:?}");
    }
    let again: Vec<&String> = client.told().iter().filter(|line| line.starts_with("again ")).collect();
    eprintln!("{} records, tried again: {again:?}", stored.len());
}

/// What the script told.
struct Story {
    acked: Vec<(String, i64)>,
    read: BTreeMap<i64, String>,
    lines_read: usize,
    ended: Vec<String>,
}

impl Story {
    fn of(lines: &[String]) -> Self {
        let mut story = Self { acked: Vec::new(), read: BTreeMap::new(), lines_read: 0, ended: Vec::new() };
        for line in lines {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["acked", value, offset] => story.acked.push((value.to_owned(), offset.parse().unwrap())),
                ["read", offset, value] => {
                    story.read.insert(offset.parse().unwrap(), value.to_owned());
                    story.lines_read += 1;
                }
                ["ended", ..] => story.ended.push(line.clone()),
                _ => {}
            }
        }
        story
    }

    /// The numbers of a series that were read.
    fn numbers(&self, series: &str) -> impl Iterator<Item = u32> {
        let of_series =
            self.read.values().filter_map(move |value| value.strip_prefix(series)?.strip_prefix('-'));
        of_series.map(|number| number.parse().unwrap())
    }

    fn last(&self, series: &str) -> u32 {
        self.numbers(series).max().unwrap_or(0)
    }
}

#[test]
fn a_member_whose_coordinator_dies_is_back_at_once_and_goes_on_at_its_commit() {
    let Some(mut roles) = Roles::begin() else { return };
    let group = roles.group_of(roles.next);
    let address = roles.cluster.broker(roles.third).api_address();
    let mut member = Member::start(&address, &group);
    roles.publish(0..50);
    member.until_read(50, WITHIN);
    let dead = roles.cluster.coordinator(&group);
    assert_eq!(dead, roles.next);
    roles.cluster.kill(dead);
    roles.publish(50..100);
    member.until_read(100, REJOINED_WITHIN);
    let unavailable = member.lines("unavailable");
    assert!(!unavailable.is_empty(), "its stream went to the broker that died");
    // Read before the death and not known to be committed.
    let repeated = member.records().len() - 100;
    eprintln!("{repeated} records again; {unavailable:?}");
    assert!(repeated <= 50);
    roles.cluster.restart(dead);
    roles.cluster.wait_in_sync(TOPIC);
}

#[test]
fn a_member_whose_broker_dies_is_back_through_another_one() {
    let Some(mut roles) = Roles::begin() else { return };
    let group = roles.group_of(roles.next);
    let [third, leader] = [roles.third, roles.leader].map(|id| roles.cluster.broker(id).api_address());
    // The first one that is there.
    let mut member = Member::start(&format!("ipv4:{third},{leader}"), &group);
    roles.publish(0..50);
    member.until_read(50, WITHIN);
    roles.cluster.kill(roles.third);
    roles.publish(50..100);
    member.until_read(100, REJOINED_WITHIN);
    assert!(!member.lines("unavailable").is_empty(), "its stream went through the broker that died");
    roles.cluster.restart(roles.third);
    roles.cluster.wait_in_sync(TOPIC);
}

/// It asks for its name again over another stream, and the group would keep that for its former self.
#[test]
fn a_static_member_in_rust_is_back_when_its_coordinator_dies() {
    let Some(mut roles) = Roles::begin() else { return };
    let group = roles.group_of(roles.next);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let addresses = [roles.third, roles.leader].map(|id| roles.cluster.broker(id).api_address());
    let mut member: GroupConsumer = runtime.block_on(async {
        let client = addresses
            .iter()
            .fold(Client::builder(), |builder, address| builder.bootstrap(format!("http://{address}")));
        let client = client.connect().await.unwrap();
        client.group(group.as_str()).topic(TOPIC).instance_id("one").build().unwrap()
    });
    let mut until_read = |last: u32, within: Duration| {
        let read = async {
            loop {
                let record = member.next().await.unwrap().unwrap();
                if record.value.unwrap() == last.to_string() {
                    break;
                }
            }
        };
        runtime.block_on(async { tokio::time::timeout(within, read).await }).expect("the records come");
    };
    roles.publish(0..50);
    until_read(49, WITHIN);
    roles.cluster.kill(roles.next);
    roles.publish(50..100);
    until_read(99, REJOINED_WITHIN);
    roles.cluster.restart(roles.next);
    roles.cluster.wait_in_sync(TOPIC);
}

/// Nobody dies: the broker that holds the member's stream goes on, and has nothing more to do with the group.
#[test]
fn a_member_follows_its_coordinator_to_another_broker() {
    let Some(roles) = Roles::begin() else { return };
    let Roles { cluster, leader, next, third } = &roles;
    let group = roles.group_of(*next);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime
        .block_on(Client::connect(format!("http://{}", cluster.broker(*third).api_address())))
        .unwrap();
    let _runtime = runtime.enter();
    let mut member = client.group(group.as_str()).topic(TOPIC).manual_commit().build().unwrap();
    let mut read_and_commit = |end: i64, within: Duration| {
        let work = async {
            loop {
                let next = tokio::time::timeout(Duration::from_millis(50), member.next()).await;
                next.ok().flatten().transpose().unwrap();
                let is_there = member.position(TOPIC, 0) == Some(Offset::new(end));
                if is_there && member.commit().await.is_ok() {
                    break member.member_id().unwrap().to_owned();
                }
            }
        };
        runtime.block_on(async { tokio::time::timeout(within, work).await }).expect("the records come")
    };
    roles.publish(0..50);
    let name = read_and_commit(50, WITHIN);

    const OFFSETS: &str = "__consumer_offsets";
    let partitions = cluster.view(Some(OFFSETS)).unwrap().partitions.len();
    let away = (0..i32::try_from(partitions).unwrap())
        .map(|partition| Reassignment::to(OFFSETS, partition, [*third, *leader]));
    let away: Vec<_> = away.collect();
    let outcomes = runtime.block_on(client.admin().alter_reassignments(&away, false)).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.outcome.is_ok()), "{outcomes:?}");
    wait::until("another coordinator", WITHIN, || Ok((cluster.coordinator(&group) != *next).then_some(())))
        .unwrap();

    roles.publish(50..100);
    assert_eq!(read_and_commit(100, REJOINED_WITHIN), name, "it is the same member");
    let coordinator = cluster.broker(cluster.coordinator(&group));
    let committed = coordinator.connect().committed(&group, TOPIC, 1).unwrap();
    assert_eq!(committed, BTreeMap::from([(0, 100)]));
}

/// A member in Python.
struct Member(Telling);

impl Member {
    fn start(address: &str, group: &str) -> Self {
        Self(Telling::start(grpc_python("grpc_group.py", &[address, group, TOPIC]).unwrap()).unwrap())
    }

    fn lines(&mut self, word: &str) -> Vec<String> {
        self.0.told().iter().filter(|line| line.starts_with(word)).cloned().collect()
    }

    /// The offsets it was given.
    fn records(&mut self) -> Vec<i64> {
        let lines = self.0.told().iter().filter_map(|line| line.strip_prefix("0 "));
        lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }

    fn until_read(&mut self, count: usize, within: Duration) {
        wait::until("the member to read", within, || {
            let read = self.records().into_iter().collect::<BTreeSet<_>>().len();
            ensure!(read >= count, "{read} of {count}; {:?}", self.0.told().last());
            Ok(Some(()))
        })
        .unwrap();
    }
}
