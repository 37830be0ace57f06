//! Several brokers that are a cluster: started together, killed, stopped, wiped and cut off one by one.
//!
//! ```no_run
//! let mut cluster = it::cluster::Plan::under_test(3).start();
//! cluster.create_topic("orders", 6, &[]);
//! let leader = cluster.leader("orders", 0);
//! cluster.kill(leader);
//! cluster.wait_led("orders");
//! cluster.restart(leader);
//! cluster.wait_in_sync("orders");
//! ```
//!
//! Kafka is the peer here too: combined brokers and controllers, with `OTTLA_IT_BROKER=kafka`.

mod network;
mod view;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::batch::{Record, records};
use crate::broker::{Broker, Kind, Spec};
use crate::clock::Clocks;
use crate::place::{Place, Ports, Role};
use crate::project::{self, Profile};
use crate::raw::{Connection, Writer, api, error};
use crate::{raw, wait};

pub use network::{End, Network};
pub use view::{PartitionView, View, coordinator, quorum_leader};

/// Nodes that only vote count from here.
pub const FIRST_CONTROLLER: i32 = 101;

/// Three JVMs on a machine with two cores take most of this.
const ACTIVE_WITHIN: Duration = Duration::from_secs(90);
/// A leader is elected, or a broker has caught up, well within this.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// openraft tells of every try that fails, ten a second, from the first one, when the voters do not know each other yet. What it
/// comes to the broker says in lines of its own, and those count.
const RAFT: &str = " openraft::";
/// What the others say of a broker they no longer hear.
const LOST: &str = "this broker is lost: its leaderships move";
/// What a start after a kill says of what was half written.
const CUT: [&str; 2] = ["a torn tail was cut off", "a damaged index is built anew"];
/// What is said of a broker that comes back with an empty disk.
const EMPTY: [&str; 2] =
    ["this node has lost its log directory", "this node is not what it shall be in the metadata quorum yet"];
/// What is said while no majority is there.
const NO_MAJORITY: [&str; 2] = ["still waiting for a cluster to join", "no producer id could be handed out"];

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What each broker is, without its place.
    pub spec: Spec,
    /// How many brokers; their ids count from 1.
    pub brokers: usize,
    /// How many of them vote on metadata, the first ones; none does where there are controllers.
    pub voters: usize,
    /// How many nodes there are besides that do nothing but vote; their ids count from [`FIRST_CONTROLLER`].
    pub controllers: usize,
    /// Each broker in a network namespace of its own, so that links can be cut; on loopback otherwise.
    pub own_network: bool,
    /// Each broker with a wall clock of its own, so that it can jump.
    pub own_clocks: bool,
    /// Settings of single brokers.
    pub own_settings: Vec<(i32, String, String)>,
    /// Where data is kept, a folder for each broker named by its id; gone with the cluster when `None`.
    pub data_dir: Option<PathBuf>,
    /// The data directories of single brokers.
    pub data_dirs: Vec<(i32, PathBuf)>,
    /// The ports of the first broker on loopback, the next ones counting up by 10; free ones when `None`.
    pub first_ports: Option<Ports>,
}

impl Plan {
    /// Brokers of the kind under test with their defaults, up to three of them voters.
    pub fn under_test(brokers: usize) -> Self {
        Self {
            spec: Spec::under_test(),
            brokers,
            voters: brokers.min(3),
            controllers: 0,
            own_network: false,
            own_clocks: false,
            own_settings: Vec::new(),
            data_dir: None,
            data_dirs: Vec::new(),
            first_ports: None,
        }
    }

    /// The same brokers of a kind of the caller's choice.
    #[must_use]
    pub fn of(mut self, kind: Kind, profile: Profile) -> Self {
        self.spec = Spec { kind, profile, ..self.spec };
        self
    }

