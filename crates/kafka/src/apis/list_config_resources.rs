//! ListConfigResources: everything whose configs can be described (KIP-1142).

use ottla_node::coordination::metadata::Image;
use ottla_wire::ErrorCode;
use ottla_wire::messages::list_config_resources_request::ListConfigResourcesRequest;
use ottla_wire::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

use crate::apis::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::dispatch::Call;

pub(crate) fn list_config_resources(
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let types = match (call.version, request.resource_types.as_slice()) {
        // Version 0 was ListClientMetricsResources.
        (0, _) => vec![CLIENT_METRICS],
        (_, []) => vec![TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP],
        (_, types) => types.to_vec(),
    };
    let image = call.front.node.image();
    let mut config_resources = Vec::new();
    for code in types {
        let Some(names) = names(&image, code) else {
            return ListConfigResourcesResponse {
                error_code: ErrorCode::UNSUPPORTED_VERSION,
                ..Default::default()
            };
        };
        let resources =
            names.into_iter().map(|name| ConfigResource { resource_name: name, resource_type: code });
        config_resources.extend(resources);
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}

/// The resources of a type; `None` for a type nobody knows.
fn names(image: &Image, code: i8) -> Option<Vec<String>> {
    match code {
        TOPIC => Some(image.topics().map(|topic| topic.name().to_string()).collect()),
        BROKER => Some(image.brokers().map(|broker| broker.id.to_string()).collect()),
        GROUP => Some(image.configured_groups().map(|(group, _)| group.to_owned()).collect()),
        // Known, and there are none: neither loggers nor subscriptions are served.
        BROKER_LOGGER | CLIENT_METRICS => Some(Vec::new()),
        _ => None,
    }
}
