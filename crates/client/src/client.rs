//! The client: where the brokers are, how long to try, and what can be made from it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ottla_rpc::KafkaError;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::admin::Admin;
use crate::backoff::{Backoff, Random};
use crate::connection::{Connection, Picked};
use crate::consumer::ConsumerBuilder;
use crate::error::Error;
use crate::group::GroupConsumerBuilder;
use crate::producer::ProducerBuilder;
use crate::size::ByteSize;

/// A handle to a cluster. Cheap to clone; clones share their connections.
///
/// ```no_run
/// use ottla_client::Client;
///
/// # async fn run() -> Result<(), ottla_client::Error> {
/// let client = Client::connect("http://127.0.0.1:9095").await?;
/// println!("connected to cluster {}", client.admin().describe_cluster().await?.cluster_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    settings: Arc<Settings>,
}

#[derive(Debug)]
struct Settings {
    request_timeout: Duration,
    backoff: Backoff,
}

/// Settings of a [`Client`], from [`Client::builder`].
///
/// ```
/// use std::time::Duration;
/// use ottla_client::Client;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::builder()
///     .bootstrap("http://127.0.0.1:9095")
///     .bootstrap("http://127.0.0.1:9096")
///     .connect_timeout(Duration::from_secs(2))
///     .request_timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), ottla_client::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    addresses: Vec<String>,
    connect_timeout: Duration,
    request_timeout: Duration,
    backoff: Backoff,
}

impl Client {
    /// Connects to a cluster by the address of any of its brokers, with the default settings.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ottla_client::Error> {
    /// let client = ottla_client::Client::connect("http://127.0.0.1:9095").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        Self::builder().bootstrap(address).connect().await
    }

    /// Settings, to begin with the defaults.
    ///
    /// ```
    /// let builder = ottla_client::Client::builder().bootstrap("http://127.0.0.1:9095");
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            addresses: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) },
        }
    }

    /// A producer's settings.
    ///
    /// ```no_run
    /// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
    /// let producer = client.producer().linger(std::time::Duration::from_millis(20)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.clone())
    }

    /// A group consumer's settings: of a member of a group, whose partitions are the group's to share out.
    ///
    /// ```no_run
    /// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
    /// let consumer = client.group("billing").topic("orders").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(&self, group: impl Into<Arc<str>>) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(self.clone(), group.into())
    }

    /// A consumer's settings.
    ///
    /// ```no_run
    /// use ottla_client::Start;
    ///
    /// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
    /// let consumer = client.consumer().partition("orders", 0, Start::Earliest).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone())
    }

    /// Topics, configs, offsets, the cluster.
    ///
    /// ```no_run
    /// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
    /// for topic in client.admin().list_topics().await? {
    ///     println!("{} has {} partitions", topic.name, topic.partitions);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same client over channels of its own; see [`Connection::dedicated`].
    pub(crate) fn dedicated(&self, window: ByteSize) -> Self {
        Self { connection: self.connection.dedicated(window), settings: self.settings.clone() }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.settings.backoff
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.settings.request_timeout
    }

    /// Calls until it succeeds, fails for good, or the time for requests is over.
    pub(crate) async fn call<T, F, Fut>(
        &self,
        what: &'static str,
        repeat: Repeat,
        call: F,
    ) -> Result<T, Error>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let span = tracing::debug_span!("call", what);
        self.call_within(self.settings.request_timeout, what, repeat, call).instrument(span).await
    }

    pub(crate) async fn call_within<T, F, Fut>(
        &self,
        within: Duration,
        what: &'static str,
        repeat: Repeat,
        call: F,
    ) -> Result<T, Error>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + within;
        let mut random = Random::from_entropy();
        let mut last: Option<Box<Error>> = None;
        let mut maybe_sent = false;
        for attempt in 1.. {
            let picked = self.connection.pick()?;
            let Ok(outcome) = timeout_at(deadline, call(picked.channel.clone())).await else {
                self.connection.failed(&picked);
                return Err(Error::TimedOut { what, after: within, maybe_sent: true, last });
            };
            let error = match outcome {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => self.failure(&picked, &status),
            };
            maybe_sent |= error.is_outcome_unknown();
            if !repeat.allows(&error) {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "trying again");
            let wait = self.settings.backoff.wait(attempt, &mut random);
            if Instant::now() + wait >= deadline {
                return Err(Error::TimedOut { what, after: within, maybe_sent, last: Some(Box::new(error)) });
            }
            last = Some(Box::new(error));
            sleep(wait).await;
        }
        Err(Error::TimedOut { what, after: within, maybe_sent, last })
    }

    /// Calls once, for those who repeat by a plan of their own.
    pub(crate) async fn call_once<T, F, Fut>(&self, what: &'static str, call: F) -> Result<T, Error>
    where
        F: FnOnce(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let within = self.settings.request_timeout;
        let picked = self.connection.pick()?;
        match timeout(within, call(picked.channel.clone())).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failure(&picked, &status)),
            Err(_) => {
                self.connection.failed(&picked);
                Err(Error::TimedOut { what, after: within, maybe_sent: true, last: None })
            }
        }
    }

    /// What a status means. A broken connection makes the next attempt use the next address; so does a broker that does not reach the one
    /// that is responsible, for it may be cut off.
    pub(crate) fn failure(&self, picked: &Picked, status: &Status) -> Error {
        let error = Error::from_status(&picked.address, status);
        if matches!(error, Error::Unavailable { .. }) || is_out_of_reach(&error) {
            self.connection.failed(picked);
        }
        error
    }
}

