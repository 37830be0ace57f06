//! The broker that a test talks to: what to start, and what it says, uses and does while it runs.
//!
//! It is one process, or with `OTTLA_IT_BROKERS=3` a cluster behind the face of one, of which one broker after the other is restarted
//! while the same test runs ([`Rolling`]).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use crate::front::{Front, Rolling};
use crate::place::Place;
use crate::process::Process;
use crate::project::Profile;
use crate::raw;

pub use crate::process::{cpu_of, free_port};

/// Which broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The binary of this workspace.
    Ottla,
    /// Apache Kafka, brokers that are controllers as well, as the peer.
    Kafka,
}

impl Kind {
    /// What `OTTLA_IT_BROKER` asks for; `ottla` when unset.
    pub fn under_test() -> Kind {
        match std::env::var("OTTLA_IT_BROKER").as_deref() {
            Ok("kafka") => Kind::Kafka,
            Ok("ottla") | Err(_) => Kind::Ottla,
            Ok(other) => panic!("OTTLA_IT_BROKER is `kafka` or `ottla`, not `{other}`"),
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Which broker.
    pub kind: Kind,
    /// How `ottla` is compiled.
    pub profile: Profile,
    /// Settings by their `server.properties` names; those under `ottla.` are left out for Kafka.
    pub settings: Vec<(String, String)>,
    /// A file for `--config`, of `ottla` alone.
    pub config_file: Option<PathBuf>,
    /// Its environment besides ours, of `ottla` alone.
    pub environment: Vec<(String, String)>,
    /// A data directory that outlives the broker; a fresh temporary one when `None`.
    pub data_dir: Option<PathBuf>,
    /// Runs the process under strace, system calls named by the list, with the trace in this file.
    pub trace: Option<(&'static str, PathBuf)>,
    /// The heap of Kafka's JVM, as `-Xmx` writes it.
    pub kafka_heap: &'static str,
    /// Where it stands in a cluster; a broker by itself when `None`.
    pub place: Option<Place>,
    /// Several brokers in the place of one, of which one is restarted now and then.
    pub rolling: Option<Rolling>,
}

impl Spec {
    /// The broker under test with its defaults, compiled for development.
    pub fn under_test() -> Self {
        Self {
            kind: Kind::under_test(),
            profile: Profile::Dev,
            settings: Vec::new(),
            config_file: None,
            environment: Vec::new(),
            data_dir: None,
            trace: None,
            kafka_heap: "512m",
            place: None,
            rolling: Rolling::under_test(),
        }
    }

    /// Sets one configuration value.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Reads a file of the caller's.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses a directory of the caller's.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Broker {
        match self.rolling {
            Some(rolling) => Broker { nodes: Nodes::Several(Front::start(self, rolling)) },
            None => Broker::launch(self).unwrap_or_else(|error| panic!("starting a broker: {error:#}")),
        }
    }
}

/// A running broker; dropping it kills its processes and then fails the test over WARN or ERROR lines nobody announced.
pub struct Broker {
    nodes: Nodes,
}

enum Nodes {
    One(Box<Process>),
    Several(Front),
}

impl Broker {
    /// The broker under test with its defaults.
    pub fn start() -> Self {
        Spec::under_test().start()
    }

    fn launch(spec: Spec) -> anyhow::Result<Self> {
        let mut broker = Self::spawn(spec)?;
        broker.wait_ready()?;
        Ok(broker)
    }

    /// Starts one process and does not wait for it: the brokers of a cluster are ready together.
    pub(crate) fn spawn(spec: Spec) -> anyhow::Result<Self> {
        Ok(Self { nodes: Nodes::One(Box::new(Process::spawn(spec)?)) })
    }

    /// The brokers of a cluster wait for each other: the time runs from now, when all of them are started.
    pub(crate) fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.process_mut().wait_ready()
    }

    fn process(&self) -> &Process {
        match &self.nodes {
            Nodes::One(process) => process,
            Nodes::Several(_) => panic!("{OF_ONE}"),
        }
    }

    fn process_mut(&mut self) -> &mut Process {
        match &mut self.nodes {
            Nodes::One(process) => process,
            Nodes::Several(_) => panic!("{OF_ONE}"),
        }
    }

    /// `127.0.0.1:PORT`; in a cluster with a network of its own, this broker's address there. Of several brokers all addresses, as
    /// `bootstrap.servers` lists them.
    pub fn address(&self) -> String {
        self.addresses().join(",")
    }

    /// The same, one by one.
    pub fn addresses(&self) -> Vec<String> {
        match &self.nodes {
            Nodes::One(process) => vec![process.address()],
            Nodes::Several(front) => front.addresses().to_vec(),
        }
    }

    /// How many brokers it is. A topic has as many replicas.
    pub fn brokers(&self) -> usize {
        self.addresses().len()
    }

    /// The same for the other nodes' calls.
    pub fn control_address(&self) -> String {
        self.process().control_address()
    }

    /// The address of Ottla's gRPC and HTTP listener; of several brokers that of the first one, who answers for all of them.
    pub fn api_address(&self) -> String {
        match &self.nodes {
            Nodes::One(process) => process.api_address(),
            Nodes::Several(front) => front.api_addresses()[0].clone(),
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Which broker it is.
    pub fn kind(&self) -> Kind {
        match &self.nodes {
            Nodes::One(process) => process.kind(),
            Nodes::Several(front) => front.kind(),
        }
    }

    /// Where its topics lie.
    pub fn data_dir(&self) -> &Path {
        self.process().data_dir()
    }

    /// From the start of the process to its first answer.
    pub fn ready_after(&self) -> Duration {
        self.process().ready_after()
    }

    /// A new connection to it for hand-made frames. Of several brokers it finds the one that is responsible.
    pub fn connect(&self) -> raw::Connection {
        let connection = match &self.nodes {
            Nodes::One(process) => raw::Connection::open(&process.address()),
            Nodes::Several(front) => raw::Connection::to_cluster(front.addresses()),
        };
        connection.expect("the broker accepts connections")
    }

    /// Everything it wrote to its standard error and output so far, without colours.
    pub fn log(&self) -> String {
        match &self.nodes {
            Nodes::One(process) => process.log(),
            Nodes::Several(front) => front.log(),
        }
    }

    /// Where that is kept, as long as this value lives.
    pub fn log_file(&self) -> PathBuf {
        self.process().log_file()
    }

    /// Announces WARN or ERROR lines that contain `text`.
    pub fn expect_log(&mut self, text: &str) {
        match &mut self.nodes {
            Nodes::One(process) => process.expect_log(text),
            Nodes::Several(front) => front.expect_log(text),
        }
    }

    /// The WARN and ERROR lines that were not announced. Kafka's own are not ours to judge.
    pub fn surprising_lines(&self) -> Vec<String> {
        match &self.nodes {
            Nodes::One(process) => process.surprising_lines(),
            Nodes::Several(front) => front.surprising_lines(),
        }
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.process().rss_bytes()
    }

    /// User and system CPU time used so far.
    pub fn cpu(&self) -> Duration {
        self.process().cpu()
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) {
        self.process_mut().kill();
    }

    /// SIGTERM, and waits for the exit.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process_mut().terminate()
    }

    /// Waits until the process ended by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process_mut().wait_exit()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Starts the process again on the same directory and port, after [`Broker::kill`] or [`Broker::terminate`].
    pub fn restart(&mut self) {
        self.respawn().expect("a second start");
        self.wait_ready().unwrap_or_else(|error| panic!("restarting: {error:#}"));
    }

    /// [`Broker::restart`] without waiting for it.
    pub(crate) fn respawn(&mut self) -> anyhow::Result<()> {
        self.process_mut().respawn()
    }

    /// Whether the process is there, stopped or not.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process_mut().is_running()
    }
}

/// What is said where several brokers cannot stand for one.
pub(crate) const OF_ONE: &str =
    "this test is about one broker's own process or directory: run it without OTTLA_IT_BROKERS";

/// The command that would start a second `ottla` on the directory of a running one.
pub fn second_on(broker: &Broker) -> Command {
    broker.process().second()
}
