//! The listening socket: accepts within bounds, tunes, and drains on shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::connections::{Place, TooMany};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::front::Front;
use crate::router::Router;

/// Time that connections get to send what they owe when the broker stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound listener that accepts nothing yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds the address. The kernel keeps `backlog` connections waiting while none is accepted, or as many as it allows.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub fn bind(address: SocketAddr, backlog: usize) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted broker must not wait for its old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(u32::try_from(backlog).unwrap_or(u32::MAX))? })
    }

    /// The address bound, with the port the system chose if none was named.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts and serves connections until `stopping` says true, then drains them for at most [`DRAIN_TIMEOUT`].
    pub async fn serve(self, front: Arc<Front>, mut stopping: watch::Receiver<bool>) {
        let connections = TaskTracker::new();
        let router = Router::new(&front).await;
        loop {
            let accepted = async {
                let (stream, address) = self.socket.accept().await?;
                // Beyond the bounds this one waits here, and those behind it in the kernel's queue.
                Ok((front.shared.admission.place().await, stream, address))
            };
            let accepted: io::Result<_> = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((place, stream, address)) => {
                    let Some(place) = admit(&front, place, &stream, address) else { continue };
                    let (front, router) = (Arc::clone(&front), router.clone());
                    front.connections.accepted();
                    connections.spawn(async move {
                        let end = connection::serve(&front, router, stream, address).await;
                        front.connections.closed(end.reason());
                        drop(place);
                    });
                }
                Err(error) => {
                    front.connections.rejected("accept");
                    tracing::warn!(%error, "cannot accept a connection; is the descriptor limit (ulimit -n) reached?");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        router.stop_serving().await;
        front.stopping.cancel();
        connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(
                "{} connections did not take their answers in {DRAIN_TIMEOUT:?}",
                connections.len()
            );
        }
    }
}

fn admit(front: &Front, mut place: Place, stream: &TcpStream, address: SocketAddr) -> Option<Place> {
    if let Err(TooMany { allowed, to_tell }) = place.claim(address.ip()) {
        front.connections.rejected("max_per_address");
        if let Some(refused) = to_tell {
            tracing::warn!(
                %address,
                refused,
                "connection closed: its address has the {allowed} connections that max.connections.per.ip or its overrides allow"
            );
        }
        return None;
    }
    if let Err(error) = tune(stream) {
        tracing::debug!(%address, %error, "a connection went before it was served");
        return None;
    }
    Some(place)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
