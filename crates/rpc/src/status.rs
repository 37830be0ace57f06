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

/// Bytes of a detail in a trailer. Clients take 8 KiB of headers by default, and base64 makes three bytes four.
const MAX_DETAIL: usize = 4 << 10;

/// The gRPC code that goes with a detail.
///
/// Where something is written it is `ABORTED`, whatever the error: generic clients send again what gets `UNAVAILABLE`.
pub fn code(detail: &ErrorDetail) -> Code {
    if !detail.written.is_empty() {
        return Code::Aborted;
    }
    KafkaError::from_name(&detail.kafka_error).map_or(Code::Unknown, KafkaError::grpc_code)
}

/// The status a call ends with. The message is for humans, the detail for programs.
pub fn to_status(message: impl Into<String>, detail: ErrorDetail) -> Status {
    let (code, message) = (code(&detail), message.into());
    let detail = fit(detail);
    let any = prost_types::Any { type_url: TYPE_URL.to_owned(), value: detail.encode_to_vec() };
    let status = pb::Status { code: code.into(), message: message.clone(), details: vec![any] };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// Cuts what does not fit into a trailer, the least useful first.
fn fit(mut detail: ErrorDetail) -> ErrorDetail {
    let fits = |detail: &ErrorDetail| detail.encoded_len() <= MAX_DETAIL;
    if fits(&detail) {
        return detail;
    }
    detail.incomplete = true;
    detail.written.iter_mut().for_each(|range| range.record_indexes.clear());
    detail.failed.iter_mut().for_each(|range| range.record_indexes.clear());
    if !fits(&detail) {
        detail.written.clear();
        detail.failed.clear();
    }
    while !fits(&detail) && !detail.refused_records.is_empty() {
        detail.refused_records.truncate(detail.refused_records.len() / 2);
    }
    detail
}

/// The detail of a status; `None` if it has none, as those that a proxy or the transport made.
pub fn from_status(status: &Status) -> Option<ErrorDetail> {
    let status = pb::Status::decode(status.details()).ok()?;
    let any = status.details.into_iter().find(|any| any.type_url == TYPE_URL)?;
    ErrorDetail::decode(&*any.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{FailedRange, PublishedRange, RefusedRecord};

    fn seen(detail: ErrorDetail) -> (Code, ErrorDetail) {
        let status = to_status("why", detail);
        assert!(status.details().len() < 8 << 10, "{} bytes", status.details().len());
        (status.code(), from_status(&status).unwrap())
    }

    #[test]
    fn a_detail_that_fits_arrives_whole_and_where_something_is_written_nobody_sends_all_of_it_again() {
        let written = PublishedRange { record_indexes: vec![1, 3], ..PublishedRange::default() };
        let whole = ErrorDetail { written: vec![written], ..detail(KafkaError::NOT_LEADER_OR_FOLLOWER) };
        assert_eq!(seen(whole.clone()), (Code::Aborted, whole));
        let nothing = detail(KafkaError::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(seen(nothing.clone()), (Code::Unavailable, nothing));
    }

    #[test]
    fn what_no_trailer_holds_is_cut_and_said_to_be() {
        let written =
            |indexes| PublishedRange { record_indexes: (0..indexes).collect(), ..PublishedRange::default() };
        let failed = FailedRange { partition: 7, ..FailedRange::default() };
        let all = ErrorDetail {
            written: vec![written(10_000)],
            failed: vec![failed.clone()],
            ..detail(KafkaError::MESSAGE_TOO_LARGE)
        };
        let (code, cut) = seen(all);
        assert_eq!((code, cut.incomplete), (Code::Aborted, true));
        assert_eq!((cut.written, cut.failed), (vec![written(0)], vec![failed]));

        let refused = RefusedRecord { index: 1, reason: "its timestamp is too old".to_owned() };
        let all = ErrorDetail {
            written: (0..5_000).map(|_| PublishedRange { partition: 9, ..written(0) }).collect(),
            refused_records: vec![refused; 10_000],
            ..detail(KafkaError::INVALID_TIMESTAMP)
        };
        let (code, cut) = seen(all);
        assert_eq!((code, cut.incomplete, cut.written.len()), (Code::Aborted, true, 0));
        assert!(cut.refused_records.len() > 10, "{}", cut.refused_records.len());
    }
}
