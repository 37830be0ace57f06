//! A cluster under idempotent writers and groups of readers while faults happen to it, one after another, and what they cost: the longest
//! outage of a partition for each kind of fault, and whether anything acknowledged was lost, doubled or reordered, or a group
//! missed any of it. Writers and readers are of librdkafka, Kafka's own and the Rust client.
//!
//! The faults come from a seed ([`plan`]). After each one the cluster must work again on every partition and every replica be in
//! sync, without an operator; in the end everything is read, and the logs of all replicas are compared byte for byte.

mod groups;
pub mod plan;
mod replicas;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::broker::Kind as BrokerKind;
use crate::clock::Clocks;
use crate::cluster::{Cluster, End, Plan};
use crate::history::{Stored, Violation, check};
use crate::interop;
use crate::project::{self, Profile};
use crate::small_disk::SmallDisk;
use crate::writer::{Library, Writer};
use groups::Readers;
use plan::{Fault, Faults, Kind, Target};

const BROKERS: i32 = 3;
const TOPIC: &str = "chaos";
const PARTITIONS: i32 = 4;
/// Writers, and how many records each sends a second: little enough that a machine with two cores stays free for the brokers.
const WRITERS: [(&str, Library); 3] =
    [("librdkafka", Library::Librdkafka), ("java", Library::Java), ("rust", Library::Rust)];
const PER_SECOND: u32 = 120;
/// After the last fault every partition takes records again within this.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
/// The disk of one broker, which a full disk can happen to.
const SMALL_DISK: u64 = 1 << 30;
/// What is left of it when it is full.
const LEFT: u64 = 256 << 10;
/// The broker that has it.
const SMALL: i32 = 3;
const SLOW: &str = "2mbit";
const FAR: Duration = Duration::from_millis(100);
/// Less than `log.message.timestamp.after.max.ms`: what writers stamp must not be refused.
const CLOCK_JUMP_SECONDS: i64 = 50 * 60;
/// Half an election timeout.
const FLAP: Duration = Duration::from_millis(750);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose cluster.
    pub broker: BrokerKind,
    /// How it is compiled.
    pub profile: Profile,
    /// Decides everything.
    pub seed: u64,
    /// No fault begins after this.
    pub lasts: Duration,
    /// Of these kinds; those that cannot be made here are left out, and the report says so.
    pub kinds: Vec<Kind>,
    /// A WARN or ERROR line that no fault explains ends the run. If not, it is told; a panic always ends it.
    pub strict_logs: bool,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    seed: u64,
    outages: BTreeMap<Kind, Vec<Duration>>,
    skipped: Vec<Kind>,
    records: usize,
    unknown: usize,
    /// What the groups were given more than once, all together.
    doubles: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{:<42}{:>6}{:>16}", "fault", "times", "longest outage")?;
        for (kind, outages) in &self.outages {
            let longest = outages.iter().max().copied().unwrap_or_default();
            writeln!(to, "{:<42}{:>6}{:>14.2} s", kind.label(), outages.len(), longest.as_secs_f64())?;
        }
        for kind in &self.skipped {
            writeln!(to, "{:<42}  not run here", kind.label())?;
        }
        write!(
            to,
            "seed {}: {} records, {} of unknown fate; none acknowledged lost, none doubled, none out of order, replicas alike;\n\
             read by each group whole, {} records more than once",
            self.seed, self.records, self.unknown, self.doubles
        )
    }
}

/// Runs faults until the time is over, then checks everything. An error names what broke and the seed.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    Run::begin(options)?
        .run(options)
        .with_context(|| format!("seed {} (`cargo xtask chaos --seed {0}` repeats it)", options.seed))
}

struct Run {
    cluster: Cluster,
    writers: Vec<Writer>,
    readers: Vec<Readers>,
    /// Behind the cluster, so that it goes last.
    small_disk: Option<SmallDisk>,
    kinds: Vec<Kind>,
    skipped: Vec<Kind>,
    strict_logs: bool,
    /// Over a file system of its own none of it stays on the disk that other brokers use.
    data: tempfile::TempDir,
}

