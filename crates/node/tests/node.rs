//! A node over real files, with a metadata plane that applies commands at once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_coordination::config::{BrokerConfig, Layers, Settings};
use ottla_coordination::metadata::{
    Command, CreateTopics, DeleteTopics, FormCluster, Image, Layout, ManualAssignment, NewTopic,
    PlacementSeed, RegisterBroker, Response, TopicSelector, UnfenceBroker,
};
use ottla_node::ports::{
    BoxFuture, MetadataPlane, PeerAddress, PeerError, PeerTransport, ProposeError, ReplicaFetch,
    ReplicaFetched,
};
use ottla_node::{
    Acks, BrokerSettings, ConnectionId, FetchError, FetchItem, FetchOptions, Isolation, LookupError, Node,
    Parts, ProduceError, ProduceItem, ProduceOptions, SystemClock, TopicKey,
};
use ottla_record::{
    BatchBuilder, Batches, BrokerId, ClusterId, Codec, DirectoryId, Incarnation, PartitionIndex, TopicId,
    Uuid,
};
use ottla_storage::{DirectoryLimits, FsDisk, LogDirectory};
use parking_lot::Mutex;
use tokio::sync::watch;

#[path = "node/coordinator.rs"]
mod coordinator;

/// Metadata that every command changes at once, as a lone voter's does.
struct Plane {
    images: watch::Sender<Arc<Image>>,
    session_age: Mutex<Option<Duration>>,
}

impl MetadataPlane for Plane {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>> {
        let mut response = None;
        self.images.send_modify(|image| {
            let mut next = Image::clone(image);
            response = Some(next.apply(&command));
            *image = Arc::new(next);
        });
        Box::pin(async move { response.ok_or(ProposeError::Stopping) })
    }

    fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.images.subscribe()
    }

    fn session_age(&self) -> Option<Duration> {
        *self.session_age.lock()
    }
}

/// There is no other broker.
struct Nobody;

impl PeerTransport for Nobody {
    fn fetch<'a>(
        &'a self,
        _leader: &'a PeerAddress,
        _request: ReplicaFetch,
    ) -> BoxFuture<'a, Result<Vec<ReplicaFetched>, PeerError>> {
        Box::pin(async { Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()) })
    }
}

static DRAWN: AtomicU8 = AtomicU8::new(1);

/// Different at each call, which is all these tests need.
fn random() -> [u8; 16] {
    [DRAWN.fetch_add(1, Ordering::Relaxed); 16]
}

const BROKER: BrokerId = BrokerId::new(1);

/// A broker whose metadata outlives its node, as a quorum's does.
struct Broker {
    dir: tempfile::TempDir,
    plane: Arc<Plane>,
}

impl Broker {
    fn new() -> Self {
        let cluster = ClusterId(Uuid::from_random(random()));
        let images = watch::Sender::new(Arc::new(Image::empty()));
        let plane = Plane { images, session_age: Mutex::new(Some(Duration::ZERO)) };
        drop(plane.propose(Command::FormCluster(FormCluster { cluster })));
        Self { dir: tempfile::tempdir().unwrap(), plane: Arc::new(plane) }
    }

    async fn start(&self) -> Arc<Node> {
        let disk = Arc::new(FsDisk::open(self.dir.path()).unwrap());
        let fresh = DirectoryId(Uuid::from_random(random()));
        let limits = DirectoryLimits { open_files: 64, reserve_bytes: Some(0) };
        let directory = Arc::new(LogDirectory::open(disk, BROKER, fresh, limits).unwrap());
        let image = self.plane.images().borrow().clone();
        let register = RegisterBroker {
            broker: BROKER,
            incarnation: Incarnation(Uuid::from_random(random())),
            cluster: image.cluster_id().unwrap(),
            directory: directory.directory_id(),
            endpoints: Vec::new(),
            rack: None,
            replaces: image.broker(BROKER).map(|broker| broker.epoch),
        };
        let registered = self.plane.propose(Command::RegisterBroker(register)).await.unwrap();
        let Response::RegisterBroker(Ok(broker_epoch)) = registered else { panic!("{registered:?}") };
        let file = Settings::new();
        let none = Settings::new();
        let layers = Layers { broker: &none, cluster: &none, file: &file, brokers: 1 };
        let config = BrokerConfig::resolve(layers, "localhost").unwrap();
        let node = Node::start(Parts {
            settings: BrokerSettings { file, config },
            directory,
            metadata: Arc::<Plane>::clone(&self.plane),
            peers: Arc::new(Nobody),
            clock: Arc::new(SystemClock::start()),
            broker_epoch,
            random,
        })
        .await
        .unwrap();
        let ready = Command::UnfenceBroker(UnfenceBroker { broker: BROKER, epoch: broker_epoch });
        self.plane.propose(ready).await.unwrap();
        let version = self.plane.images().borrow().version();
        node.follow_to(version).await.unwrap();
        node
    }

