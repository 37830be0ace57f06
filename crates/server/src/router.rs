//! From a path to a service or a page.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use ottla_rpc::v1::cluster_server::ClusterServer;
use ottla_rpc::v1::configs_server::ConfigsServer;
use ottla_rpc::v1::groups_server::GroupsServer;
use ottla_rpc::v1::log_server::LogServer;
use ottla_rpc::v1::topics_server::TopicsServer;
use tonic::Status;
use tonic::body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service as _;

use crate::answer::{Answer, AtStop};
use crate::calls::{PUBLISH_STREAM, Received};
use crate::cluster::ClusterService;
use crate::configs::ConfigsService;
use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::errors;
use crate::front::Front;
use crate::groups::GroupsService;
use crate::log::LogService;
use crate::pages;
use crate::reflection::Reflection;
use crate::topics::TopicsService;

/// All that the port serves. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Router {
    front: Arc<Front>,
    log: LogServer<LogService>,
    topics: TopicsServer<TopicsService>,
    configs: ConfigsServer<ConfigsService>,
    groups: GroupsServer<GroupsService>,
    cluster: ClusterServer<ClusterService>,
    health: HealthServer<HealthService>,
    health_reporter: HealthReporter,
    reflection: Reflection,
}

/// The names that gRPC's health service knows, beside the empty one for the whole broker.
const SERVICES: [&str; 6] =
    ["", "ottla.v1.Log", "ottla.v1.Topics", "ottla.v1.Configs", "ottla.v1.Groups", "ottla.v1.Cluster"];

/// What a gRPC request's content type begins with.
const GRPC: &[u8] = b"application/grpc";

impl Router {
    /// Everything on one node.
    pub(crate) async fn new(front: &Arc<Front>) -> Self {
        let max = front.limits.max_request_bytes;
        let health_reporter = HealthReporter::new();
        let router = Self {
            log: LogServer::new(LogService::new(front))
                .max_decoding_message_size(max)
                .max_encoding_message_size(usize::MAX),
            topics: TopicsServer::new(TopicsService::new(front)).max_decoding_message_size(max),
            configs: ConfigsServer::new(ConfigsService::new(front)).max_decoding_message_size(max),
            groups: GroupsServer::new(GroupsService::new(front))
                .max_decoding_message_size(max)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(ClusterService::new(front)).max_decoding_message_size(max),
            health: HealthServer::new(HealthService::from_health_reporter(health_reporter.clone())),
            health_reporter,
            reflection: Reflection::new(),
            front: Arc::clone(front),
        };
        router.set_health(ServingStatus::Serving).await;
        router
    }

    /// Tells whoever watches the health that this broker is about to stop.
    pub(crate) async fn stop_serving(&self) {
        self.set_health(ServingStatus::NotServing).await;
    }

    async fn set_health(&self, status: ServingStatus) {
        for service in SERVICES {
            self.health_reporter.set_service_status(service, status).await;
        }
    }

    /// The service of one connection, as hyper wants it.
    pub(crate) fn for_peer(self, peer: Peer) -> ConnectionService {
        ConnectionService { router: self, peer }
    }