impl Run {
    fn begin(options: &Options) -> anyhow::Result<Self> {
        let folder = project::target().join("it");
        std::fs::create_dir_all(&folder)?;
        let data = tempfile::Builder::new().prefix("chaos-").tempdir_in(folder)?;
        let small_disk = SmallDisk::mount(SMALL_DISK);
        let mut plan = Plan::under_test(3).of(options.broker, options.profile);
        plan.data_dir = Some(data.path().to_owned());
        if let Some(disk) = &small_disk {
            plan.data_dirs = vec![(SMALL, disk.path().join("data"))];
            plan = plan.set("ottla.disk.reserve.bytes", 8 << 20);
        }
        plan = plan.set("log.segment.bytes", 4 << 20);
        plan = interop::settings().into_iter().fold(plan, |plan, (key, value)| plan.set(key, value));
        // Kafka is not started with our environment.
        let has_clocks = options.broker == BrokerKind::Ottla
            && Clocks::create(data.path())
                .inspect_err(|error| eprintln!("SKIPPED clocks: {error:#}"))
                .is_ok();
        plan.own_clocks = has_clocks;
        let (mut cluster, has_network) = match plan.clone().own_network().try_start() {
            Ok(cluster) => (cluster, true),
            Err(error) => {
                // The other faults are worth having all the same, and the report names these.
                eprintln!("SKIPPED every fault that cuts a link: no network of its own ({error:#})");
                (plan.try_start()?, false)
            }
        };
        // Kafka takes a full directory offline and ends.
        let has_small_disk = small_disk.is_some() && options.broker == BrokerKind::Ottla;
        let can_delay = has_network && cluster.network().can_delay();
        let can_make = |kind: &Kind| match kind {
            Kind::FullDisk => has_small_disk,
            Kind::Clock => has_clocks,
            Kind::Far => can_delay,
            kind => has_network || !kind.needs_network(),
        };
        let (kinds, skipped) = options.kinds.iter().copied().partition(can_make);
        cluster.create_topic(TOPIC, PARTITIONS, &[]);
        // Groups commit at any time, also while too few replicas are in sync.
        cluster.expect_log("a coordinator's records were not appended");
        // A broker that stops waits for connections that a cut has left half-open.
        cluster.expect_log("did not take their answers in");
        cluster.expect_log("the metadata quorum is still in use and ends with the process");
        // Kafka has no API listener.
        let kafka = cluster.bootstrap();
        let api = (options.broker == BrokerKind::Ottla).then(|| cluster.api_bootstrap());
        let start = |(name, library)| {
            let bootstrap = if library == Library::Rust { api.as_ref()? } else { &kafka };
            Some(Writer::start_of(library, bootstrap, TOPIC, name, PARTITIONS, PER_SECOND))
        };
        let writers = WRITERS.into_iter().filter_map(start).collect();
        let readers = Readers::start_all(&kafka, api.as_deref(), TOPIC, data.path())?;
        let strict_logs = options.strict_logs;
        Ok(Self { cluster, writers, readers, small_disk, kinds, skipped, strict_logs, data })
    }

    fn run(mut self, options: &Options) -> anyhow::Result<Report> {
        let begin = Instant::now();
        let mut outages: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
        self.wait_progress()?;
        let faults = Faults::new(options.seed, &self.kinds, BROKERS, PARTITIONS);
        for fault in faults.take_while(|_| begin.elapsed() < options.lasts) {
            thread::sleep(fault.calm);
            let from = Instant::now();
            self.inject(&fault).with_context(|| format!("{fault}"))?;
            self.recover().with_context(|| format!("after {fault}"))?;
            let gaps = self.writers.iter().map(|writer| (writer.longest_gap(from), writer.name()));
            let (outage, whose) = gaps.max().unwrap_or_default();
            eprintln!(
                "{:>6.1} s  {:<70} outage {:>6.2} s ({whose})",
                begin.elapsed().as_secs_f64(),
                fault.to_string(),
                outage.as_secs_f64()
            );
            outages.entry(fault.kind).or_default().push(outage);
        }
        self.finish(options, outages)
    }

