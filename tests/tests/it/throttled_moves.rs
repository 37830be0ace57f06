//! Moves that are throttled (KIP-73): as slow as the rate says, in sync afterwards, and the throttle is gone when it is told to go.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use it::broker::Kind;
use it::cluster::{Cluster, Plan};
use it::project::{self, Profile};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;

const TOPIC: &str = "big";
/// 16 MB in lines that a batch can take.
const LINES: usize = 160;
const LINE_BYTES: usize = 100_000;
/// Bytes a second.
const RATE: usize = 2_000_000;
/// What the rate makes of it, less the second that nobody used before.
const AT_LEAST: Duration = Duration::from_secs(6);
/// Far more than it takes: two cores may have much else to do.
const MOVED_WITHIN: Duration = Duration::from_secs(60);

/// Three brokers, and one partition on the first of them.
struct Story {
    cluster: Cluster,
}

impl Story {
    fn begin() -> Self {
        let cluster = Plan::under_test(3).start();
        let story = Self { cluster };
        story.ottla(&["topic", "create", TOPIC, "--partitions", "1", "--replication-factor", "1"], "");
        story.ottla(&["cluster", "reassign", "--topic", TOPIC, "--replicas", "1", "--execute"], "");
        story.wait_placed(&[1]);
        let line = |n: usize| format!("{n}{}\n", "x".repeat(LINE_BYTES));
        story.ottla(&["produce", TOPIC], &(0..LINES).map(line).collect::<String>());
        story
    }

    /// Runs `ottla`; it must go well.
    fn ottla(&self, words: &[&str], input: &str) -> String {
        let mut child = Command::new(project::ottla(Profile::Dev).unwrap())
            .args(words)
            .env("OTTLA_BROKER", self.cluster.broker(1).api_address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the partition is on these brokers, and all are in sync.
    fn wait_placed(&self, replicas: &[i32]) {
        let placed = wait::until("the replicas", MOVED_WITHIN, || {
            let view = self.cluster.view(Some(TOPIC))?;
            let partition = view.partitions.first().context("it is there")?;
            let is_done = partition.replicas == replicas && partition.in_sync.len() == replicas.len();
            Ok(is_done.then_some(()))
        });
        placed.unwrap();
        self.cluster.wait_in_sync(TOPIC);
    }

    /// The partition goes to these brokers, no faster than the rate; how long that took.
    fn timed(&self, replicas: &[i32], start: impl FnOnce()) -> Duration {
        let began = Instant::now();
        start();
        self.wait_placed(replicas);
        let took = began.elapsed();
        eprintln!("moved {} bytes at {RATE} a second in {took:?}", LINES * LINE_BYTES);
        assert!(took >= AT_LEAST, "{took:?}: the throttle did not hold");
        assert_eq!(self.cluster.read_all(TOPIC, 0).len(), LINES);
        took
    }

    fn configs(&self, whose: &[&str]) -> String {
        self.ottla(&[&["config", "get"], whose].concat(), "")
    }

    /// Nothing of a throttle stands in any config.
    fn assert_unthrottled(&self) {
        for whose in [&["--topic", TOPIC][..], &["--node", "1"]] {
            let configs = self.configs(whose);
            assert!(!configs.contains("throttled"), "{configs}");
        }
    }
}

#[test]
fn a_throttled_move_takes_as_long_as_its_rate_says_and_the_next_one_does_not() {
    if Kind::under_test() == Kind::Kafka {
        tools::note("these are Ottla's own commands");
        return;
    }
    let story = Story::begin();
    let rate = RATE.to_string();
    let reassign = |replicas, throttle: &[&str]| {
        let words = ["cluster", "reassign", "--topic", TOPIC, "--replicas", replicas, "--execute"];
        story.ottla(&[&words, throttle].concat(), "")
    };
    let throttled = story.timed(&[2, 3], || {
        let said = reassign("2,3", &["--throttle", &rate]);
        assert!(said.contains("each broker copies no more than 2000000 bytes a second"), "{said}");
    });
    assert!(story.configs(&["--topic", TOPIC]).contains("0:2,0:3"));
    story.ottla(&["cluster", "reassign", "--unthrottle", "--execute"], "");
    story.assert_unthrottled();
    // Without it the same bytes are there sooner.
    let began = Instant::now();
    reassign("1,2,3", &[]);
    story.wait_placed(&[1, 2, 3]);
    let took = began.elapsed();
    assert!(took < throttled, "{took:?} without a throttle");
}

#[test]
fn kafkas_tool_throttles_a_move_and_its_verify_ends_the_throttle() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let story = Story::begin();
    let mut toolbox = Toolbox::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("moves.json");
    let moves =
        format!(r#"{{"version":1,"partitions":[{{"topic":"{TOPIC}","partition":0,"replicas":[2,3]}}]}}"#);
    fs::write(&file, moves).unwrap();
    let bootstrap = story.cluster.bootstrap();
    let mut run = |words: &[&str]| {
        let file = file.display().to_string();
        let always = ["--bootstrap-server", &bootstrap, "--reassignment-json-file", &file];
        let class = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
        toolbox.run(class, &[&always, words].concat()).success()
    };
    story.timed(&[2, 3], || {
        let said = run(&["--execute", "--throttle", &RATE.to_string()]);
        assert!(said.contains("Successfully started partition reassignment"), "{said}");
        let said = run(&["--verify"]);
        assert!(said.contains("is still in progress"), "{said}");
        assert!(story.configs(&["--topic", TOPIC]).contains("throttled"));
    });
    let said = run(&["--verify"]);
    assert!(said.contains("is completed") && said.contains("Clearing"), "{said}");
    story.assert_unthrottled();
}
