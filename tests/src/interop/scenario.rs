//! The story of a group: three members share a topic, one is killed, one joins, one leaves, all stop, one comes back.
//!
//! Records flow throughout, so that every hand-over happens in the middle of work. Asked of every client and protocol: each
//! record is delivered at least once, nothing that was committed is delivered again, what a client was told is committed the broker knows,
//! and in the end each partition has one owner. Besides: static members find their partitions again and disturb nobody,
//! and where rebalances are incremental only what moves is given up. [`migrate`] tells another: of a group that changes its protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::client::{Client, Protocol};
use super::ledger::Ledger;
use super::member::{Heard, Member, Membership};
use crate::batch::Batch;
use crate::broker::Broker;
use crate::raw::Connection;

const PARTITIONS: i32 = 6;
/// Many times what a rebalance takes; what a busy machine and a JVM's start may add to it.
const STEP_WITHIN: Duration = Duration::from_secs(45);
/// Between two rounds of one record for each partition.
const TRICKLE_EVERY: Duration = Duration::from_millis(50);
/// How many lines of a member a failure shows.
const LINES_SHOWN: usize = 25;
/// How many broken promises a failure shows: one is often followed by a hundred of its kind.
const BROKEN_SHOWN: usize = 5;
/// Lines on their way from the members to the driver.
const LINES_UNDERWAY: usize = 10_000;

/// What a group did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How many records were written, each of which was delivered.
    pub records: i64,
    /// How often one came again, having been read and not committed before its owner changed.
    pub redelivered: u64,
}

/// Tells the story with one client, in a topic and a group of its own. An error says what the members and the group did last.
pub fn share(broker: &Broker, client: Client, protocol: Protocol) -> anyhow::Result<Outcome> {
    let name = format!("{}-{}", client.name(), protocol.word());
    let mut group = Group::new(broker, client, protocol, &name)?;
    let told = group.tell();
    told.with_context(|| format!("{name}\n{}", group.report()))
}

