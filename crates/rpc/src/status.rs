//! Errors on the wire: a `google.rpc.Status` with one [`ErrorDetail`] (AIP-193).

use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::KafkaError;
use crate::v1::ErrorDetail;

/// How an [`ErrorDetail`] is marked in `google.protobuf.Any`.
pub const TYPE_URL: &str = "type.googleapis.com/ottla.v1.ErrorDetail";

/// The detail of an error, about nothing in particular yet.
pub fn detail(error: KafkaError) -> ErrorDetail {
    ErrorDetail {
        kafka_error: error.name().to_owned(),
        kafka_code: error.code().into(),
        retriable: error.is_retriable(),
        ..ErrorDetail::default()
    }
}

/// The gRPC code that goes with a detail.
pub fn code(detail: &ErrorDetail) -> Code {
    KafkaError::from_name(&detail.kafka_error).map_or(Code::Unknown, KafkaError::grpc_code)
}

/// The status a call ends with. The message is for humans, the detail for programs.
pub fn to_status(message: impl Into<String>, detail: ErrorDetail) -> Status {
    let (code, message) = (code(&detail), message.into());
    let any = prost_types::Any { type_url: TYPE_URL.to_owned(), value: detail.encode_to_vec() };
    let status = pb::Status { code: code.into(), message: message.clone(), details: vec![any] };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The detail of a status; `None` if it has none, as those that a proxy or the transport made.
pub fn from_status(status: &Status) -> Option<ErrorDetail> {
    let status = pb::Status::decode(status.details()).ok()?;
    let any = status.details.into_iter().find(|any| any.type_url == TYPE_URL)?;
    ErrorDetail::decode(&*any.value).ok()
}
