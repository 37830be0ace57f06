//! Three brokers as processes: one cluster, which notices that one is killed and takes it back.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No step takes longer, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    child: Child,
    log: std::path::PathBuf,
}

impl Node {
    fn start(scratch: &Path, id: usize, ports: &[u16]) -> Self {
        let voters: Vec<String> =
            ports.iter().enumerate().map(|(i, port)| format!("{}@127.0.0.1:{port}", i + 1)).collect();
        let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{}", ports[id - 1]);
        let log = scratch.join(format!("log{id}"));
        let child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["serve", "--set", &format!("node.id={id}"), "--set", &format!("listeners={listeners}")])
            .args(["--set", &format!("controller.quorum.voters={}", voters.join(",")), "--data-dir"])
            .arg(scratch.join(format!("data{id}")))
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits for the greeting; a broker that does not get so far ends the stream.
    fn ready(&mut self) {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("is ready after"));
        assert!(ready, "{}", self.log());
        // Nobody reads the rest, and nobody has to.
        std::thread::spawn(move || lines.count());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// Ports for the voters, below those that the system gives to whoever asks for any: another node's listener would take one.
fn free_ports() -> Vec<u16> {
    let first = 12_000 + u16::try_from(std::process::id() % 8_000).unwrap();
    (first..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(3).collect()
}

fn eventually(what: &str, nodes: &[Node], mut is: impl FnMut(&[Node]) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is(nodes) {
        let logs: Vec<String> = nodes.iter().map(Node::log).collect();
        assert!(Instant::now() < until, "not {what}:\n{}", logs.join("\n---\n"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn three_brokers_form_one_cluster_and_a_killed_one_is_fenced_and_returns() {
    let scratch = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let mut nodes: Vec<Node> = (1..=3).map(|id| Node::start(scratch.path(), id, &ports)).collect();
    nodes.iter_mut().for_each(Node::ready);
    let cluster = |node: &Node| {
        node.log().split_whitespace().find_map(|word| Some(word.strip_prefix("cluster=")?.to_owned()))
    };
    assert!(cluster(&nodes[0]).is_some());
    assert!(nodes.iter().all(|node| cluster(node) == cluster(&nodes[0])));

    nodes[2].child.kill().unwrap();
    nodes[2].child.wait().unwrap();
    eventually("noticed that broker 3 is lost", &nodes[..2], |nodes| {
        nodes.iter().any(|node| node.log().contains("this broker is lost"))
    });
    nodes[2] = Node::start(scratch.path(), 3, &ports);
    nodes[2].ready();

    // A stop says goodbye, one after another; the last one finds nobody to say it to, and says that.
    for node in &nodes {
        kill_process(Pid::from_child(&node.child), Signal::TERM).unwrap();
    }
    for node in &mut nodes {
        assert!(node.child.wait().unwrap().success(), "{}", node.log());
        assert!(!node.log().contains("ERROR"), "{}", node.log());
    }
}
