//! Connections to the cluster: several addresses, one of them in use, the next one when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::error::Error;
use crate::size::ByteSize;

/// How often a quiet connection is asked whether it still lives, and how long it may take to answer. A broker that
/// stopped without a word (a pulled cable, a frozen host) is noticed after the sum of both.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one call or stream uses, and what to report when it fails.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    pub(crate) channel: Channel,
    pub(crate) address: Arc<str>,
    index: usize,
}

/// The cluster's addresses with a channel each. A channel connects when it is first used, and again after it broke.
/// Clones share the channels, and which one is in use.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    brokers: Arc<[Broker]>,
    current: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Broker {
    address: Arc<str>,
    endpoint: Endpoint,
    channel: Channel,
}

impl Connection {
    /// Checks the addresses; connects to none of them. Must be called within a tokio runtime.
    pub(crate) fn new(addresses: &[String], connect_timeout: Duration) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(config("no address was given, for example http://127.0.0.1:9095".to_owned()));
        }
        let brokers: Vec<Broker> = addresses
            .iter()
            .map(|address| {
                let endpoint = endpoint(address, connect_timeout)?;
                let channel = endpoint.connect_lazy();
                Ok(Broker { address: address.as_str().into(), endpoint, channel })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { brokers: brokers.into(), current: Arc::default() })
    }

    /// The same addresses over channels of their own, whose streams let the broker send at most `window` ahead.
    ///
    /// A reader that does not read would otherwise take the shared connection's window, and with it stop everybody.
    pub(crate) fn dedicated(&self, window: ByteSize) -> Self {
        let window = window.to_u32().min(i32::MAX.cast_unsigned());
        let broker = |broker: &Broker| {
            let endpoint = broker
                .endpoint
                .clone()
                .initial_stream_window_size(window)
                .initial_connection_window_size(window);
            Broker { address: broker.address.clone(), channel: endpoint.connect_lazy(), endpoint }
        };
        let current = AtomicUsize::new(self.current.load(Ordering::Relaxed));
        Self { brokers: self.brokers.iter().map(broker).collect(), current: Arc::new(current) }
    }

    /// The broker in use.
    pub(crate) fn pick(&self) -> Result<Picked, Error> {
        let index = self.current.load(Ordering::Relaxed) % self.brokers.len().max(1);
        let broker = self.brokers.get(index).ok_or(Error::Closed)?;
        Ok(Picked { channel: broker.channel.clone(), address: broker.address.clone(), index })
    }

    /// Goes on with the next address, unless somebody else did already.
    pub(crate) fn failed(&self, picked: &Picked) {
        let next = (picked.index + 1) % self.brokers.len().max(1);
        let _ = self.current.compare_exchange(picked.index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn endpoint(address: &str, connect_timeout: Duration) -> Result<Endpoint, Error> {
    if address.starts_with("https://") {
        return Err(config(format!("{address}: TLS is not supported yet; use http://")));
    }
    if !address.starts_with("http://") {
        return Err(config(format!(
            "{address} should begin with http://, for example http://127.0.0.1:9095"
        )));
    }
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| config(format!("{address} is no address: {error}")))?;
    Ok(endpoint
        .user_agent(concat!("ottla-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| config(error.to_string()))?
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

fn config(reason: String) -> Error {
    Error::Config { setting: "bootstrap()", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_moves_on_once_however_many_report_it() {
        let addresses = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        let connection = Connection::new(&addresses, Duration::from_secs(1)).unwrap();
        let first = connection.pick().unwrap();
        connection.failed(&first);
        connection.failed(&first);
        let second = connection.pick().unwrap();
        assert_eq!((&*first.address, &*second.address), ("http://a:1", "http://b:1"));
        connection.failed(&second);
        assert_eq!(&*connection.pick().unwrap().address, "http://a:1");
    }

    #[tokio::test]
    async fn addresses_are_checked_with_a_hint() {
        for (address, hint) in [
            ("127.0.0.1:9095", "should begin with http://"),
            ("https://a:1", "TLS is not supported"),
            ("http://", "no address"),
        ] {
            let error = Connection::new(&[address.to_owned()], Duration::from_secs(1)).unwrap_err();
            assert!(error.to_string().contains(hint), "{address}: {error}");
        }
        assert!(Connection::new(&[], Duration::from_secs(1)).is_err());
    }
}
