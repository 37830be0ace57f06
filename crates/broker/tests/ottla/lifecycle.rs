//! The binary as a process: it says when it is ready, stops when it is asked, and tells the truth about it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

struct Broker {
    child: Child,
    scratch: TempDir,
    greeting: Vec<String>,
}

impl Broker {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(scratch: TempDir, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["serve", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--data-dir"])
            .arg(scratch.path().join("data"))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(File::create(scratch.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        // The greeting ends with this line; a broker that does not get so far ends the stream.
        let mut greeting = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            greeting.push(line.unwrap());
            if greeting.last().unwrap().contains("Stop with Ctrl-C") {
                break;
            }
        }
        Self { child, scratch, greeting }
    }

    fn address(&self) -> String {
        let line =
            self.greeting.iter().find(|line| line.starts_with("Kafka clients connect to ")).expect("greets");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    fn stop(mut self, signal: Signal) -> (ExitStatus, String, TempDir) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        let log = std::fs::read_to_string(self.scratch.path().join("log")).unwrap();
        (status, log, self.scratch)
    }
}

fn is_clean(scratch: &TempDir) -> bool {
    Path::new(&scratch.path().join("data/.kafka_cleanshutdown")).exists()
}

#[test]
fn it_serves_where_it_says_and_stops_cleanly_without_a_complaint() {
    for signal in [Signal::TERM, Signal::INT] {
        let broker = Broker::start(&[]);
        assert!(broker.greeting[0].starts_with("Ottla ") && broker.greeting[0].contains("is ready after"));
        TcpStream::connect(broker.address()).expect("somebody listens at the port the system chose");
        let (status, log, scratch) = broker.stop(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(is_clean(&scratch));
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
        assert!(log.contains("stopping") && log.trim_end().ends_with("stopped"), "{log}");
    }
}

#[test]
fn it_comes_back_to_the_same_cluster() {
    let cluster = |log: &str| {
        log.split_whitespace()
            .find_map(|word| word.strip_prefix("cluster="))
            .expect("the log names the cluster")
            .to_owned()
    };
    let (_, log, scratch) = Broker::start(&[]).stop(Signal::TERM);
    let first = cluster(&log);
    // Killed, the directory is not clean, and everything is there nevertheless.
    let (status, _, scratch) = Broker::start_in(scratch, &[]).stop(Signal::KILL);
    assert_eq!(status.code(), None);
    assert!(!is_clean(&scratch));
    let (status, log, _) = Broker::start_in(scratch, &[]).stop(Signal::TERM);
    assert_eq!((status.code(), cluster(&log)), (Some(0), first));
}

#[test]
fn log_lines_are_json_where_that_is_asked_and_name_what_was_given() {
    let broker =
        Broker::start(&["--log-format", "json", "--set", "num.io.threads=2", "--set", "num.partition=2"]);
    let (_, log, _) = broker.stop(Signal::TERM);
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    let line =
        |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(line("unknown configuration num.partition; did you mean num.partitions?").contains("WARN"));
    assert!(line("without effect in this version: num.io.threads").contains("INFO"));
}

#[test]
fn another_node_id_is_refused_the_directory() {
    let (_, _, scratch) = Broker::start(&[]).stop(Signal::TERM);
    let mut broker = Broker::start_in(scratch, &["--set", "node.id=2"]);
    assert!(broker.greeting.is_empty());
    assert_eq!(broker.child.wait().unwrap().code(), Some(1));
    let log = std::fs::read_to_string(broker.scratch.path().join("log")).unwrap();
    assert!(log.contains("the directory belongs to node 1, but node.id is 2"), "{log}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = format!("listeners=PLAINTEXT://{}", taken.local_addr().unwrap());
    let mut broker = Broker::start(&["--set", &listeners]);
    assert_eq!(broker.child.wait().unwrap().code(), Some(1));
    let log = std::fs::read_to_string(broker.scratch.path().join("log")).unwrap();
    assert!(log.contains(&format!("cannot listen on PLAINTEXT://{}", taken.local_addr().unwrap())), "{log}");
    assert!(log.contains("in use"), "{log}");
}
