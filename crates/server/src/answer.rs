//! What goes back on a stream, and what may end it from outside: the client's deadline, and the broker's stop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use crate::calls::Call;
use crate::connection::OpenRequest;
use crate::deadline::Deadline;
use crate::errors;

/// The body of a response.
pub(crate) struct Answer {
    body: Body,
    /// Never read: its end is what counts.
    _open: Option<OpenRequest>,
    stop: Option<(CancellationToken, Pin<Box<WaitForCancellationFutureOwned>>)>,
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
    call: Option<Call>,
}

/// What the broker's stop means for a response that has begun.
pub(crate) enum AtStop {
    /// It goes on to its own end.
    GoOn,
    /// It ends with UNAVAILABLE.
    End(CancellationToken),
}

impl Answer {
    /// A body that ends by itself, and soon.
    pub(crate) fn plain(body: Body) -> Self {
        Self { body, _open: None, stop: None, deadline: None, ended: false, call: None }
    }

    /// A body that may be a stream without end.
    pub(crate) fn new(body: Body, at_stop: AtStop, deadline: Deadline) -> Self {
        if body.is_end_stream() {
            return Self::plain(body);
        }
        let stop = match at_stop {
            AtStop::GoOn => None,
            AtStop::End(token) => Some((token.clone(), Box::pin(token.cancelled_owned()))),
        };
        let deadline = deadline.instant().map(|instant| Box::pin(tokio::time::sleep_until(instant)));
        Self { body, _open: None, stop, deadline, ended: false, call: None }
    }

    /// The same, with the request open until the body has gone.
    pub(crate) fn holding(self, open: OpenRequest) -> Self {
        Self { _open: Some(open), ..self }
    }

    /// The same, counted as part of a call.
    pub(crate) fn counting(self, call: Call) -> Self {
        Self { call: Some(call), ..self }
    }

    /// Ends a stream of messages between two of them.
    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        // Lets go of what the stream holds, and of the client's request.
        self.body = Body::default();
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // A stream that always has something would never be found waiting.
        if self.stop.as_ref().is_some_and(|(token, _)| token.is_cancelled()) {
            return self.end(errors::stopping());
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.ended = frame.is_none();
            return Poll::Ready(frame);
        }
        if let Some((_, stopped)) = &mut self.stop
            && stopped.as_mut().poll(cx).is_ready()
        {
            return self.end(errors::stopping());
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return self.end(Deadline::passed());
        }
        Poll::Pending
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = this.poll_next(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(call)) = (&polled, &this.call) {
            call.sent(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
