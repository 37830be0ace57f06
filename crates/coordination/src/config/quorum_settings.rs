//! How a node takes part in its cluster: who votes, where they are, and where this node is reached by them.

use std::time::Duration;

use ottla_record::BrokerId;

use super::listener::{self, Endpoint, ListenerKeys};
use super::typed::Typed;
use super::validation::ConfigError;

/// Other nodes, and the listener for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumSettings {
    /// Where this node listens for the others: the listener of `listeners` that `controller.listener.names` names first, or
    /// one beside the first listener, at a port that the system chooses.
    pub bind: Endpoint,
    /// What the others are told. Port 0 here stands for the port that the system gives `bind`.
    pub advertised: Endpoint,
    /// `controller.quorum.voters`
    pub voters: Vec<QuorumVoter>,
    /// `controller.quorum.bootstrap.servers`, each `host:port`.
    pub bootstrap_servers: Vec<String>,
}

/// A voter of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumVoter {
    /// Its `node.id`.
    pub node: BrokerId,
    /// `host:port` of its control listener.
    pub address: String,
}

/// When a broker is taken for lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// `broker.session.timeout.ms`
    pub session: Duration,
    /// `broker.heartbeat.interval.ms`
    pub heartbeat: Duration,
    /// `initial.broker.registration.timeout.ms`
    pub registration: Duration,
}

impl SessionSettings {
    pub(super) fn resolve(keys: &Typed<'_>) -> Result<Self, ConfigError> {
        let positive = |name| match keys.number(name) {
            number if number > 0 => Ok(Duration::from_millis(number.unsigned_abs())),
            number => {
                Err(conflict(format!("Invalid value {number} for configuration {name}: it must be positive")))
            }
        };
        let settings = Self {
            session: positive("broker.session.timeout.ms")?,
            heartbeat: positive("broker.heartbeat.interval.ms")?,
            registration: positive("initial.broker.registration.timeout.ms")?,
        };
        // One heartbeat that is late must not end a session.
        if settings.heartbeat * 2 > settings.session {
            return Err(conflict(format!(
                "broker.heartbeat.interval.ms ({}) must not be more than half of broker.session.timeout.ms ({})",
                settings.heartbeat.as_millis(),
                settings.session.as_millis()
            )));
        }
        Ok(settings)
    }
}

/// `None` for a node that is alone: it names no other, and opens no listener for one.
pub(super) fn resolve(
    keys: &Typed<'_>,
    listeners: &ListenerKeys,
    node: BrokerId,
    host_name: &str,
) -> Result<Option<QuorumSettings>, ConfigError> {
    let voters = voters(&keys.list("controller.quorum.voters"))?;
    let bootstrap_servers = keys.list("controller.quorum.bootstrap.servers");
    for server in &bootstrap_servers {
        check_address("controller.quorum.bootstrap.servers", server)?;
    }
    check_roles(&keys.list("process.roles"), node, &voters)?;
    let (own, advertised) = listener::controller(listeners)?;
    if voters.is_empty() && bootstrap_servers.is_empty() && own.is_none() {
        return Ok(None);
    }
    let name = || listeners.controller_names.first().cloned().unwrap_or_else(|| "CONTROLLER".to_owned());
    let bind = match own {
        Some(bind) => bind,
        None => Endpoint { name: name(), host: listener::first_host(listeners)?, port: 0 },
    };
    let listed = voters.iter().find(|voter| voter.node == node);
    let advertised = match (advertised, listed.and_then(|voter| split_address(&voter.address))) {
        (Some(advertised), _) => advertised,
        (None, Some((host, port))) => Endpoint { name: bind.name.clone(), host, port },
        (None, None) if bind.is_wildcard() => Endpoint { host: host_name.to_owned(), ..bind.clone() },
        (None, None) => bind.clone(),
    };
    Ok(Some(QuorumSettings { bind, advertised, voters, bootstrap_servers }))
}

/// A node that took part in another way than the file says would count, or be missed, in votes.
fn check_roles(roles: &[String], node: BrokerId, voters: &[QuorumVoter]) -> Result<(), ConfigError> {
    let has = |name: &str| roles.iter().any(|role| role == name);
    let is_listed = voters.iter().any(|voter| voter.node == node);
    if !has("controller") && is_listed {
        return Err(conflict(format!(
            "If process.roles contains just the 'broker' role, the node id {node} must not be included in the set of voters controller.quorum.voters={}",
            ids(voters)
        )));
    }
    if !has("broker") && !voters.is_empty() && !is_listed {
        return Err(conflict(format!(
            "If process.roles contains the 'controller' role, the node id {node} must be included in the set of voters controller.quorum.voters={}",
            ids(voters)
        )));
    }
    Ok(())
}

fn ids(voters: &[QuorumVoter]) -> String {
    let ids: Vec<String> = voters.iter().map(|voter| voter.node.to_string()).collect();
    format!("Set({})", ids.join(", "))
}

fn voters(entries: &[String]) -> Result<Vec<QuorumVoter>, ConfigError> {
    const KEY: &str = "controller.quorum.voters";
    let mut voters: Vec<QuorumVoter> = Vec::with_capacity(entries.len());
    for entry in entries {
        let malformed =
            || conflict(format!("Invalid value {entry} for configuration {KEY}: expected id@host:port"));
        let (id, address) = entry.split_once('@').ok_or_else(malformed)?;
        let node = id.trim().parse().ok().filter(|id| *id >= 0).map(BrokerId::new).ok_or_else(malformed)?;
        let address = address.trim().to_owned();
        check_address(KEY, &address)?;
        if voters.iter().any(|other| other.node == node || other.address == address) {
            return Err(conflict(format!("{KEY} names a node or an address twice: {entry}")));
        }
        voters.push(QuorumVoter { node, address });
    }
    Ok(voters)
}

fn check_address(key: &str, address: &str) -> Result<(), ConfigError> {
    match split_address(address) {
        Some((_, port)) if port > 0 => Ok(()),
        _ => Err(conflict(format!("Invalid value {address} for configuration {key}: expected host:port"))),
    }
}

fn split_address(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

fn conflict(text: String) -> ConfigError {
    ConfigError::Conflict(text)
}
