//! What a caller holds while its record is on its way, and gets when it has arrived.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_record::{Offset, Timestamp};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::record::ProducerRecord;

/// Where a record is now.
///
/// ```no_run
/// # async fn run(producer: ottla_client::Producer) -> Result<(), ottla_client::Error> {
/// let delivery = producer.publish(ottla_client::ProducerRecord::to("orders").value("3 lamps")).await?;
/// println!("{}-{} @ {}", delivery.topic, delivery.partition, delivery.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's position in it.
    pub offset: Offset,
    /// The record's timestamp: its own, or with message.timestamp.type=LogAppendTime the broker's.
    pub timestamp: Timestamp,
}

/// A record on its way: a future of its [`Delivery`].
///
/// The record goes its way whether or not this is awaited; dropping it only means that nobody asks.
///
/// ```no_run
/// use ottla_client::{Producer, ProducerRecord};
///
/// # async fn run(producer: Producer) -> Result<(), ottla_client::Error> {
/// // Both are on their way before the first answer is awaited, and travel in one batch.
/// let first = producer.send(ProducerRecord::to("orders").key("7").value("lamp")).await?;
/// let second = producer.send(ProducerRecord::to("orders").key("7").value("shade")).await?;
/// assert!(first.await?.offset < second.await?.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a failure to deliver shows only here; drop it on purpose with `drop`"]
pub struct Sent {
    pub(super) outcome: oneshot::Receiver<Result<Delivery, Error>>,
}

impl Future for Sent {
    type Output = Result<Delivery, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Its task is gone only if the runtime was shut down.
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}

/// A record that [`Producer::try_send`](crate::Producer::try_send) did not take, with the reason.
///
/// ```no_run
/// use ottla_client::{Error, Producer, ProducerRecord};
///
/// # fn run(producer: Producer, record: ProducerRecord) {
/// if let Err(refused) = producer.try_send(record) {
///     eprintln!("{}; dropping {:?}", refused.error, refused.record);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TrySendError {
    /// [`Error::BufferFull`], [`Error::RecordTooLarge`] or [`Error::Closed`].
    pub error: Error,
    /// The record, untouched.
    pub record: Box<ProducerRecord>,
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TrySendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
