//! One process of a broker: start on a fresh directory, wait until it answers, watch its log, memory and CPU, end it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::broker::{Kind, Spec};
use crate::place::{Place, Ports, Role};
use crate::project;
use crate::{kafka, raw, wait};

/// Three of Kafka's JVMs on a busy machine with two cores set this bound; `ottla` is ready in a tenth of a second.
const READY_WITHIN: Duration = Duration::from_secs(120);
const EXIT_WITHIN: Duration = Duration::from_secs(30);

/// A running process; dropping it kills it and then fails the test over WARN or ERROR lines nobody announced.
#[derive(Debug)]
pub(crate) struct Process {
    spec: Spec,
    child: Child,
    host: String,
    ports: Ports,
    scratch: TempDir,
    data_dir: PathBuf,
    started: Instant,
    starts: usize,
    ready_after: Duration,
    expected: Vec<String>,
}

impl Process {
    /// Starts the process and does not wait for it: the brokers of a cluster are ready together.
    pub(crate) fn spawn(spec: Spec) -> anyhow::Result<Self> {
        let parent = project::target().join("it");
        std::fs::create_dir_all(&parent)?;
        let scratch = tempfile::Builder::new().prefix("broker-").tempdir_in(parent)?;
        let data_dir = spec.data_dir.clone().unwrap_or_else(|| scratch.path().join("data"));
        let (host, ports) = match &spec.place {
            Some(place) => (place.host.clone(), place.ports),
            None => ("127.0.0.1".to_owned(), Ports::free()),
        };
        if spec.kind == Kind::Kafka {
            kafka::format(&spec, scratch.path(), &data_dir, ports)?;
        }
        if spec.kind == Kind::Ottla {
            // The first test of a run waits for the compiler here; the others for the first.
            project::ottla(spec.profile)?;
        }
        let started = Instant::now();
        let child = spawn(&spec, scratch.path(), &data_dir, ports)?;
        Ok(Self {
            spec,
            child,
            host,
            ports,
            scratch,
            data_dir,
            started,
            starts: 1,
            ready_after: Duration::ZERO,
            expected: Vec::new(),
        })
    }

    /// The brokers of a cluster wait for each other: the time runs from now, when all of them are started.
    pub(crate) fn wait_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if self.is_ready() {
                self.ready_after = self.started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the broker ended with {status} before it was ready:\n{}", self.log());
            }
            if begin.elapsed() > READY_WITHIN {
                bail!("not ready after {READY_WITHIN:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_ready(&self) -> bool {
        let only_votes = self.spec.place.as_ref().is_some_and(|place| place.role == Role::Controller);
        match (only_votes, self.spec.kind) {
            (false, _) => raw::Connection::open(&self.address())
                .is_ok_and(|mut connection| connection.api_versions().is_ok()),
            // Its one listener is not for us, and is open before it has met the others. It says when it is ready.
            (true, Kind::Ottla) => self.log().matches("votes on metadata").count() == self.starts,
            (true, Kind::Kafka) => raw::Connection::open(&self.control_address()).is_ok(),
        }
    }

    /// `127.0.0.1:PORT`; in a cluster with a network of its own, this broker's address there.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.ports.kafka)
    }

    /// The same for the other nodes' calls.
    pub(crate) fn control_address(&self) -> String {
        format!("{}:{}", self.host, self.ports.controller)
    }

    /// The same for Ottla's gRPC and HTTP listener.
    pub(crate) fn api_address(&self) -> String {
        format!("{}:{}", self.host, self.ports.api)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which broker it is.
    pub(crate) fn kind(&self) -> Kind {
        self.spec.kind
    }

    /// Where its topics lie.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// From the start of the process to its first answer.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Everything it wrote to its standard error and output so far, without colours.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        without_escapes(&String::from_utf8_lossy(&bytes))
    }