    /// Starts again. The log directory's lock goes with the last reference to the node before, which the followers of the
    /// metadata drop on their own time.
    async fn restart(&self) -> Arc<Node> {
        while FsDisk::open(self.dir.path()).is_err() {
            tokio::task::yield_now().await;
        }
        self.start().await
    }

    async fn create(&self, node: &Node, name: &str) -> TopicId {
        self.create_with(node, name, 1).await
    }

    async fn create_with(&self, node: &Node, name: &str, partitions: i32) -> TopicId {
        let layout = Layout::Placed { partitions, replication_factor: 1, seed: PlacementSeed(0) };
        self.create_as(node, name, layout).await
    }

    async fn create_as(&self, node: &Node, name: &str, layout: Layout) -> TopicId {
        let id = TopicId(Uuid::from_random(random()));
        let topic = NewTopic { name: name.to_owned(), id, layout, configs: Vec::new() };
        let topics = vec![topic];
        let created = self.plane.propose(Command::CreateTopics(CreateTopics { topics })).await.unwrap();
        assert!(
            matches!(&created, Response::CreateTopics(outcomes) if outcomes.iter().all(Result::is_ok)),
            "{created:?}"
        );
        let version = self.plane.images().borrow().version();
        node.follow_to(version).await.unwrap();
        id
    }
}

fn batch(value: &str, node: &Node) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(Some(node.clock().now().wall), None, Some(value.as_bytes()), &[]);
    builder.build().unwrap()
}

async fn produce(node: &Node, connection: u64, topic: &str, value: &str) -> i64 {
    produce_to(node, connection, topic, 0, value).await.unwrap()
}

async fn produce_to(
    node: &Node,
    connection: u64,
    topic: &str,
    partition: i32,
    value: &str,
) -> Result<i64, ProduceError> {
    let options = ProduceOptions {
        acks: Acks::All,
        timeout: Duration::from_secs(30),
        connection: ConnectionId(connection),
        alone: true,
        zstd_allowed: true,
        internal_topics_allowed: false,
    };
    let item = ProduceItem { topic: TopicKey::Name(topic), partition, records: batch(value, node) };
    let outcomes = node.produce(options, [item].into_iter()).await;
    outcomes.into_iter().next().flatten().unwrap().map(|produced| produced.base_offset.get())
}

fn item(topic: &str, offset: i64) -> FetchItem<'_> {
    let topic = TopicKey::Name(topic);
    FetchItem { topic, partition: 0, offset, max_bytes: 1 << 20, current_leader_epoch: None, is_read: true }
}

const OPTIONS: FetchOptions =
    FetchOptions { max_bytes: 1 << 20, isolation: Isolation::ReadUncommitted, from_followers: false };

