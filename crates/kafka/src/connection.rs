//! One connection: one task reads requests, starts them, and sends the answers in order.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use ottla_node::ConnectionId;
use ottla_node::connections::pace::STALL;
use ottla_node::connections::{Account, Pace, SMALL};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::dispatch::{self, InWork, Peer};
use crate::frame::{FrameBuffer, FrameError};
use crate::front::Front;
use crate::outbox::Outbox;
use crate::reply::{Refusal, Reply};
use crate::timing::Departures;

/// Requests of one connection that may be in work at once. Kafka's clients send at most five.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// With this much unsent, no further request is started: a client that does not read holds back only itself.
pub(crate) const MAX_UNSENT_BYTES: u64 = 64 << 20;

/// A connection without traffic gives its receive buffer back after this long.
const RELEASE_AFTER: Duration = Duration::from_secs(2);

/// From here on, or from three quarters of the limit on if that is lower, descriptors are those that are to be closed first. The kernel's table grows
/// to the next power of two: 128 KiB.
const HIGH_DESCRIPTORS: u64 = 12_288;

/// A timer that is not needed.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("closed by the client")]
    Closed,
    #[error("no traffic for connections.max.idle.ms")]
    Idle,
    #[error("the broker is shutting down")]
    Drained,
    #[error(
        "queued.max.request.bytes is spent, and this client is slow to send the {held} bytes it has begun, or to take its answers"
    )]
    InTheWay { held: usize },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl End {
    /// Its name in the metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "client",
            Self::Idle => "idle",
            Self::InTheWay { .. } => "memory",
            Self::Drained => "shutdown",
            Self::Frame(_) => "malformed",
            Self::Refused(_) => "refused",
            Self::Io(_) => "broken",
        }
    }
}

/// The state of one connection.
pub(crate) struct Connection {
    front: Arc<Front>,
    peer: Arc<Peer>,
    stream: TcpStream,
    incoming: FrameBuffer,
    memory: Account,
    replies: VecDeque<InWork>,
    /// Bytes of the requests in `replies`.
    in_work: usize,
    /// A request other than Produce is in work: what follows waits, as it would on Kafka, because it may depend on it.
    exclusive: bool,
    /// The next whole request is known to have to wait.
    waiting: Option<bytes::Bytes>,
    outbox: Outbox,
    departures: Departures,
    input_ended: bool,
    last_activity: Instant,
    /// When the last bytes came. A request that lies here whole came whole by then: nothing is read while one waits.
    last_read: std::time::Instant,
    pace: Pace,
    timer: Pin<Box<Sleep>>,
    /// Its descriptor is among those that are closed first.
    closes_first: bool,
    /// The timer is set for the end of an idle connection, and for nothing sooner.
    dozing: bool,
}

impl Connection {
    pub(crate) fn new(front: Arc<Front>, stream: TcpStream, address: SocketAddr, id: ConnectionId) -> Self {
        let now = Instant::now();
        Self {
            peer: Arc::new(Peer::new(id, address)),
            incoming: FrameBuffer::new(front.limits.max_request_bytes),
            memory: Account::new(&front.memory),
            front,
            stream,
            replies: VecDeque::new(),
            in_work: 0,
            exclusive: false,
            waiting: None,
            outbox: Outbox::default(),
            departures: Departures::default(),
            input_ended: false,
            last_activity: now,
            last_read: now.into_std(),
            pace: Pace::default(),
            timer: Box::pin(sleep_until(now + RELEASE_AFTER)),
            closes_first: false,
            dozing: false,
        }
    }

