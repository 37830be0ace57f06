//! The task of one subscription: it carries out what the member decides, and tells the member what came of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::record::Monotonic;
use ottla_node::{FetchOptions, Isolation};
use ottla_rpc::v1::subscribe_request::Request;
use ottla_rpc::v1::subscribe_response::Event as Told;
use ottla_rpc::{KafkaError, v1};
use prost::Message as _;
use tokio::sync::mpsc::{Permit, Sender};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::errors::{self, Failure, invalid};
use crate::fetch::{Broken, Reader};
use crate::front::Front;
use crate::positions;
use crate::subscribe::coordinator::{Coordinator, asked};
use crate::subscribe::member::{Effect, Event, Member, Partition, Plan};

/// How long a member whose client has gone may take to leave. After that its session ends it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

type Answer = Result<v1::SubscribeResponse, Status>;

/// One subscription.
pub(super) struct Session {
    front: Arc<Front>,
    coordinator: Coordinator,
    member: Member,
    reader: Reader,
    isolation: Isolation,
    sender: Sender<Answer>,
    /// Messages other than records, which go first. Bounded by what the member may have under way: one revocation, the
    /// commits and the seeks it takes.
    outbox: VecDeque<Told>,
    /// Calls to the coordinator (one at a time) and lookups (one a partition).
    work: JoinSet<Event>,
    /// What the stream ends with.
    ended: Option<Result<(), Failure>>,
}

impl Session {
    pub(super) fn new(
        front: &Arc<Front>,
        coordinator: Coordinator,
        plan: Plan,
        format: v1::FetchFormat,
        options: FetchOptions,
        sender: Sender<Answer>,
    ) -> Self {
        let now = front.node.clock().now().monotonic;
        Self {
            member: Member::new(plan, Arc::clone(coordinator.member.text()), now),
            reader: Reader::idle(front, format, options),
            front: Arc::clone(front),
            coordinator,
            isolation: options.isolation,
            sender,
            outbox: VecDeque::new(),
            work: JoinSet::new(),
            ended: None,
        }
    }

    /// Goes on until the member has left, or another stream plays it.
    pub(super) async fn run(mut self, requests: Streaming<v1::SubscribeRequest>) {
        let (group, member) = (self.coordinator.group.clone(), self.coordinator.member.clone());
        let turn = self.front.streams.take(group, member).await;
        let superseded = turn.superseded().clone();
        let mut requests = Some(requests);
        self.handle(Event::Tick);
        while self.ended.is_none() {
            if superseded.is_cancelled() {
                self.give_way();
                break;
            }
            // When the broker stops, the answer's body says so to the client.
            if self.sender.is_closed() || self.front.stopping.is_cancelled() {
                // Its successor will speak for it.
                let _left = superseded.run_until_cancelled(self.leave()).await;
                return self.work.shutdown().await;
            }
            self.step(&mut requests, &superseded).await;
        }
        // What has been asked and not answered is in the coordinator's hands, or never will be.
        self.work.shutdown().await;
        drop(turn);
        self.close().await;
    }

    /// Another stream plays the member. Whoever is at the end of this one, if anybody, may know.
    fn give_way(&mut self) {
        let why = "the member has come back over another stream";
        self.outbox.clear();
        self.ended = Some(Err(Failure::new(KafkaError::FENCED_MEMBER_EPOCH, why)));
    }

