//! FindCoordinator: which broker is in charge of a group (or, one day, of a transaction or a share group).

use std::sync::Arc;

use ottla_node::coordination::metadata::Image;
use ottla_node::{CoordinatorError, CoordinatorKey};
use ottla_record::BrokerId;
use ottla_wire::ErrorCode;
use ottla_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use crate::apis::Refused;
use crate::dispatch::Call;
use crate::errors;

/// Several keys in one request (KIP-699).
const BATCHED_FROM: i16 = 4;

/// Key types, and the version from which share groups may be asked for (KIP-932).
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
const SHARE_FROM: i16 = 6;

/// How an answer spells that there is no broker.
const NOBODY: i32 = -1;

pub(crate) async fn find_coordinator(
    call: Arc<Call>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if call.version >= BATCHED_FROM {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            coordinators.push(find(&call, key, request.key_type).await);
        }
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } =
        find(&call, request.key, request.key_type).await;
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

async fn find(call: &Call, key: String, key_type: i8) -> Coordinator {
    let node = &call.front.node;
    let found = match wanted(&key, key_type, call.version) {
        Ok(wanted) => node
            .coordinator(wanted)
            .await
            .map_err(|error| Refused::new(errors::coordinator(error), error.to_string())),
        Err(refused) => Err(refused),
    };
    match found.and_then(|broker| endpoint(&node.image(), broker, &call.front.listener)) {
        Ok((node_id, host, port)) => Coordinator { key, node_id, host, port, ..Default::default() },
        Err(Refused { code, message }) => Coordinator {
            key,
            node_id: NOBODY,
            port: NOBODY,
            error_code: code,
            error_message: Some(message),
            ..Default::default()
        },
    }
}

fn wanted(key: &str, key_type: i8, version: i16) -> Result<CoordinatorKey<'_>, Refused> {
    match key_type {
        GROUP => Ok(CoordinatorKey::Group(key)),
        TRANSACTION => Ok(CoordinatorKey::Transaction(key)),
        SHARE if version >= SHARE_FROM => Ok(CoordinatorKey::Share(key)),
        other => Err(Refused::new(
            ErrorCode::INVALID_REQUEST,
            format!("Unknown coordinator type received: {other}"),
        )),
    }
}

/// Where clients of a listener reach a broker that is alive.
fn endpoint(image: &Image, id: BrokerId, listener: &str) -> Result<(i32, String, i32), Refused> {
    let broker = image.broker(id).filter(|broker| !broker.fenced);
    let endpoint = broker.and_then(|broker| broker.endpoint(listener));
    let gone = CoordinatorError::NotAvailable;
    let endpoint = endpoint.ok_or_else(|| Refused::new(errors::coordinator(gone), gone.to_string()))?;
    Ok((id.get(), endpoint.host.clone(), i32::from(endpoint.port)))
}
