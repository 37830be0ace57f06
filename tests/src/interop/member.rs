//! One member of a group: a process of a foreign client, and what it says line by line.
//!
//! A member program is called `PROGRAM BOOTSTRAP GROUP TOPIC PROTOCOL NAME`, reads from the start where nothing is committed, commits
//! by hand what it has read, and writes at once, each on a line:
//!
//! | line | when |
//! |---|---|
//! | `{"event":"assigned","partitions":[0,1]}` | these partitions are its own from now on, besides those it has |
//! | `{"event":"revoked","partitions":[0]}` | these are no longer, whether given up or lost |
//! | `{"event":"record","partition":0,"offset":7}` | it was given this record |
//! | `{"event":"committed","offsets":{"0":8}}` | the client was told that this is committed; the next offset to read |
//! | `{"event":"retried","error":"…"}` | a commit or another request was refused; it tries again |
//! | `{"event":"disconnected","error":"…"}` | a broker closed its connection, the library tells, and goes on by itself or when it is called again |
//! | `{"event":"failed","error":"…"}` | anything else that went wrong |
//! | `{"event":"closed"}` | SIGTERM came and it has left the group in order |
//!
//! kcat is such a program by its format string; who owns what it says in words of its own on its standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::{Client, Protocol};

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above")]
pub enum Event {
    Assigned { partitions: BTreeSet<i32> },
    Revoked { partitions: BTreeSet<i32> },
    Record { partition: i32, offset: i64 },
    Committed { offsets: BTreeMap<i32, i64> },
    Retried { error: String },
    Disconnected { error: String },
    Failed { error: String },
    Closed,
}

/// Of which group a process is a member.
#[derive(Clone, Debug)]
pub struct Membership<'a> {
    /// `HOST:PORT` of a broker.
    pub bootstrap: &'a str,
    /// The group.
    pub group: &'a str,
    /// Its one topic.
    pub topic: &'a str,
    /// How it agrees.
    pub protocol: Protocol,
}

/// A line or the end of a member's output, with the member's name.
pub type Heard = (String, Result<Event, String>);

/// A running member; dropping it kills the process.
pub struct Member {
    /// Its name, which is its client id, and its instance id where it is a static member.
    pub name: String,
    child: Child,
    stderr: PathBuf,
}

impl Member {
    /// Starts the process; what it says goes into the channel, its standard error into a file of `scratch` as well.
    pub fn start(
        client: Client,
        membership: &Membership<'_>,
        name: &str,
        scratch: &std::path::Path,
        heard: &SyncSender<Heard>,
    ) -> anyhow::Result<Self> {
        let mut command = client.program();
        if client == Client::Kcat {
            command.args(kcat_arguments(membership, name));
            Self::spawn(command, name, scratch, heard, true)
        } else {
            Self::start_program(command, membership, name, scratch, heard)
        }
    }

    /// The same for any member program.
    pub fn start_program(
        mut program: Command,
        membership: &Membership<'_>,
        name: &str,
        scratch: &std::path::Path,
        heard: &SyncSender<Heard>,
    ) -> anyhow::Result<Self> {
        let Membership { bootstrap, group, topic, protocol } = membership;
        program.args([*bootstrap, *group, *topic, protocol.word(), name]);
        Self::spawn(program, name, scratch, heard, false)
    }