    /// Where that is kept, as long as this value lives.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Announces WARN or ERROR lines that contain `text`.
    pub(crate) fn expect_log(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    /// The WARN and ERROR lines that were not announced. Kafka's own are not ours to judge.
    pub(crate) fn surprising_lines(&self) -> Vec<String> {
        if self.spec.kind == Kind::Kafka {
            return Vec::new();
        }
        let loud = |line: &&str| {
            line.split_whitespace().take(3).any(|word| word == "WARN" || word == "ERROR")
                || line.contains("panicked at")
        };
        let announced = |line: &str| self.expected.iter().any(|text| line.contains(text));
        self.log().lines().filter(loud).filter(|line| !announced(line)).map(str::to_owned).collect()
    }

    /// Resident memory in bytes.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// User and system CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.pid()).expect("the process runs")
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the exit.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    /// Waits until the process ended by itself.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait::until("the broker to exit", EXIT_WITHIN, || Ok(child.try_wait()?));
        status.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("the process runs");
    }

    /// Starts the process again on the same directory and ports, and does not wait for it; a directory that is gone is formatted anew
    /// where Kafka needs that.
    pub(crate) fn respawn(&mut self) -> anyhow::Result<()> {
        if self.spec.kind == Kind::Kafka {
            kafka::format(&self.spec, self.scratch.path(), &self.data_dir, self.ports)?;
        }
        self.started = Instant::now();
        self.starts += 1;
        self.child = spawn(&self.spec, self.scratch.path(), &self.data_dir, self.ports)?;
        Ok(())
    }

    /// The command that would start a second one on its directory.
    pub(crate) fn second(&self) -> Command {
        ottla(&self.spec, &self.data_dir, Ports::free()).expect("the binary is built")
    }

    /// Whether the process is there, stopped or not.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let surprising = self.surprising_lines();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- end of the broker's log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        } else {
            assert!(
                surprising.is_empty(),
                "unexpected lines in the broker's log:\n{}",
                surprising.join("\n")
            );
        }
    }
}

fn spawn(spec: &Spec, scratch: &Path, data_dir: &Path, ports: Ports) -> anyhow::Result<Child> {
    let mut command = match spec.kind {
        Kind::Ottla => ottla(spec, data_dir, ports)?,
        Kind::Kafka => kafka::command(spec, scratch),
    };
    if let Some((calls, file)) = &spec.trace {
        command = traced(&command, calls, file);
    }
    if let Some(place) = &spec.place {
        command = place.inside(command);
    }
    let log = File::options().create(true).append(true).open(scratch.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(scratch);
    command.spawn().with_context(|| format!("{command:?}"))
}

/// The same command under strace, which stays in the background: our child is the broker itself.
fn traced(command: &Command, calls: &str, file: &Path) -> Command {
    let mut strace = Command::new("strace");
    // -yy names files and both ends of sockets; -s 0 leaves the data out.
    strace.args(["-D", "-f", "-yy", "-s", "0", "-e", &format!("trace={calls}"), "-o"]).arg(file).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

fn ottla(spec: &Spec, data_dir: &Path, ports: Ports) -> anyhow::Result<Command> {
    let mut command = Command::new(project::ottla(spec.profile)?);
    command.arg("serve").arg("--data-dir").arg(data_dir).env_remove("RUST_LOG");
    command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
    if let Some(file) = &spec.config_file {
        command.arg("--config").arg(file);
    }
    let listeners = match &spec.place {
        Some(place) => place.ottla_listeners(),
        None => format!("PLAINTEXT://127.0.0.1:{},API://127.0.0.1:{}", ports.kafka, ports.api),
    };
    command.arg("--set").arg(format!("listeners={listeners}"));
    let place = spec.place.as_ref().map(Place::ottla_settings).unwrap_or_default();
    for (key, value) in place.iter().chain(&spec.settings) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    Ok(command)
}

/// User and system CPU time of a process, to the kernel's clock tick.
pub fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("a stat line")?.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// A port nobody listens on, below the range from which the kernel serves outgoing connections, so that no client of a test
/// running beside this one takes it between our look and the broker's bind.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 8_000).expect("below 8,000");
    for _ in 0..12_000 {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 32000");
}

fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // A colour: everything up to its final `m`.
            chars.by_ref().find(|char| *char == 'm');
        } else {
            plain.push(char);
        }
    }
    plain
}
