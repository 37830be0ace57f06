//! The addresses a broker listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use anyhow::Context;
use ottla_kafka::{Listener, SocketBuffers};
use ottla_node::coordination::config::{self, Endpoint};
use ottla_node::coordination::metadata;

/// A bound socket, and what clients are told of it.
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    pub(crate) advertised: metadata::Endpoint,
}

/// Binds a listener. From here on clients can connect; they wait until the broker serves them.
pub(crate) fn bind(listener: &config::Listener, buffers: SocketBuffers) -> anyhow::Result<Bound> {
    let bind = || -> anyhow::Result<(Listener, SocketAddr)> {
        let listener = match listener.bind.host.as_str() {
            // Both families where the machine has both.
            "" => Listener::bind((Ipv6Addr::UNSPECIFIED, listener.bind.port).into(), buffers)
                .or_else(|_| Listener::bind((Ipv4Addr::UNSPECIFIED, listener.bind.port).into(), buffers))?,
            _ => Listener::bind(resolve(&listener.bind)?, buffers)?,
        };
        let address = listener.local_address()?;
        Ok((listener, address))
    };
    let (socket, address) = bind().with_context(|| format!("cannot listen on {}", listener.bind))?;
    let Endpoint { name, host, port } = listener.advertised.clone();
    let advertised = metadata::Endpoint {
        listener: name,
        protocol: metadata::SecurityProtocol::Plaintext,
        host,
        port: if port == 0 { address.port() } else { port },
    };
    Ok(Bound { listener: socket, advertised })
}

fn resolve(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, endpoint.port));
    }
    let mut addresses = (endpoint.host.as_str(), endpoint.port).to_socket_addrs()?;
    addresses.next().with_context(|| format!("{} has no address", endpoint.host))
}
