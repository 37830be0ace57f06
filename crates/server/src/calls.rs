//! What is counted of each call: how often, how long, how many bytes, and which errors.
//!
//! A stream of publishes is as many requests as it has messages, each as long as its answer takes. Every other call is one
//! request, from its head to the last byte of its answer: a Fetch that follows is as long as its reader stays.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use ottla_node::metrics::{ApiMetrics, Metrics};
use ottla_rpc::{KafkaError, status, v1};
use tonic::{Code, Status};

use crate::memory::CallMemory;

/// The stream whose messages are requests.
pub(crate) const PUBLISH_STREAM: &str = "/ottla.v1.Log/PublishStream";

/// The number of the package `ottla.v1`, which stands where Kafka's APIs have their version.
const VERSION: i16 = 1;

/// Every method that is counted, and its name in the metrics. Paths come from clients, so others get no label.
const METHODS: [(&str, &str); 20] = [
    ("/ottla.v1.Log/Publish", "Publish"),
    (PUBLISH_STREAM, "PublishStream"),
    ("/ottla.v1.Log/Fetch", "Fetch"),
    ("/ottla.v1.Log/ListOffsets", "ListOffsets"),
    ("/ottla.v1.Log/InitProducer", "InitProducer"),
    ("/ottla.v1.Topics/CreateTopic", "CreateTopic"),
    ("/ottla.v1.Topics/DeleteTopic", "DeleteTopic"),
    ("/ottla.v1.Topics/ListTopics", "ListTopics"),
    ("/ottla.v1.Topics/DescribeTopic", "DescribeTopic"),
    ("/ottla.v1.Topics/AddPartitions", "AddPartitions"),
    ("/ottla.v1.Topics/DeleteRecords", "DeleteRecords"),
    ("/ottla.v1.Configs/DescribeConfigs", "DescribeConfigs"),
    ("/ottla.v1.Configs/AlterConfigs", "AlterConfigs"),
    ("/ottla.v1.Cluster/DescribeCluster", "DescribeCluster"),
    ("/ottla.v1.Cluster/DescribeLogDirs", "DescribeLogDirs"),
    ("/grpc.health.v1.Health/Check", "HealthCheck"),
    ("/grpc.health.v1.Health/List", "HealthList"),
    ("/grpc.health.v1.Health/Watch", "HealthWatch"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "ServerReflection"),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "ServerReflection"),
];

/// The methods, with what is counted of each.
#[derive(Debug)]
pub(crate) struct Calls(HashMap<&'static str, Method>);

impl Calls {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let methods = METHODS.iter().map(|(path, name)| {
            let api = metrics.api("grpc", name, &(VERSION..=VERSION));
            (*path, Method(Some(api)))
        });
        Self(methods.collect())
    }

    /// The method of a path; one that counts nothing if there is none.
    pub(crate) fn method(&self, path: &str) -> Method {
        self.0.get(path).cloned().unwrap_or_default()
    }
}

/// What is counted of one method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Method(Option<Arc<ApiMetrics>>);

impl Method {
    /// The method of a request; one that counts nothing if it came past the router, as in a test.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Counts a request from now until what comes back is dropped.
    pub(crate) fn begin(&self) -> Call {
        if let Some(api) = &self.0 {
            api.started(VERSION, 0);
        }
        Call { method: self.clone(), begun: Some(Instant::now()) }
    }

    /// A stream whose messages are the requests: only its bytes and its own error count.
    pub(crate) fn begin_stream_of_requests(&self) -> Call {
        Call { method: self.clone(), begun: None }
    }

    /// Counts an error that stands in an answer beside others' results.
    pub(crate) fn error(&self, detail: &v1::ErrorDetail) {
        let error = KafkaError::from_name(&detail.kafka_error).unwrap_or(KafkaError::UNKNOWN_SERVER_ERROR);
        self.count(error.name());
    }

    fn count(&self, error: &'static str) {
        if let Some(api) = &self.0 {
            api.errors(error, 1);
        }
    }
}

/// A call that is open.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    begun: Option<Instant>,
}

impl Call {
    /// Counts what goes to the client.
    pub(crate) fn sent(&self, frame: &Frame<Bytes>) {
        if let (Some(api), Some(data)) = (&self.method.0, frame.data_ref()) {
            api.sent(data.len() as u64);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.ended(trailers);
        }
    }

    /// Counts the error of an answer, which stands in its headers if it failed before it began, else in its trailers.
    pub(crate) fn ended(&self, headers: &HeaderMap) {
        let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else {
            return;
        };
        match status::from_status(&status) {
            Some(detail) => self.method.error(&detail),
            None => self.method.count(name(status.code())),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let (Some(api), Some(begun)) = (&self.method.0, self.begun) {
            api.finished(begun.elapsed());
        }
    }
}

/// What clients send, counted as it comes.
pub(crate) struct Received {
    body: Incoming,
    method: Method,
    memory: Arc<CallMemory>,
}

impl Received {
    pub(crate) fn new(body: Incoming, method: Method, memory: Arc<CallMemory>) -> Self {
        Self { body, method, memory }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.memory.take(data);
            if let Some(api) = &this.method.0 {
                api.received(data.len() as u64);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// gRPC's own name for an end that Kafka has no name for.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
