//! Where a broker listens, and what it tells its clients about that.

use std::fmt;

use super::validation::ConfigError;

/// One `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub name: String,
    /// Host name or address, without brackets; empty for all interfaces.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
}

impl Endpoint {
    /// Whether it stands for all interfaces, so that no client can connect to it as it is written.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }

    fn parse(key: &str, text: &str) -> Result<Self, ConfigError> {
        let malformed = || {
            ConfigError::Conflict(format!(
                "Invalid value {text} for configuration {key}: expected NAME://host:port"
            ))
        };
        let (name, address) = text.split_once("://").ok_or_else(malformed)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(malformed)?,
            None if host.contains(':') => return Err(malformed()),
            None => host,
        };
        let well_named =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let port = port.parse().map_err(|_| malformed())?;
        if !well_named {
            return Err(malformed());
        }
        Ok(Self { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, port } = self;
        if host.contains(':') {
            write!(f, "{name}://[{host}]:{port}")
        } else {
            write!(f, "{name}://{host}:{port}")
        }
    }
}

/// One address the broker listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// Where it listens.
    pub bind: Endpoint,
    /// What clients are told. Port 0 here stands for the port that the system gives `bind`.
    pub advertised: Endpoint,
    /// Whether `advertised` is a guess that the log should mention: nobody set it, and `bind` is a wildcard.
    pub advertised_is_guessed: bool,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// Kafka's wire protocol.
    Kafka,
    /// HTTP: gRPC, metrics, health pages. Kafka clients are never told of it.
    Api,
}

/// The texts the listeners are made of.
pub(super) struct ListenerKeys {
    pub(super) listeners: Vec<String>,
    pub(super) advertised: Option<Vec<String>>,
    pub(super) security_protocols: String,
    pub(super) controller_names: Vec<String>,
}

/// The listener for other nodes among `listeners`, and what `advertised.listeners` says of it. Several may be named, as in Kafka while
/// their protocol changes; the first one that is there counts.
pub(super) fn controller(keys: &ListenerKeys) -> Result<(Option<Endpoint>, Option<Endpoint>), ConfigError> {
    let binds = endpoints("listeners", &keys.listeners)?;
    let of_name = |name: &String| binds.iter().find(|bind| bind.name == *name);
    let Some(bind) = keys.controller_names.iter().find_map(of_name) else { return Ok((None, None)) };
    // Kafka's default map does not name it; where the map does, it must be something that is served.
    let is_mapped = keys.security_protocols.split(',').any(|entry| {
        entry.trim().split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(&bind.name))
    });
    if is_mapped {
        protocol(bind, &keys.security_protocols)?;
    }
    let advertised = match &keys.advertised {
        Some(texts) => endpoints("advertised.listeners", texts)?,
        None => Vec::new(),
    };
    Ok((Some(bind.clone()), advertised.into_iter().find(|told| told.name == bind.name)))
}

/// The host that the first listener is bound to.
pub(super) fn first_host(keys: &ListenerKeys) -> Result<String, ConfigError> {
    let binds = endpoints("listeners", &keys.listeners)?;
    Ok(binds.into_iter().next().map(|bind| bind.host).unwrap_or_default())
}

/// The listeners for clients. Those named in `controller.listener.names` are left out: they are for other nodes.
pub(super) fn resolve(keys: &ListenerKeys, host_name: &str) -> Result<Vec<Listener>, ConfigError> {
    let is_controller = |endpoint: &Endpoint| keys.controller_names.contains(&endpoint.name);
    let binds = endpoints("listeners", &keys.listeners)?;
    let advertised = match &keys.advertised {
        Some(texts) => endpoints("advertised.listeners", texts)?,
        None => Vec::new(),
    };
    for endpoint in &advertised {
        if endpoint.is_wildcard() {
            let shown = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
            return Err(ConfigError::Conflict(format!(
                "advertised.listeners cannot use the nonroutable meta-address {shown}. Use a routable IP address."
            )));
        }
        if !binds.iter().any(|bind| bind.name == endpoint.name) && !is_controller(endpoint) {
            return Err(ConfigError::Conflict(format!(
                "advertised.listeners names {}, which is not among listeners",
                endpoint.name
            )));
        }
    }
    let mut listeners = Vec::new();
    for bind in binds {
        if is_controller(&bind) {
            continue;
        }
        let protocol = protocol(&bind, &keys.security_protocols)?;
        let told = advertised.iter().find(|endpoint| endpoint.name == bind.name).cloned();
        let advertised_is_guessed = told.is_none() && bind.is_wildcard();
        let advertised = told.unwrap_or_else(|| Endpoint {
            host: if bind.is_wildcard() { host_name.to_owned() } else { bind.host.clone() },
            ..bind.clone()
        });
        listeners.push(Listener { protocol, bind, advertised, advertised_is_guessed });
    }
    if !listeners.iter().any(|listener| listener.protocol == ListenerProtocol::Kafka) {
        return Err(ConfigError::Conflict(
            "listeners names no listener for Kafka clients; PLAINTEXT://127.0.0.1:9092 is one".to_owned(),
        ));
    }
    Ok(listeners)
}

/// The listeners for clients of a node that is no broker. Kafka's rule: there is none.
pub(super) fn none_for_clients(keys: &ListenerKeys) -> Result<Vec<Listener>, ConfigError> {
    if keys.controller_names.is_empty() {
        return Err(ConfigError::Conflict(
            "controller.listener.names must contain at least one value when running KRaft with just the controller role"
                .to_owned(),
        ));
    }
    let binds = endpoints("listeners", &keys.listeners)?;
    match binds.iter().find(|bind| !keys.controller_names.contains(&bind.name)) {
        Some(other) => Err(ConfigError::Conflict(format!(
            "The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller: {other} is for clients"
        ))),
        None => Ok(Vec::new()),
    }
}

fn endpoints(key: &str, texts: &[String]) -> Result<Vec<Endpoint>, ConfigError> {
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(texts.len());
    for text in texts {
        let endpoint = Endpoint::parse(key, text)?;
        if endpoints.iter().any(|other| other.name == endpoint.name) {
            return Err(ConfigError::Conflict(format!(
                "Each listener must have a different name, {key}: {}",
                texts.join(",")
            )));
        }
        if key == "listeners"
            && endpoint.port != 0
            && endpoints.iter().any(|other| other.port == endpoint.port)
        {
            return Err(ConfigError::Conflict(format!(
                "Each listener must have a different port, {key}: {}",
                texts.join(",")
            )));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn protocol(bind: &Endpoint, map: &str) -> Result<ListenerProtocol, ConfigError> {
    let of_name = |entry: &str| {
        let (name, protocol) = entry.trim().split_once(':')?;
        name.eq_ignore_ascii_case(&bind.name).then(|| protocol.trim().to_ascii_uppercase())
    };
    match map.split(',').find_map(of_name).as_deref() {
        Some("PLAINTEXT") => Ok(ListenerProtocol::Kafka),
        Some(protocol) => Err(ConfigError::Conflict(format!(
            "{bind} asks for {protocol}, which this version does not serve yet; PLAINTEXT is what it serves"
        ))),
        None if bind.name == "API" => Ok(ListenerProtocol::Api),
        None => Err(ConfigError::Conflict(format!(
            "No security protocol defined for listener {}: add {}:PLAINTEXT to listener.security.protocol.map",
            bind.name, bind.name
        ))),
    }
}
