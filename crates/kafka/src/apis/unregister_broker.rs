//! UnregisterBroker: a broker is gone for good (KIP-631).

use std::sync::Arc;

use ottla_record::BrokerId;
use ottla_wire::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_wire::messages::unregister_broker_response::UnregisterBrokerResponse;

use crate::apis::Refused;
use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn unregister_broker(
    call: Arc<Call>,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let refused = match call.front.node.unregister_broker(BrokerId::new(request.broker_id)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Refused::new(errors::broker(&error), error.to_string())),
        Err(error) => Some(errors::admin(&error)),
    };
    let (error_code, error_message) = Refused::split(refused);
    UnregisterBrokerResponse { error_code, error_message, ..Default::default() }
}
