//! `ottla log import` killed at any point, and from a Kafka that was killed itself.
//!
//! strace delivers the SIGKILL, before the Nth call that makes something durable or gives it its name: what lies on the disk
//! between two of those is the same for every moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use it::broker::{Broker, Kind, Spec};
use it::clients::{kcat, kcat_with_input};
use it::project::{self, Profile};
use it::tools::{self, Tool};
use it::wait;

use crate::import::{hashes, import, imported, kafka};

/// What makes bytes or names durable, or changes names.
const MOMENTS: &str = "fsync,fdatasync,sync_file_range,rename,renameat,renameat2";
/// Kills in one test, spread over the import.
const KILLS: usize = 24;
/// Every so manieth kill is followed by a start of the broker before the import runs again.
const STARTED: usize = 4;

const TOPICS: [(&str, usize); 2] = [("numbers", 3), ("words", 1)];

#[test]
fn a_killed_import_leaves_all_or_nothing_and_the_next_one_ends_it() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka imports nothing");
    }
    if !tools::require(&[Tool::Kafka, Tool::Kcat, Tool::Strace]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("kafka");
    let mut kafka = kafka(&source);
    write(&kafka.address());
    let before = contents(&kafka.address());
    kafka.terminate();
    let untouched = hashes(&source);

    // Once to its end, to see how many moments there are, and what it says.
    let whole = scratch.path().join("whole");
    let done = summary(&import(&source, &whole, &["--json"]).success());
    let counted = scratch.path().join("counted");
    let moments = moments_of_one_import(&source, &counted, &scratch.path().join("trace"));
    assert!(moments > 30, "an import of four partitions has more than {moments} moments");

    let step = moments.div_ceil(KILLS);
    let (mut killed, mut told) = (0, 0);
    for (round, moment) in (1..=moments).step_by(step).enumerate() {
        let target = scratch.path().join(format!("at-{moment}"));
        let status = killed_import(&source, &target, moment);
        // The threads of the metadata share the count, not always in the same order: the last moments may not come.
        match status.signal() {
            Some(9) => killed += 1,
            other => assert_eq!((other, status.code()), (None, Some(0)), "at {moment}"),
        }
        if round % STARTED == 0 && target.join("meta.properties").exists() {
            let mut ottla = Spec::under_test().data_dir(&target).start();
            // Copies that no topic stands for are told of, and left to the next import.
            ottla.expect_log(
                "this directory belongs to no topic of the cluster and is left alone; import or remove it",
            );
            let interrupted = "run the same `ottla log import` again, which ends it";
            ottla.expect_log(interrupted);
            let topics = TOPICS.iter().filter(|(topic, _)| has(&ottla, topic)).count();
            assert!(topics == 0 || topics == TOPICS.len(), "{topics} topics after a kill at {moment}");
            let is_told =
                ottla.log().lines().any(|line| line.contains(interrupted) && line.contains("numbers"));
            let has_begun = target.join("import.journal").exists();
            assert_eq!(is_told, has_begun && topics == 0, "after a kill at {moment}: {}", ottla.log());
            told += usize::from(is_told);
            if topics > 0 {
                assert_eq!(contents(&ottla.address()), before, "after a kill at {moment}");
            }
            assert!(ottla.terminate().success());
        }
        let again = import(&source, &target, &["--json"]);
        // Killed when everything was done but the last word, the next one has nothing left to do, and says so.
        if again.status == Some(1) {
            assert!(again.text.contains("exists already"), "at {moment}: {}", again.text);
        } else {
            let said = summary(&again.success());
            assert!(said.is_empty() || said == done, "at {moment}: {said:?}");
        }
        let left: Vec<_> = names(&target).into_iter().filter(|name| name.contains("import")).collect();
        assert!(left.is_empty(), "left after a kill at {moment}: {left:?}");
        let mut ottla = Spec::under_test().data_dir(&target).start();
        assert_eq!(contents(&ottla.address()), before, "after a kill at {moment}");
        assert!(ottla.terminate().success());
        fs::remove_dir_all(&target).unwrap();
    }
    eprintln!("killed {killed} times in an import of {moments} moments");
    assert!(killed >= KILLS / 2, "{killed} kills");
    assert!(told > 0, "no start found an interrupted import");
    assert_eq!(hashes(&source), untouched, "the source was written to");
}

