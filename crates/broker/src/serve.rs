//! The order in which a broker starts and stops.
//!
//! Start: lock the data directory, bind the listeners, start the quorum, register this process, open the logs, be
//! unfenced, serve. Stop: take no more requests, answer those in flight, give leaderships away, flush and close the logs,
//! mark the directory clean, stop the quorum. A node without the role of a broker is a [`Controller`].

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ottla_kafka::{Front, Limits, PeerClient, SocketBuffers};
use ottla_node::connections::Shared;
use ottla_node::coordination::config::BrokerConfig;
use ottla_node::record::{DirectoryId, Uuid};
use ottla_node::storage::{DirectoryLimits, FsDisk, LogDirectory};
use ottla_node::{Node, Parts, SystemClock};
use ottla_quorum::Quorum;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection_limits;
use crate::controller::Controller;
use crate::greeting::greeting;
use crate::import;
use crate::limits::{Descriptors, raise_descriptors};
use crate::membership::{Membership, start_quorum};
use crate::metadata_plane::LocalVoter;
use crate::reload::Reload;
use crate::service_manager;
use crate::settings::Loaded;
use crate::signals::Signals;
use crate::sockets::{self, Bound, Socket};

/// More threads than this only take each other's work: connections are cheap, and the disk is one.
const MAX_WORKERS: usize = 16;
/// Threads for what waits for the disk: opening logs, cold reads. They end when idle.
const MAX_BLOCKING_THREADS: usize = 64;
/// How long a stop waits for tasks of the node to let go of the quorum.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(2);
/// Enough for the deepest future here; only what is touched counts as memory.
const STACK_BYTES: usize = 1 << 20;

/// Runs a broker until a signal ends it. `started` is when the process began.
pub fn run(settings: Loaded, reload: Reload, started: Instant) -> anyhow::Result<()> {
    let config = &settings.broker.config;
    let cores = available_parallelism().map_or(1, usize::from);
    let workers = config.worker_threads.unwrap_or(cores.min(MAX_WORKERS));
    let data = runtime("data", workers)?;
    // Heartbeats and elections must not wait behind anybody's records.
    let control = runtime("control", 1)?;
    let outcome = data.block_on(serve(settings, reload, control.handle().clone(), started));
    // A task that still waits for its disk would hold up the end of a process that has said all it had to say.
    data.shutdown_timeout(Duration::from_millis(100));
    control.shutdown_timeout(Duration::from_millis(100));
    outcome
}

fn runtime(name: &'static str, workers: usize) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name(name)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn serve(settings: Loaded, reload: Reload, control: Handle, started: Instant) -> anyhow::Result<()> {
    // First of all, so that no signal is lost; and beside the start, because opening logs may block its thread for long.
    let mut signals = Signals::listen(reload)?;
    if !settings.broker.config.is_broker {
        return tokio::select! {
            controller = Controller::start(settings, control) => controller?.run(signals, started).await,
            name = signals.stop() => bail!("{name} before the node was ready"),
        };
    }
    let starting = tokio::spawn(Broker::start(settings, control));
    tokio::select! {
        broker = starting => {
            let mut broker = broker??;
            broker.open_doors(started);
            broker.until_stopped(signals).await
        }
        name = signals.stop() => bail!("{name} before the broker was ready; the next start recovers"),
    }
}