    /// Sets one configuration value of every broker.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.spec = self.spec.set(key, value);
        self
    }

    /// Sets one configuration value of one broker.
    #[must_use]
    pub fn set_of(mut self, id: i32, key: &str, value: impl ToString) -> Self {
        self.own_settings.push((id, key.to_owned(), value.to_string()));
        self
    }

    /// Gives each broker a network namespace.
    #[must_use]
    pub fn own_network(mut self) -> Self {
        self.own_network = true;
        self
    }

    /// Gives each broker a wall clock.
    #[must_use]
    pub fn own_clocks(mut self) -> Self {
        self.own_clocks = true;
        self
    }

    /// Starts all of them and waits until each knows each.
    pub fn start(self) -> Cluster {
        self.try_start().unwrap_or_else(|error| panic!("starting a cluster: {error:#}"))
    }

    /// [`Plan::start`] with an error of its own, for the network that needs root.
    pub fn try_start(self) -> anyhow::Result<Cluster> {
        let controllers = (FIRST_CONTROLLER..).take(self.controllers);
        let ids: Vec<i32> = (1..).take(self.brokers).chain(controllers).collect();
        let network = self.own_network.then(|| Network::create(&ids)).transpose()?;
        let clocks = self.own_clocks.then(|| Clocks::create(&project::target())).transpose()?;
        let start = |place: Place| {
            let own = self.data_dirs.iter().find(|(id, _)| *id == place.id).map(|(_, folder)| folder.clone());
            let data_dir = own.or_else(|| Some(self.data_dir.as_ref()?.join(place.id.to_string())));
            let settings = self.own_settings.iter().filter(|(id, ..)| *id == place.id);
            let mut spec = settings.fold(self.spec.clone(), |spec, (_, key, value)| spec.set(key, value));
            if let Some(clocks) = &clocks {
                spec.environment.extend(clocks.environment(place.id)?);
            }
            Broker::spawn(Spec { place: Some(place), data_dir, ..spec })
        };
        // At once: a voter gives up if the others are long in coming, and Kafka formats a directory for seconds.
        let mut brokers: Vec<Broker> = thread::scope(|scope| {
            let places = self.places(&ids, network.as_ref()).into_iter();
            let starting: Vec<_> = places.map(|place| scope.spawn(|| start(place))).collect();
            starting.into_iter().map(|broker| broker.join().expect("no panic")).collect::<anyhow::Result<_>>()
        })?;
        let controllers = brokers.split_off(self.brokers);
        let mut cluster = Cluster { kind: self.spec.kind, brokers, controllers, network, clocks };
        cluster.expect_log(RAFT);
        cluster.nodes_mut().try_for_each(Broker::wait_ready)?;
        if let Some(clocks) = &cluster.clocks {
            let without = cluster.brokers.iter().find(|broker| !clocks.is_used_by(broker.pid()));
            ensure!(without.is_none(), "a broker did not load its clock");
        }
        cluster.wait_active()?;
        Ok(cluster)
    }

    fn places(&self, ids: &[i32], network: Option<&Network>) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let (host, ports) = match (network, self.first_ports) {
                (Some(network), _) => (network.address(End::Broker(*id)), Ports::WELL_KNOWN),
                (None, Some(first)) => ("127.0.0.1".to_owned(), first.shifted(index)),
                (None, None) => ("127.0.0.1".to_owned(), Ports::free()),
            };
            let namespace = network.map(|network| network.namespace(*id));
            let role = match (index < self.brokers, index < self.voters && self.controllers == 0) {
                (true, true) => Role::Both,
                (true, false) => Role::Broker,
                (false, _) => Role::Controller,
            };
            let brokers = self.brokers;
            places.push(Place { id: *id, host, ports, voters: String::new(), role, brokers, namespace });
        }
        let voters: Vec<String> = places
            .iter()
            .filter(|place| place.role.votes())
            .map(|place| Place::voter(place.id, &place.host, place.ports))
            .collect();
        places.iter_mut().for_each(|place| place.voters = voters.join(","));
        places
    }
}

/// The running brokers. Dropping it kills them, and fails the test over WARN or ERROR lines nobody announced.
pub struct Cluster {
    kind: Kind,
    brokers: Vec<Broker>,
    /// Nodes that only vote.
    controllers: Vec<Broker>,
    network: Option<Network>,
    clocks: Option<Clocks>,
}

impl Drop for Cluster {
    /// They are ended one after the other, and the last ones say of the first that they are lost. Before the end nobody may have said so
    /// unannounced.
    fn drop(&mut self) {
        let surprising = self.surprising_lines();
        self.expect_log(LOST);
        let fails = !surprising.is_empty() && !thread::panicking();
        assert!(!fails, "unexpected lines in the logs:\n{}", surprising.join("\n"));
    }
}

impl Cluster {
    /// Which brokers these are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The ids of the brokers, from 1.
    pub fn ids(&self) -> Vec<i32> {
        (1..).take(self.brokers.len()).collect()
    }

    /// The addresses of all brokers.
    pub fn addresses(&self) -> Vec<String> {
        self.brokers.iter().map(Broker::address).collect()
    }

    /// The same, as `bootstrap.servers` lists them.
    pub fn bootstrap(&self) -> String {
        self.addresses().join(",")
    }

