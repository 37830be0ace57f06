//! The pages that are not gRPC: metrics for Prometheus, health for whoever starts and stops brokers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use ottla_node::metrics;
use ottla_node::replication::Availability;
use tonic::body::Body;

use crate::front::Front;

/// What `/` says.
const INDEX: &str = "\
Ottla's HTTP port.

/metrics        metrics in Prometheus's text format
/health/live    200 as long as the process answers
/health/ready   200 while it takes requests, 503 when it is stopping or cannot write
gRPC            services ottla.v1.{Log,Topics,Configs,Cluster}, health and reflection
";

/// Answers a request for a page.
pub(crate) async fn answer<B>(front: &Arc<Front>, request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "pages are read with GET".to_owned());
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/" => text(StatusCode::OK, INDEX.to_owned()),
        "/metrics" => scrape(front).await,
        "/health/live" => text(StatusCode::OK, "alive\n".to_owned()),
        "/health/ready" => ready(front),
        path => text(StatusCode::NOT_FOUND, format!("there is no page {path}; / lists them\n")),
    }
}

/// A page of plain text.
pub(crate) fn text(status: StatusCode, text: String) -> Response<Body> {
    page(status, "text/plain; charset=utf-8", text)
}

fn page(status: StatusCode, media_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

async fn scrape(front: &Arc<Front>) -> Response<Body> {
    let metrics = Arc::clone(front.node.metrics());
    match tokio::task::spawn_blocking(move || metrics.encode()).await {
        Ok(encoded) => page(StatusCode::OK, metrics::CONTENT_TYPE, encoded),
        Err(panicked) => {
            tracing::error!(%panicked, "the metrics could not be written down");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written down\n".to_owned())
        }
    }
}

fn ready(front: &Front) -> Response<Body> {
    if front.stopping.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    // The first failed write or flush takes every partition offline.
    let is_offline =
        |host: &Arc<ottla_node::PartitionHost>| host.view().availability == Availability::Offline;
    if front.node.topics().partitions().any(is_offline) {
        let why = "the log directory is offline after a failed write or flush; the broker's log says more\n";
        return text(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    }
    text(StatusCode::OK, "ready\n".to_owned())
}
