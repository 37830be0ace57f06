//! Batches for partitions that other brokers lead: handed on in the order in which they came, one stream a leader.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use ottla_node::record::BrokerId;
use ottla_rpc::v1;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::publish_stream_response::Outcome;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::peers::{self, Way};

/// Batches that wait for a leader's stream to take them. Past this their publisher waits.
const MAX_WAITING: usize = 4;

/// What became of a batch.
pub(super) type Answer = oneshot::Receiver<Result<v1::PublishedRange, Failure>>;

/// The streams of one publisher, one for each leader that it has published to.
///
/// A leader's stream appends in the order of its requests, so a publisher's records keep their order as they do here. When a
/// stream breaks, all that was on it is unknown, and the next batch opens another.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: Mutex<BTreeMap<BrokerId, mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    publish: v1::PublishRequest,
    answer: oneshot::Sender<Result<v1::PublishedRange, Failure>>,
}

impl Lanes {
    /// Sends one batch behind those before it. Returns when it has its place in the order.
    pub(super) async fn send(
        &self,
        front: &Arc<Front>,
        leader: BrokerId,
        client: Option<String>,
        publish: v1::PublishRequest,
    ) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        let mut job = Job { publish, answer };
        let known = self.open.lock().get(&leader).cloned();
        if let Some(lane) = known {
            match lane.send(job).await {
                Ok(()) => return Ok(answered),
                // It broke off; nothing of this batch was sent.
                Err(refused) => job = refused.0,
            }
        }
        let way = front.peers.way(&front.node.image(), leader)?;
        let (lane, jobs) = mpsc::channel(MAX_WAITING);
        tokio::spawn(run(way, client, front.limits.max_request_bytes, jobs));
        self.open.lock().insert(leader, lane.clone());
        match lane.send(job).await {
            Ok(()) => Ok(answered),
            Err(_) => Err(errors::mismatch()),
        }
    }
}

/// One stream, until its publisher has gone and all is answered, or it breaks.
async fn run(way: Way, client: Option<String>, max_message: usize, mut jobs: mpsc::Receiver<Job>) {
    let (sender, requests) = mpsc::channel(1);
    let mut stub = LogClient::new(way.channel.clone())
        .max_encoding_message_size(usize::MAX)
        .max_decoding_message_size(max_message);
    let request = peers::hand_on(ReceiverStream::new(requests), client.as_deref(), Deadline::none());
    let mut waiting = VecDeque::new();
    let ended = {
        let opening = async {
            let answers = stub.publish_stream(request).await?.into_inner();
            Ok::<_, Status>(answers)
        };
        exchange(opening, sender, &mut jobs, &mut waiting).await
    };
    let Err(status) = ended else { return };
    let failure = peers::refused(way.broker, &status);
    jobs.close();
    for answer in waiting {
        let _gone = answer.send(Err(failure.clone()));
    }
    while let Some(job) = jobs.recv().await {
        let _gone = job.answer.send(Err(failure.clone()));
    }
}

/// Sends what comes and takes the answers, which come in the same order. Neither waits for the other: a leader that has too
/// much unanswered takes nothing before its answers are taken.
async fn exchange(
    opening: impl Future<Output = Result<Streaming<v1::PublishStreamResponse>, Status>>,
    sender: mpsc::Sender<v1::PublishStreamRequest>,
    jobs: &mut mpsc::Receiver<Job>,
    waiting: &mut VecDeque<oneshot::Sender<Result<v1::PublishedRange, Failure>>>,
) -> Result<(), Status> {
    let mut opening = pin!(opening);
    let mut answers: Option<Streaming<v1::PublishStreamResponse>> = None;
    let mut sender = Some(sender);
    let mut next: Option<Job> = None;
    let (mut id, mut publisher_has_gone) = (0, false);
    loop {
        if publisher_has_gone && next.is_none() {
            // The leader sees the end of its requests, answers what it has, and ends the stream.
            sender = None;
            if waiting.is_empty() {
                return Ok(());
            }
        }
        tokio::select! {
            job = jobs.recv(), if next.is_none() && !publisher_has_gone => match job {
                Some(job) => next = Some(job),
                None => publisher_has_gone = true,
            },
            permit = reserve(sender.as_ref()), if next.is_some() => {
                let Some(permit) = permit else { return Err(broken_off()) };
                if let Some(Job { publish, answer }) = next.take() {
                    id += 1;
                    waiting.push_back(answer);
                    permit.send(v1::PublishStreamRequest { id, publish: Some(publish) });
                }
            }
            opened = opening.as_mut(), if answers.is_none() => answers = Some(opened?),
            answer = message(answers.as_mut()), if answers.is_some() => {
                let Some(v1::PublishStreamResponse { outcome, .. }) = answer? else { return Err(broken_off()) };
                let Some(waits) = waiting.pop_front() else { return Err(broken_off()) };
                let _gone = waits.send(outcome_of(outcome));
            }
        }
    }
}

async fn reserve(
    sender: Option<&mpsc::Sender<v1::PublishStreamRequest>>,
) -> Option<mpsc::Permit<'_, v1::PublishStreamRequest>> {
    match sender {
        Some(sender) => sender.reserve().await.ok(),
        None => std::future::pending().await,
    }
}

async fn message(
    answers: Option<&mut Streaming<v1::PublishStreamResponse>>,
) -> Result<Option<v1::PublishStreamResponse>, Status> {
    match answers {
        Some(answers) => answers.message().await,
        None => std::future::pending().await,
    }
}

fn broken_off() -> Status {
    Status::unavailable("the stream ended before all was answered")
}

fn outcome_of(outcome: Option<Outcome>) -> Result<v1::PublishedRange, Failure> {
    match outcome {
        // One batch makes one range.
        Some(Outcome::Published(published)) => {
            published.ranges.into_iter().next().ok_or_else(errors::mismatch)
        }
        Some(Outcome::Failure(v1::PublishFailure { message, detail: Some(detail), .. })) => {
            Err(Failure { message, detail: Box::new(detail) })
        }
        Some(Outcome::Failure(_)) | None => Err(errors::mismatch()),
    }
}
