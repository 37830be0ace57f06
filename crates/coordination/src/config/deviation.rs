//! Where Ottla's defaults are not Kafka's. This list is complete: `ottla serve --explain` prints it.

/// A default that differs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The broker key.
    pub name: &'static str,
    /// Ottla's default; `None` if it is computed.
    pub default: Option<&'static str>,
    /// The default in words, where it is computed.
    pub meaning: &'static str,
    /// The reason.
    pub why: &'static str,
}

const fn fixed(name: &'static str, default: &'static str, why: &'static str) -> Deviation {
    Deviation { name, default: Some(default), meaning: default, why }
}

const fn computed(name: &'static str, meaning: &'static str, why: &'static str) -> Deviation {
    Deviation { name, default: None, meaning, why }
}

const INTERNAL_TOPICS: &str = "an internal topic needs no more copies than there are brokers to hold them";

const BUFFERS: &str = "measured: less CPU per byte; left to the kernel where it does not allow as much";

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[
    fixed("node.id", "1", "one node needs no configuration"),
    fixed("process.roles", "broker,controller", "one node needs no configuration"),
    fixed("controller.listener.names", "CONTROLLER", "one node needs no configuration"),
    fixed(
        "listeners",
        "PLAINTEXT://127.0.0.1:9092,API://127.0.0.1:9095",
        "a broker without authentication is not open to the network unless somebody says so",
    ),
    computed(
        "advertised.listeners",
        "the listeners; of a wildcard address the host name",
        "Kafka refuses to start with 0.0.0.0; here the log says what clients will be told",
    ),
    fixed("socket.receive.buffer.bytes", "1048576", BUFFERS),
    fixed("socket.send.buffer.bytes", "524288", BUFFERS),
    fixed(
        "socket.listen.backlog.size",
        "1024",
        "clients that all come back after a restart need not wait to be heard again",
    ),
    computed(
        "queued.max.request.bytes",
        "256 MiB, or socket.request.max.bytes if that is more",
        "no number of clients fills the memory of a broker",
    ),
    fixed("log.dir", "./ottla-data", "/tmp is emptied when the machine starts"),
    fixed("broker.session.timeout.ms", "1500", "fail over in less than a second"),
    fixed("broker.heartbeat.interval.ms", "300", "fail over in less than a second"),
    computed("offsets.topic.replication.factor", "min(3, brokers)", INTERNAL_TOPICS),
    computed("transaction.state.log.replication.factor", "min(3, brokers)", INTERNAL_TOPICS),
    computed("transaction.state.log.min.isr", "2 at 3 replicas, else 1", INTERNAL_TOPICS),
    computed("share.coordinator.state.topic.replication.factor", "min(3, brokers)", INTERNAL_TOPICS),
    computed("share.coordinator.state.topic.min.isr", "2 at 3 replicas, else 1", INTERNAL_TOPICS),
    computed(
        "min.insync.replicas",
        "2 at 3 replicas and more, else 1",
        "with 1, three copies protect no better than one against losing the leader",
    ),
];

/// The deviation of a broker key.
pub fn of(name: &str) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|deviation| deviation.name == name)
}

/// Ottla's default of a key whose default depends on the cluster, for this many brokers.
pub(super) fn computed_default(name: &str, brokers: usize) -> Option<i64> {
    let copies = brokers.clamp(1, 3);
    match name {
        "offsets.topic.replication.factor"
        | "transaction.state.log.replication.factor"
        | "share.coordinator.state.topic.replication.factor" => i64::try_from(copies).ok(),
        "transaction.state.log.min.isr" | "share.coordinator.state.topic.min.isr" => {
            Some(default_min_insync_replicas(copies))
        }
        _ => None,
    }
}

/// `queued.max.request.bytes` where nobody set it, for this `socket.request.max.bytes`.
pub(super) const fn default_queued_request_bytes(max_request_bytes: i64) -> i64 {
    const ENOUGH: i64 = 256 << 20;
    if max_request_bytes > ENOUGH { max_request_bytes } else { ENOUGH }
}

/// `min.insync.replicas` of a topic with this many replicas, where nobody set it.
pub(crate) const fn default_min_insync_replicas(replicas: usize) -> i64 {
    if replicas >= 3 { 2 } else { 1 }
}
