//! What the kernel sees: between the write of a record and its acknowledgement lies a sync of that very file.
//!
//! The broker runs under strace from its start. A trace line says who called what on which file; with several threads a call
//! may begin on one line (`<unfinished ...>`) and end on another (`resumed>`), and it counts when it has ended.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use it::batch::Batch;
use it::broker::{Kind, Spec};
use it::raw::error;
use it::tools::{self, Tool};
use it::wait;

const CALLS: &str = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,syncfs";
const ACKNOWLEDGEMENTS: i64 = 40;

/// A finished system call on a file or socket.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Write(String),
    Sync(String),
    SyncAll,
    Send(String),
}

#[test]
fn every_acknowledgement_comes_after_a_sync_of_its_file() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka acknowledges from the page cache");
    }
    if !tools::require(&[Tool::Strace]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("trace");
    let spec = Spec { trace: Some((CALLS, file.clone())), ..Spec::under_test() };
    let mut broker = spec.start();
    let mut records = broker.connect();
    let mut admin = broker.connect();
    let record_port = records.stream.local_addr().unwrap().port();
    let admin_port = admin.stream.local_addr().unwrap().port();
    for topic in ["one", "two", "three"] {
        admin.create_topic(topic, 1, &[]).unwrap();
    }
    let batch = Batch::of_values(["synced"]).bytes();
    for offset in 0..ACKNOWLEDGEMENTS {
        assert_eq!(records.produce("one", 0, -1, &batch).unwrap(), (error::NONE, offset));
    }
    // With acks=1 as well.
    assert_eq!(records.produce("two", 0, 1, &batch).unwrap(), (error::NONE, 0));
    assert!(broker.terminate().success());
    // strace writes its last lines after its tracee is gone.
    wait::until("the end of the trace", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&file)?;
        Ok(text.lines().last().is_some_and(|line| line.contains("+++ exited with")).then_some(()))
    })
    .unwrap();
    let calls = calls(&std::fs::read_to_string(&file).unwrap());
    let data_dir = broker.data_dir().canonicalize().unwrap();

    let log = |topic: &str| data_dir.join(format!("{topic}-0/{:020}.log", 0));
    let sampled =
        synced_sends(&calls, record_port, &log("one")) + synced_sends(&calls, record_port, &log("two"));
    assert_eq!(sampled as i64, ACKNOWLEDGEMENTS + 1, "each acknowledgement was looked at");

    // The quorum's vote and log: one file of sled's. Starting votes once, creating three topics appends three commands.
    let sled = sled_file(&calls, &data_dir);
    let first_send = calls.iter().position(|call| matches!(call, Call::Send(_))).unwrap();
    assert!(syncs(&calls[..first_send], &sled) > 0, "the vote is on disk before anybody is served");
    let commands = synced_sends(&calls, admin_port, Path::new(&sled));
    assert!(commands >= 3, "{commands} of 3 topics were created after a sync of {sled}");
}

/// The answers sent to a port that follow a write to a file; panics when one of them left before the file was synced.
fn synced_sends(calls: &[Call], port: u16, file: &Path) -> usize {
    let file = file.to_str().unwrap();
    let folder = format!("->127.0.0.1:{port}]");
    let (mut written, mut dirty, mut sends) = (false, false, 0);
    for (index, call) in calls.iter().enumerate() {
        match call {
            Call::Write(path) if path == file => (written, dirty) = (true, true),
            Call::Sync(path) if path == file => dirty = false,
            Call::SyncAll => dirty = false,
            Call::Send(socket) if socket.contains(&folder) && written => {
                assert!(
                    !dirty,
                    "call {index} answers before {file} was synced: {:#?}",
                    &calls[index.saturating_sub(10)..=index]
                );
                sends += 1;
                written = false;
            }
            _ => {}
        }
    }
    sends
}

fn syncs(calls: &[Call], file: &str) -> usize {
    calls.iter().filter(|call| matches!(call, Call::Sync(path) if path == file)).count()
}

/// sled keeps all its data in one file called `db`.
fn sled_file(calls: &[Call], data_dir: &Path) -> String {
    let is_sled = |path: &&String| path.starts_with(data_dir.to_str().unwrap()) && path.ends_with("/db");
    let found = calls.iter().find_map(|call| match call {
        Call::Write(path) => Some(path).filter(is_sled),
        _ => None,
    });
    found.expect("sled's file was written").clone()
}

fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.ends_with("<unfinished ...>") {
            begun.insert(thread, rest);
        } else if rest.starts_with("<... ") {
            calls.extend(begun.remove(thread).filter(|_| succeeded(rest)).and_then(call));
        } else if succeeded(rest) {
            calls.extend(call(rest));
        }
    }
    calls
}

fn succeeded(line: &str) -> bool {
    line.rsplit_once("= ").is_some_and(|(_, result)| !result.starts_with('-') && !result.starts_with('?'))
}

/// `fdatasync(12</data/t-0/00000000000000000000.log>)` and the like; a socket shows as `<TCP:[127.0.0.1:9092->127.0.0.1:5000]>`.
fn call(line: &str) -> Option<Call> {
    let (name, arguments) = line.split_once('(')?;
    let target = arguments.split_once('<')?.1;
    if let Some(socket) = target.strip_prefix("TCP:[") {
        return Some(Call::Send(socket.split_once(">,").map_or(socket, |(socket, _)| socket).to_owned()));
    }
    let path = target.split_once('>')?.0.to_owned();
    match name {
        "fdatasync" | "fsync" => Some(Call::Sync(path)),
        "syncfs" => Some(Call::SyncAll),
        _ => Some(Call::Write(path)),
    }
}
