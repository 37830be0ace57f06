//! How a broker copies what others lead, and where it reaches them.

use std::time::Duration;

use super::broker::conflict;
use super::layers::Layers;
use super::listener::{Listener, ListenerProtocol};
use super::typed::Typed;
use super::validation::ConfigError;

/// The one replica selector there is: Kafka's class of that name (KIP-392).
const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
/// Kafka's class that always names the leader, which is what happens without one.
const LEADER_SELECTOR: &str = "org.apache.kafka.common.replica.LeaderSelector";

/// What followers and leaders go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// Name of the listener on which brokers reach each other; empty on a node that is none.
    pub inter_broker_listener: String,
    /// `replica.fetch.wait.max.ms`
    pub fetch_wait_max: Duration,
    /// `replica.fetch.min.bytes`
    pub fetch_min_bytes: usize,
    /// `replica.fetch.max.bytes`
    pub fetch_max_bytes: usize,
    /// `replica.fetch.response.max.bytes`
    pub fetch_response_max_bytes: usize,
    /// `replica.fetch.backoff.ms`: the longest pause after failures; the first ones are shorter.
    pub fetch_backoff: Duration,
    /// `replica.socket.timeout.ms`
    pub socket_timeout: Duration,
    /// `replica.socket.receive.buffer.bytes`, if somebody set it; `None` leaves it to the kernel.
    pub socket_receive_buffer: Option<usize>,
    /// `leader.imbalance.check.interval.seconds`; `None` with `auto.leader.rebalance.enable=false`.
    pub leader_check_interval: Option<Duration>,
    /// `replica.selector.class` is the rack-aware one: consumers are sent to the replica in their rack (KIP-392).
    pub rack_aware_reading: bool,
}

/// How fast replicas that catch up are copied, of those that are throttled, in bytes a second (KIP-73). May change while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationRates {
    /// `leader.replication.throttled.rate`: what this broker sends; `None` is without bound.
    pub leader: Option<u64>,
    /// `follower.replication.throttled.rate`: what it fetches.
    pub follower: Option<u64>,
}

impl ReplicationRates {
    /// The values of a broker with these settings.
    pub fn resolve(layers: Layers<'_>) -> Self {
        let keys = Typed::broker(layers);
        let rate = |name| Some(keys.number(name)).filter(|rate| *rate < i64::MAX).map(i64::unsigned_abs);
        Self {
            leader: rate("leader.replication.throttled.rate"),
            follower: rate("follower.replication.throttled.rate"),
        }
    }
}

impl ReplicationConfig {
    /// The values of a broker with these listeners; `None` for a node that is none.
    pub(super) fn resolve(
        keys: &Typed<'_>,
        is_set: impl Fn(&str) -> bool,
        listeners: Option<&Vec<Listener>>,
    ) -> Result<Self, ConfigError> {
        let milliseconds = |name| Duration::from_millis(keys.number(name).max(0).unsigned_abs());
        let buffer = keys.limit("replica.socket.receive.buffer.bytes").filter(|_| {
            // Setting one ends the kernel's own tuning, which is better than Kafka's default.
            is_set("replica.socket.receive.buffer.bytes")
        });
        let inter_broker_listener = match listeners {
            Some(listeners) => inter_broker_listener(keys, is_set, listeners)?,
            None => String::new(),
        };
        Ok(Self {
            inter_broker_listener,
            fetch_wait_max: milliseconds("replica.fetch.wait.max.ms"),
            fetch_min_bytes: keys.size("replica.fetch.min.bytes"),
            fetch_max_bytes: keys.size("replica.fetch.max.bytes"),
            fetch_response_max_bytes: keys.size("replica.fetch.response.max.bytes"),
            fetch_backoff: milliseconds("replica.fetch.backoff.ms"),
            socket_timeout: milliseconds("replica.socket.timeout.ms"),
            socket_receive_buffer: buffer.and_then(|bytes| usize::try_from(bytes).ok()),
            leader_check_interval: keys.boolean("auto.leader.rebalance.enable").then(|| {
                Duration::from_secs(keys.number("leader.imbalance.check.interval.seconds").unsigned_abs())
            }),
            rack_aware_reading: selector(keys)?,
        })
    }
}

/// Kafka's rules for the two keys. Where neither is set, a broker without a listener named PLAINTEXT is reached on its first one.
fn inter_broker_listener(
    keys: &Typed<'_>,
    is_set: impl Fn(&str) -> bool,
    listeners: &[Listener],
) -> Result<String, ConfigError> {
    const NAME: &str = "inter.broker.listener.name";
    const PROTOCOL: &str = "security.inter.broker.protocol";
    let named = keys.optional_text(NAME).map(|name| name.trim().to_ascii_uppercase());
    if named.is_some() && is_set(PROTOCOL) {
        return Err(conflict(format!("Only one of {NAME} and {PROTOCOL} should be set.")));
    }
    let protocol = keys.text(PROTOCOL);
    if named.is_none() && protocol != "PLAINTEXT" {
        return Err(conflict(format!(
            "{PROTOCOL}={protocol}: brokers of this version speak to each other over PLAINTEXT only"
        )));
    }
    let mut of_kafka = listeners
        .iter()
        .filter(|listener| listener.protocol == ListenerProtocol::Kafka)
        .map(|listener| &listener.advertised.name);
    let wanted = named.as_ref().unwrap_or(&protocol);
    let found = of_kafka.clone().find(|name| *name == wanted);
    let is_free = named.is_none() && !is_set(PROTOCOL);
    match found.or_else(|| of_kafka.next().filter(|_| is_free)) {
        Some(name) => Ok(name.clone()),
        None => Err(conflict(format!(
            "{NAME} must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are {}",
            listeners
                .iter()
                .filter(|listener| listener.protocol == ListenerProtocol::Kafka)
                .map(|listener| listener.advertised.name.as_str())
                .collect::<Vec<_>>()
                .join(",")
        ))),
    }
}

/// Java classes cannot be loaded here; the two that Kafka brings are known by name.
fn selector(keys: &Typed<'_>) -> Result<bool, ConfigError> {
    match keys.optional_text("replica.selector.class").as_deref().map(str::trim) {
        None | Some("" | LEADER_SELECTOR) => Ok(false),
        Some(RACK_AWARE_SELECTOR) => Ok(true),
        Some(other) => Err(conflict(format!(
            "replica.selector.class={other}: Ottla loads no Java classes; {RACK_AWARE_SELECTOR} is the one it knows"
        ))),
    }
}