    fn wait_progress(&mut self) -> anyhow::Result<()> {
        self.writers.iter_mut().try_for_each(|writer| writer.wait_progress(20, RECOVERED_WITHIN))
    }

    /// Everything works again: each partition takes records, each broker is known, each replica is in sync.
    fn recover(&mut self) -> anyhow::Result<()> {
        self.wait_progress()?;
        self.readers.iter_mut().try_for_each(Readers::listen)?;
        self.cluster.wait_active()?;
        self.cluster.wait_in_sync(TOPIC);
        self.look_at_logs()
    }

    fn look_at_logs(&mut self) -> anyhow::Result<()> {
        let surprising = self.cluster.surprising_lines();
        let ends = |line: &&String| self.strict_logs || line.contains("panicked at");
        let ending: Vec<&str> = surprising.iter().filter(ends).map(String::as_str).collect();
        ensure!(ending.is_empty(), "unexpected lines in the logs:\n{}", ending.join("\n"));
        for line in &surprising {
            eprintln!("no fault explains: {line}");
            self.cluster.expect_log(line.split_once(": ").map_or(line, |(_broker, said)| said));
        }
        Ok(())
    }

    fn resolve(&self, target: Target) -> i32 {
        match target {
            Target::Leader(partition) => self.cluster.leader(TOPIC, partition),
            Target::Quorum => self.cluster.quorum_leader(),
            Target::Broker(id) => id,
        }
    }

    fn others(&self, id: i32) -> Vec<i32> {
        self.cluster.ids().into_iter().filter(|other| *other != id).collect()
    }

    /// Makes the fault happen, lets it last, and ends it.
    fn inject(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let id = self.resolve(fault.target);
        let rest = || thread::sleep(fault.lasts);
        self.announce(fault.kind);
        match fault.kind {
            Kind::Kill => self.kill(&[id], rest),
            Kind::KillTwo => self.kill(&[id, self.others(id)[0]], rest),
            Kind::KillAll => self.kill(&self.cluster.ids(), || ()),
            Kind::Freeze => {
                self.cluster.freeze(id);
                rest();
                self.cluster.thaw(id);
            }
            Kind::Isolate => self.with_cuts(&self.around(id, true, true), rest)?,
            Kind::Mute => self.with_cuts(&self.around(id, true, false), rest)?,
            Kind::Deafen => self.with_cuts(&self.around(id, false, true), rest)?,
            Kind::OneLink => {
                let (one, other) = (End::Broker(id), End::Broker(self.others(id)[0]));
                self.with_cuts(&[(one, other), (other, one)], rest)?;
            }
            Kind::NoClients => {
                let (one, other) = (End::Broker(id), End::Clients);
                self.with_cuts(&[(one, other), (other, one)], rest)?;
            }
            Kind::Unplug => {
                let cuts = self.around(id, true, true);
                cuts.iter().try_for_each(|(from, to)| self.cluster.network().cut(*from, *to))?;
                self.cluster.kill(id);
                rest();
                cuts.iter().try_for_each(|(from, to)| self.cluster.network().join(*from, *to))?;
                self.cluster.restart(id);
            }
            Kind::Throttle => {
                for rate in [Some(SLOW), None] {
                    for other in self.others(id) {
                        self.cluster.network().throttle(id, End::Broker(other), rate)?;
                    }
                    if rate.is_some() {
                        rest();
                    }
                }
            }
            Kind::Far => {
                for delay in [Some(FAR), None] {
                    for other in self.others(id) {
                        self.cluster.network().delay(id, other, delay)?;
                        self.cluster.network().delay(other, id, delay)?;
                    }
                    if delay.is_some() {
                        rest();
                    }
                }
            }
            Kind::Flap => {
                for _ in 0..10 {
                    self.with_cuts(&self.around(id, true, true), || thread::sleep(FLAP))?;
                    thread::sleep(FLAP);
                }
            }
            Kind::FullDisk => {
                let disk = self.small_disk.as_ref().context("a small disk")?;
                disk.fill(LEFT)?;
                rest();
                disk.free()?;
            }
            Kind::Wipe => {
                self.cluster.kill(id);
                self.cluster.wipe(id);
                rest();
                self.cluster.restart(id);
            }
            Kind::Clock => {
                for ahead in [CLOCK_JUMP_SECONDS, -CLOCK_JUMP_SECONDS] {
                    self.cluster.clocks().jump(id, ahead)?;
                    rest();
                }
                self.cluster.clocks().jump(id, 0)?;
            }
            Kind::RollingRestart => {
                for id in self.cluster.ids() {
                    let status = self.cluster.terminate(id);
                    ensure!(status.success(), "broker {id} was asked to stop and ended with {status}");
                    self.cluster.restart(id);
                    self.cluster.wait_active()?;
                    self.cluster.wait_in_sync(TOPIC);
                }
            }
        }
        Ok(())
    }

