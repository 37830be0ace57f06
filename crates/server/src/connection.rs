//! One connection: which HTTP it speaks, and how long it may idle.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ottla_node::ConnectionId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::front::Front;
use crate::memory::ConnectionMemory;
use crate::router::Router;

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Time for the bytes that tell which HTTP a connection speaks.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of an HTTP/1 request; also how long such a connection stays without one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the head of a request.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Requests at once on one HTTP/2 connection.
pub(crate) const MAX_STREAMS: u32 = 1024;
/// Bytes a client may send on one stream before the broker has taken them. Messages of 1 MiB are usual; with less than two
/// of them the client waits for the broker after each.
const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all streams of a connection: what a client can make the broker hold without any request being served.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Bytes of an HTTP/2 frame at most. Each costs some processor time of its own.
const MAX_FRAME: u32 = 256 << 10;
/// Bytes of an answer that lie ready per stream while the client does not take them.
const SEND_BUFFER: usize = 256 << 10;
/// A peer that has not been heard of for this long is asked whether it is still there …
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and given up if it does not answer in this time.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = assert!(STREAM_WINDOW <= CONNECTION_WINDOW);

/// The connection a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<ConnectionMemory>,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    /// True if no other request is open on this connection.
    pub(crate) fn is_alone(&self) -> bool {
        self.requests.load(Ordering::Relaxed) <= 1
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(&self) -> OpenRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(&self.requests))
    }
}

/// A request that has not been answered to its end.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<AtomicUsize>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it.
    Client,
    /// It had no request for too long.
    Idle,
    /// Memory for requests is spent, and others wait for what it holds.
    InTheWay,
    /// The broker stops.
    Shutdown,
    /// A failure of the network, a peer that has gone without a word, or one that speaks no HTTP.
    Broken,
}

impl End {
    /// Its name in the metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Idle => "idle",
            Self::InTheWay => "memory",
            Self::Shutdown => "shutdown",
            Self::Broken => "broken",
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    front: &Arc<Front>,
    router: Router,
    mut stream: TcpStream,
    address: SocketAddr,
) -> End {
    let greeting = tokio::select! {
        greeting = tokio::time::timeout(GREETING_TIMEOUT, greeting(&mut stream)) => greeting,
        () = front.stopping.cancelled() => return End::Shutdown,
    };
    let (version, read) = match greeting {
        Ok(Ok(greeting)) => greeting,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a connection ended before a request");
            return if error.kind() == io::ErrorKind::UnexpectedEof { End::Client } else { End::Broken };
        }
        Err(_) => {
            tracing::debug!(%address, "no request in {GREETING_TIMEOUT:?}: connection closed");
            return End::Idle;
        }
    };
    let mut end = End::Client;
    let requests = Arc::new(AtomicUsize::new(0));
    let max_beyond = front.limits.max_request_bytes.saturating_add(CONNECTION_WINDOW as usize);
    let memory = ConnectionMemory::new(&front.shared.memory, max_beyond);
    let peer = Peer {
        id: ConnectionId::next(),
        address,
        memory: Arc::clone(&memory),
        requests: Arc::clone(&requests),
    };
    // HTTP/1 has only pages here, whose requests have nothing but a head.
    let counted = (version == Version::Http2).then(|| Arc::clone(&memory));
    let io = TokioIo::new(Replayed { read, stream, memory: counted });
    let service = router.for_peer(peer);
    let outcome = match version {
        Version::Http1 => {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(MAX_HEADER_BYTES as usize);
            let mut connection = pin!(http.serve_connection(io, service));
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = front.stopping.cancelled() => {
                    end = End::Shutdown;
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Version::Http2 => {
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(MAX_FRAME)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(MAX_HEADER_BYTES)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT);
            let mut connection = pin!(http.serve_connection(io, service));
            let mut in_the_way = pin!(memory.in_the_way());
            loop {
                let open = end == End::Client;
                tokio::select! {
                    outcome = connection.as_mut() => break outcome,
                    held = in_the_way.as_mut() => {
                        tracing::warn!(
                            %address,
                            "connection closed: queued.max.request.bytes is spent, and this client is slow to send the requests it has begun, or to take its answers; it holds {held} bytes"
                        );
                        return End::InTheWay;
                    }
                    () = front.stopping.cancelled(), if open => end = End::Shutdown,
                    () = idle(&requests, front.limits.max_idle), if open => {
                        end = End::Idle;
                        tracing::debug!(%address, "no request in {:?}: connection closed", front.limits.max_idle);
                    }
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    match outcome {
        Ok(()) => end,
        Err(error) => {
            tracing::debug!(%address, %error, "a connection ended");
            if end == End::Client { End::Broken } else { end }
        }
    }
}

/// Waits until there has been no request for so long. Looks once a period, so a connection may stay for nearly two.
async fn idle(requests: &AtomicUsize, period: Duration) {
    let Some(_) = tokio::time::Instant::now().checked_add(period) else {
        return std::future::pending().await;
    };
    let mut was_idle = false;
    loop {
        let is_idle = requests.load(Ordering::Relaxed) == 0;
        if is_idle && was_idle {
            return;
        }
        was_idle = is_idle;
        tokio::time::sleep(period).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// Reads as much as it takes to tell the versions apart, and gives it back.
async fn greeting(stream: &mut TcpStream) -> io::Result<(Version, BytesMut)> {
    let mut read = BytesMut::with_capacity(HTTP2_PREFACE.len());
    loop {
        if !HTTP2_PREFACE.starts_with(&read) {
            return Ok((Version::Http1, read));
        }
        if read.len() == HTTP2_PREFACE.len() {
            return Ok((Version::Http2, read));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A stream of which something has been read already.
struct Replayed {
    read: BytesMut,
    stream: TcpStream,
    /// What counts its bytes, and holds it back when memory is spent.
    memory: Option<Arc<ConnectionMemory>>,
}

impl Replayed {
    fn read_on(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        let Some(memory) = &self.memory else { return stream.poll_read(cx, buf) };
        let Poll::Ready(ready) = stream.poll_read_ready(cx) else {
            memory.awaited();
            return Poll::Pending;
        };
        ready?;
        let (allowed, before) = (ready!(memory.poll_read(cx)), buf.filled().len());
        if allowed >= buf.remaining() {
            ready!(stream.as_mut().poll_read(cx, buf))?;
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(allowed));
            ready!(stream.as_mut().poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        }
        memory.read(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Replayed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return this.read_on(cx, buf);
        }
        let len = this.read.len().min(buf.remaining());
        buf.put_slice(this.read.get(..len).unwrap_or_default());
        this.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