/// Moves a group from a classic protocol to the consumer protocol and back, a member at a time, while records flow (KIP-848's online migration).
/// `kind_of` asks the broker what kind of group it is.
pub fn migrate(
    broker: &Broker,
    client: Client,
    classic: Protocol,
    kind_of: &dyn Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<Outcome> {
    let name = format!("{}-{}-migrates", client.name(), classic.word());
    let mut group = Group::new(broker, client, classic, &name)?;
    let told = group.migrate(classic, kind_of);
    told.with_context(|| format!("{name}\n{}", group.report()))
}

/// A group with its members and all that is known of it.
struct Group {
    client: Client,
    protocol: Protocol,
    name: String,
    bootstrap: String,
    connection: Connection,
    members: Vec<Member>,
    ledger: Ledger,
    heard: Receiver<Heard>,
    mouth: SyncSender<Heard>,
    /// What each member said, in its own order.
    lines: BTreeMap<String, Vec<String>>,
    begin: Instant,
    scratch: TempDir,
}

impl Group {
    fn new(broker: &Broker, client: Client, protocol: Protocol, name: &str) -> anyhow::Result<Self> {
        let mut connection = broker.connect();
        connection.create_topic(name, PARTITIONS, &[])?;
        let (mouth, heard) = sync_channel(LINES_UNDERWAY);
        let ledger = Ledger::new(PARTITIONS);
        let ledger = if broker.brokers() > 1 { ledger.of_restarted_brokers() } else { ledger };
        Ok(Self {
            client,
            protocol,
            name: name.to_owned(),
            bootstrap: broker.address(),
            connection,
            members: Vec::new(),
            ledger,
            heard,
            mouth,
            lines: BTreeMap::new(),
            begin: Instant::now(),
            scratch: TempDir::new()?,
        })
    }

    fn tell(&mut self) -> anyhow::Result<Outcome> {
        self.three_share()?;
        match self.protocol {
            Protocol::Static => self.one_is_killed_and_comes_back()?,
            Protocol::Eager | Protocol::Cooperative | Protocol::Consumer => self.one_is_killed()?,
        }
        self.one_joins()?;
        self.one_leaves()?;
        self.all_stop_and_one_comes_back()?;
        Ok(Outcome { records: self.ledger.ends().values().sum(), redelivered: self.ledger.redelivered() })
    }

    fn migrate(
        &mut self,
        classic: Protocol,
        kind_of: &dyn Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Outcome> {
        let is = |group: &Self, kind: &str| -> anyhow::Result<()> {
            let found = kind_of(&group.name)?;
            ensure!(found.eq_ignore_ascii_case(kind), "the group is {found}, not {kind}");
            Ok(())
        };
        self.start("a")?;
        self.start("b")?;
        self.until_shared("two classic members share", &["a", "b"])?;
        self.until_read_and_committed("before the first upgrade")?;
        is(self, "classic")?;

        self.protocol = Protocol::Consumer;
        self.start("c")?;
        self.until_shared("a consumer-protocol member joins", &["a", "b", "c"])?;
        self.until_read_and_committed("after the upgrade")?;
        is(self, "consumer")?;
        // A classic member that dies in a consumer group is missed as any other.
        self.write(20)?;
        self.kill("b");
        self.until_shared("a classic member is killed", &["a", "c"])?;
        self.start("d")?;
        self.stop(&["a"])?;
        self.until_shared("the last classic member has left", &["c", "d"])?;
        self.until_read_and_committed("on the consumer protocol alone")?;
        is(self, "consumer")?;

        self.protocol = classic;
        self.start("e")?;
        self.until_shared("a classic member joins a consumer group", &["c", "d", "e"])?;
        self.stop(&["c"])?;
        self.write(20)?;
        self.kill("d");
        self.until_shared("the last member of the consumer protocol is gone", &["e"])?;
        is(self, "classic")?;
        self.start("f")?;
        self.until_shared("classic members share again", &["e", "f"])?;
        self.until_read_and_committed("after the downgrade")?;
        self.stop(&["e", "f"])?;
        Ok(Outcome { records: self.ledger.ends().values().sum(), redelivered: self.ledger.redelivered() })
    }

    fn three_share(&mut self) -> anyhow::Result<()> {
        for name in ["a", "b", "c"] {
            self.start(name)?;
        }
        self.until_shared("three members share the topic", &["a", "b", "c"])?;
        self.until_read_and_committed("after three joined")
    }

    /// In the middle of its work: some of what it read is not committed.
    fn one_is_killed(&mut self) -> anyhow::Result<()> {
        self.write(20)?;
        self.kill("b");
        self.until_shared("the others take over from one that was killed", &["a", "c"])?;
        self.until_read_and_committed("after one was killed")
    }

    fn one_is_killed_and_comes_back(&mut self) -> anyhow::Result<()> {
        let before = self.ledger.owns("b");
        self.ledger.watch_moves();
        self.write(20)?;
        self.kill("b");
        self.start("b")?;
        self.until_shared("a static member comes back", &["a", "b", "c"])?;
        let after = self.ledger.owns("b");
        ensure!(before == after, "b had {before:?} and came back to {after:?}");
        let moved = self.ledger.given_up(&["a", "c"]);
        ensure!(moved.is_empty(), "the others gave up {moved:?} while a static member was away");
        self.until_read_and_committed("after a static member came back")
    }

    fn one_joins(&mut self) -> anyhow::Result<()> {
        let old: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| self.is_running(name)).collect();
        let all: Vec<&str> = old.iter().copied().chain(["d"]).collect();
        self.ledger.watch_moves();
        self.start("d")?;
        self.until_shared("one joins", &all)?;
        if matches!(self.protocol, Protocol::Cooperative | Protocol::Consumer) {
            let (moved, taken) = (self.ledger.given_up(&old), self.ledger.owns("d"));
            ensure!(moved == taken, "{moved:?} were given up for a newcomer that got {taken:?}");
        }
        self.until_read_and_committed("after one joined")
    }

    /// By SIGTERM, in the middle of its work: it commits, leaves and ends.
    fn one_leaves(&mut self) -> anyhow::Result<()> {
        if !self.client.drops_records_at_sigterm() {
            self.write(20)?;
        }
        self.stop(&["a"])?;
        let rest: Vec<&str> = ["b", "c", "d"].into_iter().filter(|name| self.is_running(name)).collect();
        self.until_shared("the others take over from one that left", &rest)?;
        self.until_read_and_committed("after one left")
    }

    fn all_stop_and_one_comes_back(&mut self) -> anyhow::Result<()> {
        let all: Vec<&str> = ["b", "c", "d"].into_iter().filter(|name| self.is_running(name)).collect();
        self.stop(&all)?;
        self.write(10)?;
        self.start("e")?;
        self.until_shared("one comes back to an empty group", &["e"])?;
        self.until_read_and_committed("after one came back")?;
        self.stop(&["e"])
    }

    fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let membership = Membership {
            bootstrap: &self.bootstrap,
            group: &self.name,
            topic: &self.name,
            protocol: self.protocol,
        };
        let member = Member::start(self.client, &membership, name, self.scratch.path(), &self.mouth)?;
        self.note(name, "started".to_owned());
        self.members.push(member);
        Ok(())
    }

    fn is_running(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    fn kill(&mut self, name: &str) {
        self.members.iter_mut().filter(|member| member.name == name).for_each(Member::kill);
        self.members.retain(|member| member.name != name);
        // Its last lines are in the pipe still: they tell what it committed.
        self.listen_for(Duration::from_millis(50));
        self.note(name, "killed".to_owned());
        self.ledger.gone(name);
    }

    /// SIGTERM to all of these, and waits until they have left in order.
    fn stop(&mut self, names: &[&str]) -> anyhow::Result<()> {
        for member in self.members.iter().filter(|member| names.contains(&&*member.name)) {
            member.ask_to_stop()?;
        }
        self.until("members to leave and end", false, |group| {
            let mut still_there = 0;
            for member in group.members.iter_mut().filter(|member| names.contains(&&*member.name)) {
                match member.ended()? {
                    // A JVM ends with the signal's own status after its shutdown hooks have run.
                    Some(status) if status.success() || status.code() == Some(143) => {}
                    Some(status) => bail!("{} ended with {status}", member.name),
                    None => still_there += 1,
                }
            }
            Ok(still_there == 0)
        })?;
        self.members.retain(|member| !names.contains(&&*member.name));
        self.listen_for(Duration::from_millis(50));
        for name in names {
            self.note(name, "ended".to_owned());
            self.ledger.gone(name);
        }
        Ok(())
    }

    /// Writes records for each partition.
    fn write(&mut self, count: i64) -> anyhow::Result<()> {
        for partition in 0..PARTITIONS {
            let next = self.ledger.ends().get(&partition).copied().context("a partition")?;
            let end = next + count;
            // Before they are written: a member may be faster than our answer.
            self.ledger.wrote(partition, end);
            let batch = Batch::of_values((next..end).map(|offset| format!("{partition}-{offset}"))).bytes();
            let (code, base) = self.connection.produce(&self.name, partition, -1, &batch)?;
            ensure!(code == 0 && base == next, "producing: error {code}, offset {base} for {next}");
        }
        Ok(())
    }

    /// Waits, records flowing, until each partition has one owner among these members and each has a share.
    fn until_shared(&mut self, what: &str, members: &[&str]) -> anyhow::Result<()> {
        self.until(what, true, |group| {
            group.all_alive()?;
            Ok(group.ledger.is_shared_by(members))
        })
    }

    /// Waits until every record was delivered and committed, by the broker's own word.
    fn until_read_and_committed(&mut self, when: &str) -> anyhow::Result<()> {
        self.until(&format!("every record to be delivered {when}"), false, |group| {
            group.all_alive()?;
            Ok(group.ledger.missing() == 0)
        })?;
        self.until(&format!("every offset to be committed {when}"), false, |group| {
            let committed = group.connection.committed(&group.name, &group.name, PARTITIONS)?;
            Ok(committed == *group.ledger.ends())
        })?;
        let committed = self.connection.committed(&self.name, &self.name, PARTITIONS)?;
        self.ledger.broker_says(&committed);
        self.in_order()
    }

    /// Listens until a condition holds; fails as soon as something happened that must not.
    fn until(
        &mut self,
        what: &str,
        flowing: bool,
        mut condition: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            self.listen_for(TRICKLE_EVERY);
            self.in_order()?;
            if condition(self)? {
                return Ok(());
            }
            ensure!(start.elapsed() < STEP_WITHIN, "waited {STEP_WITHIN:?} for: {what}");
            if flowing {
                self.write(1)?;
            }
        }
    }

    fn all_alive(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            let ended = member.ended()?;
            ensure!(ended.is_none(), "{} ended by itself: {ended:?}", member.name);
        }
        Ok(())
    }

    fn in_order(&self) -> anyhow::Result<()> {
        let broken = self.ledger.broken();
        let shown: Vec<&str> = broken.iter().take(BROKEN_SHOWN).map(String::as_str).collect();
        ensure!(broken.is_empty(), "broken {} times: {}", broken.len(), shown.join("\n"));
        Ok(())
    }

    fn listen_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            match self.heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((member, Ok(event))) => {
                    self.note(&member, format!("{event:?}"));
                    self.ledger.heard(&member, &event);
                }
                Ok((member, Err(line))) => self.note(&member, line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn note(&mut self, member: &str, line: String) {
        let line = format!("{:7.3} {line}", self.begin.elapsed().as_secs_f64());
        self.lines.entry(member.to_owned()).or_default().push(line);
    }

    /// What a reader of a failure wants to know.
    fn report(&mut self) -> String {
        let mut report = String::new();
        let committed = self.connection.committed(&self.name, &self.name, PARTITIONS);
        let _ = writeln!(report, "log ends {:?}, committed {committed:?}", self.ledger.ends());
        let _ = writeln!(report, "not delivered: {}", self.ledger.missing());
        for (member, lines) in &self.lines {
            let _ = writeln!(report, "{member} owns {:?} and said last:", self.ledger.owns(member));
            // Records by the hundred say little; what surrounds them tells the story.
            let told: Vec<&String> = lines.iter().filter(|line| !line.contains("Record {")).collect();
            for line in told.iter().rev().take(LINES_SHOWN).rev() {
                let _ = writeln!(report, "    {line}");
            }
        }
        for member in &self.members {
            let _ = writeln!(report, "{} on its standard error:\n{}", member.name, member.last_words());
        }
        report
    }
}