    /// Serves the connection until it ends, and says why in the log where somebody should know.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let stopped = async move {
            let _gone = stopping.wait_for(|stop| *stop).await;
        };
        let mut stopped = std::pin::pin!(stopped);
        let mut draining = false;
        let end = poll_fn(|cx| {
            draining = draining || stopped.as_mut().poll(cx).is_ready();
            self.poll(draining, cx)
        })
        .await;
        self.front.connections.closed(end.reason());
        let peer = self.peer.address;
        match end {
            End::Closed | End::Drained => tracing::debug!(%peer, "connection ended: {end}"),
            End::Idle => tracing::info!(%peer, "connection closed: {end}"),
            End::Io(error) => tracing::debug!(%peer, %error, "connection broke"),
            End::Frame(_) | End::Refused(_) | End::InTheWay { .. } => {
                tracing::warn!(%peer, "connection closed: {end}")
            }
        }
    }

    fn poll(&mut self, draining: bool, cx: &mut Context<'_>) -> Poll<End> {
        match self.try_poll(draining, cx) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(end)) | Err(end) => Poll::Ready(end),
        }
    }

    fn try_poll(&mut self, draining: bool, cx: &mut Context<'_>) -> Result<Poll<End>, End> {
        if draining {
            self.replies.retain(|waiting| !matches!(waiting.reply, Reply::LongPoll(_)));
        }
        loop {
            self.collect_answers(cx)?;
            let sent = self.send(cx)?;
            self.departures.left(self.outbox.queued_bytes(), &self.front.apis);
            if self.start_requests(draining)? {
                continue;
            }
            if sent && self.replies.is_empty() && (draining || self.input_ended) {
                return Ok(Poll::Ready(if draining { End::Drained } else { End::Closed }));
            }
            let wanted = !draining && !self.input_ended && self.wants_input();
            let read = wanted && self.read(cx)?;
            if self.memory.is_in_the_way() {
                self.incoming.release();
            }
            self.memory.settle(self.held(), self.in_work);
            if !read {
                self.note_what_is_awaited(wanted);
                self.incoming.release_small();
                break;
            }
        }
        self.watch_the_time(cx)
    }

    /// Sends what the client takes. True if nothing is left.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let queued = self.outbox.queued_bytes();
        let sent = self.outbox.poll_send(&self.stream, cx)?.is_ready();
        if self.outbox.queued_bytes() < queued {
            self.last_activity = Instant::now();
        }
        Ok(sent)
    }

    /// Moves finished answers from the head of the queue to the outbox.
    fn collect_answers(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Some(request) = self.replies.front_mut() {
            let Poll::Ready(answer) = request.reply.poll(cx) else {
                request.watch.put_off();
                return Ok(());
            };
            let answer = answer?;
            if let Some(InWork { watch, bytes, .. }) = self.replies.pop_front() {
                self.in_work -= bytes;
                self.departures.push(watch, answer.as_ref(), &self.front.apis);
            }
            if let Some(frame) = answer {
                self.outbox.push(frame);
            }
        }
        self.exclusive = false;
        Ok(())
    }

    /// Starts the requests that lie here whole. True if one was started: its answer may be there already.
    fn start_requests(&mut self, draining: bool) -> Result<bool, End> {
        let mut started = false;
        while !draining && !self.exclusive && self.has_room() {
            let frame = match self.waiting.take() {
                Some(frame) => frame,
                None => match self.incoming.next_frame()? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            if !self.replies.is_empty() && !dispatch::may_overlap(&frame) {
                self.waiting = Some(frame);
                break;
            }
            let alone = self.replies.is_empty() && !self.incoming.has_more();
            let request = dispatch::start(&self.front, &self.peer, frame, alone, self.last_read)?;
            self.exclusive = !request.reply.overlaps();
            if !self.closes_first && self.peer.is_broker.load(Ordering::Relaxed) {
                self.close_first();
            }
            self.in_work += request.bytes;
            self.replies.push_back(request);
            self.memory.request_started();
            self.pace = Pace::default();
            started = true;
        }
        Ok(started)
    }

    /// When this process is killed, Linux closes its descriptors from the highest number to the lowest, and takes milliseconds. The other brokers
    /// are to know before a client asks them who leads now: so their sockets get high numbers.
    fn close_first(&mut self) {
        self.closes_first = true;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let floor = i32::try_from((limit / 4 * 3).min(HIGH_DESCRIPTORS)).unwrap_or(0);
        let moved = rustix::io::fcntl_dupfd_cloexec(&self.stream, floor);
        // Without a high number all goes on as it does with a low one.
        if let Ok(Ok(stream)) = moved.map(|moved| TcpStream::from_std(moved.into())) {
            self.stream = stream;
        }
    }

    fn has_room(&self) -> bool {
        self.replies.len() < MAX_IN_FLIGHT && self.outbox.queued_bytes() < MAX_UNSENT_BYTES
    }

    /// While requests wait for their turn, only one more chunk is read ahead: enough to notice that the client has gone.
    fn wants_input(&self) -> bool {
        self.waiting.is_none() && self.has_room() && !(self.exclusive && self.incoming.has_more())
    }

    /// What the bound on memory for requests counts.
    fn held(&self) -> usize {
        self.incoming.held() + self.waiting.as_ref().map_or(0, bytes::Bytes::len) + self.in_work
    }

    /// Reads once. True if anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        loop {
            match self.stream.poll_read_ready(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(ready) => ready?,
            }
            let Poll::Ready(allowed) = self.memory.poll_read(self.held(), cx) else { return Ok(false) };
            match self.stream.try_read_buf(&mut self.incoming.room(allowed)) {
                Ok(0) => {
                    self.input_ended = true;
                    // An unfinished request will never be whole, and answers nobody reads need not be waited for.
                    return if self.exclusive || self.replies.is_empty() {
                        Err(End::Closed)
                    } else {
                        Ok(true)
                    };
                }
                Ok(_) => {
                    let now = Instant::now();
                    (self.last_activity, self.last_read) = (now, now.into_std());
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Starts the clock of a client that has begun a request, and stops it while the delay is ours.
    fn note_what_is_awaited(&mut self, wanted: bool) {
        if wanted && self.incoming.has_more() && !self.memory.is_waiting() {
            self.pace.start(Instant::now());
        } else if self.pace.is_running() {
            self.pace.stop(Instant::now());
        }
    }

    /// Gives memory back after a pause, and ends the connection after a long one.
    fn watch_the_time(&mut self, cx: &mut Context<'_>) -> Result<Poll<End>, End> {
        if self.dozing && self.incoming.has_memory() {
            self.dozing = false;
            self.timer.as_mut().reset(self.last_activity + RELEASE_AFTER);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let release = self.last_activity + RELEASE_AFTER;
            if now >= release {
                self.incoming.release();
                self.memory.settle(self.held(), self.in_work);
            }
            let idle_end = self.front.limits.max_idle.and_then(|idle| self.last_activity.checked_add(idle));
            // What is in work takes its time. Who does not take an answer is as idle as who does not ask.
            if idle_end.is_some_and(|end| now >= end) && self.replies.is_empty() {
                return Ok(Poll::Ready(End::Idle));
            }
            if self.memory.is_in_the_way() && self.is_slow(now) {
                return Ok(Poll::Ready(End::InTheWay { held: self.held() }));
            }
            let next = if self.held() > SMALL {
                now + STALL
            } else if release > now {
                release
            } else {
                now + RELEASE_AFTER
            };
            self.dozing = release <= now && !self.incoming.has_memory();
            let idle_end = idle_end.filter(|end| *end > now).unwrap_or(now + FAR);
            self.timer.as_mut().reset(if self.dozing { idle_end } else { next.min(idle_end) });
        }
        Ok(Poll::Pending)
    }

    /// Whether the client is slower than is borne when memory is spent.
    fn is_slow(&self, now: Instant) -> bool {
        let stalls = now >= self.last_activity + STALL;
        if stalls && !self.outbox.is_empty() {
            return true;
        }
        self.pace.is_slow(self.incoming.len(), self.last_activity, now)
    }
}
