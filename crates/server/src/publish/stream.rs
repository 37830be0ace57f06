//! Many requests over one stream: taken as long as few enough are unanswered, answered in their order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_rpc::{status, v1};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use crate::calls::{Call, Method};
use crate::errors::{self, Failure};
use crate::memory::CallMemory;
use crate::publish::{Pending, Publisher};

/// Requests of one stream that may wait for their answers. Past either bound the broker reads no further, and HTTP/2 holds
/// the client back.
const MAX_UNANSWERED: usize = 256;
/// The same in bytes of records. One request is always taken, however large.
const MAX_UNANSWERED_BYTES: usize = 32 << 20;

/// The answers of one PublishStream.
pub(crate) struct PublishAnswers {
    publisher: Publisher,
    /// Each message counts as a request of its own.
    method: Method,
    memory: Option<Arc<CallMemory>>,
    requests: Option<Streaming<v1::PublishStreamRequest>>,
    /// A request on its way into the log. What comes after it stays behind it, or records would change their order.
    starting: Option<Starting>,
    unanswered: VecDeque<Unanswered>,
    unanswered_bytes: usize,
    /// The message whose answer was given out and may not have left yet.
    sending: Option<Call>,
    /// What the stream ends with once all is answered.
    end: Option<Status>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Starting {
    id: u64,
    bytes: usize,
    call: Call,
    begun: Pin<Box<dyn Future<Output = Result<Pending, Failure>> + Send>>,
}

struct Unanswered {
    id: u64,
    bytes: usize,
    call: Call,
    outcome: Outcome,
}

enum Outcome {
    Waiting(Pending),
    Refused(Failure),
}

impl PublishAnswers {
    pub(crate) fn new(
        publisher: Publisher,
        method: Method,
        memory: Option<Arc<CallMemory>>,
        requests: Streaming<v1::PublishStreamRequest>,
    ) -> Self {
        let stopped = Box::pin(publisher.front.stopping.clone().cancelled_owned());
        Self {
            publisher,
            method,
            memory,
            requests: Some(requests),
            starting: None,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            sending: None,
            end: None,
            stopped,
        }
    }

    /// Takes requests until there are enough, or none has come yet.
    fn take(&mut self, cx: &mut Context<'_>) {
        loop {
            if let Some(starting) = &mut self.starting {
                let Poll::Ready(begun) = starting.begun.as_mut().poll(cx) else { return };
                let outcome = begun.map_or_else(Outcome::Refused, Outcome::Waiting);
                if let Some(Starting { id, bytes, call, .. }) = self.starting.take() {
                    call.timing().put_off();
                    self.unanswered.push_back(Unanswered { id, bytes, call, outcome });
                }
            }
            if self.is_full() {
                return;
            }
            let Some(requests) = &mut self.requests else { return };
            if self.stopped.as_mut().poll(cx).is_ready() {
                self.end_with(Some(errors::stopping()));
                return;
            }
            match Pin::new(requests).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.end_with(None),
                Poll::Ready(Some(Err(status))) => {
                    let max = self.publisher.front.limits.max_request_bytes;
                    self.end_with(Some(errors::clarify_status(status, max)));
                }
                Poll::Ready(Some(Ok(request))) => self.start(request),
            }
        }
    }

    fn is_full(&self) -> bool {
        self.unanswered.len() >= MAX_UNANSWERED || self.unanswered_bytes >= MAX_UNANSWERED_BYTES
    }

    fn start(&mut self, request: v1::PublishStreamRequest) {
        let v1::PublishStreamRequest { id, publish } = request;
        let publish = publish.unwrap_or_default();
        let bytes = prost::Message::encoded_len(&publish);
        self.unanswered_bytes += bytes;
        let publisher = self.publisher.clone();
        let in_work = self.memory.as_ref().map(|memory| memory.next_message());
        let begun = Box::pin(async move {
            let begun = publisher.begin(publish).await;
            // The acknowledgement needs no records.
            drop(in_work);
            begun
        });
        self.starting = Some(Starting { id, bytes, call: self.method.begin(), begun });
    }

    fn end_with(&mut self, status: Option<Status>) {
        self.requests = None;
        self.end = status;
    }

    fn answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<v1::PublishStreamResponse>> {
        let Some(first) = self.unanswered.front_mut() else { return Poll::Ready(None) };
        let outcome = match &mut first.outcome {
            Outcome::Waiting(pending) => std::task::ready!(Pin::new(pending).poll(cx)),
            Outcome::Refused(failure) => Err(failure.clone()),
        };
        let id = first.id;
        self.unanswered_bytes -= first.bytes;
        self.sending = self.unanswered.pop_front().map(|answered| answered.call);
        if let Some(call) = &self.sending {
            call.timing().answered();
        }
        let outcome = match outcome {
            Ok(published) => v1::publish_stream_response::Outcome::Published(published),
            Err(failure) => {
                self.method.error(&failure.detail);
                v1::publish_stream_response::Outcome::Failure(refused(failure))
            }
        };
        Poll::Ready(Some(v1::PublishStreamResponse { id, outcome: Some(outcome) }))
    }
}

impl Stream for PublishAnswers {
    type Item = Result<v1::PublishStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // The next answer is asked for when the last one has been taken.
        this.sending = None;
        this.take(cx);
        let answer = this.answer(cx);
        if let Some(memory) = &this.memory {
            memory.hold_back(this.requests.is_some() && (this.starting.is_some() || this.is_full()));
            memory.answer_is_unread(matches!(answer, Poll::Ready(Some(_))));
        }
        match answer {
            Poll::Ready(Some(answer)) => Poll::Ready(Some(Ok(answer))),
            Poll::Pending => Poll::Pending,
            // Nothing waits for an answer.
            Poll::Ready(None) if this.requests.is_some() || this.starting.is_some() => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(this.end.take().map(Err)),
        }
    }
}

fn refused(failure: Failure) -> v1::PublishFailure {
    let grpc_code = i32::from(status::code(&failure.detail));
    v1::PublishFailure { message: failure.message, detail: Some(*failure.detail), grpc_code }
}
