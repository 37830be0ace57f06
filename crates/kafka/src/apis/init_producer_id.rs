//! InitProducerId: identities for idempotent producers.

use std::sync::Arc;

use ottla_record::{ProducerEpoch, ProducerId};
use ottla_wire::ErrorCode;
use ottla_wire::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_wire::messages::init_producer_id_response::InitProducerIdResponse;

use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn init_producer_id(
    call: Arc<Call>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if let Err(error_code) = check(&request) {
        return InitProducerIdResponse { error_code, ..refused() };
    }
    // The id and epoch that an idempotent producer gives back are not looked at, as on Kafka: such a producer raises its
    // epoch by itself, and asks for another id when the epochs are used up (KIP-360).
    match call.front.node.new_producer().await {
        Ok((id, epoch)) => InitProducerIdResponse {
            producer_id: id.get(),
            producer_epoch: epoch.get(),
            ..Default::default()
        },
        Err(error) => {
            tracing::warn!(%error, "no producer id could be handed out; the producer asks again, and if this goes on the metadata quorum is the place to look");
            InitProducerIdResponse { error_code: errors::producer_id(&error), ..refused() }
        }
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    let id = ProducerId::from_wire(request.producer_id);
    let epoch = ProducerEpoch::from_wire(request.producer_epoch);
    if id.is_some() != epoch.is_some() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    match request.transactional_id.as_deref() {
        None => Ok(()),
        Some("") => Err(ErrorCode::INVALID_REQUEST),
        // COORDINATOR_NOT_AVAILABLE would be asked again until the producer's timeout. This one is final for it, and says
        // what Kafka's brokers say where a feature is switched off.
        Some(_) => Err(ErrorCode::UNSUPPORTED_VERSION),
    }
}

fn refused() -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id: -1, producer_epoch: -1, ..Default::default() }
}
