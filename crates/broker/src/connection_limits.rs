//! From settings to the bounds on connections.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;
use ottla_kafka::{Limits, PeerOptions};
use ottla_node::connections::{Admission, AdmissionLimits, RequestMemory, Shared};
use ottla_node::coordination::config::BrokerConfig;

use crate::limits::Descriptors;

/// What one connection of Kafka's may take.
pub(crate) fn of_one(config: &BrokerConfig) -> Limits {
    Limits {
        max_request_bytes: config.connections.max_request_bytes,
        max_idle: config.connections.max_idle,
        max_fetch_bytes: config.fetches.max_bytes,
        max_fetch_sessions: config.fetches.max_sessions,
    }
}

/// What this broker's connections to its peers may take.
pub(crate) fn of_peers(config: &BrokerConfig) -> PeerOptions {
    let replication = &config.replication;
    PeerOptions {
        own: config.node_id,
        timeout: replication.socket_timeout,
        // The first batch of an answer comes whole: no larger than the request that brought it.
        max_response_bytes: replication
            .fetch_response_max_bytes
            .saturating_add(config.connections.max_request_bytes),
        receive_buffer: replication.socket_receive_buffer,
    }
}

/// What the connections of all front doors may take together.
pub(crate) fn of_all(config: &BrokerConfig, descriptors: Descriptors) -> anyhow::Result<Shared> {
    let connections = &config.connections;
    let admission = Admission::new(AdmissionLimits {
        total: connections.max.min(descriptors.connections),
        per_address: connections.max_per_ip,
        of_address: addresses(&connections.max_per_ip_overrides)?,
        per_second: connections.max_creation_rate,
    });
    Ok(Shared { admission, memory: RequestMemory::new(connections.max_queued_bytes) })
}

/// What one connection of the HTTP port may take.
pub(crate) fn of_one_api(config: &BrokerConfig) -> ottla_server::Limits {
    ottla_server::Limits {
        max_request_bytes: config.connections.max_request_bytes,
        max_idle: config.connections.max_idle.unwrap_or(Duration::MAX),
        max_fetch_bytes: config.fetches.max_bytes,
    }
}

/// The addresses that the hosts have now, as on Kafka: who changes a name's address starts the broker anew.
fn addresses(overrides: &BTreeMap<String, usize>) -> anyhow::Result<HashMap<IpAddr, usize>> {
    let mut of_address = HashMap::new();
    for (host, count) in overrides {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = (host, 0).to_socket_addrs().with_context(|| {
            format!("max.connections.per.ip.overrides names {host}, which has no address")
        })?;
        of_address.extend(found.map(|address| (address.ip().to_canonical(), *count)));
    }
    Ok(of_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_by_address() {
        let overrides = |entries: &[(&str, usize)]| {
            addresses(&entries.iter().map(|(host, count)| ((*host).to_owned(), *count)).collect())
        };
        let found = overrides(&[("127.0.0.1", 1), ("[::1]", 2), ("fe80::7", 3), ("::ffff:10.0.0.7", 4)]);
        let expected = [("127.0.0.1", 1), ("::1", 2), ("fe80::7", 3), ("10.0.0.7", 4)];
        assert_eq!(found.unwrap(), expected.map(|(host, count)| (host.parse().unwrap(), count)).into());
        let error = overrides(&[("no such host", 1)]).unwrap_err().to_string();
        assert!(error.contains("no such host, which has no address"), "{error}");
    }
}