    async fn answer(mut self, request: Request<Incoming>, peer: &Peer) -> Response<Answer> {
        let Some(service) = service_of(request.uri().path()) else {
            let response = match is_grpc(request.headers()) {
                true => no_such_service(request.uri().path()),
                false => pages::answer(&self.front, &request).await,
            };
            return response.map(Answer::plain);
        };
        if let Some(refusal) = refuse_http(&request) {
            return refusal.map(Answer::plain);
        }
        let method = self.front.calls.method(request.uri().path());
        let publishes = request.uri().path() == PUBLISH_STREAM;
        let call = if publishes { method.begin_stream_of_requests() } else { method.begin() };
        let deadline = match Deadline::read(request.headers()) {
            Ok(deadline) => deadline,
            Err(status) => {
                let response = status.into_http::<Body>();
                call.ended(response.headers());
                return response.map(|body| Answer::plain(body).counting(call));
            }
        };
        let memory = peer.memory.call();
        let mut request = request
            .map(|body| Received::new(body, method.clone(), call.timing().clone(), Arc::clone(&memory)));
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(deadline);
        request.extensions_mut().insert(method);
        request.extensions_mut().insert(call.timing().clone());
        request.extensions_mut().insert(Arc::clone(&memory));
        // A stream of publishes answers what it has taken before it ends; the others just end.
        let at_stop = if publishes { AtStop::GoOn } else { AtStop::End(self.front.stopping.clone()) };
        let answer = self.call(service, request);
        let answered = match deadline.instant() {
            None => answer.await,
            Some(instant) => match tokio::time::timeout_at(instant, answer).await {
                Ok(answered) => answered,
                Err(_) => Ok(Deadline::passed().into_http()),
            },
        };
        let Ok(response) = answered;
        call.timing().answered();
        if !publishes {
            // Whoever answers has read what it needs.
            memory.let_go();
        }
        let response = errors::clarify(response, self.front.limits.max_request_bytes);
        call.ended(response.headers());
        response.map(|body| Answer::new(body, at_stop, deadline).counting(call))
    }

    async fn call(
        &mut self,
        service: ServiceName,
        request: Request<Received>,
    ) -> Result<Response<Body>, Infallible> {
        match service {
            ServiceName::Log => self.log.call(request).await,
            ServiceName::Topics => self.topics.call(request).await,
            ServiceName::Configs => self.configs.call(request).await,
            ServiceName::Groups => self.groups.call(request).await,
            ServiceName::Cluster => self.cluster.call(request).await,
            ServiceName::Health => self.health.call(request).await,
            ServiceName::Reflection => Ok(self.reflection.v1(request).await),
            ServiceName::ReflectionAlpha => Ok(self.reflection.v1_alpha(request).await),
        }
    }
}

/// What one connection calls for each of its requests.
#[derive(Clone)]
pub(crate) struct ConnectionService {
    router: Router,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, peer) = (self.router.clone(), self.peer.clone());
        let open = peer.begin();
        Box::pin(async move { Ok(router.answer(request, &peer).await.map(|answer| answer.holding(open))) })
    }
}

#[derive(Clone, Copy)]
enum ServiceName {
    Log,
    Topics,
    Configs,
    Groups,
    Cluster,
    Health,
    Reflection,
    ReflectionAlpha,
}

/// The service of `/package.Service/Method`.
fn service_of(path: &str) -> Option<ServiceName> {
    let (service, _method) = path.strip_prefix('/')?.split_once('/')?;
    match service {
        "ottla.v1.Log" => Some(ServiceName::Log),
        "ottla.v1.Topics" => Some(ServiceName::Topics),
        "ottla.v1.Configs" => Some(ServiceName::Configs),
        "ottla.v1.Groups" => Some(ServiceName::Groups),
        "ottla.v1.Cluster" => Some(ServiceName::Cluster),
        "grpc.health.v1.Health" => Some(ServiceName::Health),
        "grpc.reflection.v1.ServerReflection" => Some(ServiceName::Reflection),
        "grpc.reflection.v1alpha.ServerReflection" => Some(ServiceName::ReflectionAlpha),
        _ => None,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC))
}

/// What a request gets that cannot be gRPC, though it goes to a gRPC service.
fn refuse_http(request: &Request<Incoming>) -> Option<Response<Body>> {
    let path = request.uri().path();
    if request.version() < Version::HTTP_2 {
        let text = format!(
            "{path} is a gRPC method, and gRPC needs HTTP/2 (here without TLS: a client must speak it from its first byte)"
        );
        return Some(pages::text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text));
    }
    if request.method() != Method::POST {
        return Some(pages::text(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{path} is a gRPC method: POST it"),
        ));
    }
    if !is_grpc(request.headers()) {
        let text = format!("{path} is a gRPC method: its content-type is application/grpc");
        return Some(pages::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    None
}

fn no_such_service(path: &str) -> Response<Body> {
    let services = SERVICES.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>().join(", ");
    Status::unimplemented(format!("{path} is not served here; the services are {services}")).into_http()
}