/// A broker that is ready to serve, and then serves.
struct Broker {
    config: BrokerConfig,
    limits: Limits,
    shared: Shared,
    api_limits: ottla_server::Limits,
    bound: Vec<Bound>,
    node: Arc<Node>,
    quorum: Arc<Quorum>,
    membership: Membership,
    fronts: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Broker {
    async fn start(mut settings: Loaded, control: Handle) -> anyhow::Result<Self> {
        let descriptors = raise_descriptors();
        let config = settings.broker.config.clone();
        let directory = Arc::new(open_directory(&config, descriptors)?);
        settings.log();
        let buffers = socket_buffers(&settings);
        let backlog = config.connections.backlog;
        let bound = config.listeners.iter().map(|listener| sockets::bind(listener, backlog, buffers));
        let bound = bound.collect::<anyhow::Result<Vec<Bound>>>()?;
        let endpoints: Vec<_> = bound.iter().map(|bound| bound.advertised.clone()).collect();
        let controlled = config.quorum.as_ref().map(sockets::bind_control).transpose()?;

        let incarnation = Uuid::from_random(random());
        let (in_control, of_control) = (config.clone(), Arc::clone(&directory));
        let quorum = control.spawn(async move {
            start_quorum(&in_control, controlled, &of_control, incarnation, random).await
        });
        let quorum = Arc::new(quorum.await??);
        settings.apply_dynamic(&quorum.images().borrow());
        let config = settings.broker.config.clone();
        let membership =
            Membership::register(Arc::clone(&quorum), &config, &directory, endpoints, incarnation).await?;
        import::tell_if_interrupted(&config.data_dir, &quorum.images().borrow());
        let node = Node::start(Parts {
            settings: settings.broker,
            directory,
            metadata: Arc::new(LocalVoter(Arc::clone(&quorum))),
            peers: Arc::new(PeerClient::new(connection_limits::of_peers(&config))),
            clock: Arc::new(SystemClock::start()),
            broker_epoch: membership.epoch,
            random,
        })
        .await?;
        membership.unfence(&node).await?;
        let unfenced_at = quorum.images().borrow().version();
        node.follow_to(unfenced_at).await?;

        Ok(Self {
            limits: connection_limits::of_one(&config),
            shared: connection_limits::of_all(&config, descriptors)?,
            api_limits: connection_limits::of_one_api(&config),
            config,
            bound,
            node,
            quorum,
            membership,
            fronts: JoinSet::new(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Serves the connections that come, and says so. From here on a signal is answered by a clean stop.
    fn open_doors(&mut self, started: Instant) {
        let endpoints: Vec<_> = self.bound.iter().map(|bound| bound.advertised.clone()).collect();
        for Bound { socket, advertised } in self.bound.drain(..) {
            let (node, stopping) = (Arc::clone(&self.node), self.stopping.subscribe());
            match socket {
                Socket::Kafka(listener) => {
                    let front = Front::new(node, advertised.listener, self.limits, self.shared.clone());
                    self.fronts.spawn(listener.serve(front, stopping));
                }
                Socket::Api(listener) => {
                    let front = ottla_server::Front::new(node, self.api_limits, self.shared.clone());
                    self.fronts.spawn(listener.serve(front, stopping));
                }
            }
        }
        let took = started.elapsed();
        tracing::info!(took_ms = took.as_millis(), "ready");
        service_manager::notify(service_manager::READY);
        let greeting = greeting(&self.config, &endpoints, took);
        // A reader that has gone away is no reason to stop.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), greeting.as_bytes());
    }

    async fn until_stopped(self, mut signals: Signals) -> anyhow::Result<()> {
        let failure = tokio::select! {
            name = signals.stop() => {
                tracing::info!("{name}: stopping; again to end at once");
                None
            }
            reason = self.quorum.stopped() => Some(reason),
        };
        service_manager::notify(service_manager::STOPPING);
        signals.end_at_the_next();
        self.stop().await?;
        match failure {
            None => Ok(()),
            Some(reason) => bail!("the metadata quorum failed: {reason}"),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Self { node, quorum, membership, mut fronts, stopping, .. } = self;
        if let Err(error) = membership.begin_shutdown(&node).await {
            tracing::warn!(
                "the cluster was not told of this stop, and takes this broker for alive until its session ends: {error:#}"
            );
        }
        stopping.send_replace(true);
        while fronts.join_next().await.is_some() {}
        tokio::task::spawn_blocking(move || node.close()).await??;
        // Its last holder stops the quorum. The node may still be making the directories of a topic that has just come.
        drop(membership);
        match unshared(quorum).await {
            Some(quorum) => quorum.shutdown().await?,
            // Whoever still holds it holds no promise: every answer of the quorum is durable.
            None => tracing::warn!(
                "the metadata quorum is still in use and ends with the process; nothing is lost, every answer of it is durable"
            ),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The quorum, once nobody else holds it; `None` if that takes too long.
async fn unshared(mut quorum: Arc<Quorum>) -> Option<Quorum> {
    let deadline = Instant::now() + LET_GO_TIMEOUT;
    loop {
        quorum = match Arc::try_unwrap(quorum) {
            Ok(quorum) => return Some(quorum),
            Err(held) if Instant::now() < deadline => held,
            Err(_) => return None,
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn open_directory(
    config: &BrokerConfig,
    descriptors: Descriptors,
) -> anyhow::Result<LogDirectory> {
    let disk = Arc::new(FsDisk::open(&config.data_dir)?);
    let fresh = DirectoryId(Uuid::from_random(random()));
    let limits =
        DirectoryLimits { open_files: descriptors.segments, reserve_bytes: config.disk_reserve_bytes };
    LogDirectory::open(disk, config.node_id, fresh, limits)
        .with_context(|| format!("cannot use the data directory {}", config.data_dir.display()))
}

/// The sizes somebody set, or the measured best.
fn socket_buffers(settings: &Loaded) -> SocketBuffers {
    let connections = &settings.broker.config.connections;
    let is_set = |key| settings.broker.file.contains_key(key);
    let tuned = SocketBuffers::tuned();
    SocketBuffers {
        send: if is_set("socket.send.buffer.bytes") { connections.send_buffer_bytes } else { tuned.send },
        receive: if is_set("socket.receive.buffer.bytes") {
            connections.receive_buffer_bytes
        } else {
            tuned.receive
        },
    }
}

/// 16 bytes from the system's generator. The text of an id made of them does not begin with `-`, as in Kafka (`Uuid.randomUuid`):
/// command lines would take it for an option.
pub(crate) fn random() -> [u8; 16] {
    loop {
        let bytes = drawn();
        if bytes[0] >> 2 != MINUS {
            return bytes;
        }
    }
}

/// The digit `-` of base64 for URLs.
const MINUS: u8 = 62;

#[allow(clippy::expect_used, reason = "without ids that nobody else draws, no promise of the broker holds")]
fn drawn() -> [u8; 16] {
    let mut bytes = [0; 16];
    let flags = rustix::rand::GetRandomFlags::empty();
    let drawn = rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes, flags));
    // The kernel never returns less for so few.
    assert_eq!(drawn.expect("the system has no random numbers"), bytes.len(), "too few random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use ottla_node::record::Uuid;

    use super::{MINUS, random};

    #[test]
    fn no_id_begins_like_an_option() {
        for first in 0..=u8::MAX {
            let text = Uuid::from_bytes([first; 16]).to_string();
            assert_eq!(text.starts_with('-'), first >> 2 == MINUS, "{first}: {text}");
        }
        for _ in 0..1_000 {
            let text = Uuid::from_random(random()).to_string();
            assert!(!text.starts_with('-'), "{text}");
        }
    }
}