    /// WARN and ERROR lines that a fault may cause, by what they contain.
    fn announce(&mut self, kind: Kind) {
        for text in expected_lines(kind) {
            self.cluster.expect_log(text);
        }
    }

    fn kill(&mut self, ids: &[i32], rest: impl FnOnce()) {
        ids.iter().for_each(|id| self.cluster.kill(*id));
        rest();
        self.cluster.restart_all(ids);
    }

    fn with_cuts(&self, cuts: &[(End, End)], rest: impl FnOnce()) -> anyhow::Result<()> {
        let network = self.cluster.network();
        cuts.iter().try_for_each(|(from, to)| network.cut(*from, *to))?;
        rest();
        cuts.iter().try_for_each(|(from, to)| network.join(*from, *to))
    }

    /// The links between a broker and the others: those it sends on, those it hears on.
    fn around(&self, id: i32, sends: bool, hears: bool) -> Vec<(End, End)> {
        let mut cuts = Vec::new();
        for other in self.others(id) {
            let (one, other) = (End::Broker(id), End::Broker(other));
            cuts.extend(sends.then_some((one, other)));
            cuts.extend(hears.then_some((other, one)));
        }
        cuts
    }

    fn finish(mut self, options: &Options, outages: BTreeMap<Kind, Vec<Duration>>) -> anyhow::Result<Report> {
        let writes = self.writers.drain(..).map(Writer::finish).collect::<anyhow::Result<Vec<_>>>()?;
        self.cluster.wait_in_sync(TOPIC);
        let mut stored = Stored::default();
        for partition in 0..PARTITIONS {
            stored.add(partition, &self.cluster.read_all(TOPIC, partition));
        }
        let violations = check(&writes, &stored, PARTITIONS);
        let told: Vec<String> = violations.iter().take(20).map(Violation::to_string).collect();
        if !told.is_empty() {
            self.cluster.terminate_all();
            bail!(
                "{} broken promises:\n{}\nwhat the brokers have stored is kept in {}; `ottla log dump` shows it",
                violations.len(),
                told.join("\n"),
                self.data.keep().display()
            );
        }
        let mut doubles = 0;
        for readers in self.readers.drain(..) {
            doubles += readers.finish(&self.cluster, TOPIC, &stored)?;
        }
        self.cluster.terminate_all();
        self.look_at_logs()?;
        let folders: Vec<PathBuf> =
            self.cluster.ids().iter().map(|id| self.cluster.data_dir(*id).to_owned()).collect();
        for partition in 0..PARTITIONS {
            replicas::agree(&folders, TOPIC, partition)?;
        }
        let unknown = writes.iter().map(|writes| writes.unknown.len()).sum();
        let records = stored.count();
        Ok(Report { seed: options.seed, outages, skipped: self.skipped, records, unknown, doubles })
    }
}

/// What brokers say of a fault beyond what [`Cluster`] announces for a kill, a stop and a lost disk.
fn expected_lines(kind: Kind) -> &'static [&'static str] {
    match kind {
        // Once when it begins, and once when it is over.
        Kind::FullDisk => &["disk", "space"],
        kind if kind.needs_network() => &["this broker is lost: its leaderships move"],
        _ => &[],
    }
}
