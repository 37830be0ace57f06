//! Several brokers behind the face of one, restarted one after the other while a test runs.
//!
//! A rolling restart is the fault that every operator makes happen: SIGTERM, the end of the process, its start, and the next one only when
//! every replica is in sync again. A test that passes against one broker passes against these as well, if its clients do what
//! Kafka's protocol asks of them.
//!
//! | setting of the environment | what it is |
//! |---|---|
//! | `OTTLA_IT_BROKERS=3` | how many brokers stand in the place of one; unset: one, which nobody restarts |
//! | `OTTLA_IT_RESTART_SECONDS=60` | from one restart to the next, fractions too; unset: 60 |
//!
//! Topics have a replica on each of them, up to three, and what is acknowledged is on two disks at least.

use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::broker::{Broker, Kind, OF_ONE, Spec};
use crate::cluster::{Cluster, Plan};

/// The time between two restarts where the environment does not say.
const EACH_MINUTE: Duration = Duration::from_secs(60);

/// How a cluster that stands for one broker is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// How many brokers there are.
    pub brokers: usize,
    /// From one restart to the next.
    pub every: Duration,
}

impl Rolling {
    /// What the environment asks for.
    pub fn under_test() -> Option<Self> {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<f64>().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
        };
        let brokers = number("OTTLA_IT_BROKERS").map_or(1, |brokers| brokers as usize);
        let every = number("OTTLA_IT_RESTART_SECONDS").map_or(EACH_MINUTE, Duration::from_secs_f64);
        (brokers > 1).then_some(Self { brokers, every })
    }
}

/// The cluster, and the thread that restarts its brokers; both end when it is dropped.
pub(crate) struct Front {
    kind: Kind,
    addresses: Vec<String>,
    api_addresses: Vec<String>,
    cluster: Arc<Mutex<Cluster>>,
    roller: Option<(Sender<()>, JoinHandle<anyhow::Result<Rolled>>)>,
}

/// What the restarts were.
#[derive(Clone, Copy, Debug, Default)]
struct Rolled {
    restarts: u32,
    /// From SIGTERM until every replica was in sync again.
    longest: Duration,
}

impl Front {
    /// Starts the brokers that stand for the one that was asked for.
    pub(crate) fn start(spec: Spec, rolling: Rolling) -> Self {
        let of_one = spec.data_dir.is_some() || spec.trace.is_some() || spec.config_file.is_some();
        assert!(!of_one, "{OF_ONE}");
        let copies = rolling.brokers.min(3);
        // First, so that the test's own settings overrule it.
        let default = ("default.replication.factor".to_owned(), copies.to_string());
        let settings = std::iter::once(default).chain(spec.settings.clone()).collect();
        let spec = Spec { settings, rolling: None, ..spec };
        let cluster = Plan { spec, ..Plan::under_test(rolling.brokers) }.start();
        let each = |address: fn(&Broker) -> String| -> Vec<String> {
            cluster.ids().into_iter().map(|id| address(cluster.broker(id))).collect()
        };
        let (addresses, api_addresses) = (each(Broker::address), each(Broker::api_address));
        let (kind, ids) = (cluster.kind(), cluster.ids());
        let cluster = Arc::new(Mutex::new(cluster));
        let (stop, stopped) = channel::<()>();
        let roller = thread::spawn({
            let cluster = Arc::clone(&cluster);
            move || {
                let mut rolled = Rolled::default();
                for id in ids.into_iter().cycle() {
                    match stopped.recv_timeout(rolling.every) {
                        Err(RecvTimeoutError::Timeout) => rolled.count(restart(&cluster, id)?),
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                Ok(rolled)
            }
        });
        Self { kind, addresses, api_addresses, cluster, roller: Some((stop, roller)) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The addresses of all brokers, one by one.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The same of their API listeners.
    pub(crate) fn api_addresses(&self) -> &[String] {
        &self.api_addresses
    }

    /// What all of them wrote.
    pub(crate) fn log(&self) -> String {
        let cluster = lock(&self.cluster);
        cluster.ids().into_iter().map(|id| cluster.broker(id).log()).collect()
    }

    /// Announces WARN or ERROR lines that contain `text`, of any of them.
    pub(crate) fn expect_log(&mut self, text: &str) {
        lock(&self.cluster).expect_log(text);
    }

    /// WARN and ERROR lines that were not announced, with the id of who said them.
    pub(crate) fn surprising_lines(&self) -> Vec<String> {
        lock(&self.cluster).surprising_lines()
    }
}

impl Rolled {
    fn count(&mut self, took: Duration) {
        self.restarts += 1;
        self.longest = self.longest.max(took);
    }
}

/// SIGTERM, a start, and waits until every replica is in sync.
fn restart(cluster: &Mutex<Cluster>, id: i32) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let addresses = {
        let mut cluster = lock(cluster);
        let status = cluster.terminate(id);
        // A JVM ends with the signal's own status.
        ensure!(status.success() || cluster.kind() == Kind::Kafka, "broker {id} ended with {status}");
        cluster.restart(id);
        cluster.addresses()
    };
    // Others may look at the cluster meanwhile.
    Cluster::wait_all_in_sync(&addresses)?;
    Ok(begin.elapsed())
}

fn lock(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Front {
    fn drop(&mut self) {
        let Some((stop, roller)) = self.roller.take() else { return };
        drop(stop);
        let rolled = roller.join();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        match rolled {
            // Past the test runner's capture: a run is worth what it restarted.
            Ok(Ok(Rolled { restarts, longest })) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "{restarts} restarts under {test}, the longest {longest:.1?}"
                );
            }
            _ if thread::panicking() => eprintln!("restarting the brokers failed as well: {rolled:?}"),
            Ok(Err(error)) => panic!("restarting the brokers: {error:#}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
