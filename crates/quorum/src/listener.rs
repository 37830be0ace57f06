//! The control listener: HTTP/2 for the other nodes of the cluster.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ottla_rpc::control::v1::control_server::ControlServer;
use ottla_rpc::control::v1::raft_server::RaftServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::body::Body;
use tower_service::Service as _;

use crate::descriptor::high;
use crate::service::{ControlService, Node, RaftService};

/// Connections at one time. Every node has one or two here; more of them wait.
const MAX_CONNECTIONS: usize = 4_096;
/// Requests at one time on a connection.
const MAX_STREAMS: u32 = 256;
/// Bytes a peer may send before they are taken: a batch of the log, or a piece of a snapshot.
const WINDOW: u32 = 2 << 20;
/// How often a peer is asked whether it is still there, and for how long its silence is borne.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept: the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What gRPC's paths to the Raft service begin with; all others are Control's, which refuses what it does not know.
const RAFT: &str = "/ottla.control.v1.Raft/";

/// A bound control listener that accepts nothing yet.
#[derive(Debug)]
pub struct ControlListener {
    socket: std::net::TcpListener,
}

impl ControlListener {
    /// Binds the address. From here on others can connect, and wait until the node has started.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        // A dial of a process that is being killed is to be refused.
        let socket = high(&socket).map_or(socket, std::net::TcpListener::from);
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// The address bound, with the port the system chose if none was named.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves connections until it is aborted.
    pub(crate) async fn serve(self, node: Node) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket)?;
        let door = Door { raft: node.raft_server(), control: node.control_server() };
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
            match socket.accept().await {
                Ok((stream, address)) => {
                    let door = door.clone();
                    connections.spawn(async move {
                        if let Err(error) = connection(stream, door).await {
                            tracing::debug!(%address, %error, "a control connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection; is the descriptor limit (ulimit -n) reached?");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, door: Door) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = match high(&stream) {
        Ok(moved) => TcpStream::from_std(moved.into())?,
        Err(_) => stream,
    };
    stream.set_nodelay(true)?;
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(stream), door)
        .await?;
    Ok(())
}

/// Both services of one node.
#[derive(Clone)]
struct Door {
    raft: RaftServer<RaftService>,
    control: ControlServer<ControlService>,
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        if request.uri().path().starts_with(RAFT) {
            self.raft.clone().call(request)
        } else {
            self.control.clone().call(request)
        }
    }
}
