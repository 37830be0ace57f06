//! What all connections share.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::Node;

use crate::fetch_session::FetchSessions;

/// The Kafka front door of one node.
#[derive(Debug)]
pub struct Front {
    pub(crate) node: Arc<Node>,
    pub(crate) limits: Limits,
    /// Name of the listener: clients are told the brokers' addresses on it.
    pub(crate) listener: String,
    pub(crate) sessions: FetchSessions,
}

/// Bounds on what clients may hold of this process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one request (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// Connections at once (`max.connections`).
    pub max_connections: usize,
    /// A connection without traffic is closed after this (`connections.max.idle.ms`).
    pub max_idle: Duration,
    /// Bytes of one fetch answer (`fetch.max.bytes`).
    pub max_fetch_bytes: usize,
    /// Incremental fetch sessions kept (`max.incremental.fetch.session.cache.slots`).
    pub max_fetch_sessions: usize,
}

impl Front {
    /// A front door to `node` behind the listener of this name.
    pub fn new(node: Arc<Node>, listener: String, limits: Limits) -> Arc<Self> {
        let sessions = FetchSessions::new(limits.max_fetch_sessions);
        Arc::new(Self { node, limits, listener, sessions })
    }
}
