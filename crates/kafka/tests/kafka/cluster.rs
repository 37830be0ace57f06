//! The cluster under test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_kafka::{Front, Limits, Listener, PeerClient, PeerOptions, SocketBuffers};
use ottla_node::connections::{Admission, AdmissionLimits, RequestMemory, Shared};
use ottla_node::coordination::config::{BrokerConfig, Layers, Settings};
use ottla_node::coordination::metadata::{
    Command, CreateTopics, Endpoint, FenceBroker, FormCluster, Image, Layout, ManualAssignment, NewTopic,
    Partition, RegisterBroker, Response, SecurityProtocol, UnfenceBroker,
};
use ottla_node::ports::{
    BoxFuture, Lane, MetadataPlane, PeerAddress, PeerError, PeerTransport, ProposeError, ReplicaFetch,
    ReplicaFetched,
};
use ottla_node::record::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Incarnation, PartitionIndex, TopicId, Uuid,
};
use ottla_node::replication::View;
use ottla_node::storage::{DirectoryLimits, FsDisk, LogDirectory};
use ottla_node::{BrokerSettings, Node, Parts, SystemClock, TopicKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Client;

/// What everything here is waited for at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Metadata that every command changes at once, and that all brokers see.
pub(crate) struct Plane(watch::Sender<Arc<Image>>);

impl MetadataPlane for Plane {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>> {
        let response = self.apply(&command);
        Box::pin(async move { Ok(response) })
    }

    fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.0.subscribe()
    }
}

impl Plane {
    fn apply(&self, command: &Command) -> Response {
        let mut response = None;
        self.0.send_modify(|image| {
            let mut next = Image::clone(image);
            response = Some(next.apply(command));
            next.check_invariants().unwrap();
            *image = Arc::new(next);
        });
        response.unwrap()
    }
}

/// The way to the peers, with a gate that a test may shut: what is under way then breaks, as with a cable.
struct Gated {
    peers: PeerClient,
    gate: watch::Receiver<Gate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Shut,
    /// Copies that catch up wait for an answer that does not come.
    InSyncOnly,
}

impl PeerTransport for Gated {
    fn fetch<'a>(
        &'a self,
        leader: &'a PeerAddress,
        request: ReplicaFetch,
    ) -> BoxFuture<'a, Result<Vec<ReplicaFetched>, PeerError>> {
        let mut gate = self.gate.clone();
        Box::pin(async move {
            let broken = || Err(std::io::Error::from(std::io::ErrorKind::NetworkUnreachable).into());
            if request.lane == Lane::CatchingUp && *gate.borrow_and_update() == Gate::InSyncOnly {
                let _opened = gate.wait_for(|gate| *gate != Gate::InSyncOnly).await;
                return broken();
            }
            if *gate.borrow_and_update() == Gate::Shut {
                return broken();
            }
            tokio::select! {
                _ = gate.wait_for(|gate| *gate == Gate::Shut) => broken(),
                answer = self.peers.fetch(leader, request) => answer,
            }
        })
    }
}

