//! One connection to a peer: a request out, its answer in.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, Weak};

use ottla_node::ports::{PeerAddress, PeerError};
use ottla_wire::frame::{read_response_header, write_request};
use ottla_wire::{Message, Reader, Request, Writer};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::frame::{FrameBuffer, FrameError};
use crate::peer::client::PeerOptions;

/// A connection on which nothing is under way between two calls.
#[derive(Debug)]
pub(super) struct Connection {
    peer: PeerAddress,
    stream: Arc<TcpStream>,
    incoming: FrameBuffer,
    client_id: String,
    next_correlation: i32,
}

impl Connection {
    pub(super) async fn open(peer: &PeerAddress, options: &PeerOptions) -> Result<Self, PeerError> {
        let stream = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_keepalive(true)?;
        if let Some(size) = options.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        Ok(Self {
            peer: peer.clone(),
            stream: Arc::new(stream),
            incoming: FrameBuffer::new(options.max_response_bytes),
            client_id: format!("broker-{}-fetcher-0", options.own),
            next_correlation: 0,
        })
    }

    /// True if it leads where `peer` is reached now.
    pub(super) fn leads_to(&self, peer: &PeerAddress) -> bool {
        self.peer == *peer
    }

    /// Sends a request and waits for its answer. After an error, or given up in between, the connection is of no use.
    pub(super) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, PeerError> {
        let correlation = self.next_correlation;
        self.next_correlation = correlation.wrapping_add(1);
        let mut message = Writer::new();
        write_request(&mut message, correlation, Some(&self.client_id), request, version)
            .map_err(|error| PeerError::Malformed(error.to_string()))?;
        let (bytes, _) = message.into_parts();
        self.write(&bytes).await?;
        let frame = loop {
            match self.incoming.next_frame() {
                Ok(Some(frame)) => break frame,
                Ok(None) => self.read().await?,
                Err(FrameError::Negative(length)) => {
                    return Err(PeerError::Malformed(format!("an answer of negative length {length}")));
                }
                Err(FrameError::TooLarge { length, allowed }) => {
                    let text = format!("an answer of {length} bytes, where {allowed} are allowed");
                    return Err(PeerError::Malformed(text));
                }
            }
        };
        let malformed = |error: ottla_wire::Error| PeerError::Malformed(error.to_string());
        let mut reader = Reader::new(frame);
        let answered = read_response_header(&mut reader, R::API, version).map_err(malformed)?;
        if answered != correlation {
            let text = format!("request {correlation} was answered as {answered}");
            return Err(PeerError::Malformed(text));
        }
        R::Response::decode(&mut reader, version).map_err(malformed)
    }

    /// Something to ask whether the other end has closed it, while it is in use or not.
    pub(super) fn probe(&self) -> Probe {
        Probe(Arc::downgrade(&self.stream))
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.incoming.room(usize::MAX)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Looks at a connection that somebody else uses, and does not keep it open.
#[derive(Debug)]
pub(super) struct Probe(Weak<TcpStream>);

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The other end has closed it.
    Closed,
    /// This end has.
    GivenUp,
}

impl Probe {
    /// What the system knows already: nothing is sent or waited for.
    pub(super) fn state(&self) -> State {
        let Some(stream) = self.0.upgrade() else { return State::GivenUp };
        let is_closed = match SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(waiting) => waiting == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        if is_closed { State::Closed } else { State::Open }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ottla_record::BrokerId;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_probe_sees_a_closed_connection_that_nobody_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = BrokerId::new(1);
        let peer = PeerAddress { broker: BrokerId::new(2), host: "127.0.0.1".to_owned(), port };
        let timeout = Duration::from_secs(5);
        let options = PeerOptions { own, timeout, max_response_bytes: 1_024, receive_buffer: None };
        let connection = Connection::open(&peer, &options).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let probe = connection.probe();
        assert_eq!(probe.state(), State::Open);
        // An answer that waits to be read is not the end.
        tokio::io::AsyncWriteExt::write_all(&mut accepted, b"answer").await.unwrap();
        assert_eq!(probe.state(), State::Open);
        drop(accepted);
        connection.stream.readable().await.unwrap();
        connection.stream.try_read(&mut [0; 6]).unwrap();
        while probe.state() != State::Closed {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(connection);
        assert_eq!(probe.state(), State::GivenUp, "what was given up was not lost");
    }
}
