//! The examples of `ottla-client`, among them the quick start of its documentation, run as a user runs them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use it::broker::{Broker, Kind};
use it::clients::finish;
use it::project;

fn example(name: &str, arguments: &[&str]) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let built = project::cargo()
            .args(["build", "--quiet", "--package", "ottla-client", "--examples"])
            .status()
            .unwrap();
        assert!(built.success(), "the examples compile");
        project::target().join("debug/examples")
    });
    let mut command = Command::new(folder.join(name));
    command.args(arguments);
    command
}

fn address(broker: &Broker) -> String {
    format!("http://{}", broker.api_address())
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap()
}

#[test]
fn the_quick_start_says_what_it_did() {
    if Kind::under_test() == Kind::Kafka {
        return;
    }
    let broker = Broker::start();
    let output = text(finish(example("quick_start", &[&address(&broker)]), b"").unwrap());
    assert_eq!(output, "written to notes-0 at 0\nread b\"hello\" at 0\n");
}

#[test]
fn lines_are_published_and_replayed_from_a_point_in_time() {
    if Kind::under_test() == Kind::Kafka {
        return;
    }
    let broker = Broker::start();
    broker.connect().create_topic("numbers", 3, &[]).unwrap();
    let lines: String = (0..5_000).map(|number| format!("k{}\t{number}\n", number % 7)).collect();
    let output = text(finish(example("publish", &[&address(&broker), "numbers"]), lines.as_bytes()).unwrap());
    assert!(output.starts_with("5000 records written in "), "{output}");
    let replay =
        |since: &str| text(finish(example("replay", &[&address(&broker), "numbers", since]), b"").unwrap());
    let all = replay("0");
    let mut numbers: Vec<u32> =
        all.lines().map(|line| line.rsplit('\t').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..5_000));
    assert_eq!(replay("9000000000000"), "", "nothing from the future");
    // From the time of the last record on: at least that one.
    let last = all.lines().map(|line| line.split('\t').next().unwrap()).max().unwrap();
    let count = replay(last).lines().count();
    assert!((1..5_000).contains(&count), "{count}");
}

#[test]
fn a_tail_shows_what_comes() {
    if Kind::under_test() == Kind::Kafka {
        return;
    }
    let broker = Broker::start();
    broker.connect().create_topic("t", 2, &[]).unwrap();
    let mut tail = example("tail", &[&address(&broker), "t"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notices = BufReader::new(tail.stderr.take().unwrap()).lines();
    let mut ends: Vec<String> = (0..2).map(|_| notices.next().unwrap().unwrap()).collect();
    ends.sort();
    assert_eq!(ends, ["t-0: caught up at 0", "t-1: caught up at 0"]);
    finish(example("publish", &[&address(&broker), "t"]), b"key\tfirst\n").unwrap();
    let line = BufReader::new(tail.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(line.starts_with("t-") && line.ends_with(" @ 0: key = first"), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}