/// Values with their offsets, and the leader epoch each batch carries.
fn values(node: &Node, topic: &str) -> Vec<(i64, i32, String)> {
    let outcome = node.fetch(OPTIONS, [item(topic, 0)].into_iter()).pop().unwrap().unwrap();
    let bytes = outcome.slice.map(|slice| slice.read().unwrap()).unwrap_or_default();
    Batches::new(&bytes)
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let epoch = batch.header().partition_leader_epoch().unwrap().get();
            let records = batch.records(1 << 20).unwrap();
            let records = records.iter().map(|record| record.unwrap());
            let read = |record: ottla_record::Record<'_>| {
                (record.offset.get(), epoch, String::from_utf8(record.value.unwrap().to_vec()).unwrap())
            };
            records.map(read).collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_of_one_partition_get_dense_offsets_in_their_own_order() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    let clients = (0..8).map(|client| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let mut offsets = Vec::new();
            for n in 0..50 {
                offsets.push(produce(&node, client, "t", &format!("{client}:{n}")).await);
            }
            offsets
        })
    });
    let mut all = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        let offsets = client.await.unwrap();
        assert!(offsets.is_sorted(), "a client's answers came in its order: {offsets:?}");
        all.extend(offsets);
    }
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<_>>());
    assert_eq!(values(&node, "t").len(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_of_another_broker_is_told_from_one_that_cannot_be_opened() {
    const OTHER: BrokerId = BrokerId::new(2);
    let broker = Broker::new();
    let node = broker.start().await;
    let register = RegisterBroker {
        broker: OTHER,
        incarnation: Incarnation(Uuid::from_random(random())),
        cluster: node.image().cluster_id().unwrap(),
        directory: DirectoryId(Uuid::from_random(random())),
        endpoints: Vec::new(),
        rack: None,
        replaces: None,
    };
    let registered = broker.plane.propose(Command::RegisterBroker(register)).await.unwrap();
    let Response::RegisterBroker(Ok(epoch)) = registered else { panic!("{registered:?}") };
    let ready = Command::UnfenceBroker(UnfenceBroker { broker: OTHER, epoch });
    broker.plane.propose(ready).await.unwrap();
    // A file where the directory of the third partition belongs.
    std::fs::write(broker.dir.path().join("t-2"), "in the way").unwrap();
    let place = |(partition, replica)| ManualAssignment {
        partition: PartitionIndex::new(partition),
        replicas: vec![replica],
    };
    let layout = Layout::Manual([(0, BROKER), (1, OTHER), (2, BROKER)].map(place).into());
    broker.create_as(&node, "t", layout).await;

    let outcome = |partition| {
        let items = [FetchItem { partition, ..item("t", 0) }];
        node.fetch(OPTIONS, items.into_iter()).pop().unwrap().map(|_| ())
    };
    assert_eq!(outcome(0), Ok(()));
    assert_eq!(outcome(1), Err(FetchError::Lookup(LookupError::NotHosted)));
    assert_eq!(outcome(2), Err(FetchError::Lookup(LookupError::Offline)));
    assert_eq!(outcome(3), Err(FetchError::Lookup(LookupError::UnknownTopicOrPartition)));
    for _ in 0..6 {
        let topics = node.topics();
        let topic = topics.topic(TopicKey::Name("t")).unwrap();
        assert_eq!(topic.next_keyless_partition().get(), 0, "keyless records go where they are taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_ends_when_a_record_comes_or_its_time_is_over() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    let now = node.clock().now().monotonic;
    let empty = node.fetch_wait(OPTIONS, &[item("t", 0)], 1, now + Duration::from_millis(20)).await;
    assert!(empty[0].as_ref().unwrap().slice.is_none());
    let waiting = {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let deadline = node.clock().now().monotonic + Duration::from_secs(60);
            node.fetch_wait(OPTIONS, &[item("t", 0)], 1, deadline).await
        })
    };
    tokio::task::yield_now().await;
    produce(&node, 1, "t", "woken").await;
    let outcome = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert!(outcome[0].as_ref().unwrap().slice.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_survive_a_clean_stop_and_the_next_process_writes_in_a_new_epoch() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    produce(&node, 1, "t", "before").await;
    let before = values(&node, "t");
    node.close().unwrap();
    drop(node);
    let node = broker.restart().await;
    produce(&node, 1, "t", "after").await;
    let after = values(&node, "t");
    assert_eq!(after[0], before[0]);
    assert_eq!((after[1].0, after[1].2.as_str()), (1, "after"));
    assert!(after[1].1 > after[0].1, "epochs {} then {}", after[0].1, after[1].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_and_created_again_begins_anew() {
    let broker = Broker::new();
    let node = broker.start().await;
    let id = broker.create(&node, "t").await;
    produce(&node, 1, "t", "old").await;
    let delete = DeleteTopics { topics: vec![TopicSelector::Id(id)] };
    broker.plane.propose(Command::DeleteTopics(delete)).await.unwrap();
    broker.create(&node, "t").await;
    assert!(values(&node, "t").is_empty());
    assert_eq!(produce(&node, 1, "t", "new").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_created_again_while_the_broker_was_away_begins_anew_and_the_old_files_are_set_aside() {
    let broker = Broker::new();
    let node = broker.start().await;
    let id = broker.create_with(&node, "t", 2).await;
    for value in ["a", "b", "c"] {
        produce(&node, 1, "t", value).await;
    }
    node.close().unwrap();
    drop(node);
    let old = std::fs::read(broker.dir.path().join("t-0/00000000000000000000.log")).unwrap();
    // While it is away, the cluster goes on.
    let delete = DeleteTopics { topics: vec![TopicSelector::Id(id)] };
    broker.plane.propose(Command::DeleteTopics(delete)).await.unwrap();
    let layout = Layout::Placed { partitions: 1, replication_factor: 1, seed: PlacementSeed(0) };
    let again = TopicId(Uuid::from_random(random()));
    let topic = NewTopic { name: "t".to_owned(), id: again, layout, configs: Vec::new() };
    // The image places replicas on brokers it believes alive; this one is not fenced here.
    let created = broker.plane.propose(Command::CreateTopics(CreateTopics { topics: vec![topic] })).await;
    assert!(matches!(&created, Ok(Response::CreateTopics(all)) if all[0].is_ok()), "{created:?}");

    let strays = || {
        let entries = std::fs::read_dir(broker.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut strays: Vec<_> =
            entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with("-stray"))).collect();
        strays.sort();
        strays
    };
    for start in ["first", "second"] {
        let node = broker.restart().await;
        let values: Vec<String> = values(&node, "t").into_iter().map(|(_, _, value)| value).collect();
        assert_eq!(values, if start == "first" { vec![] } else { vec!["new"] }, "at the {start} start");
        if start == "first" {
            assert_eq!(produce(&node, 1, "t", "new").await, 0);
        }
        let names = strays();
        assert_eq!(names.len(), 2, "the second partition too, which the new topic does not have: {names:?}");
        assert_eq!(std::fs::read(names[0].join("00000000000000000000.log")).unwrap(), old);
        node.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_their_reason() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    let fetch = |topic, offset| {
        let outcome = node.fetch(OPTIONS, [item(topic, offset)].into_iter()).pop().unwrap();
        outcome.map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(fetch("unknown", 0), "unknown topic or partition");
    assert_eq!(fetch("t", 1), "the offset lies outside the log, which starts at 0 and ends at 0");
    assert_eq!(fetch("t", -1), "the offset lies outside the log, which starts at 0 and ends at 0");
}

/// The value of a sample, as it stands in the text.
fn metric(node: &Node, sample: &str) -> f64 {
    let page = node.metrics().encode();
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_and_marks_are_counted_once_and_for_what_was_answered() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    let size = batch("three", &node).len() as f64;
    for n in 0..3 {
        produce(&node, n, "t", "three").await;
    }
    let options = ProduceOptions {
        acks: Acks::All,
        timeout: Duration::from_secs(30),
        connection: ConnectionId(1),
        alone: true,
        zstd_allowed: true,
        internal_topics_allowed: false,
    };
    let torn = ProduceItem { topic: TopicKey::Name("t"), partition: 0, records: Bytes::from_static(b"torn") };
    assert!(node.produce(options, [torn].into_iter()).await.pop().unwrap().unwrap().is_err());

    // A look that was not enough is followed by one that is answered with: only that one counts.
    assert!(node.fetch_if_enough(OPTIONS, [item("t", 1)].into_iter(), 1 << 20).is_none());
    let now = node.clock().now().monotonic;
    let _answer = node.fetch_wait(OPTIONS, &[item("t", 1)], 1 << 20, now + Duration::from_millis(5)).await;
    let _refused = node.fetch(OPTIONS, [item("t", 99)].into_iter());

    for (name, value) in [
        ("received_records_total", 3.0),
        ("received_bytes_total", 3.0 * size),
        ("produce_requests_total", 4.0),
        ("produce_requests_failed_total", 1.0),
        ("sent_records_total", 2.0),
        ("sent_bytes_total", 2.0 * size),
        ("fetch_requests_total", 2.0),
        ("fetch_requests_failed_total", 1.0),
    ] {
        assert_eq!(metric(&node, &format!("ottla_topic_{name}{{topic=\"t\"}}")), value, "{name}");
    }
    for (name, value) in [
        ("log_size_bytes", 3.0 * size),
        ("log_start_offset", 0.0),
        ("log_end_offset", 3.0),
        ("high_watermark_offset", 3.0),
        ("last_stable_offset", 3.0),
        ("flushed_end_offset", 3.0),
        ("segments", 1.0),
    ] {
        let sample = format!("ottla_partition_{name}{{topic=\"t\",partition=\"0\"}}");
        assert_eq!(metric(&node, &sample), value, "{name}");
    }
    for (name, value) in [
        ("partitions", 1.0),
        ("partitions_led", 1.0),
        ("partitions_offline", 0.0),
        ("partitions_under_replicated", 0.0),
        ("partitions_under_min_isr", 0.0),
        ("partitions_at_min_isr", 0.0),
        ("flush_failures_total", 0.0),
        ("log_directory_offline", 0.0),
        ("cluster_active_brokers", 1.0),
        ("cluster_topics", 1.0),
        ("cluster_leaderless_partitions", 0.0),
    ] {
        assert_eq!(metric(&node, &format!("ottla_{name}")), value, "{name}");
    }
    // Recovery points are among the jobs, and come on their own time.
    assert!(metric(&node, "ottla_flush_duration_seconds_count") >= 3.0);
    assert!(metric(&node, "ottla_flush_partitions_sum") >= 3.0);
    assert!(metric(&node, "ottla_flush_oldest_unfinished_seconds") < 60.0);
    assert!(metric(&node, "ottla_open_segment_files") >= 1.0);
    assert!(metric(&node, "ottla_log_directory_free_bytes") > 0.0);
}

/// The errors that are logged in this process.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_partition_is_offline_and_named_while_those_opened_beside_it_serve() {
    const PARTITIONS: i32 = 12;
    const DAMAGED: i32 = 5;
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create_with(&node, "t", PARTITIONS).await;
    for partition in 0..PARTITIONS {
        assert_eq!(produce_to(&node, 1, "t", partition, "before").await.unwrap(), 0);
    }
    node.close().unwrap();
    drop(node);
    let mark = broker.dir.path().join(".kafka_cleanshutdown");
    assert!(mark.exists());
    let path = broker.dir.path().join(format!("t-{DAMAGED}/00000000000000000000.log"));
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &damaged).unwrap();

    // For the whole process: a callsite that other tests reach at the same time may be off for the subscriber of one thread.
    let errors = Errors::default();
    tracing::subscriber::set_global_default(errors.clone()).unwrap();
    let node = broker.restart().await;
    let mut errors = std::mem::take(&mut *errors.0.lock());
    errors.retain(|error| error.contains(broker.dir.path().to_str().unwrap()));
    assert_eq!(errors.len(), 1, "{errors:?}");
    for named in
        ["a partition is offline", "topic=t ", &format!("partition={DAMAGED} "), path.to_str().unwrap()]
    {
        assert!(errors[0].contains(named), "no {named} in {errors:?}");
    }
    for partition in 0..PARTITIONS {
        let produced = produce_to(&node, 1, "t", partition, "after").await;
        let fetched =
            node.fetch(OPTIONS, [FetchItem { partition, ..item("t", 0) }].into_iter()).pop().unwrap();
        if partition == DAMAGED {
            assert!(matches!(produced, Err(ProduceError::Lookup(LookupError::Offline))), "{produced:?}");
            assert_eq!(fetched.unwrap_err().to_string(), "the partition is offline");
        } else {
            assert_eq!(produced.unwrap(), 1, "partition {partition}");
            let read = fetched.unwrap().slice.unwrap().read().unwrap();
            assert_eq!(Batches::new(&read).count(), 2, "partition {partition}");
        }
    }
    assert_eq!(metric(&node, "ottla_partitions_offline"), 1.0);
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing was cut");
    node.close().unwrap();
    drop(node);
    assert!(!mark.exists(), "no stop is clean for a log that could not be opened");

    std::fs::write(&path, &sound).unwrap();
    let node = broker.restart().await;
    assert_eq!(produce_to(&node, 1, "t", DAMAGED, "after").await.unwrap(), 1);
    node.close().unwrap();
    assert!(mark.exists());
}
