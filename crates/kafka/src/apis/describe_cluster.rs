//! DescribeCluster: the brokers, and who controls them.

use ottla_wire::ErrorCode;
use ottla_wire::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_wire::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use crate::authorized_operations;
use crate::dispatch::Call;

/// KIP-919: the endpoint types of a listener.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn describe_cluster(call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    if let Some(refusal) = check_endpoint(request.endpoint_type) {
        return refusal;
    }
    let node = &call.front.node;
    let image = node.image();
    let shown = image.brokers().filter(|broker| request.include_fenced_brokers || !broker.fenced);
    let brokers = shown.filter_map(|broker| {
        let endpoint = broker.endpoint(&call.front.listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            is_fenced: broker.fenced,
        })
    });
    let mut response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: image.cluster_id().map(|id| id.to_string()).unwrap_or_default(),
        controller_id: node.id().get(),
        brokers: brokers.collect(),
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = authorized_operations::CLUSTER;
    }
    response
}

fn check_endpoint(endpoint: i8) -> Option<DescribeClusterResponse> {
    let (error_code, message) = match endpoint {
        BROKERS => return None,
        CONTROLLERS => (
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".to_owned(),
        ),
        other => (ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}")),
    };
    Some(DescribeClusterResponse {
        error_code,
        error_message: Some(message),
        endpoint_type: BROKERS,
        ..Default::default()
    })
}
