//! What all connections share.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::Node;
use ottla_node::connections::{Admission, RequestMemory, Shared};
use ottla_node::metrics::{ApiMetrics, ListenerMetrics};

use crate::dispatch;
use crate::fetch_session::FetchSessions;

/// The Kafka front door of one node.
#[derive(Debug)]
pub struct Front {
    pub(crate) node: Arc<Node>,
    pub(crate) limits: Limits,
    /// Name of the listener: clients are told the brokers' addresses on it.
    pub(crate) listener: String,
    pub(crate) sessions: FetchSessions,
    /// What is counted of each API, in the order of the table of what is served.
    pub(crate) apis: Vec<Arc<ApiMetrics>>,
    pub(crate) connections: Arc<ListenerMetrics>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) memory: Arc<RequestMemory>,
}

/// Bounds on what one client may hold of this process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one request (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// A connection without traffic is closed after this, if ever (`connections.max.idle.ms`).
    pub max_idle: Option<Duration>,
    /// Bytes of one fetch answer (`fetch.max.bytes`).
    pub max_fetch_bytes: usize,
    /// Incremental fetch sessions kept (`max.incremental.fetch.session.cache.slots`).
    pub max_fetch_sessions: usize,
}

impl Front {
    /// A front door to `node` behind the listener of this name.
    pub fn new(node: Arc<Node>, listener: String, limits: Limits, shared: Shared) -> Arc<Self> {
        let sessions = FetchSessions::new(limits.max_fetch_sessions);
        let (apis, connections) = (dispatch::metrics(node.metrics()), node.metrics().listener(&listener));
        let Shared { admission, memory } = shared;
        Arc::new(Self { node, limits, listener, sessions, apis, connections, admission, memory })
    }
}
