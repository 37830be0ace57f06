//! The addresses a broker listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use anyhow::Context;
use ottla_kafka::SocketBuffers;
use ottla_node::coordination::config::{self, Endpoint, ListenerProtocol};
use ottla_node::coordination::metadata;

/// A bound socket, and what clients are told of it.
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) advertised: metadata::Endpoint,
}

/// The control listener, bound, and where the other nodes reach it.
#[derive(Debug)]
pub(crate) struct BoundControl {
    pub(crate) listener: ottla_quorum::ControlListener,
    pub(crate) address: String,
}

/// The socket of one front door.
pub(crate) enum Socket {
    /// Kafka's wire protocol.
    Kafka(ottla_kafka::Listener),
    /// gRPC, metrics and health.
    Api(ottla_server::Listener),
}

impl Socket {
    fn bind(
        protocol: ListenerProtocol,
        address: SocketAddr,
        backlog: usize,
        buffers: SocketBuffers,
    ) -> io::Result<(Self, SocketAddr)> {
        match protocol {
            ListenerProtocol::Kafka => {
                let listener = ottla_kafka::Listener::bind(address, backlog, buffers)?;
                let address = listener.local_address()?;
                Ok((Self::Kafka(listener), address))
            }
            ListenerProtocol::Api => {
                let listener = ottla_server::Listener::bind(address, backlog)?;
                let address = listener.local_address()?;
                Ok((Self::Api(listener), address))
            }
        }
    }
}

/// Binds a listener. From here on clients can connect; they wait until the broker serves them.
pub(crate) fn bind(
    listener: &config::Listener,
    backlog: usize,
    buffers: SocketBuffers,
) -> anyhow::Result<Bound> {
    let bind = || -> anyhow::Result<(Socket, SocketAddr)> {
        let bind = |address| Socket::bind(listener.protocol, address, backlog, buffers);
        let port = listener.bind.port;
        Ok(match listener.bind.host.as_str() {
            // Both families where the machine has both.
            "" => bind((Ipv6Addr::UNSPECIFIED, port).into())
                .or_else(|_| bind((Ipv4Addr::UNSPECIFIED, port).into()))?,
            _ => bind(resolve(&listener.bind)?)?,
        })
    };
    let (socket, address) = bind().with_context(|| format!("cannot listen on {}", listener.bind))?;
    let Endpoint { name, host, port } = listener.advertised.clone();
    let advertised = metadata::Endpoint {
        listener: name,
        protocol: match listener.protocol {
            ListenerProtocol::Kafka => metadata::SecurityProtocol::Plaintext,
            ListenerProtocol::Api => metadata::SecurityProtocol::Api,
        },
        host,
        port: if port == 0 { address.port() } else { port },
    };
    Ok(Bound { socket, advertised })
}

/// Binds the listener for other nodes.
pub(crate) fn bind_control(settings: &config::QuorumSettings) -> anyhow::Result<BoundControl> {
    let bind = || -> anyhow::Result<ottla_quorum::ControlListener> {
        let port = settings.bind.port;
        Ok(match settings.bind.host.as_str() {
            "" => ottla_quorum::ControlListener::bind((Ipv6Addr::UNSPECIFIED, port).into())
                .or_else(|_| ottla_quorum::ControlListener::bind((Ipv4Addr::UNSPECIFIED, port).into()))?,
            _ => ottla_quorum::ControlListener::bind(resolve(&settings.bind)?)?,
        })
    };
    let listener = bind().with_context(|| format!("cannot listen on {}", settings.bind))?;
    let Endpoint { host, port, .. } = &settings.advertised;
    let port = if *port == 0 { listener.local_address()?.port() } else { *port };
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(BoundControl { listener, address })
}

fn resolve(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, endpoint.port));
    }
    let mut addresses = (endpoint.host.as_str(), endpoint.port).to_socket_addrs()?;
    addresses.next().with_context(|| format!("{} has no address", endpoint.host))
}
