//! Every command's output and exit code, in a pipe.

use std::io::Write as _;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};
use it::broker::{Broker, Kind};
use it::project::{self, Profile};
use it::tools;

/// A broker, and commands that ask it.
struct Session {
    broker: Broker,
}

impl Session {
    fn start() -> Option<Self> {
        if Kind::under_test() == Kind::Kafka {
            tools::note("these are Ottla's own commands");
            return None;
        }
        Some(Self { broker: Broker::start() })
    }

    /// Runs `ottla` with these words, and returns what it wrote and how it ended. What differs from run to run is replaced.
    fn run(&self, words: &[&str], input: &str) -> String {
        let mut child = Command::new(project::ottla(Profile::Dev).unwrap())
            .args(words)
            .env("OTTLA_BROKER", self.broker.api_address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read ends before everything is written.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| self.steady(&String::from_utf8_lossy(&bytes)));
        format!("{out}{err}[{}]\n", output.status.code().unwrap())
    }

    fn check(&self, line: &str, expected: Expect) {
        self.check_with(line, "", expected);
    }

    fn check_with(&self, line: &str, input: &str, expected: Expect) {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "FORMAT" { "%p %o %k=%v\\n" } else { word }).collect();
        expected.assert_eq(&self.run(&words, input));
    }

    fn steady(&self, text: &str) -> String {
        let text = text
            .replace(&self.broker.address(), "KAFKA")
            .replace(&self.broker.api_address(), "API")
            .replace(&self.broker.data_dir().display().to_string(), "DATA");
        text.split_inclusive(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c))).map(word).collect()
    }
}

/// Ids, times and free space are other ones in each run; the rest of the word stays.
fn word(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c)));
    let rest = &word[end.len()..];
    let is_uuid = end.len() == 22 && end.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let is_time = end.len() == 24 && end.starts_with("20") && end.ends_with('Z');
    let is_millis = end.len() == 13 && end.starts_with('1') && end.chars().all(|c| c.is_ascii_digit());
    match () {
        () if is_uuid => format!("UUID{rest}"),
        () if is_time => format!("TIME{rest}"),
        () if is_millis => format!("MILLIS{rest}"),
        () => word.to_owned(),
    }
}

#[test]
fn topics_and_configs() {
    let Some(session) = Session::start() else { return };
    session.check("topic list", expect![[""]]);
    session.check("topic create orders -p 3 -c retention.ms=3600000", expect![[""]]);
    session.check("topic create orders", expect![[""]]);
    session.check("topic create orders --if-not-exists", expect![[""]]);
    session.check("topic create no/name", expect![[""]]);
    session.check("topic create wide -r 3", expect![[""]]);
    session.check("topic create later --dry-run --json", expect![[""]]);
    session.check("topic list", expect![[""]]);
    session.check("topic list --json", expect![[""]]);
    session.check("topic describe orders", expect![[""]]);
    session.check("topic describe orders --json", expect![[""]]);
    session.check("topic alter orders --partitions 2", expect![[""]]);
    session.check(
        "topic alter orders --partitions 5 --set max.message.bytes=2000000 --remove retention.ms",
        expect![[""]],
    );
    session.check("config get --topic orders", expect![[""]]);
    session.check("config get --topic orders retention.ms --json", expect![[""]]);
    session.check("config get --topic orders nosuch", expect![[""]]);
    session.check("config get --node 1 num.partitions log.retention.ms", expect![[""]]);
    session.check("config get --all-nodes", expect![[""]]);
    session.check("config set --topic orders retention.ms=soon", expect![[""]]);
    session.check("config set --topic orders retention.ms=60000 --dry-run", expect![[""]]);
    session.check("config set --topic orders retention.ms=60000 --remove max.message.bytes", expect![[""]]);
    session.check("topic delete orders nosuch", expect![[""]]);
    session.check("topic delete nosuch --if-exists", expect![[""]]);
}

#[test]
fn records() {
    let Some(session) = Session::start() else { return };
    session.run(&["topic", "create", "orders", "-p", "1"], "");
    session.check_with("produce orders -K =", "a=1\nb=2\n", expect![[""]]);
    session.check_with("produce orders -K = --null - -H by=me -z zstd", "a=-\n-=4\r\n=\n", expect![[""]]);
    session.check_with("produce orders -k all -p 0 --acks leader", "5\n6", expect![[""]]);
    session.check_with("produce orders -K =", "no separator\n", expect![[""]]);
    session.check_with("produce orders -p 7", "x\n", expect![[""]]);
    session.check("produce orders -f /nowhere", expect![[""]]);
    session.check("consume orders --from start -e", expect![[""]]);
    session.check("consume orders --from start -e -f FORMAT", expect![[""]]);
    session.check("consume orders --from start -e -f text", expect![[""]]);
    session.check("consume orders --from 2 -n 1 --json", expect![[""]]);
    session.check("consume orders --from -2 -e -f FORMAT", expect![[""]]);
    session.check("consume orders --from 1h -e -n 1", expect![[""]]);
    session.check("consume orders --from end -e", expect![[""]]);
    session.check("consume orders --from 99 -e", expect![[""]]);
    session.check("consume orders --from yesterday", expect![[""]]);
    session.check("consume orders -e -p 3", expect![[""]]);
    session.check("consume nosuch -e", expect![[""]]);
}

#[test]
fn the_cluster_and_what_is_no_command() {
    let Some(session) = Session::start() else { return };
    let status = session.run(&["cluster", "status"], "");
    // Sizes of this machine's disk stand in it.
    let steady: Vec<&str> = status.lines().filter(|line| !line.contains(" free")).collect();
    expect![[""]].assert_eq(&(steady.join("\n") + "\n"));
    let json: serde_json::Value =
        serde_json::from_str(session.run(&["cluster", "status", "--json"], "").lines().next().unwrap())
            .unwrap();
    assert_eq!(json["brokers"][0]["fenced"], false);
    assert!(json["log_dir"]["free_bytes"].as_u64().unwrap() > 0);

    session.check("topic list --broker 127.0.0.1:1 --timeout 300ms", expect![[""]]);
    session.check("topic", expect![[""]]);
    session.check("nonsense", expect![[""]]);
    for shell in ["bash", "zsh", "fish"] {
        let script = session.run(&["completions", shell], "");
        assert!(script.contains("consume") && script.ends_with("[0]\n"), "{shell}");
    }
    let bench = session.run(&["bench", "produce", "-n", "2000", "-s", "100", "--json"], "");
    let bench: serde_json::Value = serde_json::from_str(bench.lines().next().unwrap()).unwrap();
    assert_eq!(bench["records"], 2000);
    assert!(bench["p99_ms"].as_f64().unwrap() > 0.0);
    let read = session.run(&["bench", "consume", "--json"], "");
    let read: serde_json::Value = serde_json::from_str(read.lines().next().unwrap()).unwrap();
    assert_eq!((&read["records"], &read["bytes"]), (&2000.into(), &200_000.into()));
    let latency = session.run(&["bench", "latency", "-n", "20"], "");
    assert!(latency.starts_with("latency: 20 records"), "{latency}");
}
