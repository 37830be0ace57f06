//! Server reflection: what a client asks that has no `.proto`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use ottla_rpc::DESCRIPTORS;
use tonic::body::Body;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTORS;
use tonic_reflection::server::Builder;
use tower_service::Service;

use crate::calls::Received;

type Handler = Arc<dyn Fn(Request<Received>) -> BoxFuture<Response<Body>> + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Both versions of the reflection service: most tools still ask for the older one.
#[derive(Clone)]
pub(crate) struct Reflection {
    v1: Handler,
    v1_alpha: Handler,
}

impl Reflection {
    #[allow(clippy::expect_used, reason = "the descriptors are part of this binary, and the tests read them")]
    pub(crate) fn new() -> Self {
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(HEALTH_DESCRIPTORS)
        };
        Self {
            v1: handler(builder().build_v1().expect("descriptors that compiled")),
            v1_alpha: handler(builder().build_v1alpha().expect("descriptors that compiled")),
        }
    }

    pub(crate) async fn v1(&self, request: Request<Received>) -> Response<Body> {
        (self.v1)(request).await
    }

    pub(crate) async fn v1_alpha(&self, request: Request<Received>) -> Response<Body> {
        (self.v1_alpha)(request).await
    }
}

/// The builder does not name its services' types.
fn handler<S>(service: S) -> Handler
where
    S: Service<Request<Received>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Arc::new(move |request| {
        let called = service.clone().call(request);
        Box::pin(async move {
            let Ok(response) = called.await;
            response
        })
    })
}
