//! Groups over gRPC: members in two languages share a topic, survive each other's death, and go on where they were.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use it::broker::{Broker, Kind};
use it::clients::{Telling, grpc_python};
use it::tools::{self, Tool};
use it::{project, wait};
use ottla_client::{
    Client, GroupConsumer, GroupEvent, NewTopic, Offset, OffsetReset, ProducerRecord, Start, TopicPartition,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

fn broker() -> Option<Broker> {
    if Kind::under_test() == Kind::Kafka {
        tools::note("Kafka has no gRPC");
        return None;
    }
    Some(Broker::start())
}

fn address(broker: &Broker) -> String {
    format!("http://{}", broker.api_address())
}

async fn connect(broker: &Broker, topic: &str, partitions: i32) -> Client {
    let client = Client::connect(address(broker)).await.unwrap();
    client.admin().create_topic(NewTopic::named(topic).partitions(partitions)).await.unwrap();
    client
}

/// Publishes numbers to the partitions in turn.
async fn publish(client: &Client, topic: &str, partitions: i32, numbers: std::ops::Range<i32>) {
    let producer = client.producer().build().unwrap();
    for number in numbers {
        let record = ProducerRecord::to(topic).partition(number % partitions).value(number.to_string());
        producer.publish(record).await.unwrap();
    }
    producer.close().await.unwrap();
}

/// A member in a process of its own, and what it prints.
struct Process(Telling);

impl Process {
    fn python(broker: &Broker, group: &str, topic: &str) -> Self {
        let command = grpc_python("grpc_group.py", &[&broker.api_address(), group, topic]).unwrap();
        Self(Telling::start(command).unwrap())
    }

    fn example(broker: &Broker, group: &str, topic: &str) -> Self {
        let built = project::cargo()
            .args(["build", "--quiet", "--package", "ottla-client", "--example", "group"])
            .status()
            .unwrap();
        assert!(built.success(), "the example compiles");
        let mut command = Command::new(project::target().join("debug/examples/group"));
        command.args([&address(broker), group, topic]);
        Self(Telling::start(command).unwrap())
    }

    /// The records printed so far: partition, offset, value.
    fn records(&mut self) -> Vec<(i32, i64, i32)> {
        let record = |line: &String| {
            let mut words = line.split(' ');
            let mut next = || words.next()?.parse::<i64>().ok();
            let (partition, offset, value) = (next()?, next()?, next()?);
            Some((i32::try_from(partition).ok()?, offset, i32::try_from(value).ok()?))
        };
        let lines = self.0.told().iter();
        lines.filter(|line| !line.starts_with(char::is_alphabetic)).filter_map(record).collect()
    }
}

/// How many partitions each member owns, by the name of its client.
async fn shares(client: &Client, group: &str) -> BTreeMap<String, usize> {
    match client.admin().describe_group(group).await {
        Ok(described) => {
            let share =
                |member: &ottla_client::GroupMember| (member.client_id.clone(), member.assignment.len());
            described.members.iter().map(share).collect()
        }
        Err(error) => BTreeMap::from([(error.to_string(), 0)]),
    }
}

/// Waits until the group is shared out like this.
fn until_shared(runtime: &tokio::runtime::Runtime, client: &Client, group: &str, expected: &[(&str, usize)]) {
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
    wait::until("the group to settle", PATIENCE, || {
        let now = runtime.block_on(shares(client, group));
        if now == expected { Ok(Some(())) } else { anyhow::bail!("{now:?}, not {expected:?}") }
    })
    .unwrap();
}

#[test]
fn members_in_rust_and_python_share_a_group_and_take_over_from_one_that_is_killed() {
    let Some(broker) = broker() else { return };
    if !tools::require(&[Tool::Python]) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(connect(&broker, "numbers", 4));
    let mut rust = Process::example(&broker, "g", "numbers");
    let mut python = Process::python(&broker, "g", "numbers");
    until_shared(&runtime, &client, "g", &[("example", 2), ("python", 2)]);
    runtime.block_on(publish(&client, "numbers", 4, 0..203));
    wait::until("everything to be read", PATIENCE, || {
        Ok((rust.records().len() + python.records().len() == 203).then_some(()))
    })
    .unwrap();
    let mut owners: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for (name, records) in [("rust", rust.records()), ("python", python.records())] {
        let mut partitions: Vec<i32> = records.iter().map(|(partition, ..)| *partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        assert_eq!(partitions.len(), 2, "{name} read {partitions:?}");
        partitions.into_iter().for_each(|partition| owners.entry(partition).or_default().push(name));
    }
    assert!(owners.values().all(|owners| owners.len() == 1), "{owners:?}");

    // It has committed every ten records, so it dies with some that are read and not committed.
    let described = runtime.block_on(client.admin().describe_group("g")).unwrap();
    let of_rust = rust.records();
    let committed: BTreeMap<i32, i64> = described
        .offsets
        .iter()
        .filter_map(|offset| Some((offset.partition.partition, offset.committed?.get())))
        .collect();
    let again: Vec<_> = of_rust
        .iter()
        .filter(|(partition, offset, _)| committed.get(partition).is_none_or(|committed| offset >= committed))
        .copied()
        .collect();
    assert!(!again.is_empty() && again.len() < 10, "{again:?}");
    let before = python.records().len();
    // SIGKILL: nobody says goodbye.
    rust.0.kill();
    until_shared(&runtime, &client, "g", &[("python", 4)]);
    runtime.block_on(publish(&client, "numbers", 4, 203..403));
    wait::until("the other one to go on", PATIENCE, || {
        let read = python.records().len() - before;
        if read == 200 + again.len() { Ok(Some(())) } else { anyhow::bail!("{read} records") }
    })
    .unwrap();
    let since = python.records().split_off(before);
    let repeated: Vec<_> = since.iter().filter(|(.., value)| *value < 203).copied().collect();
    let sorted = |mut records: Vec<(i32, i64, i32)>| {
        records.sort_unstable();
        records
    };
    assert_eq!(sorted(repeated), sorted(again), "from the commit on, and not from before it");

    // One more joins, and the first leaves in order: it closes its requests.
    let group = client.group("g").topic("numbers").client_id("third");
    let reading = runtime.spawn(async move {
        let mut third = group.build().unwrap();
        while let Some(record) = third.next().await {
            record.unwrap();
        }
    });
    until_shared(&runtime, &client, "g", &[("python", 2), ("third", 2)]);
    python.0.close();
    assert!(python.0.wait().unwrap().success());
    until_shared(&runtime, &client, "g", &[("third", 4)]);
    reading.abort();
    until_shared(&runtime, &client, "g", &[]);
}

async fn take(consumer: &mut GroupConsumer, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.len() < count {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("records come");
        offsets.push(record.unwrap().unwrap().offset.get());
    }
    offsets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_commits_seeks_pauses_and_the_next_one_begins_at_its_commit() {
    let Some(broker) = broker() else { return };
    let client = connect(&broker, "t", 1).await;
    publish(&client, "t", 1, 0..20).await;
    let builder = || client.group("g").topic("t").manual_commit();
    let mut consumer = builder().build().unwrap();
    assert_eq!(take(&mut consumer, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(consumer.position("t", 0), Some(Offset::new(5)));
    consumer.commit().await.unwrap();
    assert_eq!(take(&mut consumer, 2).await, [5, 6]);
    consumer.seek("t", 0, Start::Offset(Offset::new(15))).unwrap();
    assert_eq!(take(&mut consumer, 2).await, [15, 16]);
    consumer.pause("t", 0).unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    consumer.resume("t", 0).unwrap();
    assert_eq!(take(&mut consumer, 1).await, [17]);
    let error = consumer.commit_offsets([("t", 7, Offset::new(1))]).await.unwrap_err();
    assert_eq!(error.to_string(), "t-7 is not assigned to this consumer");
    consumer.close().await.unwrap();

    // By hand nothing was committed since; the next member begins at 5, and commits by itself when it closes.
    let mut consumer = client.group("g").topics_matching("t.*").build().unwrap();
    match consumer.next_event().await.unwrap().unwrap() {
        GroupEvent::Assigned(partitions) => {
            assert_eq!(partitions, [TopicPartition { topic: "t".into(), partition: 0 }]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(take(&mut consumer, 3).await, [5, 6, 7]);
    consumer.close().await.unwrap();
    let described = client.admin().describe_group("g").await.unwrap();
    assert_eq!((described.listing.state.as_str(), described.members.len()), ("Empty", 0));
    assert_eq!(described.offsets[0].committed, Some(Offset::new(8)));
    assert_eq!(described.offsets[0].lag, Some(12));

    // A new group may begin at the end, and stays there.
    let mut late = client.group("late").topic("t").start(Start::Latest).build().unwrap();
    assert!(matches!(late.next_event().await, Some(Ok(GroupEvent::Assigned(_)))));
    publish(&client, "t", 1, 20..21).await;
    assert_eq!(take(&mut late, 1).await, [20]);
    late.close().await.unwrap();
}

/// A consumer that reads in the background until it is told to leave.
struct Reading {
    seen: Arc<Mutex<Vec<(i32, i64)>>>,
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Reading {
    fn start(mut consumer: GroupConsumer) -> Self {
        let seen: Arc<Mutex<Vec<(i32, i64)>>> = Arc::default();
        let (leave, mut told) = oneshot::channel::<()>();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    record = consumer.next() => {
                        let record = record.unwrap().unwrap();
                        into.lock().unwrap().push((record.partition, record.offset.get()));
                    }
                    _ = &mut told => break,
                }
            }
            consumer.close().await.unwrap();
        });
        Self { seen, leave: Some(leave), task }
    }

    fn seen(&self) -> Vec<(i32, i64)> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }

    fn partitions(&self) -> Vec<i32> {
        let mut partitions: Vec<i32> = self.seen().into_iter().map(|(partition, _)| partition).collect();
        partitions.dedup();
        partitions
    }

    async fn until_seen(&self, count: usize) {
        let wait = async {
            while self.seen().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the records come");
        assert_eq!(self.seen().len(), count, "{:?}", self.seen());
    }

    /// Commits what was read, and closes the stream.
    async fn leave(mut self) -> Vec<(i32, i64)> {
        drop(self.leave.take());
        self.task.await.unwrap();
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_comes_back_finds_its_partitions_and_disturbs_nobody() {
    let Some(broker) = broker() else { return };
    let client = connect(&broker, "t", 4).await;
    let member = |name: &str| client.group("g").topic("t").instance_id(name).client_id(name).build().unwrap();
    let settled = async |expected: &[(&str, usize)]| {
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        let wait = async {
            while shares(&client, "g").await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the group settles");
    };
    let (one, two) = (Reading::start(member("one")), Reading::start(member("two")));
    settled(&[("one", 2), ("two", 2)]).await;
    publish(&client, "t", 4, 0..40).await;
    one.until_seen(20).await;
    two.until_seen(20).await;
    let of_one = one.partitions();

    // Its name is taken as long as it is there.
    let refused = member("one").next().await.unwrap().unwrap_err();
    assert_eq!(refused.kafka_name(), Some("UNRELEASED_INSTANCE_ID"), "{refused}");

    // While it is away its partitions wait for it: the other does not get them.
    one.leave().await;
    publish(&client, "t", 4, 40..80).await;
    two.until_seen(40).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    two.until_seen(40).await;
    assert_eq!(shares(&client, "g").await, BTreeMap::from([("one".to_owned(), 2), ("two".to_owned(), 2)]));

    let back = Reading::start(member("one"));
    back.until_seen(20).await;
    assert_eq!(back.partitions(), of_one);
    assert!(
        back.seen().iter().all(|(_, offset)| *offset >= 10),
        "it goes on where it was: {:?}",
        back.seen()
    );
    settled(&[("one", 2), ("two", 2)]).await;
    two.until_seen(40).await;
    back.leave().await;
    two.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_reset_while_nobody_is_in_the_group_and_refused_otherwise() {
    let Some(broker) = broker() else { return };
    let client = connect(&broker, "t", 2).await;
    publish(&client, "t", 2, 0..20).await;
    let admin = client.admin();
    let mut consumer = client.group("g").topic("t").build().unwrap();
    take(&mut consumer, 20).await;
    let to = |partition, to| OffsetReset::of("t", partition, to);
    let error = admin.reset_offsets("g", &[to(0, Start::Earliest)], false).await.unwrap_err();
    assert_eq!(error.kafka_name(), Some("NON_EMPTY_GROUP"), "{error}");
    let error = admin.delete_group("g").await.unwrap_err();
    assert_eq!(error.kafka_name(), Some("NON_EMPTY_GROUP"), "{error}");
    consumer.close().await.unwrap();

    let resets =
        [to(0, Start::Offset(Offset::new(3))), to(1, Start::Offset(Offset::new(99))), to(5, Start::Latest)];
    for dry_run in [true, false] {
        let outcomes = admin.reset_offsets("g", &resets, dry_run).await.unwrap();
        let placed: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_ref().ok().copied()).collect();
        assert_eq!(placed, [Some(Offset::new(3)), Some(Offset::new(10)), None], "taken to the nearer end");
        assert_eq!(outcomes[0].previous, Some(Offset::new(10)));
        let error = outcomes[2].result.as_ref().unwrap_err();
        assert_eq!(error.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
        let described = admin.describe_group("g").await.unwrap();
        let first = described.offsets[0].committed.unwrap().get();
        assert_eq!(first, if dry_run { 10 } else { 3 });
    }
    let mut consumer = client.group("g").topic("t").build().unwrap();
    assert_eq!(take(&mut consumer, 7).await, [3, 4, 5, 6, 7, 8, 9]);
    let partition = TopicPartition { topic: "t".into(), partition: 1 };
    let error = admin.delete_offsets("g", std::slice::from_ref(&partition)).await.unwrap_err();
    assert_eq!(error.kafka_name(), Some("GROUP_SUBSCRIBED_TO_TOPIC"), "{error}");
    consumer.close().await.unwrap();
    admin.delete_offsets("g", &[partition]).await.unwrap();
    assert_eq!(admin.describe_group("g").await.unwrap().offsets.len(), 1);
    admin.delete_group("g").await.unwrap();
    let error = admin.describe_group("g").await.unwrap_err();
    assert_eq!(error.kafka_name(), Some("GROUP_ID_NOT_FOUND"), "{error}");
}
