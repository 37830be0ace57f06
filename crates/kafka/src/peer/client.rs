//! A connection for each lane of a peer, kept while it is of use.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ottla_node::ports::{
    BoxFuture, Lane, PeerAddress, PeerError, PeerTransport, ReplicaFetch, ReplicaFetched,
};
use ottla_record::BrokerId;
use ottla_wire::messages::fetch_response::FetchResponse;
use parking_lot::Mutex;

use crate::peer::fetch::{FETCH_VERSION, answers};
use crate::peer::session::Session;
use crate::peer::wire::{Connection, Probe, State};

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
/// A request takes its lane's connection and puts it back once it is answered. One that is given up takes the connection
/// with it: what may still come on it is of no use, and the next request must not wait for it.
pub struct PeerClient {
    options: PeerOptions,
    idle: Mutex<BTreeMap<(BrokerId, Lane), Line>>,
    /// Of the last connection of each.
    probes: Mutex<BTreeMap<(BrokerId, Lane), Probe>>,
}

impl PeerClient {
    /// No connection yet.
    pub fn new(options: PeerOptions) -> Self {
        Self { options, idle: Mutex::default(), probes: Mutex::default() }
    }

    async fn fetch_from(
        &self,
        leader: &PeerAddress,
        fetch: &ReplicaFetch,
    ) -> Result<Vec<ReplicaFetched>, PeerError> {
        let limit = self.options.timeout;
        let fetched = tokio::time::timeout(limit, self.fetch_without_limit(leader, fetch)).await;
        answers(fetched.map_err(|_| PeerError::TimedOut(limit))??)
    }

    async fn fetch_without_limit(
        &self,
        leader: &PeerAddress,
        fetch: &ReplicaFetch,
    ) -> Result<FetchResponse, PeerError> {
        let way = (leader.broker, fetch.lane);
        let kept = self.idle.lock().remove(&way).filter(|kept| kept.connection.leads_to(leader));
        if let Some(mut kept) = kept {
            match kept.fetch(fetch).await {
                Ok(response) => {
                    self.idle.lock().insert(way, kept);
                    return Ok(response);
                }
                // The peer closed it while it lay idle, or was restarted.
                Err(PeerError::Broken(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let connection = Connection::open(leader, &self.options).await?;
        {
            // Who takes a connection is there: what a former process of it closed tells nothing any more.
            let mut probes = self.probes.lock();
            probes.retain(|(broker, _), probe| *broker != leader.broker || probe.state() != State::Closed);
            probes.insert(way, connection.probe());
        }
        let mut fresh = Line { connection, session: Session::default() };
        let response = fresh.fetch(fetch).await?;
        self.idle.lock().insert(way, fresh);
        Ok(response)
    }
}

/// A connection, and what its leader remembers of it.
#[derive(Debug)]
struct Line {
    connection: Connection,
    session: Session,
}

impl Line {
    async fn fetch(&mut self, fetch: &ReplicaFetch) -> Result<FetchResponse, PeerError> {
        loop {
            let request = self.session.next(fetch);
            let was_whole = request.session_id == 0;
            let response = self.connection.call(&request, FETCH_VERSION).await?;
            if self.session.answered(response.error_code, response.session_id) || was_whole {
                return Ok(response);
            }
        }
    }
}

impl PeerTransport for PeerClient {
    fn fetch<'a>(
        &'a self,
        leader: &'a PeerAddress,
        fetch: ReplicaFetch,
    ) -> BoxFuture<'a, Result<Vec<ReplicaFetched>, PeerError>> {
        Box::pin(async move { self.fetch_from(leader, &fetch).await })
    }

    fn has_hung_up(&self, peer: BrokerId) -> bool {
        let probes = self.probes.lock();
        let lanes = [Lane::InSync, Lane::CatchingUp];
        let states = lanes.map(|lane| probes.get(&(peer, lane)).map_or(State::GivenUp, Probe::state));
        // A peer that is gone closes all of them.
        states.contains(&State::Closed) && !states.contains(&State::Open)
    }
}

impl fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient").field("idle", &self.idle.lock().len()).finish_non_exhaustive()
    }
}
