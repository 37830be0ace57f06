//! A group consumer's settings.

use std::sync::Arc;
use std::time::Duration;

use ottla_rpc::v1;

use super::GroupConsumer;
use crate::client::Client;
use crate::consumer::{Isolation, Start};
use crate::error::Error;
use crate::size::ByteSize;

/// Settings of a [`GroupConsumer`], from [`Client::group`].
///
/// ```no_run
/// use std::time::Duration;
/// use ottla_client::{ByteSize, Isolation, Start};
///
/// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
/// let consumer = client
///     .group("billing")
///     .topic("orders")
///     .topics_matching("returns-.*")
///     .start(Start::Latest)
///     .isolation(Isolation::ReadCommitted)
///     .commit_every(Duration::from_secs(1))
///     .prefetch(ByteSize::mib(8))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GroupConsumerBuilder {
    client: Client,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) group: Arc<str>,
    topics: Vec<String>,
    topic_regex: String,
    instance_id: String,
    start: Option<Start>,
    assignor: String,
    rack: String,
    client_id: String,
    isolation: Isolation,
    rebalance_timeout: Duration,
    pub(super) commit_interval: Option<Duration>,
    pub(super) prefetch: ByteSize,
    pub(super) max_batch: ByteSize,
    pub(super) give_up_after: Duration,
}

impl Settings {
    /// What the broker is told.
    pub(super) fn join(&self, former_id: Option<&str>) -> v1::JoinGroup {
        let start = self.start.and_then(|start| start.to_v1("", 0).from);
        v1::JoinGroup {
            group: self.group.to_string(),
            topics: self.topics.clone(),
            topic_regex: self.topic_regex.clone(),
            instance_id: self.instance_id.clone(),
            start,
            assignor: self.assignor.clone(),
            rack: self.rack.clone(),
            rebalance_timeout_ms: Some(i32::try_from(self.rebalance_timeout.as_millis()).unwrap_or(i32::MAX)),
            client_id: self.client_id.clone(),
            format: v1::FetchFormat::Batches.into(),
            isolation: self.isolation.to_v1().into(),
            max_message_bytes: None,
            credit_bytes: Some(i64::try_from(self.prefetch.get()).unwrap_or(i64::MAX)),
            member_id: former_id.unwrap_or_default().to_owned(),
        }
    }
}

impl GroupConsumerBuilder {
    pub(crate) fn new(client: Client, group: Arc<str>) -> Self {
        let settings = Settings {
            group,
            topics: Vec::new(),
            topic_regex: String::new(),
            instance_id: String::new(),
            start: Some(Start::Earliest),
            assignor: String::new(),
            rack: String::new(),
            client_id: String::new(),
            isolation: Isolation::ReadUncommitted,
            rebalance_timeout: Duration::from_secs(300),
            commit_interval: Some(Duration::from_secs(5)),
            prefetch: ByteSize::mib(4),
            max_batch: ByteSize::mib(128),
            give_up_after: Duration::from_secs(60),
        };
        Self { client, settings }
    }

