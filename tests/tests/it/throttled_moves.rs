//! Moves that are throttled (KIP-73): as slow as the rate says, in sync afterwards, and the throttle is gone when it is told to go.

use std::fs;
use std::time::{Duration, Instant};

use it::broker::Kind;
use it::cluster::{Cluster, Plan};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

const TOPIC: &str = "big";
/// 16 MB in lines that a batch can take.
const LINES: usize = 160;
const LINE_BYTES: usize = 100_000;
/// Bytes a second.
const RATE: usize = 2_000_000;
/// What the rate makes of it, less the second that nobody used before.
const AT_LEAST: Duration = Duration::from_secs(6);

/// Three brokers, and one partition on the first of them.
struct Story {
    cluster: Cluster,
}

impl Story {
    fn begin() -> Self {
        let cluster = Plan::under_test(3).start();
        let story = Self { cluster };
        story
            .cluster
            .ottla(&["topic", "create", TOPIC, "--partitions", "1", "--replication-factor", "1"], "");
        story.cluster.ottla(&["cluster", "reassign", "--topic", TOPIC, "--replicas", "1", "--execute"], "");
        story.cluster.wait_placed(TOPIC, &[1]);
        let line = |n: usize| format!("{n}{}\n", "x".repeat(LINE_BYTES));
        story.cluster.ottla(&["produce", TOPIC], &(0..LINES).map(line).collect::<String>());
        story
    }

    /// The partition goes to these brokers, no faster than the rate; how long that took.
    fn timed(&self, replicas: &[i32], start: impl FnOnce()) -> Duration {
        let began = Instant::now();
        start();
        self.cluster.wait_placed(TOPIC, replicas);
        let took = began.elapsed();
        eprintln!("moved {} bytes at {RATE} a second in {took:?}", LINES * LINE_BYTES);
        assert!(took >= AT_LEAST, "{took:?}: the throttle did not hold");
        assert_eq!(self.cluster.read_all(TOPIC, 0).len(), LINES);
        took
    }

    fn configs(&self, whose: &[&str]) -> String {
        self.cluster.ottla(&[&["config", "get"], whose].concat(), "")
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
        story.cluster.ottla(&[&words, throttle].concat(), "")
    };
    let throttled = story.timed(&[2, 3], || {
        let said = reassign("2,3", &["--throttle", &rate]);
        assert!(said.contains("each broker copies no more than 2000000 bytes a second"), "{said}");
    });
    assert!(story.configs(&["--topic", TOPIC]).contains("0:2,0:3"));
    story.cluster.ottla(&["cluster", "reassign", "--unthrottle", "--execute"], "");
    story.assert_unthrottled();
    // Without it the same bytes are there sooner.
    let began = Instant::now();
    reassign("1,2,3", &[]);
    story.cluster.wait_placed(TOPIC, &[1, 2, 3]);
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