    /// The addresses of the API listeners of all brokers.
    pub fn api_bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::api_address).collect::<Vec<_>>().join(",")
    }

    /// The ids of the nodes that only vote.
    pub fn controller_ids(&self) -> Vec<i32> {
        (FIRST_CONTROLLER..).take(self.controllers.len()).collect()
    }

    /// One broker, or a node that only votes.
    pub fn broker(&self, id: i32) -> &Broker {
        let (nodes, first) = match id < FIRST_CONTROLLER {
            true => (&self.brokers, 1),
            false => (&self.controllers, FIRST_CONTROLLER),
        };
        usize::try_from(id - first).ok().and_then(|index| nodes.get(index)).expect("a node's id")
    }

    fn broker_mut(&mut self, id: i32) -> &mut Broker {
        let (nodes, first) = match id < FIRST_CONTROLLER {
            true => (&mut self.brokers, 1),
            false => (&mut self.controllers, FIRST_CONTROLLER),
        };
        usize::try_from(id - first).ok().and_then(|index| nodes.get_mut(index)).expect("a node's id")
    }

    fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Broker> {
        self.brokers.iter_mut().chain(&mut self.controllers)
    }

    /// Its links, when it was started with [`Plan::own_network`].
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("started with a network of its own")
    }

    /// The wall clocks of its brokers, each by the broker's id, when it was started with [`Plan::own_clocks`].
    pub fn clocks(&self) -> &Clocks {
        self.clocks.as_ref().expect("started with clocks of its own")
    }

    /// Announces WARN or ERROR lines that contain `text`, of any broker.
    pub fn expect_log(&mut self, text: &str) {
        self.nodes_mut().for_each(|node| node.expect_log(text));
    }

    /// WARN and ERROR lines that were not announced, with the id of who said them.
    pub fn surprising_lines(&self) -> Vec<String> {
        let of_one = |(id, broker): (i32, &Broker)| {
            broker.surprising_lines().into_iter().map(move |line| format!("broker {id}: {line}"))
        };
        (1..).zip(&self.brokers).flat_map(of_one).collect()
    }

    /// `kill -9`, and waits until the process is gone. What is said of it is announced.
    pub fn kill(&mut self, id: i32) {
        self.expect_log(LOST);
        CUT.iter().for_each(|text| self.expect_log(text));
        self.broker_mut(id).kill();
    }

    /// SIGTERM, and waits for the exit: a controlled shutdown.
    pub fn terminate(&mut self, id: i32) -> ExitStatus {
        // Its goodbye and the end of its connections are two messages, and the second may be seen first.
        self.expect_log(LOST);
        self.broker_mut(id).terminate()
    }

    /// SIGTERM to all at once, and waits for their exits.
    pub fn terminate_all(&mut self) {
        // The last ones have no quorum left to tell.
        self.expect_log("the cluster was not told of this stop");
        for broker in &mut self.brokers {
            if broker.is_running() {
                broker.signal(Signal::TERM);
            }
        }
        for broker in &mut self.brokers {
            broker.wait_exit();
        }
    }

    /// Whether a broker's process is there, stopped or not.
    pub fn is_running(&mut self, id: i32) -> bool {
        self.broker_mut(id).is_running()
    }

    /// SIGSTOP: the host has fallen silent, its sockets open.
    pub fn freeze(&mut self, id: i32) {
        self.expect_log(LOST);
        self.broker(id).signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self, id: i32) {
        self.broker(id).signal(Signal::CONT);
    }

    /// Starts a broker that was killed or terminated, and waits until it answers.
    pub fn restart(&mut self, id: i32) {
        self.broker_mut(id).restart();
    }

    /// Starts brokers together and then waits for them: a majority may be needed before any of them answers.
    pub fn restart_all(&mut self, ids: &[i32]) {
        if ids.len() * 2 > self.brokers.len() {
            NO_MAJORITY.iter().for_each(|text| self.expect_log(text));
        }
        for id in ids {
            self.broker_mut(*id).respawn().expect("a second start");
        }
        for id in ids {
            self.broker_mut(*id)
                .wait_ready()
                .unwrap_or_else(|error| panic!("restarting broker {id}: {error:#}"));
        }
    }

    /// Removes everything a broker has on its disk, after [`Cluster::kill`].
    pub fn wipe(&mut self, id: i32) {
        EMPTY.iter().for_each(|text| self.expect_log(text));
        let broker = self.broker_mut(id);
        assert!(!broker.is_running(), "broker {id} is killed before its disk is wiped");
        std::fs::remove_dir_all(broker.data_dir()).expect("the data directory goes");
    }

    /// Where a broker keeps its data.
    pub fn data_dir(&self, id: i32) -> &Path {
        self.broker(id).data_dir()
    }

    /// Waits until every broker knows every broker as live.
    pub fn wait_active(&self) -> anyhow::Result<()> {
        let ids = self.ids();
        for id in &ids {
            let address = self.broker(*id).address();
            wait::until(&format!("broker {id} to know all of them"), ACTIVE_WITHIN, || {
                let view = View::ask(&address, None)?;
                let known: Vec<i32> = view.brokers.keys().copied().collect();
                ensure!(known == ids, "it knows {known:?}");
                Ok(Some(()))
            })
            .with_context(|| format!("the end of its log:\n{}", self.log_tail(*id)))?;
        }
        Ok(())
    }

    /// The last lines of a broker's log.
    pub fn log_tail(&self, id: i32) -> String {
        let log = self.broker(id).log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// What the first broker that answers says of the cluster, and of a topic if one is named.
    pub fn view(&self, topic: Option<&str>) -> anyhow::Result<View> {
        self.ask(|address| View::ask(address, topic))
    }

    /// The first answer of any broker.
    fn ask<T>(&self, question: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.ask_broker(|broker| question(&broker.address()))
    }

    fn ask_broker<T>(&self, question: impl Fn(&Broker) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut last = anyhow::anyhow!("there is no broker");
        for broker in &self.brokers {
            match question(broker) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Who leads a partition, waiting for somebody to.
    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        let leader = wait::until("a leader", SETTLED_WITHIN, || {
            let view = self.view(Some(topic))?;
            let index = usize::try_from(partition)?;
            Ok(view.partitions.get(index).context("the partition is there")?.leader)
        });
        leader.unwrap_or_else(|error| panic!("the leader of {topic}-{partition}: {error:#}"))
    }

    /// Who leads the metadata quorum.
    pub fn quorum_leader(&self) -> i32 {
        let leader = wait::until("a leader of the quorum", SETTLED_WITHIN, || {
            self.ask_broker(|broker| quorum_leader(&broker.address(), &broker.api_address()))
        });
        leader.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Who coordinates a group, waiting for a live broker to.
    pub fn coordinator(&self, group: &str) -> i32 {
        let found = wait::until("a coordinator", SETTLED_WITHIN, || {
            let id = self.ask(|address| coordinator(address, group))?;
            // A broker may not have heard yet that this one is gone.
            View::ask(&self.broker(id).address(), None).map(|_| Some(id))
        });
        found.unwrap_or_else(|error| panic!("{group}: {error:#}"))
    }

    /// Creates a topic with up to three replicas, and waits until it is led and in sync.
    pub fn create_topic(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        self.begin_topic(topic, partitions, configs);
        self.wait_in_sync(topic);
    }

    /// Creates a topic with up to three replicas, and waits for the answer only.
    pub fn begin_topic(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let copies = i16::try_from(self.brokers.len().min(3)).expect("at most 3");
        self.ask(|address| create(address, topic, partitions, copies, configs))
            .unwrap_or_else(|error| panic!("creating {topic}: {error:#}"));
    }

    /// Runs `ottla` on the first broker; it must go well. Its output.
    pub fn ottla(&self, words: &[&str], input: &str) -> String {
        let run = || {
            let mut child = Command::new(project::ottla(Profile::Dev)?)
                .args(words)
                .env("OTTLA_BROKER", self.broker(1).api_address())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "it failed");
            Ok(String::from_utf8(output.stdout)?)
        };
        run().unwrap_or_else(|error: anyhow::Error| panic!("ottla {words:?}: {error:#}"))
    }

    /// Waits until the only partition of a topic is on these brokers, and all are in sync.
    pub fn wait_placed(&self, topic: &str, replicas: &[i32]) {
        let placed = wait::until("the replicas", SETTLED_WITHIN, || {
            let view = self.view(Some(topic))?;
            let partition = view.partitions.first().context("it is there")?;
            let is_done = partition.replicas == replicas && partition.in_sync.len() == replicas.len();
            Ok(is_done.then_some(()))
        });
        placed.unwrap_or_else(|error| panic!("{topic} on {replicas:?}: {error:#}"));
        self.wait_in_sync(topic);
    }

    /// Waits until every partition of a topic is led by a broker that serves it.
    pub fn wait_led(&self, topic: &str) {
        self.settle(topic, "leaders that serve", |view| {
            for partition in &view.partitions {
                let leader = partition.leader.with_context(|| format!("{partition:?}"))?;
                let address = view.brokers.get(&leader).context("the leader is live")?;
                let mut connection = Connection::open(address)?;
                let (code, _) = connection.list_offset(topic, partition.index, -1)?;
                ensure!(code == error::NONE, "ListOffsets of {partition:?}: error {code}");
            }
            Ok(())
        });
    }

    /// Waits until every replica of a topic is in sync and every partition led, by the word of all brokers: one that was silent for a while
    /// may still believe that it leads, and be read as if it did.
    pub fn wait_in_sync(&self, topic: &str) {
        self.settle(topic, "a full ISR", |view| {
            for broker in &self.brokers {
                let Ok(other) = View::ask(&broker.address(), Some(topic)) else { continue };
                ensure!(
                    other.partitions == view.partitions,
                    "{:?} and {:?}",
                    other.partitions,
                    view.partitions
                );
            }
            for partition in &view.partitions {
                ensure!(
                    partition.leader.is_some() && partition.in_sync.len() == partition.replicas.len(),
                    "{partition:?}"
                );
            }
            Ok(())
        });
        self.wait_led(topic);
    }

    /// Waits until each of these brokers knows all of them and every replica of every topic as in sync.
    pub fn wait_all_in_sync(addresses: &[String]) -> anyhow::Result<()> {
        for address in addresses {
            wait::until(&format!("{address} to see every replica in sync"), SETTLED_WITHIN, || {
                let view = View::ask_everything(address)?;
                ensure!(view.brokers.len() == addresses.len(), "it knows {:?}", view.brokers);
                let behind = |partition: &&PartitionView| {
                    partition.leader.is_none() || partition.in_sync.len() < partition.replicas.len()
                };
                let behind: Vec<&PartitionView> = view.partitions.iter().filter(behind).collect();
                ensure!(behind.is_empty(), "{behind:?}");
                Ok(Some(()))
            })?;
        }
        Ok(())
    }

    fn settle(&self, topic: &str, what: &str, is_settled: impl Fn(&View) -> anyhow::Result<()>) {
        let settled = wait::until(what, SETTLED_WITHIN, || {
            let view = self.view(Some(topic))?;
            ensure!(!view.partitions.is_empty(), "{topic} is not there");
            is_settled(&view).map(Some)
        });
        settled.unwrap_or_else(|error| panic!("{topic}: {error:#}"));
    }

    /// A new connection to the leader of a partition.
    pub fn connect_to_leader(&self, topic: &str, partition: i32) -> Connection {
        self.broker(self.leader(topic, partition)).connect()
    }

    /// Everything that stands below a partition's high watermark, read from its leader.
    pub fn read_all(&self, topic: &str, partition: i32) -> Vec<Record> {
        self.wait_led(topic);
        let read = read(&mut self.connect_to_leader(topic, partition), topic, partition);
        read.unwrap_or_else(|error| panic!("reading {topic}-{partition}: {error:#}"))
    }
}

fn create(
    address: &str,
    topic: &str,
    partitions: i32,
    copies: i16,
    configs: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut connection = Connection::open(address)?;
    let body = Writer::default().i32(1).string(topic).i32(partitions).i16(copies).i32(0);
    let body = body.array(configs, |writer, (key, value)| writer.string(key).string(value));
    let answer = connection.call(api::CREATE_TOPICS, 4, &body.i32(30_000).i8(0).0)?;
    for (name, code, message) in raw::created(&answer)? {
        ensure!(code == error::NONE, "{name:?}: error {code} {message:?}");
    }
    Ok(())
}

fn read(connection: &mut Connection, topic: &str, partition: i32) -> anyhow::Result<Vec<Record>> {
    let (code, end) = connection.list_offset(topic, partition, -1)?;
    ensure!(code == error::NONE, "ListOffsets: error {code}");
    let (_, mut position) = connection.list_offset(topic, partition, -2)?;
    let mut found = Vec::new();
    while position < end {
        let fetched = connection.fetch(topic, partition, position)?;
        ensure!(fetched.error == error::NONE, "Fetch at {position}: error {}", fetched.error);
        // A batch comes whole, also when asked for from its middle.
        let new = records(&fetched.records).into_iter().filter(|record| record.offset >= position);
        let before = found.len();
        found.extend(new);
        ensure!(found.len() > before, "nothing at {position}, below the end {end}");
        position = found.last().map_or(position, |record: &Record| record.offset + 1);
    }
    Ok(found)
}