    /// Adds a topic to read. It need not exist yet.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.topic("orders").topic("returns");
    /// # }
    /// ```
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.settings.topics.push(topic.into());
        self
    }

    /// Reads all topics whose whole name matches a pattern, those too that are created later. RE2's syntax, as in Kafka.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.topics_matching("orders-[a-z]+");
    /// # }
    /// ```
    #[must_use]
    pub fn topics_matching(mut self, pattern: impl Into<String>) -> Self {
        self.settings.topic_regex = pattern.into();
        self
    }

    /// Makes a static member (KIP-345): one that comes back under this name within the group's session timeout, after a
    /// restart for example, gets its partitions back, and nobody else is disturbed. Each member needs a name of its own.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.instance_id("billing-3");
    /// # }
    /// ```
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.settings.instance_id = id.into();
        self
    }

    /// Where to begin in a partition of which the group has committed nothing, or whose committed offset the log does not
    /// hold any more. [`Start::Earliest`] unless set: nothing is missed. (Kafka's clients begin at the end unless told
    /// otherwise.)
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.start(ottla_client::Start::Latest);
    /// # }
    /// ```
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.settings.start = Some(start);
        self
    }

    /// Makes a partition without a usable commit an error, where nothing may be read twice or missed unnoticed.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.only_from_commits();
    /// # }
    /// ```
    #[must_use]
    pub fn only_from_commits(mut self) -> Self {
        self.settings.start = None;
        self
    }

    /// How the group shares out its partitions: `uniform` or `range`. The broker's first choice (`uniform`) unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.assignor("range");
    /// # }
    /// ```
    #[must_use]
    pub fn assignor(mut self, assignor: impl Into<String>) -> Self {
        self.settings.assignor = assignor.into();
        self
    }

    /// The member's rack: partitions with a replica there are its before others'.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.rack("eu-west-1a");
    /// # }
    /// ```
    #[must_use]
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.settings.rack = rack.into();
        self
    }

    /// Who this is, for people who look at the group.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.client_id("billing on host 7");
    /// # }
    /// ```
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.settings.client_id = id.into();
        self
    }

    /// Up to where it reads. [`Isolation::ReadUncommitted`] unless set, as with Kafka's clients.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.isolation(ottla_client::Isolation::ReadCommitted);
    /// # }
    /// ```
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.settings.isolation = isolation;
        self
    }

    /// How long it may take to give partitions back, which happens while it is polled: longer than the work on one record
    /// ever takes. 5 minutes unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.rebalance_timeout(std::time::Duration::from_secs(30));
    /// # }
    /// ```
    #[must_use]
    pub fn rebalance_timeout(mut self, time: Duration) -> Self {
        self.settings.rebalance_timeout = time;
        self
    }

    /// How often the consumer commits by itself what the caller is done with. Every 5 s unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.commit_every(std::time::Duration::from_secs(1));
    /// # }
    /// ```
    #[must_use]
    pub fn commit_every(mut self, interval: Duration) -> Self {
        self.settings.commit_interval = Some(interval);
        self
    }

    /// Commits only when [`commit`](GroupConsumer::commit) says so.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.manual_commit();
    /// # }
    /// ```
    #[must_use]
    pub fn manual_commit(mut self) -> Self {
        self.settings.commit_interval = None;
        self
    }

    /// Bytes that the broker may send ahead of the reader, as they are stored: compressed. 4 MiB unless set. The batch
    /// being read comes on top, decompressed.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.prefetch(ottla_client::ByteSize::mib(16));
    /// # }
    /// ```
    #[must_use]
    pub fn prefetch(mut self, size: ByteSize) -> Self {
        self.settings.prefetch = size;
        self
    }

    /// The largest batch taken, on the wire and decompressed. 128 MiB unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.max_batch_size(ottla_client::ByteSize::mib(16));
    /// # }
    /// ```
    #[must_use]
    pub fn max_batch_size(mut self, size: ByteSize) -> Self {
        self.settings.max_batch = size;
        self
    }

    /// How long it tries to join, again and again, before the stream yields [`Error::TimedOut`]; polled on, it goes on
    /// trying. 1 minute unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::GroupConsumerBuilder) {
    /// let builder = builder.give_up_after(std::time::Duration::from_secs(5));
    /// # }
    /// ```
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.give_up_after = time;
        self
    }

    /// The consumer. It joins the group when it is first polled.
    ///
    /// # Errors
    /// [`Error::Config`]
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use ottla_client::Client;
    ///
    /// let client = Client::builder().bootstrap("http://127.0.0.1:9095").build()?;
    /// let error = client.group("billing").build().unwrap_err();
    /// assert_eq!(error.to_string(), "topic() is missing: there is nothing to read");
    /// # Ok::<(), ottla_client::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn build(self) -> Result<GroupConsumer, Error> {
        let Self { client, settings } = self;
        let config = |setting, reason: &str| Err(Error::Config { setting, reason: reason.to_owned() });
        if settings.group.is_empty() {
            return config("group()", "has no name");
        }
        if settings.topics.is_empty() && settings.topic_regex.is_empty() {
            return config("topic()", "is missing: there is nothing to read");
        }
        if let Some(Start::Offset(_)) = settings.start {
            return config("start()", "is for all partitions; seek() goes to an offset of one");
        }
        // HTTP/2's own minimum, below which a stream would crawl.
        if settings.prefetch < ByteSize::kib(64) {
            return config("prefetch()", "must be at least 64 KiB");
        }
        for (setting, time) in [
            ("rebalance_timeout()", Some(settings.rebalance_timeout)),
            ("commit_every()", settings.commit_interval),
        ] {
            if time.is_some_and(|time| time < Duration::from_millis(1)) {
                return config(setting, "must be at least a millisecond");
            }
        }
        Ok(GroupConsumer::new(client.dedicated(settings.prefetch), settings))
    }
}
