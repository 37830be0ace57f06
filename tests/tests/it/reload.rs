//! SIGHUP: the log level follows the file while the broker runs, and a closed terminal is an order to stop.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use it::broker::{Broker, Kind, Spec, free_port};
use it::project::{self, Profile};
use it::{tools, wait};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const SOON: Duration = Duration::from_secs(20);

fn wait_for_line(broker: &Broker, text: &str) {
    wait::until(text, SOON, || Ok(broker.log().contains(text).then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", broker.log()));
}

fn write_and_hang_up(broker: &Broker, file: &Path, settings: &str) {
    fs::write(file, settings).unwrap();
    broker.signal(Signal::HUP);
}

#[test]
fn the_log_level_follows_the_file_at_sighup() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka's log levels are Log4j's");
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("server.properties");
    fs::write(&file, "ottla.log.level=warn\n").unwrap();
    let mut broker = Spec::under_test().config_file(&file).start();
    assert_eq!(broker.log().lines().find(|line| line.contains("INFO")), None, "warn says nothing at info");

    write_and_hang_up(&broker, &file, "ottla.log.level=info,ottla_kafka=debug\nnum.partitions=7\n");
    wait_for_line(&broker, "the log level was warn and is now info,ottla_kafka=debug");
    wait_for_line(&broker, "changed, and taken at the next start: num.partitions");
    drop(broker.connect());
    wait_for_line(&broker, "DEBUG");

    // A level that is none changes nothing, and says so; the broker goes on.
    broker.expect_log("ottla.log.level=loud: loud is no level");
    write_and_hang_up(&broker, &file, "ottla.log.level=loud\n");
    wait_for_line(&broker, "nothing is changed: ottla.log.level=loud: loud is no level");
    broker.expect_log("nothing is changed: cannot read");
    fs::remove_file(&file).unwrap();
    broker.signal(Signal::HUP);
    wait_for_line(&broker, "nothing is changed: cannot read");

    write_and_hang_up(&broker, &file, "ottla.log.level=warn\n");
    wait_for_line(&broker, "the log level was info,ottla_kafka=debug and is now warn");
    let before = broker.log();
    for _ in 0..3 {
        broker.connect().api_versions().unwrap();
    }
    let status = broker.terminate();
    assert_eq!(
        (status.code(), broker.log()),
        (Some(0), before),
        "warn says nothing of connections and stops"
    );
}

#[test]
fn an_argument_counts_more_than_the_file() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such argument");
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("server.properties");
    fs::write(&file, "ottla.log.level=error\n").unwrap();
    let broker = Spec::under_test().config_file(&file).set("ottla.log.level", "info").start();
    wait_for_line(&broker, "ready");
    write_and_hang_up(&broker, &file, "ottla.log.level=debug\n");
    wait_for_line(&broker, "the log level stays info");
}

#[test]
fn a_closed_terminal_stops_the_broker_cleanly() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("a JVM ends at every SIGHUP");
    }
    if tools::on_path("setsid").is_none() {
        return tools::skip("setsid is not installed");
    }
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let window = || -> OwnedFd {
        fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into()
    };
    let port = free_port();
    let mut child = Command::new("setsid")
        .arg("--ctty")
        .arg(project::ottla(Profile::Dev).unwrap())
        .arg("serve")
        .arg("--data-dir")
        .arg(&data)
        .args(["--set", &format!("listeners=PLAINTEXT://127.0.0.1:{port}")])
        .stdin(window())
        .stdout(window())
        .stderr(Stdio::from(window()))
        .spawn()
        .unwrap();
    // Somebody reads what the window shows, and then closes it.
    let mut window = BufReader::new(fs::File::from(terminal));
    let mut line = String::new();
    while !line.contains("is ready after") {
        line.clear();
        assert_ne!(window.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }
    drop(window);
    let status = wait::until("the end", SOON, || Ok(child.try_wait()?)).unwrap_or_else(|error| {
        let _ = child.kill();
        panic!("{error:#}");
    });
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(data.join(".kafka_cleanshutdown").exists(), "a clean stop");
}
