//! One connection a peer, kept while it is of use.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ottla_node::ports::{BoxFuture, PeerAddress, PeerError, PeerTransport, ReplicaFetch, ReplicaFetched};
use ottla_record::BrokerId;
use ottla_wire::Request;
use ottla_wire::messages::fetch_request::FetchRequest;
use parking_lot::Mutex;

use crate::peer::fetch::{FETCH_VERSION, answers, request};
use crate::peer::wire::{Connection, Probe};

/// How peers are spoken to.
#[derive(Clone, Copy, Debug)]
pub struct PeerOptions {
    /// This broker; its connections name it.
    pub own: BrokerId,
    /// How long an answer may take, the connecting included (`replica.socket.timeout.ms`).
    pub timeout: Duration,
    /// Bytes of one answer at most. Memory grows with what has arrived, never with what a length claims.
    pub max_response_bytes: usize,
    /// `SO_RCVBUF`; `None` leaves it to the kernel.
    pub receive_buffer: Option<usize>,
}

/// The connections of this broker to the others.
///
/// A request takes its peer's connection and puts it back once it is answered. One that is given up takes the connection
/// with it: what may still come on it is of no use, and the next request must not wait for it.
pub struct PeerClient {
    options: PeerOptions,
    idle: Mutex<BTreeMap<BrokerId, Connection>>,
    /// Of the last connection to each.
    probes: Mutex<BTreeMap<BrokerId, Probe>>,
}

impl PeerClient {
    /// No connection yet.
    pub fn new(options: PeerOptions) -> Self {
        Self { options, idle: Mutex::default(), probes: Mutex::default() }
    }

    async fn call<R: Request>(
        &self,
        peer: &PeerAddress,
        request: &R,
        version: i16,
    ) -> Result<R::Response, PeerError> {
        let called = self.call_without_limit(peer, request, version);
        let limit = self.options.timeout;
        tokio::time::timeout(limit, called).await.map_err(|_| PeerError::TimedOut(limit))?
    }

    async fn call_without_limit<R: Request>(
        &self,
        peer: &PeerAddress,
        request: &R,
        version: i16,
    ) -> Result<R::Response, PeerError> {
        let kept = self.idle.lock().remove(&peer.broker).filter(|kept| kept.leads_to(peer));
        if let Some(mut kept) = kept {
            match kept.call(request, version).await {
                Ok(response) => {
                    self.idle.lock().insert(peer.broker, kept);
                    return Ok(response);
                }
                // The peer closed it while it lay idle, or was restarted.
                Err(PeerError::Broken(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut fresh = Connection::open(peer, &self.options).await?;
        self.probes.lock().insert(peer.broker, fresh.probe());
        let response = fresh.call(request, version).await?;
        self.idle.lock().insert(peer.broker, fresh);
        Ok(response)
    }
}

impl PeerTransport for PeerClient {
    fn fetch<'a>(
        &'a self,
        leader: &'a PeerAddress,
        fetch: ReplicaFetch,
    ) -> BoxFuture<'a, Result<Vec<ReplicaFetched>, PeerError>> {
        Box::pin(async move {
            let request: FetchRequest = request(&fetch);
            answers(self.call(leader, &request, FETCH_VERSION).await?)
        })
    }

    fn has_hung_up(&self, peer: BrokerId) -> bool {
        self.probes.lock().get(&peer).is_some_and(Probe::is_closed)
    }
}

impl fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient").field("idle", &self.idle.lock().len()).finish_non_exhaustive()
    }
}