/// One broker, alive or not. Its directory outlives it.
struct Broker {
    dir: tempfile::TempDir,
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    node: Arc<Node>,
    address: SocketAddr,
    epoch: BrokerEpoch,
    gate: watch::Sender<Gate>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// Brokers 1 to n.
pub(crate) struct Cluster {
    plane: Arc<Plane>,
    brokers: BTreeMap<i32, Broker>,
}

static DRAWN: AtomicU64 = AtomicU64::new(1);

/// Different at each call, which is all these tests need.
fn random() -> [u8; 16] {
    u128::from(DRAWN.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

fn uuid() -> Uuid {
    Uuid::from_random(random())
}

impl Cluster {
    /// Starts brokers with what `settings` says of each beside the rest.
    pub(crate) async fn start_with(
        count: i32,
        settings: impl Fn(i32) -> Vec<(&'static str, String)>,
    ) -> Self {
        let plane = Plane(watch::Sender::new(Arc::new(Image::empty())));
        plane.apply(&Command::FormCluster(FormCluster { cluster: ClusterId(uuid()) }));
        let mut cluster = Self { plane: Arc::new(plane), brokers: BTreeMap::new() };
        for id in 1..=count {
            let mut keys: Settings =
                [("node.id", id.to_string()), ("listeners", "PLAINTEXT://127.0.0.1:0".to_owned())]
                    .map(|(key, value)| (key.to_owned(), value))
                    .into();
            keys.extend(settings(id).into_iter().map(|(key, value)| (key.to_owned(), value)));
            let broker = Broker { dir: tempfile::tempdir().unwrap(), settings: keys, running: None };
            cluster.brokers.insert(id, broker);
            cluster.start_broker(id).await;
        }
        cluster
    }

    pub(crate) async fn start(count: i32) -> Self {
        Self::start_with(count, |_| Vec::new()).await
    }

    /// Starts a broker that is not running: a new process on its directory.
    pub(crate) async fn start_broker(&mut self, id: i32) {
        let broker = self.brokers.get_mut(&id).unwrap();
        assert!(broker.running.is_none(), "broker {id} is running");
        let layers = |settings| {
            static NONE: Settings = Settings::new();
            Layers { broker: &NONE, cluster: &NONE, file: settings, brokers: 1 }
        };
        let config = BrokerConfig::resolve(layers(&broker.settings), "localhost").unwrap();
        // The lock goes with the last task of the node before.
        let disk = loop {
            match FsDisk::open(broker.dir.path()) {
                Ok(disk) => break Arc::new(disk),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        };
        let limits = DirectoryLimits { open_files: 64, reserve_bytes: Some(0) };
        let directory =
            Arc::new(LogDirectory::open(disk, BrokerId::new(id), DirectoryId(uuid()), limits).unwrap());
        let buffers = SocketBuffers { send: None, receive: None };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16, buffers).unwrap();
        let address = listener.local_address().unwrap();

        let image = self.plane.images().borrow().clone();
        let registered = self.plane.apply(&Command::RegisterBroker(RegisterBroker {
            broker: BrokerId::new(id),
            incarnation: Incarnation(uuid()),
            cluster: image.cluster_id().unwrap(),
            directory: directory.directory_id(),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                protocol: SecurityProtocol::Plaintext,
                host: address.ip().to_string(),
                port: address.port(),
            }],
            rack: config.rack.clone(),
            replaces: image.broker(BrokerId::new(id)).map(|broker| broker.epoch),
        }));
        let Response::RegisterBroker(Ok(epoch)) = registered else { panic!("{registered:?}") };

        let (sender, gate) = watch::channel(Gate::Open);
        let peers = PeerClient::new(PeerOptions {
            own: BrokerId::new(id),
            timeout: Duration::from_secs(30),
            max_response_bytes: 100 << 20,
            receive_buffer: None,
        });
        let node = Node::start(Parts {
            settings: BrokerSettings { file: broker.settings.clone(), config },
            directory,
            metadata: Arc::<Plane>::clone(&self.plane),
            peers: Arc::new(Gated { peers, gate }),
            clock: Arc::new(SystemClock::start()),
            broker_epoch: epoch,
            random,
        })
        .await
        .unwrap();
        let stop = watch::Sender::new(false);
        let serving = tokio::spawn(listener.serve(front(&node), stop.subscribe()));
        broker.running = Some(Running { node, address, epoch, gate: sender, stop, serving });
        let unfence = UnfenceBroker { broker: BrokerId::new(id), epoch };
        self.plane.apply(&Command::UnfenceBroker(unfence));
        self.settle().await;
    }

    /// Ends a broker without a word, and has the cluster notice.
    pub(crate) async fn lose(&mut self, id: i32) {
        let Running { node, epoch, stop, serving, gate, .. } =
            self.brokers.get_mut(&id).unwrap().running.take().unwrap();
        gate.send_replace(Gate::Shut);
        stop.send_replace(true);
        serving.abort();
        let _aborted = serving.await;
        tokio::task::spawn_blocking(move || node.close()).await.unwrap().unwrap();
        let fence = FenceBroker { broker: BrokerId::new(id), epoch };
        self.plane.apply(&Command::FenceBroker(fence));
        self.settle().await;
    }

    /// Waits until every running broker follows the image of now.
    pub(crate) async fn settle(&self) {
        let version = self.image().version();
        for broker in self.brokers.values().filter_map(|broker| broker.running.as_ref()) {
            broker.node.follow_to(version).await.unwrap();
        }
    }

    /// Shuts or opens the way of a broker to its leaders.
    pub(crate) fn set_gate(&self, id: i32, open: bool) {
        self.running(id).gate.send_replace(if open { Gate::Open } else { Gate::Shut });
    }

    /// Opens it for copies that are in sync. Those that catch up hear nothing.
    pub(crate) fn set_gate_for_those_in_sync(&self, id: i32) {
        self.running(id).gate.send_replace(Gate::InSyncOnly);
    }

    fn running(&self, id: i32) -> &Running {
        self.brokers[&id].running.as_ref().unwrap_or_else(|| panic!("broker {id} is not running"))
    }

    pub(crate) fn node(&self, id: i32) -> &Arc<Node> {
        &self.running(id).node
    }

    pub(crate) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.running(id).epoch
    }

    pub(crate) async fn client(&self, id: i32) -> Client {
        Client::connect(self.running(id).address).await
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.plane.images().borrow())
    }

