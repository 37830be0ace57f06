//! Which leaders there are to fetch from, as the metadata has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ottla_coordination::config::ReplicationConfig;
use ottla_coordination::metadata::Image;
use ottla_record::{BrokerEpoch, BrokerId, PartitionIndex, TopicId};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::background::Background;
use crate::directory::DirectoryShell;
use crate::follow::fetcher::Fetcher;
use crate::follow::hung_up::{Doubt, HungUp};
use crate::host::PartitionHost;
use crate::ports::{Lane, PeerAddress, PeerTransport};
use crate::topics::{PartitionSlot, TopicTable};

/// What all fetchers of a broker share.
pub(crate) struct FetcherParts {
    pub(crate) own: BrokerId,
    pub(crate) epoch: BrokerEpoch,
    pub(crate) config: ReplicationConfig,
    pub(crate) peers: Arc<dyn PeerTransport>,
    pub(crate) shell: Arc<DirectoryShell>,
    pub(crate) images: watch::Receiver<Arc<Image>>,
    pub(crate) hung_up: HungUp,
    /// Some copy changes lanes: whoever follows the metadata is to group them anew.
    pub(crate) regroup: Arc<Notify>,
}

/// What one leader is asked for in one lane.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) address: PeerAddress,
    pub(super) hosts: Vec<Arc<PartitionHost>>,
    /// Places in `hosts`.
    pub(super) places: HashMap<(TopicId, PartitionIndex), usize>,
}

/// The tasks that fetch, one or two for each broker that leads what this one follows.
pub(crate) struct ReplicaFetchers {
    parts: Arc<FetcherParts>,
    runtime: Handle,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// Dropping a sender ends its task.
    sources: BTreeMap<(BrokerId, Lane), watch::Sender<Arc<Source>>>,
    /// Leaders without an address for brokers, each of which the log names once.
    unreachable: BTreeSet<BrokerId>,
    /// Once something had to catch up.
    background: Option<Background>,
    closed: bool,
}

impl Running {
    /// Where copies catch up.
    fn background(&mut self, instead: &Handle) -> Handle {
        if self.background.is_none() {
            self.background = Background::start("catch-up")
                .inspect_err(|error| tracing::warn!(%error, "there is no thread for copies that catch up; they share those of requests"))
                .ok();
        }
        self.background.as_ref().map_or_else(|| instead.clone(), |background| background.handle().clone())
    }
}

impl ReplicaFetchers {
    /// None yet; call it inside the runtime that serves clients.
    pub(crate) fn new(parts: FetcherParts) -> Self {
        Self { parts: Arc::new(parts), runtime: Handle::current(), running: Mutex::default() }
    }

    /// Follows an image that the hosted partitions follow already: fetches begin, end, and turn to other partitions. One
    /// caller at a time.
    ///
    /// A fetch that is waiting is given up only if its leader's partitions changed: after a failover the new leader must be
    /// asked at once for what it has taken over, not when the wait for the others ends.
    pub(crate) fn follow(&self, topics: &TopicTable, image: &Image) {
        let mut led: BTreeMap<(BrokerId, Lane), Vec<Arc<PartitionHost>>> = BTreeMap::new();
        for hosted in topics.topics() {
            let Some(topic) = image.topic_by_id(hosted.id) else { continue };
            let min_in_sync = hosted.settings().partition.min_insync_replicas;
            for (slot, (_, partition)) in hosted.partitions().iter().zip(topic.partitions()) {
                let leader = partition.leader.filter(|leader| *leader != self.parts.own);
                let PartitionSlot::Hosted(host) = slot else { continue };
                // Producers wait for a copy that is in sync, and for one without which too few are.
                let needed = min_in_sync.min(partition.replicas.len());
                let is_awaited = partition.isr.contains(&self.parts.own) || partition.isr.len() < needed;
                let lane = host.set_awaited(is_awaited || leader.is_none());
                if let Some(leader) = leader {
                    led.entry((leader, lane)).or_default().push(Arc::clone(host));
                }
            }
        }
        let mut running = self.running.lock();
        if running.closed {
            return;
        }
        running.sources.retain(|source, _| led.contains_key(source));
        self.parts.hung_up.retain(|leader| led.keys().any(|(led_by, _)| *led_by == leader));
        self.parts.shell.replication.forget_sources_but(|source| led.contains_key(&source));
        for ((leader, lane), mut hosts) in led {
            let listener = &self.parts.config.inter_broker_listener;
            let endpoint = image.broker(leader).and_then(|broker| broker.endpoint(listener));
            let Some(endpoint) = endpoint else {
                running.sources.remove(&(leader, lane));
                if running.unreachable.insert(leader) {
                    tracing::warn!(
                        %leader,
                        "this leader has no listener {listener} for other brokers: its partitions are not copied; check inter.broker.listener.name on both"
                    );
                }
                continue;
            };
            running.unreachable.remove(&leader);
            hosts.sort_unstable_by_key(|host| (host.topic_id(), host.index()));
            let address = PeerAddress { broker: leader, host: endpoint.host.clone(), port: endpoint.port };
            match running.sources.get(&(leader, lane)) {
                Some(known) => {
                    let before = known.borrow();
                    let same = before.address == address
                        && before.hosts.len() == hosts.len()
                        && before.hosts.iter().zip(&hosts).all(|(one, other)| Arc::ptr_eq(one, other));
                    drop(before);
                    if !same {
                        known.send_replace(Source::new(address, hosts));
                    }
                }
                None => {
                    let (sender, source) = watch::channel(Source::new(address, hosts));
                    let fetcher = Fetcher::new(Arc::clone(&self.parts), lane).run(source);
                    match lane {
                        Lane::InSync => self.runtime.spawn(fetcher),
                        Lane::CatchingUp => running.background(&self.runtime).spawn(fetcher),
                    };
                    running.sources.insert((leader, lane), sender);
                }
            }
        }
    }

    /// Leaders that have just hung up on us or do not answer: the metadata may not know yet that they are gone.
    pub(crate) fn in_doubt(&self, now: Instant) -> Vec<(BrokerId, Doubt)> {
        let leaders: BTreeSet<BrokerId> =
            self.running.lock().sources.keys().map(|(leader, _)| *leader).collect();
        let in_doubt = |leader| {
            // Clients lose their connections in the same moment, and may ask before the fetcher has had its turn.
            if self.parts.peers.has_hung_up(leader) {
                self.parts.hung_up.note(leader, now);
            }
            Some((leader, self.parts.hung_up.doubt(leader, now)?))
        };
        leaders.into_iter().filter_map(in_doubt).collect()
    }

    /// Ends all of them.
    pub(crate) fn close(&self) {
        let mut running = self.running.lock();
        running.closed = true;
        running.sources.clear();
        running.background = None;
    }
}

impl Source {
    fn new(address: PeerAddress, hosts: Vec<Arc<PartitionHost>>) -> Arc<Self> {
        let places = hosts.iter().enumerate().map(|(at, host)| ((host.topic_id(), host.index()), at));
        Arc::new(Self { places: places.collect(), address, hosts })
    }
}

impl fmt::Debug for ReplicaFetchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaFetchers")
            .field("sources", &self.running.lock().sources.len())
            .finish_non_exhaustive()
    }
}
