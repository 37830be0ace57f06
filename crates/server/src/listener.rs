//! The listening socket: accepts within bounds, tunes, and drains on shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::front::Front;
use crate::router::Router;

/// Connections the kernel keeps waiting while none is accepted.
const BACKLOG: u32 = 1024;

/// Time that connections get to send what they owe when the broker stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound listener that accepts nothing yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted broker must not wait for its old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)? })
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
        let places = Arc::new(Semaphore::new(front.limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let connections = TaskTracker::new();
        let router = Router::new(&front).await;
        loop {
            let accepted = async {
                // The place comes first: beyond the bound, connections wait in the kernel's queue.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, self.socket.accept().await)
            };
            let (place, accepted) = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    if let Err(error) = tune(&stream) {
                        tracing::debug!(%address, %error, "a connection went before it was served");
                        continue;
                    }
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

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
