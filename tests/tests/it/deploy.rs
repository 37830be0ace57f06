//! What lies in `deploy/`: the unit is one that systemd accepts and finds hardened, and what it forbids the broker never does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use it::batch::Batch;
use it::broker::{Kind, Spec};
use it::project::{self, Profile};
use it::tools;

/// Out of 100; systemd calls up to 20 OK.
const MAX_EXPOSURE: &str = "20";

fn deploy(file: &str) -> PathBuf {
    project::root().join("deploy").join(file)
}

/// The values of a key of the unit, in order.
fn unit(key: &str) -> Vec<String> {
    let text = fs::read_to_string(deploy("systemd/ottla.service")).unwrap();
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    text.lines().filter_map(value).collect()
}

/// systemd's own checker, or a loud skip.
fn systemd_analyze() -> Option<Command> {
    if tools::on_path("systemd-analyze").is_none() {
        tools::skip("systemd-analyze is not installed");
        return None;
    }
    Some(Command::new("systemd-analyze"))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let Some(mut verify) = systemd_analyze() else { return };
    // The checker wants to see the program where the unit says it is.
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("ottla.service");
    let text = fs::read_to_string(deploy("systemd/ottla.service")).unwrap();
    let binary = project::ottla(Profile::Dev).unwrap();
    fs::write(&copy, text.replace("/usr/local/bin/ottla", binary.to_str().unwrap())).unwrap();
    let said = output(verify.args(["verify", "--man=no"]).arg(&copy));
    assert!(!said.contains("ottla.service"), "complaints: {said}");
    let mut security = systemd_analyze().unwrap();
    output(
        security.args(["security", "--offline=true", "--no-pager", "--threshold", MAX_EXPOSURE]).arg(&copy),
    );
}

#[test]
fn the_unit_starts_what_the_binary_understands() {
    let start = unit("ExecStart");
    let words: Vec<&str> = start[0].split_whitespace().collect();
    let file = deploy("systemd/server.properties");
    let arguments: Vec<_> = words[1..]
        .iter()
        .map(|word| if *word == "/etc/ottla/server.properties" { file.to_str().unwrap() } else { word })
        .collect();
    assert!(arguments.contains(&file.to_str().unwrap()), "{words:?}");
    let mut ottla = Command::new(project::ottla(Profile::Dev).unwrap());
    let said = output(ottla.args(arguments).arg("--explain"));
    assert!(said.contains("= /var/lib/ottla"), "{said}");
    assert!(!said.contains("unknown") && !said.contains("without effect: "), "{said}");
}

#[test]
fn a_service_manager_is_told_when_clients_are_served_and_when_the_stop_begins() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka tells nobody");
    }
    assert_eq!(unit("Type"), ["notify"]);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut broker = Spec::under_test().env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    let hear = || {
        let mut datagram = [0; 100];
        let length = manager.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(broker.terminate().code(), Some(0));
    assert_eq!(hear(), "STOPPING=1");
}

#[test]
fn the_unit_forbids_no_system_call_that_a_broker_makes() {
    if Kind::under_test() == Kind::Kafka || !tools::require(&[tools::Tool::Strace]) {
        return;
    }
    let Some(mut list) = systemd_analyze() else { return };
    let groups = output(list.args(["syscall-filter", "--no-pager"]));
    let mut allowed = BTreeSet::new();
    for line in unit("SystemCallFilter") {
        match line.strip_prefix('~') {
            Some(taken) => {
                let taken = expand(&groups, taken);
                allowed.retain(|call| !taken.contains(call));
            }
            None => allowed.extend(expand(&groups, &line)),
        }
    }
    // systemd always allows these.
    allowed.extend(expand(&groups, "@default"));

    let scratch = tempfile::tempdir().unwrap();
    let trace = scratch.path().join("trace");
    let mut broker = Spec { trace: Some(("all", trace.clone())), ..Spec::under_test() }.start();
    let mut connection = broker.connect();
    connection.create_topic("t", 4, &[("segment.bytes", "1048576")]).unwrap();
    let batch = Batch::of_values(["x".repeat(100_000)]).bytes();
    for round in 0..12 {
        connection.produce_once_led("t", round % 4, &batch).unwrap();
        connection.fetch("t", round % 4, 0).unwrap();
    }
    broker.signal(rustix::process::Signal::HUP);
    drop(connection);
    broker.terminate();

    let made: BTreeSet<String> = fs::read_to_string(&trace)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('(').map(|(call, _)| call.to_owned()))
        .collect();
    assert!(
        made.contains("sendfile") && made.contains("fdatasync"),
        "the trace saw a broker at work: {made:?}"
    );
    // Starting the program is the service manager's call.
    let forbidden: Vec<_> = made.difference(&allowed).filter(|call| *call != "execve").collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

/// The system calls of a list of names and groups, in the words of `systemd-analyze syscall-filter`.
fn expand(groups: &str, list: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for word in list.split_whitespace() {
        if !word.starts_with('@') {
            calls.insert(word.to_owned());
            continue;
        }
        let members = groups.lines().skip_while(|line| *line != word).skip(1);
        let members = members.take_while(|line| line.starts_with(' ')).map(str::trim);
        for member in members.filter(|member| !member.starts_with('#')) {
            calls.extend(expand(groups, member));
        }
    }
    calls
}

#[test]
fn the_image_is_built_by_the_compiler_of_the_workspace_and_does_not_run_as_root() {
    let toolchain = fs::read_to_string(project::root().join("rust-toolchain.toml")).unwrap();
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let image = fs::read_to_string(deploy("docker/Dockerfile")).unwrap();
    assert!(image.contains(&format!("FROM rust:{channel}-bookworm AS build\n")), "{image}");
    assert!(image.contains(&format!("ENV RUSTUP_TOOLCHAIN={channel}\n")), "{image}");
    let (_, running) = image.rsplit_once("\nFROM ").unwrap();
    assert!(running.contains("\nUSER 65532:65532\n") && running.contains("\nHEALTHCHECK "), "{running}");
    // What CMD gives the binary is what it understands.
    let command = running.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let arguments: Vec<String> = serde_json::from_str(command).unwrap();
    output(Command::new(project::ottla(Profile::Dev).unwrap()).args(arguments).arg("--explain"));
}