    /// Waits for the next thing to happen, and handles it.
    async fn step(
        &mut self,
        requests: &mut Option<Streaming<v1::SubscribeRequest>>,
        superseded: &CancellationToken,
    ) {
        // What waits to be told holds the client's next request back, or it could make this queue grow without end.
        let takes_requests = self.member.takes_requests() && self.outbox.is_empty();
        let wakes = until(&self.front, self.member.next_deadline());
        let has_credit = self.member.has_credit();
        let stopping = self.front.stopping.clone();
        let event = tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            () = superseded.cancelled() => None,
            () = self.sender.closed() => None,
            Some(event) = self.work.join_next() => Some(event.unwrap_or_else(gone)),
            request = next(requests), if takes_requests => asked_for(&self.front, request, requests),
            () = tokio::time::sleep(wakes) => Some(Event::Tick),
            (permit, message) = ready(&self.sender, &mut self.outbox, &mut self.reader, has_credit) => match message {
                Ok(message) => {
                    let sent = match &message {
                        Told::Records(records) => Some(Event::Sent(records.encoded_len())),
                        _ => None,
                    };
                    permit.send(Ok(v1::SubscribeResponse { event: Some(message) }));
                    sent
                }
                Err(broken) => Some(cannot_read(broken)),
            },
        };
        if let Some(event) = event {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            self.member.handle(event, self.now(), &mut effects);
            for effect in effects.drain(..) {
                if let Some(event) = self.carry_out(effect) {
                    events.push_back(event);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Call(call) => {
                let (coordinator, isolation) = (self.coordinator.clone(), self.isolation);
                self.work.spawn(async move { Event::Reply(coordinator.call(call, isolation).await) });
            }
            Effect::LookUp(partition, to) => {
                let (front, isolation) = (Arc::clone(&self.front), self.isolation);
                self.work.spawn(async move {
                    let places = [asked(&partition, Some(to))];
                    let found = positions::look_up(&front, &places, isolation).await.pop();
                    let found = found.unwrap_or_else(|| Err(errors::mismatch())).map(|place| place.offset);
                    Event::Found(partition, found)
                });
            }
            Effect::Read { partition, at, paused } => {
                if let Err(error) = self.reader.read(partition.topic_id, partition.index, at, paused) {
                    let failure = errors::lookup(error).about(&partition.topic, Some(partition.index));
                    return Some(Event::Unreadable(partition, at, failure));
                }
            }
            Effect::Stop(partition) => {
                self.reader.stop(partition.topic_id, partition.index);
            }
            Effect::SetPaused(partition, paused) => {
                self.reader.set_paused(partition.topic_id, partition.index, paused);
            }
            Effect::Send(told) => self.outbox.push_back(told),
            Effect::End(result) => self.ended = Some(result),
        }
        None
    }

    /// The client has gone: what it committed is committed, then the member leaves.
    async fn leave(&mut self) {
        self.handle(Event::Leave);
        let leaving = async {
            while self.ended.is_none() {
                let wakes = until(&self.front, self.member.next_deadline());
                let event = tokio::select! {
                    Some(event) = self.work.join_next() => event.unwrap_or_else(gone),
                    () = tokio::time::sleep(wakes) => Event::Tick,
                };
                self.handle(event);
            }
        };
        // Otherwise its session ends it.
        let _elapsed = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
    }

    /// Tells the client the rest, and why the stream ends.
    async fn close(self) {
        for message in self.outbox {
            if self.sender.send(Ok(v1::SubscribeResponse { event: Some(message) })).await.is_err() {
                return;
            }
        }
        if let Some(Err(failure)) = self.ended {
            let _gone = self.sender.send(Err(failure.into())).await;
        }
    }

    fn now(&self) -> Monotonic {
        self.front.node.clock().now().monotonic
    }
}

/// How long until a moment.
fn until(front: &Front, deadline: Monotonic) -> Duration {
    deadline - front.node.clock().now().monotonic
}

/// The client's next request; waits for ever when there will be none.
async fn next(
    requests: &mut Option<Streaming<v1::SubscribeRequest>>,
) -> Option<Result<v1::SubscribeRequest, Status>> {
    match requests {
        Some(requests) => requests.message().await.transpose(),
        None => std::future::pending().await,
    }
}

/// What the client says.
fn asked_for(
    front: &Front,
    request: Option<Result<v1::SubscribeRequest, Status>>,
    requests: &mut Option<Streaming<v1::SubscribeRequest>>,
) -> Option<Event> {
    let request = match request {
        None => {
            *requests = None;
            return Some(Event::Leave);
        }
        Some(Err(status)) => {
            *requests = None;
            let status = errors::clarify_status(status, front.limits.max_request_bytes);
            return Some(Event::Fail(invalid(status.message())));
        }
        Some(Ok(request)) => request.request,
    };
    Some(match request {
        Some(Request::Commit(commit)) => Event::Commit(commit),
        Some(Request::Credit(credit)) => Event::Credit(credit.bytes),
        Some(Request::Release(v1::ReleasePartitions {})) => Event::Release,
        Some(Request::Pause(pause)) => Event::SetPaused(pause.partitions, true),
        Some(Request::Resume(resume)) => Event::SetPaused(resume.partitions, false),
        Some(Request::Seek(seek)) => match positions::check(seek.to.as_ref()) {
            Ok(()) => Event::Seek(seek),
            Err(failure) => Event::Fail(failure.about(&seek.topic, Some(seek.partition))),
        },
        Some(Request::Leave(v1::LeaveGroup {})) => Event::Leave,
        Some(Request::Join(_)) => {
            Event::Fail(invalid("this stream has joined already; another group needs another stream"))
        }
        None => Event::Fail(invalid("the request is empty")),
    })
}

fn cannot_read(broken: Broken) -> Event {
    let Broken { topic, topic_id, partition: index, at, is_out_of_range, failure } = broken;
    let partition = Partition { topic, topic_id, index };
    match is_out_of_range {
        true => Event::OutOfRange(partition, failure),
        false => Event::Unreadable(partition, at, failure),
    }
}

/// A task that broke off: a defect, told where it is met.
fn gone(error: JoinError) -> Event {
    tracing::error!(%error, "a step of a subscription broke off");
    Event::Fail(errors::mismatch())
}

/// Room for a message, and the message. Records are read when there is room for them, and not before.
async fn ready<'a>(
    sender: &'a Sender<Answer>,
    outbox: &mut VecDeque<Told>,
    reader: &mut Reader,
    has_credit: bool,
) -> (Permit<'a, Answer>, Result<Told, Broken>) {
    let Ok(permit) = sender.reserve().await else { return std::future::pending().await };
    if let Some(message) = outbox.pop_front() {
        return (permit, Ok(message));
    }
    if !has_credit {
        return std::future::pending().await;
    }
    match poll_fn(|cx| reader.poll_message(cx)).await {
        Ok(Some(records)) => (permit, Ok(Told::Records(records))),
        Ok(None) => std::future::pending().await,
        Err(broken) => (permit, Err(broken)),
    }
}