    fn spawn(
        mut command: Command,
        name: &str,
        scratch: &std::path::Path,
        heard: &SyncSender<Heard>,
        is_kcat: bool,
    ) -> anyhow::Result<Self> {
        let stderr = scratch.join(format!("{name}.stderr"));
        let log = File::options().create(true).append(true).open(&stderr)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(if is_kcat { Stdio::piped() } else { log.try_clone()?.into() });
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        listen(child.stdout.take().context("piped")?, name, heard, |line| Some(parse(line)));
        if let Some(words) = child.stderr.take() {
            listen(words, name, heard, |line| {
                let reading = line.starts_with("% Reached end of topic");
                (!reading).then(|| kcat_rebalance(line).ok_or_else(|| line.to_owned()))
            });
        }
        Ok(Self { name: name.to_owned(), child, stderr })
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, the order to leave and end.
    pub fn ask_to_stop(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("not 0")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The end of its standard error.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let tail: Vec<&str> = text.lines().rev().take(20).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes on each line that means something, until the process ends or nobody listens.
fn listen(
    output: impl Read + Send + 'static,
    name: &str,
    heard: &SyncSender<Heard>,
    understand: impl Fn(&str) -> Option<Result<Event, String>> + Send + 'static,
) {
    let (name, heard) = (name.to_owned(), heard.clone());
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        for event in lines.filter_map(|line| understand(&line)) {
            if heard.send((name.clone(), event)).is_err() {
                break;
            }
        }
    });
}

fn parse(line: &str) -> Result<Event, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("{error} in `{line}`"))?;
    event(&value).ok_or_else(|| format!("no event: `{line}`"))
}

fn event(value: &Value) -> Option<Event> {
    let number = |value: &Value| i32::try_from(value.as_i64()?).ok();
    let partitions = || value["partitions"].as_array()?.iter().map(number).collect::<Option<BTreeSet<i32>>>();
    let error = || value["error"].as_str().map(str::to_owned);
    Some(match value["event"].as_str()? {
        "assigned" => Event::Assigned { partitions: partitions()? },
        "revoked" => Event::Revoked { partitions: partitions()? },
        "record" => {
            Event::Record { partition: number(&value["partition"])?, offset: value["offset"].as_i64()? }
        }
        "committed" => {
            let offsets = value["offsets"].as_object()?.iter();
            let offsets =
                offsets.map(|(partition, offset)| Some((partition.parse().ok()?, offset.as_i64()?)));
            Event::Committed { offsets: offsets.collect::<Option<_>>()? }
        }
        "retried" => Event::Retried { error: error()? },
        "disconnected" => Event::Disconnected { error: error()? },
        "failed" => Event::Failed { error: error()? },
        "closed" => Event::Closed,
        _ => return None,
    })
}

fn kcat_arguments(membership: &Membership<'_>, name: &str) -> Vec<String> {
    let Membership { bootstrap, group, topic, protocol } = membership;
    let strategy = if *protocol == Protocol::Cooperative { "cooperative-sticky" } else { "range" };
    // -u: each record is written at once. kcat commits by itself only.
    let mut arguments = vec!["-b", bootstrap, "-G", group, "-u"];
    arguments.extend(["-f", "{\"event\":\"record\",\"partition\":%p,\"offset\":%o}\n"]);
    let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    for setting in [
        &format!("client.id={name}"),
        "session.timeout.ms=4000",
        "heartbeat.interval.ms=500",
        "auto.offset.reset=earliest",
        "enable.auto.commit=true",
        "auto.commit.interval.ms=200",
        &format!("partition.assignment.strategy={strategy}"),
    ] {
        arguments.extend(["-X".to_owned(), setting.to_owned()]);
    }
    arguments.push((*topic).to_owned());
    arguments
}

/// What kcat says of a rebalance: `% Group g rebalanced (memberid …): assigned: t [0], t [1]`, or of an incremental one
/// `% Group g rebalanced: incremental assignment of 2 partition(s) (memberid …, …): t [0], t [1]`.
fn kcat_rebalance(line: &str) -> Option<Event> {
    let (_, said) = line.strip_prefix("% Group ")?.split_once(" rebalanced")?;
    let partitions =
        said.split('[').skip(1).filter_map(|rest| rest.split(']').next()?.parse().ok()).collect();
    if said.contains("revoke") {
        Some(Event::Revoked { partitions })
    } else {
        said.contains("assign").then_some(Event::Assigned { partitions })
    }
}

#[cfg(test)]
mod tests;
