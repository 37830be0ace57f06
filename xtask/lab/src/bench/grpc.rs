//! The load over gRPC: the generated stubs on one connection and one thread, with batches that are ready made and never
//! looked into, so that the client costs little.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use it::batch::Batch;
use it::broker::{Broker, cpu_of};
use ottla_rpc::v1;
use ottla_rpc::v1::log_client::LogClient;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::load::Outcome;

/// About 1 MiB: a batch as large as `max.message.bytes` lets it be by default.
const BATCH_BYTES: usize = 1_040_000;
const RECORD_BYTES: usize = 1_000;
/// Unanswered publishes on the stream.
const PIPELINE: usize = 5;
/// What the broker may send ahead: a client that is never the one waited for.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A message holds one batch of the largest size and what stands beside it.
const MAX_MESSAGE: usize = 8 << 20;

/// Loads one topic of a broker over its gRPC port.
#[derive(Debug)]
pub(crate) struct GrpcLoad {
    address: String,
    pid: u32,
    topic: String,
    partitions: i32,
}

impl GrpcLoad {
    /// For an existing topic with so many partitions.
    pub(crate) fn new(broker: &Broker, topic: &str, partitions: i32) -> Self {
        Self { address: broker.api_address(), pid: broker.pid(), topic: topic.to_owned(), partitions }
    }

    /// One batch a publish, acks=all, for each partition in turn, on one stream.
    pub(crate) fn publish(&self, bytes: u64) -> anyhow::Result<Outcome> {
        let batch = Bytes::from(Batch::of_size(BATCH_BYTES, RECORD_BYTES).bytes());
        let size = batch.len() as u64;
        let count = bytes.div_ceil(size);
        let request = |id: u64| v1::PublishStreamRequest {
            id,
            publish: Some(v1::PublishRequest {
                topic: self.topic.clone(),
                partition: Some((id % self.partitions.unsigned_abs().max(1) as u64) as i32),
                batches: batch.clone(),
                acks: v1::Acks::All.into(),
                ..Default::default()
            }),
        };
        self.measure(async |mut log| {
            let (requests, stream) = mpsc::channel(PIPELINE);
            let mut asked = Vec::new();
            for id in 0..count.min(PIPELINE as u64) {
                asked.push(Instant::now());
                requests.send(request(id)).await?;
            }
            let mut answers = log.publish_stream(ReceiverStream::new(stream)).await?.into_inner();
            let mut latencies = Vec::new();
            while latencies.len() < count as usize {
                let answer = answers.message().await?.context("the stream ended before its last answer")?;
                if let Some(v1::publish_stream_response::Outcome::Failure(failure)) = answer.outcome {
                    bail!("publish {}: {}", answer.id, failure.message);
                }
                let sent = asked.get(latencies.len()).context("an answer to something sent")?;
                latencies.push(sent.elapsed());
                let id = asked.len() as u64;
                if id < count {
                    asked.push(Instant::now());
                    requests.send(request(id)).await?;
                }
            }
            Ok((count * size, latencies))
        })
    }

    /// Reads at least as many bytes from the start of all partitions, as batches, on one stream.
    pub(crate) fn fetch(&self, bytes: u64) -> anyhow::Result<Outcome> {
        let partitions = (0..self.partitions).map(|partition| v1::FetchPartition {
            topic: self.topic.clone(),
            partition,
            from: None,
        });
        let request = v1::FetchRequest {
            partitions: partitions.collect(),
            format: v1::FetchFormat::Batches.into(),
            stop_at_end: true,
            ..Default::default()
        };
        self.measure(async |mut log| {
            let mut messages = log.fetch(request).await?.into_inner();
            let mut read = 0;
            while read < bytes {
                let message = messages.message().await?;
                let message = message.with_context(|| format!("{} has only {read} bytes", self.topic))?;
                ensure!(!message.batches.is_empty(), "a message without batches");
                read += message.batches.len() as u64;
            }
            Ok((read, Vec::new()))
        })
    }

    /// Runs a load of so many bytes and latencies on a connection that is open already.
    fn measure(
        &self,
        load: impl AsyncFnOnce(LogClient<Channel>) -> anyhow::Result<(u64, Vec<Duration>)>,
    ) -> anyhow::Result<Outcome> {
        let runtime: Runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let log = LogClient::new(endpoint.connect().await?).max_decoding_message_size(MAX_MESSAGE);
            let (cpu, start) = (cpu_of(self.pid)?, Instant::now());
            let (bytes, mut latencies) = load(log).await?;
            let elapsed = start.elapsed();
            latencies.sort_unstable();
            Ok(Outcome { bytes, elapsed, cpu: cpu_of(self.pid)?.saturating_sub(cpu), latencies })
        })
    }
}