    pub(crate) fn propose(&self, command: Command) -> Response {
        self.plane.apply(&command)
    }

    /// A topic of one partition on these brokers, the first of which leads.
    pub(crate) async fn create(&self, name: &str, replicas: &[i32]) -> TopicId {
        self.create_with(name, replicas, &[]).await
    }

    pub(crate) async fn create_with(
        &self,
        name: &str,
        replicas: &[i32],
        configs: &[(&str, &str)],
    ) -> TopicId {
        let id = TopicId(uuid());
        let replicas = replicas.iter().copied().map(BrokerId::new).collect();
        let assignment = ManualAssignment { partition: PartitionIndex::new(0), replicas };
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        let topic = NewTopic {
            name: name.to_owned(),
            id,
            layout: Layout::Manual(vec![assignment]),
            configs: configs.collect(),
        };
        let created = self.propose(Command::CreateTopics(CreateTopics { topics: vec![topic] }));
        let Response::CreateTopics(results) = created else { panic!("{created:?}") };
        results.into_iter().next().unwrap().unwrap();
        self.settle().await;
        id
    }

    /// The only partition of a topic, as the metadata has it.
    pub(crate) fn partition(&self, topic: TopicId) -> Partition {
        Partition::clone(self.image().partition(topic, PartitionIndex::new(0)).unwrap())
    }

    pub(crate) fn leader(&self, topic: TopicId) -> Option<i32> {
        self.partition(topic).leader.map(BrokerId::get)
    }

    pub(crate) fn isr(&self, topic: TopicId) -> Vec<i32> {
        let mut isr: Vec<_> = self.partition(topic).isr.iter().map(|broker| broker.get()).collect();
        isr.sort_unstable();
        isr
    }

    /// What a broker has of the only partition of a topic.
    pub(crate) fn view(&self, id: i32, topic: TopicId) -> Arc<View> {
        let topics = self.node(id).topics();
        topics.topic(TopicKey::Id(topic)).unwrap().partition(0).unwrap().view()
    }

    /// Waits for something to become true.
    pub(crate) async fn eventually(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until these brokers have the partition up to `end`, and know it to be committed.
    pub(crate) async fn committed_to(&self, topic: TopicId, end: i64, brokers: &[i32]) {
        self.eventually(&format!("{brokers:?} have everything committed up to {end}"), |cluster| {
            brokers.iter().all(|id| {
                let view = cluster.view(*id, topic);
                view.log_end.get() == end && view.high_watermark.get() == end
            })
        })
        .await;
    }
}

fn front(node: &Arc<Node>) -> Arc<Front> {
    let config = &node.settings().config;
    let limits = Limits {
        max_request_bytes: config.connections.max_request_bytes,
        max_idle: None,
        max_fetch_bytes: config.fetches.max_bytes,
        max_fetch_sessions: config.fetches.max_sessions,
    };
    let admission = Admission::new(AdmissionLimits {
        total: 100,
        per_address: 100,
        of_address: Default::default(),
        per_second: usize::MAX,
    });
    let shared = Shared { admission, memory: RequestMemory::new(None) };
    Front::new(Arc::clone(node), "PLAINTEXT".to_owned(), limits, shared)
}
