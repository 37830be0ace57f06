//! Hand-made HTTP/2 requests, for what no gRPC client would send: halves of messages.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of one DATA frame: what every server takes (RFC 9113, section 4.2).
const MAX_FRAME: usize = 16 << 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A connection on which a request can be begun.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
}

impl Connection {
    /// Connects, and agrees with the server on its settings.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(PREFACE)?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        let mut header = [0; 9];
        stream.read_exact(&mut header)?;
        ensure!(header[3] == SETTINGS, "the server begins with its settings");
        let mut settings = vec![0; usize::from(header[1]) << 8 | usize::from(header[2])];
        stream.read_exact(&mut settings)?;
        stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
        Ok(Self { stream })
    }

    /// Begins a call of a gRPC method on a stream: 1, 3, 5...
    pub fn call(&mut self, stream: u32, path: &str) -> io::Result<()> {
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        // Literals without a table and without Huffman's code (RFC 7541, section 6.2.2).
        let literal = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        let block: Vec<u8> = headers
            .iter()
            .flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat())
            .collect();
        self.stream.write_all(&frame(HEADERS, END_HEADERS, stream, &block))
    }

    /// Sends a part of a call's messages.
    pub fn send(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(MAX_FRAME).try_for_each(|chunk| self.stream.write_all(&frame(DATA, 0, stream, chunk)))
    }
}

/// The first bytes of a gRPC message of this length.
pub fn message_header(length: u32) -> Vec<u8> {
    [&[0][..], &length.to_be_bytes()].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
