//! The way to other nodes: one connection for each address, and what became of a call.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;

use ottla_record::ClusterId;
use ottla_rpc::control::v1::control_client::ControlClient;
use ottla_rpc::control::v1::raft_client::RaftClient;
use ottla_rpc::control::{Envelope, Party};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Status};
use tower_service::Service;

use crate::descriptor::high;
use crate::quorum::MAX_COMMAND_BYTES;
use crate::raft::ENTRIES_BYTES;

/// The largest message either way: a batch of log entries that ends with a command of the largest size, whose bytes JSON may spell out.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 << 20;

const _: () = assert!(ENTRIES_BYTES + 2 * MAX_COMMAND_BYTES < MAX_MESSAGE_BYTES);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a peer is asked whether it is there while calls are open …
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// … and for how long its silence is borne. What TCP alone would do with a link that was cut for ten seconds is to wait
/// for another ten after it came back.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Addresses for which a connection is kept. More than a cluster has; old addresses of members are the rest.
const MAX_CHANNELS: usize = 1_024;

/// What became of a call that brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It certainly had no effect: it never left, or the other end refused it before doing anything.
    #[error("{0}")]
    WithoutEffect(String),
    /// It may have had its effect.
    #[error("{0}")]
    Unknown(String),
}

impl CallError {
    pub(crate) fn from_status(status: &Status) -> Self {
        let mut source = status.source();
        while let Some(error) = source {
            if error.is::<ConnectError>() {
                return Self::WithoutEffect(error.to_string());
            }
            source = error.source();
        }
        let text = format!("{}: {}", status.code(), status.message());
        match status.code() {
            Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
                Self::WithoutEffect(text)
            }
            _ => Self::Unknown(text),
        }
    }
}

/// Connections to other nodes, as one node makes them.
pub(crate) struct Peers {
    channels: Mutex<BTreeMap<String, Channel>>,
    /// Where the connections are driven, whoever asks for them.
    runtime: Handle,
}

impl Peers {
    /// Connections are driven by this runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { channels: Mutex::default(), runtime }
    }

    /// Raft calls to an address.
    pub(crate) fn raft(&self, address: &str) -> Result<RaftClient<Channel>, CallError> {
        Ok(RaftClient::new(self.channel(address)?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// All other calls to an address.
    pub(crate) fn control(&self, address: &str) -> Result<ControlClient<Channel>, CallError> {
        Ok(ControlClient::new(self.channel(address)?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    fn channel(&self, address: &str) -> Result<Channel, CallError> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        if channels.len() >= MAX_CHANNELS {
            channels.clear();
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| CallError::WithoutEffect(format!("{address} is no address: {e}")))?
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let _entered = self.runtime.enter();
        let channel = endpoint.connect_with_connector_lazy(Dial);
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// Makes connections whose end others hear of first when this process dies.
#[derive(Clone, Copy, Debug)]
struct Dial;

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(async move {
            let authority = to.authority().map_or("", |authority| authority.as_str());
            let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await??;
            let stream = match high(&stream) {
                Ok(moved) => TcpStream::from_std(moved.into())?,
                Err(_) => stream,
            };
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Who this node is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    pub(crate) cluster: ClusterId,
    pub(crate) party: Party,
}

impl Me {
    /// What stands on everything this node sends to another.
    pub(crate) fn envelope(&self, to: Party) -> Envelope {
        Envelope { cluster: self.cluster, from: self.party, to }
    }
}