#[test]
fn what_a_killed_kafka_acknowledged_is_taken_over_unclean() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka imports nothing");
    }
    if !tools::require(&[Tool::Kafka, Tool::Kcat]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (source, target) = (scratch.path().join("kafka"), scratch.path().join("ottla"));
    let mut kafka = kafka(&source);
    let address = kafka.address();
    write(&address);
    let acknowledged = contents(&address);
    // Somebody publishes while it dies.
    let place = ["-P", "-b", &address, "-t", "words", "-p", "0", "-X", "message.timeout.ms=1000"];
    let mut publisher =
        tools::kcat().args(place).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = publisher.stdin.take().unwrap();
    let publishing = std::thread::spawn(move || {
        use std::io::Write as _;
        // Ends with its reader.
        while lines.write_all(b"in the last moment\n").is_ok() {}
    });
    let log = source.join("words-0/00000000000000000000.log");
    let size = || fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let begin = size();
    wait::until("some of it to arrive", Duration::from_secs(30), || {
        Ok((size() > begin + 100_000).then_some(()))
    })
    .unwrap();
    kafka.kill();
    let _ = publisher.kill();
    let _ = publisher.wait();
    publishing.join().unwrap();
    // A machine that fails leaves less than a killed process: a part of the last batch.
    let torn = [&fs::read(&log).unwrap()[..61], &[0xee; 40]].concat();
    fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .and_then(|mut log| std::io::Write::write_all(&mut log, &torn))
        .unwrap();
    let untouched = hashes(&source);

    let refused = import(&source, &target, &[]).failure();
    assert!(refused.contains("was not stopped cleanly") && refused.contains("--allow-unclean"), "{refused}");
    assert!(!target.exists(), "a refused import writes nothing");
    let done = import(&source, &target, &["--allow-unclean", "--json"]).success();
    assert!(done.contains(&format!("\"cut_bytes\":{}", torn.len())), "the torn batch is cut: {done}");
    assert_eq!(hashes(&source), untouched, "the source was written to");

    let mut ottla = Spec::under_test().data_dir(&target).start();
    let taken = contents(&ottla.address());
    for (topic, lines) in &acknowledged {
        assert_eq!(taken[topic][..lines.len()], lines[..], "what {topic} had before");
        let late = &taken[topic][lines.len()..];
        assert!(late.iter().all(|line| line.ends_with("in the last moment")), "{topic}");
    }
    assert!(taken["words"].len() > acknowledged["words"].len() + 1_000, "what came while it died");
    // The log goes on behind what was cut.
    kcat_with_input(&["-P", "-b", &ottla.address(), "-t", "words", "-p", "0"], b"after the import\n")
        .unwrap();
    assert_eq!(contents(&ottla.address())["words"].len(), taken["words"].len() + 1);
    assert!(ottla.terminate().success());
}

fn write(address: &str) {
    for (topic, partitions) in TOPICS {
        let kafka = &mut it::raw::Connection::open(address).unwrap();
        kafka.create_topic(topic, i32::try_from(partitions).unwrap(), &[]).unwrap();
        for partition in 0..partitions {
            let lines: String =
                (0..2_000).map(|index| format!("{topic} {index} {}\n", "x".repeat(index % 70))).collect();
            let number = partition.to_string();
            let place = ["-P", "-b", address, "-t", topic, "-p", &number, "-z", "lz4"];
            kcat_with_input(&place, lines.as_bytes()).unwrap();
        }
    }
}

/// All records, by topic.
fn contents(address: &str) -> BTreeMap<&'static str, Vec<String>> {
    let read = |(topic, partitions): (&'static str, usize)| {
        let mut lines = Vec::new();
        for partition in 0..partitions {
            let number = partition.to_string();
            let place = ["-C", "-q", "-e", "-b", address, "-t", topic, "-p", &number, "-o", "beginning"];
            let read = kcat(&[&place[..], &["-f", "%p %o %T %s\n"]].concat()).unwrap();
            lines.extend(String::from_utf8(read).unwrap().lines().map(str::to_owned));
        }
        assert!(lines.len() >= 2_000 * partitions, "{topic} has {} records", lines.len());
        (topic, lines)
    };
    TOPICS.into_iter().map(read).collect()
}

fn has(ottla: &Broker, topic: &str) -> bool {
    ottla.connect().list_offset(topic, 0, -1).unwrap().0 == it::raw::error::NONE
}

/// Topics and their numbers of offsets, as an import says.
fn summary(said: &str) -> BTreeMap<String, i64> {
    said.lines().map(imported).collect()
}

/// An import under strace with these arguments.
fn traced(source: &Path, target: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-e", &format!("trace={MOMENTS}")]).args(arguments).arg("--");
    command.arg(project::ottla(Profile::Dev).unwrap());
    command.args(["log", "import"]).arg(source).arg("--data-dir").arg(target);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The moments of the thread that copies, which has most of them.
fn moments_of_one_import(source: &Path, target: &Path, trace: &Path) -> usize {
    let status = traced(source, target, &["-o", trace.to_str().unwrap()]).status().unwrap();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(trace).unwrap();
    let mut of_thread: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("sync") || line.contains("rename")) {
        *of_thread.entry(line.split_whitespace().next().unwrap()).or_default() += 1;
    }
    *of_thread.values().max().unwrap()
}

/// strace counts the calls of each thread by itself, and ends as its tracee did.
fn killed_import(source: &Path, target: &Path, moment: usize) -> std::process::ExitStatus {
    let inject = format!("inject={MOMENTS}:signal=KILL:when={moment}");
    traced(source, target, &["-o", "/dev/null", "-e", &inject]).status().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
