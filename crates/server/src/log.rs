//! The service `Log`: publishing and reading.

use std::pin::Pin;
use std::sync::Arc;

use ottla_node::record::{LeaderEpoch, Timestamp};
use ottla_rpc::v1;
use ottla_rpc::v1::log_server::Log;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::calls::{Method, Timing};
use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::errors;
use crate::fetch::Tail;
use crate::front::Front;
use crate::memory::CallMemory;
use crate::peers;
use crate::positions;
use crate::publish::{PublishAnswers, Publisher};

/// What a stream of answers is to tonic.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
pub(crate) struct LogService {
    front: Arc<Front>,
}

impl LogService {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front) }
    }
}

#[tonic::async_trait]
impl Log for LogService {
    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        let (deadline, handed_on) = (Deadline::of(&request), peers::is_handed_on(request.metadata()));
        let publisher = Publisher::new(&self.front, request.extensions().get::<Peer>(), deadline, handed_on);
        let (timing, memory) = (Timing::of(&request), request.extensions().get::<Arc<CallMemory>>().cloned());
        let pending = publisher.begin(request.into_inner()).await?;
        timing.put_off();
        if let Some(memory) = memory {
            // The acknowledgement needs no records.
            memory.let_go();
        }
        Ok(Response::new(pending.await?))
    }

    type PublishStreamStream = Answers<v1::PublishStreamResponse>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<v1::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let (deadline, handed_on) = (Deadline::of(&request), peers::is_handed_on(request.metadata()));
        let publisher = Publisher::new(&self.front, request.extensions().get::<Peer>(), deadline, handed_on);
        let method = Method::of(&request);
        let memory = request.extensions().get::<Arc<CallMemory>>().cloned();
        Ok(Response::new(Box::pin(PublishAnswers::new(publisher, method, memory, request.into_inner()))))
    }

    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let handed_on = peers::is_handed_on(request.metadata());
        let tail = Tail::begin(&self.front, request.into_inner(), handed_on).await?;
        Ok(Response::new(Box::pin(tail)))
    }

    async fn list_offsets(
        &self,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let (method, handed_on) = (Method::of(&request), peers::is_handed_on(request.metadata()));
        let request = request.into_inner();
        let isolation = positions::isolation(request.isolation)?;
        let found = match handed_on {
            true => positions::look_up_here(&self.front.node, &request.partitions, isolation).await,
            false => positions::look_up(&self.front, &request.partitions, isolation).await,
        };
        let offsets = request.partitions.into_iter().zip(found).map(|(asked, found)| {
            let listed =
                v1::ListedOffset { topic: asked.topic, partition: asked.partition, ..Default::default() };
            match found {
                Ok(found) => v1::ListedOffset {
                    offset: found.offset.get(),
                    timestamp_ms: found.timestamp.map(Timestamp::millis),
                    leader_epoch: found.leader_epoch.map(LeaderEpoch::get),
                    ..listed
                },
                Err(failure) => {
                    method.error(&failure.detail);
                    v1::ListedOffset { error: Some(failure.into_detail()), ..listed }
                }
            }
        });
        Ok(Response::new(v1::ListOffsetsResponse { offsets: offsets.collect() }))
    }

    async fn init_producer(
        &self,
        _request: Request<v1::InitProducerRequest>,
    ) -> Result<Response<v1::InitProducerResponse>, Status> {
        match self.front.node.new_producer().await {
            Ok((id, epoch)) => Ok(Response::new(v1::InitProducerResponse {
                producer_id: id.get(),
                producer_epoch: i32::from(epoch.get()),
            })),
            Err(error) => {
                tracing::warn!(%error, "no producer id could be handed out");
                Err(errors::producer_id(&error).into())
            }
        }
    }
}
