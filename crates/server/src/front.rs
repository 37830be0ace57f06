//! What all connections share.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::Node;
use ottla_node::connections::Shared;
use ottla_node::metrics::ListenerMetrics;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::peers::Peers;
use crate::publish::Packers;
use crate::subscribe::Streams;

/// Name of the listener in the configuration and in the metrics.
const LISTENER: &str = "API";

/// The HTTP front door of one node.
#[derive(Debug)]
pub struct Front {
    pub(crate) node: Arc<Node>,
    pub(crate) limits: Limits,
    /// Cancelled when the broker begins to stop: streams end, and clients look for another broker.
    pub(crate) stopping: CancellationToken,
    pub(crate) calls: Calls,
    pub(crate) connections: Arc<ListenerMetrics>,
    pub(crate) shared: Shared,
    pub(crate) packers: Packers,
    /// Brokers that requests are handed on to.
    pub(crate) peers: Peers,
    /// Streams that play members of groups.
    pub(crate) streams: Streams,
}

/// Bounds on what one client may hold of this process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// A connection without a request is closed after this (`connections.max.idle.ms`).
    pub max_idle: Duration,
    /// Bytes of records in one message to a reader (`fetch.max.bytes`).
    pub max_fetch_bytes: usize,
}

impl Front {
    /// A front door to `node`, within what all front doors share.
    pub fn new(node: Arc<Node>, limits: Limits, shared: Shared) -> Arc<Self> {
        let (calls, connections) = (Calls::new(node.metrics()), node.metrics().listener(LISTENER));
        Arc::new(Self {
            node,
            limits,
            stopping: CancellationToken::new(),
            calls,
            connections,
            shared,
            packers: Packers::new(),
            peers: Peers::default(),
            streams: Streams::default(),
        })
    }
}
