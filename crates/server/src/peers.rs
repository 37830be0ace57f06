//! The other brokers: what one of them leads or coordinates is handed to it, over its own HTTP port.
//!
//! Any broker answers. A request that is handed on says so ([`FORWARDED`]), and who gets it answers for itself or not at all:
//! while the brokers' images differ, no request goes in circles. Its error then tells the caller to come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::TopicKey;
use ottla_node::coordination::metadata::{Image, SecurityProtocol};
use ottla_node::record::{BrokerId, PartitionIndex};
use ottla_rpc::{KafkaError, status};
use parking_lot::Mutex;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::connection::MAX_STREAMS;
use crate::deadline::Deadline;
use crate::errors::Failure;
use crate::front::Front;

/// The header of a request that another broker has handed on. Its value is the address of the client, as groups are told it.
const FORWARDED: &str = "ottla-forwarded";

/// How long a connection may take to come about. A broker that does not answer is not waited for: another one will lead soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that has not been heard of for this long is asked whether it is still there …
const PING_INTERVAL: Duration = Duration::from_millis(500);
/// … and given up if it does not answer in this time.
const PING_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Bytes a peer may send on one stream before this broker has taken them.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Streams that are put on one connection before another one is opened; what is left is for single calls.
const STREAMS_PER_CONNECTION: usize = 768;

const _: () = assert!(STREAMS_PER_CONNECTION < MAX_STREAMS as usize);

/// Connections to the other brokers, made when they are needed.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Mutex<BTreeMap<BrokerId, Known>>,
}

#[derive(Debug)]
struct Known {
    address: String,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    channel: Channel,
    /// Held once by every stream on it.
    places: Arc<()>,
}

/// A way to another broker, and a place on its connection as long as this is held.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Where it leads.
    pub(crate) broker: BrokerId,
    /// What a stub needs.
    pub(crate) channel: Channel,
    _place: Arc<()>,
}

impl Peers {
    /// A way to a broker. Nothing is sent yet: whether it is there shows when it is called.
    pub(crate) fn way(&self, image: &Image, broker: BrokerId) -> Result<Way, Failure> {
        let endpoints = image.broker(broker).map(|registered| registered.endpoints.iter());
        let endpoint =
            endpoints.and_then(|mut all| all.find(|endpoint| endpoint.protocol == SecurityProtocol::Api));
        let Some(endpoint) = endpoint else {
            return Err(unreachable(broker, "it has no API listener that other brokers know of"));
        };
        let address = format!("http://{}:{}", bracketed(&endpoint.host), endpoint.port);
        let mut known = self.known.lock();
        known.retain(|id, _| image.broker(*id).is_some());
        let peer = known
            .entry(broker)
            .or_insert_with(|| Known { address: address.clone(), connections: Vec::new() });
        if peer.address != address {
            *peer = Known { address, connections: Vec::new() };
        }
        let free = |connection: &&Connection| Arc::strong_count(&connection.places) <= STREAMS_PER_CONNECTION;
        if let Some(connection) = peer.connections.iter().find(free) {
            return Ok(connection.way(broker));
        }
        let channel = connect(&peer.address)
            .map_err(|error| unreachable(broker, format!("{} is no address: {error}", peer.address)))?;
        let connection = Connection { channel, places: Arc::new(()) };
        let way = connection.way(broker);
        peer.connections.push(connection);
        Ok(way)
    }
}

impl Connection {
    fn way(&self, broker: BrokerId) -> Way {
        Way { broker, channel: self.channel.clone(), _place: Arc::clone(&self.places) }
    }
}

fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_lazy())
}

/// An IPv6 address stands in brackets where a port follows.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The broker that a partition's requests are to be handed to: its leader, if that is not this one.
pub(crate) fn leader_elsewhere(front: &Front, topic: &str, partition: i32) -> Option<BrokerId> {
    let node = &front.node;
    let leads = |host: &Arc<ottla_node::PartitionHost>| host.view().availability.leading().is_some();
    let topics = node.topics();
    if topics.topic(TopicKey::Name(topic)).and_then(|topic| topic.partition(partition)).is_ok_and(leads) {
        return None;
    }
    let image = node.image();
    let leader = image.topic(topic)?.partition(PartitionIndex::new(partition))?.leader;
    leader.filter(|leader| *leader != node.id())
}

/// A request to another broker, on behalf of a client.
pub(crate) fn hand_on<T>(message: T, client: Option<&str>, deadline: Deadline) -> Request<T> {
    let mut request = Request::new(message);
    let client = client.and_then(|client| MetadataValue::try_from(client).ok());
    request.metadata_mut().insert(FORWARDED, client.unwrap_or_else(|| MetadataValue::from_static("/")));
    if let Some(left) = deadline.left() {
        request.set_timeout(left);
    }
    request
}

/// Whether another broker has handed a request on.
pub(crate) fn is_handed_on(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}

/// The address of the client whose request another broker has handed on.
pub(crate) fn client_of(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(FORWARDED)?.to_str().ok()
}

/// What another broker answered instead of doing what it was asked. Without a detail of ours it was not reached, or broke off:
/// what was sent may have been done.
pub(crate) fn refused(broker: BrokerId, status: &Status) -> Failure {
    match status::from_status(status) {
        Some(detail) => Failure { message: status.message().to_owned(), detail: Box::new(detail) },
        None => unreachable(broker, format!("{:?}: {}", status.code(), status.message())),
    }
}

fn unreachable(broker: BrokerId, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        KafkaError::NETWORK_EXCEPTION,
        format!("broker {broker}, which is responsible for this, could not be asked: {why}"),
    )
}

#[cfg(test)]
mod tests;
