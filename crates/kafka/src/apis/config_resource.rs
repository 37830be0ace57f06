//! The resources that have configs, as the wire numbers them.

use ottla_node::coordination::metadata::ConfigResource;
use ottla_record::BrokerId;
use ottla_wire::ErrorCode;

use crate::apis::Refused;

/// A topic.
pub(crate) const TOPIC: i8 = 2;
/// A broker, or with an empty name the default of all.
pub(crate) const BROKER: i8 = 4;
/// The log levels of a broker (KIP-412), which are not served: ours are no log4j loggers.
pub(crate) const BROKER_LOGGER: i8 = 8;
/// A subscription to client metrics (KIP-714), which is not served.
pub(crate) const CLIENT_METRICS: i8 = 16;
/// A consumer group (KIP-848).
pub(crate) const GROUP: i8 = 32;

/// Kafka's name of a resource type.
pub(crate) fn type_name(code: i8) -> &'static str {
    match code {
        TOPIC => "TOPIC",
        BROKER => "BROKER",
        BROKER_LOGGER => "BROKER_LOGGER",
        CLIENT_METRICS => "CLIENT_METRICS",
        GROUP => "GROUP",
        _ => "UNKNOWN",
    }
}

/// The resource of a type and name, if this broker serves its configs.
pub(crate) fn parse(code: i8, name: &str) -> Result<ConfigResource, Refused> {
    let invalid = |message: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    match code {
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        GROUP => Ok(ConfigResource::Group(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(id) => Ok(ConfigResource::Broker(Some(BrokerId::new(id)))),
            Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        },
        BROKER_LOGGER | CLIENT_METRICS => {
            invalid(format!("Configs of type {} are not supported by this broker.", type_name(code)))
        }
        other => invalid(format!("Unknown resource type {other}")),
    }
}
