//! What is counted of each call: how often, how long, how many bytes, and which errors.
//!
//! A stream of publishes is as many requests as it has messages, each as long as its answer takes. Every other call is one
//! request, from its last byte to the last byte of its answer; where the answer is a stream, from its head, and as long as its
//! reader stays.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use ottla_node::metrics::{ApiMetrics, Metrics, Phases};
use ottla_rpc::{KafkaError, status, v1};
use parking_lot::Mutex;
use tonic::{Code, Status};

use crate::memory::CallMemory;

/// The stream whose messages are requests.
pub(crate) const PUBLISH_STREAM: &str = "/ottla.v1.Log/PublishStream";

/// The number of the package `ottla.v1`, which stands where Kafka's APIs have their version.
const VERSION: i16 = 1;

/// Every method that is counted, and its name in the metrics. Paths come from clients, so others get no label.
const METHODS: [(&str, &str); 33] = [
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
    ("/ottla.v1.Groups/Subscribe", "Subscribe"),
    ("/ottla.v1.Groups/ListGroups", "ListGroups"),
    ("/ottla.v1.Groups/DescribeGroup", "DescribeGroup"),
    ("/ottla.v1.Groups/DeleteGroup", "DeleteGroup"),
    ("/ottla.v1.Groups/ResetOffsets", "ResetOffsets"),
    ("/ottla.v1.Groups/DeleteOffsets", "DeleteOffsets"),
    ("/ottla.v1.Cluster/DescribeCluster", "DescribeCluster"),
    ("/ottla.v1.Cluster/DescribeLogDirs", "DescribeLogDirs"),
    ("/ottla.v1.Cluster/AlterReassignments", "AlterReassignments"),
    ("/ottla.v1.Cluster/ListReassignments", "ListReassignments"),
    ("/ottla.v1.Cluster/ElectLeaders", "ElectLeaders"),
    ("/ottla.v1.Cluster/PlanMoves", "PlanMoves"),
    ("/ottla.v1.Cluster/DescribeQuorum", "DescribeQuorum"),
    ("/ottla.v1.Cluster/AddVoter", "AddVoter"),
    ("/ottla.v1.Cluster/RemoveVoter", "RemoveVoter"),
    ("/grpc.health.v1.Health/Check", "HealthCheck"),
    ("/grpc.health.v1.Health/List", "HealthList"),
    ("/grpc.health.v1.Health/Watch", "HealthWatch"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "ServerReflection"),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "ServerReflection"),
];

/// Those of them that answer with a stream of their own length: no part of its time says anything.
const STREAMS: [&str; 4] = ["Fetch", "Subscribe", "HealthWatch", "ServerReflection"];

/// The methods, with what is counted of each.
#[derive(Debug)]
pub(crate) struct Calls(HashMap<&'static str, Method>);

impl Calls {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let methods = METHODS.iter().map(|(path, name)| {
            let api = metrics.api("grpc", name, &(VERSION..=VERSION));
            (*path, Method { api: Some(api), is_stream: STREAMS.contains(name) })
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
pub(crate) struct Method {
    api: Option<Arc<ApiMetrics>>,
    is_stream: bool,
}

/// Where a call's time goes: noted where it is known, counted when the call ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing(Arc<Mutex<Moments>>);

#[derive(Debug, Default)]
struct Moments {
    /// The last byte of the request so far.
    received: Option<Instant>,
    /// Only others are waited for from here on.
    put_off: Option<Instant>,
    answered: Option<Instant>,
}

impl Timing {
    /// The timing of a request; one that nobody counts if it came past the router, as in a test.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    fn received(&self) {
        self.0.lock().received = Some(Instant::now());
    }

    /// What this broker can do at once has been done.
    pub(crate) fn put_off(&self) {
        self.0.lock().put_off = Some(Instant::now());
    }

    /// The answer is there, and waits to be taken.
    pub(crate) fn answered(&self) {
        self.0.lock().answered = Some(Instant::now());
    }

    /// The parts of a call that ends now; `None` if it has no answer.
    fn phases(&self) -> Option<Phases> {
        let Moments { received, put_off, answered } = *self.0.lock();
        let (received, answered) = (received?, answered?);
        Some(Phases {
            queue: None,
            local: put_off.unwrap_or(answered).saturating_duration_since(received),
            remote: put_off.map(|put_off| answered.saturating_duration_since(put_off)),
            send: answered.elapsed(),
        })
    }
}

impl Method {
    /// The method of a request; one that counts nothing if it came past the router, as in a test.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Counts a request from now until what comes back is dropped.
    pub(crate) fn begin(&self) -> Call {
        if let Some(api) = &self.api {
            api.started(VERSION, 0);
        }
        let timing = Timing::default();
        // A request without a body has come with its head.
        timing.received();
        Call { method: self.clone(), begun: Some(Instant::now()), timing }
    }

    /// A stream whose messages are the requests: only its bytes and its own error count.
    pub(crate) fn begin_stream_of_requests(&self) -> Call {
        Call { method: self.clone(), begun: None, timing: Timing::default() }
    }

    /// Counts an error that stands in an answer beside others' results.
    pub(crate) fn error(&self, detail: &v1::ErrorDetail) {
        let error = KafkaError::from_name(&detail.kafka_error).unwrap_or(KafkaError::UNKNOWN_SERVER_ERROR);
        self.count(error.name());
    }

    fn count(&self, error: &'static str) {
        if let Some(api) = &self.api {
            api.errors(error, 1);
        }
    }
}

/// A call that is open.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    begun: Option<Instant>,
    timing: Timing,
}

impl Call {
    /// Where its time goes.
    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Counts what goes to the client.
    pub(crate) fn sent(&self, frame: &Frame<Bytes>) {
        if let (Some(api), Some(data)) = (&self.method.api, frame.data_ref()) {
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
        let (Some(api), Some(begun)) = (&self.method.api, self.begun) else { return };
        match self.timing.phases().filter(|_| !self.method.is_stream) {
            Some(phases) => api.answered(phases, 0),
            None => api.finished(begun.elapsed()),
        }
    }
}

/// What clients send, counted as it comes.
pub(crate) struct Received {
    body: Incoming,
    method: Method,
    timing: Timing,
    memory: Arc<CallMemory>,
}

impl Received {
    pub(crate) fn new(body: Incoming, method: Method, timing: Timing, memory: Arc<CallMemory>) -> Self {
        Self { body, method, timing, memory }
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
            this.timing.received();
            this.memory.take(data);
            if let Some(api) = &this.method.api {
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
