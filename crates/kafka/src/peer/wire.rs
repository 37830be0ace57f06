//! One connection to a peer: a request out, its answer in.

use std::io;

use ottla_node::ports::{PeerAddress, PeerError};
use ottla_wire::frame::{read_response_header, write_request};
use ottla_wire::{Message, Reader, Request, Writer};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::frame::{FrameBuffer, FrameError};
use crate::peer::client::PeerOptions;

/// A connection on which nothing is under way between two calls.
#[derive(Debug)]
pub(super) struct Connection {
    peer: PeerAddress,
    stream: TcpStream,
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
            stream,
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
        self.stream.write_all(&bytes).await?;
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
