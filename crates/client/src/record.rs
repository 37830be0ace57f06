//! Records: what a producer sends, and what a consumer gets.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{Offset, Timestamp};

/// A record to publish.
///
/// ```
/// use ottla_client::ProducerRecord;
///
/// let record = ProducerRecord::to("orders").key("customer-7").value("3 lamps").header("source", "shop");
/// assert_eq!(record.key.as_deref(), Some(&b"customer-7"[..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; without one, the producer chooses by the key, or, without a key, as it likes.
    pub partition: Option<i32>,
    /// The key. `None` is a null key, which is not the same as an empty one.
    pub key: Option<Bytes>,
    /// The value. `None` is a null value: in a compacted topic, a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order; a name may occur more than once.
    pub headers: Vec<Header>,
    /// When it happened; unset: when it is sent.
    pub timestamp: Option<Timestamp>,
}

/// A named value beside a record.
///
/// ```
/// use ottla_client::Header;
///
/// let header = Header { name: "trace".into(), value: Some("42".into()) };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: String,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

impl ProducerRecord {
    /// A record for a topic, with null key and null value.
    ///
    /// ```
    /// let tombstone = ottla_client::ProducerRecord::to("customers").key("customer-7");
    /// assert_eq!(tombstone.value, None);
    /// ```
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// Sets the key.
    ///
    /// ```
    /// let record = ottla_client::ProducerRecord::to("orders").key("customer-7");
    /// ```
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    ///
    /// ```
    /// let record = ottla_client::ProducerRecord::to("orders").value(vec![1, 2, 3]);
    /// ```
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Appends a header.
    ///
    /// ```
    /// let record = ottla_client::ProducerRecord::to("orders").header("a", "1").header("a", "2");
    /// assert_eq!(record.headers.len(), 2);
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Sets the partition.
    ///
    /// ```
    /// let record = ottla_client::ProducerRecord::to("orders").partition(3);
    /// ```
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the time.
    ///
    /// ```
    /// use ottla_client::{ProducerRecord, Timestamp};
    ///
    /// let record = ProducerRecord::to("orders").timestamp(Timestamp::from_millis(1_700_000_000_000));
    /// ```
    #[must_use]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The most that the record takes in a batch, and what the producer's buffer counts for it.
    ///
    /// ```
    /// use ottla_client::{ByteSize, ProducerRecord};
    ///
    /// assert_eq!(ProducerRecord::to("t").value("12345").size(), ByteSize::bytes(26));
    /// ```
    pub fn size(&self) -> crate::ByteSize {
        // Length, attributes, two deltas, two lengths and a count, each as a variable-length number: Kafka's
        // `DefaultRecord.MAX_RECORD_OVERHEAD`.
        const OVERHEAD: usize = 21;
        const LENGTH: usize = 5;
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let header = |header: &Header| 2 * LENGTH + header.name.len() + len(&header.value);
        let headers: usize = self.headers.iter().map(header).sum();
        crate::ByteSize::bytes(OVERHEAD + len(&self.key) + len(&self.value) + headers)
    }
}

/// A record that was read.
///
/// Key, value and headers are slices of the batch that they came in: whoever keeps one small record for long keeps its
/// whole batch in memory, and copies it out instead ([`Bytes::copy_from_slice`]).
///
/// ```
/// use ottla_client::{ConsumerRecord, Offset};
///
/// fn print(record: &ConsumerRecord) {
///     let value = record.value.as_deref().map(String::from_utf8_lossy);
///     println!("{}-{} @ {}: {value:?}", record.topic, record.partition, record.offset);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Position in the partition.
    pub offset: Offset,
    /// The producer's timestamp, or with message.timestamp.type=LogAppendTime the broker's; `None` if the producer set
    /// none.
    pub timestamp: Option<Timestamp>,
    /// The key. `None` is a null key, which is not the same as an empty one.
    pub key: Option<Bytes>,
    /// The value. `None` is a null value: in a compacted topic, a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
}