/// The broker is there, and the one that is responsible is not where it looks for it.
fn is_out_of_reach(error: &Error) -> bool {
    error.is(KafkaError::NETWORK_EXCEPTION) || error.is(KafkaError::NOT_COORDINATOR)
}

/// Whether a call may be made again after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Harmless,
    /// Only if the first one surely did nothing: a topic that our own lost call created would otherwise be an error.
    UnlessDone,
}

impl Repeat {
    fn allows(self, error: &Error) -> bool {
        // Who asks about a topic wants to hear that there is none; only a producer hopes that it will come.
        let missing = error.is(KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        error.is_retriable() && !missing && (self == Self::Harmless || !error.is_outcome_unknown())
    }
}

impl ClientBuilder {
    /// Adds the address of a broker, as `http://HOST:PORT` of its API listener. Any broker of the cluster answers for all;
    /// the others are used when one cannot be reached.
    ///
    /// ```
    /// let builder = ottla_client::Client::builder().bootstrap("http://a:9095").bootstrap("http://b:9095");
    /// ```
    #[must_use]
    pub fn bootstrap(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// How long making one connection may take. 5 s unless set.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = ottla_client::Client::builder().connect_timeout(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take with all its attempts, those of [`Admin`] among them. 30 s unless set. Records have a
    /// deadline of their own ([`ProducerBuilder::delivery_timeout`]).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = ottla_client::Client::builder().request_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The waits before trying again: the first, and the longest; each is twice the one before, ± 20 %. 50 ms and 1 s
    /// unless set.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = ottla_client::Client::builder()
    ///     .retry_backoff(Duration::from_millis(10), Duration::from_millis(200));
    /// ```
    #[must_use]
    pub fn retry_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Backoff { first, max };
        self
    }

    /// A client that connects when it is first used. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Config`]
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let error = ottla_client::Client::builder().bootstrap("localhost").build().unwrap_err();
    /// assert!(error.to_string().contains("should begin with http://"));
    /// # });
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        let Self { addresses, connect_timeout, request_timeout, backoff } = self;
        for (setting, duration) in [
            ("connect_timeout()", connect_timeout),
            ("request_timeout()", request_timeout),
            ("retry_backoff()", backoff.first),
        ] {
            if duration.is_zero() {
                return Err(Error::Config { setting, reason: "must be longer than nothing".to_owned() });
            }
        }
        let connection = Connection::new(&addresses, connect_timeout)?;
        Ok(Client { connection, settings: Arc::new(Settings { request_timeout, backoff }) })
    }

    /// A client that has heard from a broker.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::TimedOut`] if no address answers within the time for requests.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ottla_client::Error> {
    /// let client = ottla_client::Client::builder().bootstrap("http://127.0.0.1:9095").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self) -> Result<Client, Error> {
        let client = self.build()?;
        client.admin().describe_cluster().await?;
        Ok(client)
    }
}

/// A request that tells the broker how long its caller will wait.
pub(crate) fn with_deadline<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

#[cfg(test)]
mod tests;
