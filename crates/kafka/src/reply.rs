//! What a request becomes: an answer now, an answer later, or none.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::apis::produce::PendingProduce;
use crate::outbox::Frame;

/// An answer that takes time.
pub(crate) type LateAnswer = Pin<Box<dyn Future<Output = Result<Frame, Refusal>> + Send>>;

/// A request's place in its connection's order of answers.
pub(crate) enum Reply {
    /// Encoded already.
    Ready(Frame),
    /// Waiting for flushes; has a shape of its own because it is the hot path.
    Produce(PendingProduce),
    /// Anything else that takes time.
    Later(LateAnswer),
    /// Waiting for what may never come (records, the other members of a group): given up when the broker stops.
    LongPoll(LateAnswer),
    /// `acks=0`: the client expects nothing.
    None,
}

/// A request after which only closing the connection is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The frame is no request of this API and version.
    #[error("not a request: {0}")]
    Malformed(#[from] ottla_wire::Error),
    /// An API or version that is not served. Kafka closes the connection too.
    #[error("API key {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    /// `acks=0` and the records were refused: closing is how the client learns of it (Kafka does the same).
    #[error("records sent with acks=0 were refused: {0}")]
    RefusedWithoutAnswer(String),
    /// A defect of ours.
    #[error("an answer could not be encoded: {0}")]
    Unencodable(ottla_wire::Error),
}

impl Reply {
    /// The answer, once there is one; `None` if there is none to send.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Refusal>> {
        match self {
            Self::Ready(_) | Self::None => match std::mem::replace(self, Self::None) {
                Self::Ready(frame) => Poll::Ready(Ok(Some(frame))),
                _ => Poll::Ready(Ok(None)),
            },
            Self::Produce(pending) => pending.poll(cx),
            Self::Later(future) | Self::LongPoll(future) => {
                future.as_mut().poll(cx).map(|answer| answer.map(Some))
            }
        }
    }

    /// True for what may overlap with the requests behind it.
    pub(crate) fn overlaps(&self) -> bool {
        matches!(self, Self::Produce(_) | Self::None | Self::Ready(_))
    }
}
