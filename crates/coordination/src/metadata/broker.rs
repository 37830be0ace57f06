//! A registered broker.

use ottla_record::{BrokerEpoch, BrokerId, DirectoryId, Incarnation};
use serde::{Deserialize, Serialize};

/// One broker as it last registered itself (KIP-631).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The process that registered.
    pub incarnation: Incarnation,
    /// Term of that registration; a message with another one is from a dead process (KIP-903).
    pub epoch: BrokerEpoch,
    /// Its log directory. A broker that comes back with another one has lost its data.
    pub directory: DirectoryId,
    /// Where clients and brokers reach it, one per listener.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// True from registration until it has caught up and opened its logs, and again when it is lost: it leads nothing
    /// and clients are not told of it.
    pub fenced: bool,
    /// True once it has announced that it is going: it gets no leadership, and new replicas only where the others are too few.
    pub shutting_down: bool,
    /// True while its disk takes no more records: others lead, get new replicas and are in sync in its place where there are enough.
    #[serde(default)]
    pub disk_full: bool,
}

impl Broker {
    /// True if it may lead partitions.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.shutting_down
    }

    /// True if it may lead partitions and take what is written to them.
    pub fn has_room(&self) -> bool {
        self.is_active() && !self.disk_full
    }

    /// Its address on a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.listener == listener)
    }
}

/// Where one listener of a broker is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The listener's name, as in `listeners`.
    pub listener: String,
    /// What is spoken there.
    pub protocol: SecurityProtocol,
    /// Host name or address that clients are told.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
}

/// The protocol of a listener, in Kafka's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecurityProtocol {
    /// Kafka's protocol over TCP.
    Plaintext,
    /// Kafka's protocol over TLS.
    Ssl,
    /// Kafka's protocol over TCP after SASL.
    SaslPlaintext,
    /// Kafka's protocol over TLS after SASL.
    SaslSsl,
    /// Ottla's own gRPC and HTTP port. Kafka clients are never told of it.
    Api,
}
