//! Foreign clients on three brokers: each goes on when the leader it talks to, or its group's coordinator, is killed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use it::cluster::{Cluster, Plan};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;
use it::writer::Writer;

const TOPIC: &str = "orders";
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn kcat_goes_on_when_the_leader_is_killed() {
    if !tools::require(&[Tool::Kcat]) {
        return;
    }
    let mut cluster = cluster(1);
    let mut kcat = tools::kcat();
    kcat.args([
        "-P",
        "-b",
        &cluster.bootstrap(),
        "-t",
        TOPIC,
        "-X",
        "enable.idempotence=true",
        "-X",
        "acks=all",
    ]);
    kcat.args(["-X", "linger.ms=1"]).stdin(Stdio::piped());
    let mut kcat = kcat.spawn().unwrap();
    let mut lines = kcat.stdin.take().unwrap();
    let mut write = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| writeln!(lines, "{number}").unwrap());
        lines.flush().unwrap();
    };
    write(0..2_000);
    let leader = cluster.leader(TOPIC, 0);
    wait::until("kcat to write", WITHIN, || {
        let (_, end) = cluster.broker(leader).connect().list_offset(TOPIC, 0, -1)?;
        Ok((end > 0).then_some(()))
    })
    .unwrap();
    cluster.kill(leader);
    write(2_000..4_000);
    drop(lines);
    assert!(kcat.wait().unwrap().success(), "every record was acknowledged");
    let arguments = ["-C", "-b", &cluster.bootstrap(), "-t", TOPIC, "-o", "beginning", "-e", "-q"];
    let read = String::from_utf8(it::clients::kcat(&arguments).unwrap()).unwrap();
    assert!(read.lines().eq((0..4_000).map(|number| number.to_string())), "each once, in order");
    cluster.restart(leader);
    cluster.wait_in_sync(TOPIC);
}

#[test]
fn java_goes_on_when_the_leader_is_killed_and_kafkas_tool_shows_who_is_in_sync() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let mut cluster = cluster(1);
    let (mut tools, bootstrap) = (Toolbox::start(), cluster.bootstrap());
    let described = describe(&mut tools, &bootstrap);
    assert!(described.contains("ReplicationFactor: 3"), "{described}");
    assert_eq!(replicas(&described, "Isr: "), [1, 2, 3].into(), "{described}");
    let leader = cluster.leader(TOPIC, 0);
    assert!(described.contains(&format!("Leader: {leader}\t")), "{described}");

    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let class = "org.apache.kafka.tools.ProducerPerformance";
            let topic = ["--topic", TOPIC, "--num-records", "3000", "--record-size", "20"];
            let pace = ["--throughput", "300", "--bootstrap-server", &bootstrap];
            let config = ["--command-property", "acks=all"];
            let run = tools.run(class, &[&topic[..], &pace, &config].concat());
            (tools, run.success())
        });
        wait::until("Java to write", WITHIN, || {
            let (_, end) = cluster.broker(leader).connect().list_offset(TOPIC, 0, -1)?;
            Ok((end > 300).then_some(()))
        })
        .unwrap();
        cluster.kill(leader);
        writing.join().unwrap()
    });
    let (mut tools, said) = written;
    assert!(said.contains("3000 records sent") && !said.contains("Exception"), "{said}");
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 3_000, "each once");
    let described = describe(&mut tools, &bootstrap);
    let in_sync = replicas(&described, "Isr: ");
    assert!(in_sync.len() == 2 && !in_sync.contains(&leader), "{described}");
    cluster.restart(leader);
    cluster.wait_in_sync(TOPIC);
    let described = describe(&mut tools, &bootstrap);
    assert_eq!(replicas(&described, "Isr: "), [1, 2, 3].into(), "{described}");
}

#[test]
fn a_group_survives_its_coordinator() {
    if !tools::require(&[Tool::Kcat, Tool::Python]) {
        return;
    }
    const PARTITIONS: i32 = 3;
    let mut cluster = cluster(PARTITIONS);
    let mut writer = Writer::start(&cluster.bootstrap(), TOPIC, "w", PARTITIONS, 150);
    writer.wait_progress(20, WITHIN).unwrap();
    let member = Member::start(&cluster.bootstrap());
    member.wait(300);
    let coordinator = cluster.coordinator("readers");
    cluster.kill(coordinator);
    // It reads on, and what it has read it can still commit: to another coordinator, who knows where it was.
    member.wait(600);
    assert_ne!(cluster.coordinator("readers"), coordinator);
    cluster.restart(coordinator);
    let sent = writer.finish().unwrap().sent;
    member.wait(sent as usize);
    member.stop();
    let mut connection = cluster.broker(cluster.coordinator("readers")).connect();
    let committed = connection.committed("readers", TOPIC, PARTITIONS).unwrap();
    assert_eq!(committed.values().sum::<i64>(), sent as i64, "{committed:?}");
    cluster.wait_in_sync(TOPIC);
}

fn cluster(partitions: i32) -> Cluster {
    let cluster = Plan::under_test(3).start();
    cluster.create_topic(TOPIC, partitions, &[]);
    cluster
}

fn describe(tools: &mut Toolbox, bootstrap: &str) -> String {
    let arguments = ["--bootstrap-server", bootstrap, "--describe", "--topic", TOPIC];
    tools.run("org.apache.kafka.tools.TopicCommand", &arguments).success()
}

/// The brokers that the tool lists behind a title.
fn replicas(described: &str, title: &str) -> BTreeSet<i32> {
    let list = described.split(title).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    list.split(',').map(|id| id.parse().unwrap()).collect()
}

/// A kcat in the group `readers`, and the values it was given.
struct Member {
    kcat: Child,
    values: Arc<Mutex<BTreeSet<String>>>,
}

impl Member {
    fn start(bootstrap: &str) -> Self {
        let mut kcat = tools::kcat();
        kcat.args(["-b", bootstrap, "-u", "-q", "-X", "auto.offset.reset=earliest"]);
        kcat.args(["-X", "session.timeout.ms=6000", "-X", "auto.commit.interval.ms=200"]);
        kcat.args(["-G", "readers", TOPIC]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut kcat = kcat.spawn().unwrap();
        let lines = BufReader::new(kcat.stdout.take().unwrap()).lines();
        let values = Arc::new(Mutex::new(BTreeSet::new()));
        thread::spawn({
            let values = values.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    values.lock().unwrap().insert(line);
                }
            }
        });
        Self { kcat, values }
    }

    fn wait(&self, count: usize) {
        wait::until("the member to read", WITHIN, || {
            let read = self.values.lock().unwrap().len();
            anyhow::ensure!(read >= count, "it has read {read} of {count}");
            Ok(Some(()))
        })
        .unwrap();
    }

    /// SIGTERM: it commits and leaves.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.kcat);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.kcat.wait().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.kcat.kill();
        let _ = self.kcat.wait();
    }
}
