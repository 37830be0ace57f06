//! Building batches: for the client, the coordinators, compaction, the simulator and tests.

use bytes::Bytes;

use crate::compression::Codec;
use crate::control::EndTransactionMarker;
use crate::error::BatchError;
use crate::header::{
    Attributes, BatchHeader, CRC_FROM, HEADER_LEN, LENGTH_PREFIX, ProducerStamp, TimestampType, crc32c,
};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{Header, Record};
use crate::time::Timestamp;
use crate::varint::{put_varint, put_varlong, varint_len, varlong_len};

/// Collects records and writes them as one batch, byte for byte as Kafka's `MemoryRecordsBuilder` would.
///
/// ```
/// use ottla_record::{BatchBuilder, BatchView, Codec, Timestamp};
///
/// let mut batch = BatchBuilder::new(Codec::Zstd { level: 3 });
/// batch.push(Some(Timestamp::from_millis(1_000)), Some(b"key"), Some(b"value"), &[]);
/// let bytes = batch.build().unwrap();
///
/// let view = BatchView::parse(&bytes).unwrap();
/// view.verify_crc().unwrap();
/// let records = view.records(1024).unwrap();
/// let record = records.iter().next().unwrap().unwrap();
/// assert_eq!(record.value, Some(&b"value"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    body: Vec<u8>,
    attributes: Attributes,
    base_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    producer: Option<ProducerStamp>,
    delete_horizon: Option<Timestamp>,
    log_append_time: Option<Timestamp>,
    last_offset: Option<Offset>,
    base_timestamp: i64,
    max_timestamp: i64,
    /// The largest timestamp of a batch that loses all its records stays what it was.
    emptied_max_timestamp: i64,
    count: i32,
    next_offset: Offset,
    /// Something did not fit its 32-bit field; `build` reports it.
    overflow: bool,
}

/// How the format spells an absent timestamp.
const NO_TIMESTAMP: i64 = -1;

impl BatchBuilder {
    /// An empty batch at offset 0, as a producer sends it.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            body: Vec::new(),
            attributes: Attributes::NONE.with_compression(codec.compression()),
            base_offset: Offset::ZERO,
            leader_epoch: None,
            producer: None,
            delete_horizon: None,
            log_append_time: None,
            last_offset: None,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            emptied_max_timestamp: NO_TIMESTAMP,
            count: 0,
            next_offset: Offset::ZERO,
            overflow: false,
        }
    }

    /// A batch that takes the place of another one: with its offsets, stamps, flags and timestamps, but only those of its
    /// records that will be [pushed](Self::push_record), and in any codec. So compaction rewrites a batch.
    pub fn rewriting(original: &BatchHeader, codec: Codec) -> Self {
        let mut builder =
            Self::new(codec).base_offset(original.base_offset()).last_offset(original.last_offset());
        builder.attributes = original.attributes().with_compression(codec.compression());
        builder.leader_epoch = original.partition_leader_epoch();
        builder.producer = original.producer();
        builder.delete_horizon = original.delete_horizon();
        builder.log_append_time = match original.attributes().timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => original.max_timestamp(),
        };
        builder.emptied_max_timestamp = original.max_timestamp;
        builder
    }

    /// Offset of the first record. Call it before the first [`push`](Self::push).
    #[must_use]
    pub fn base_offset(mut self, offset: Offset) -> Self {
        self.base_offset = offset;
        self.next_offset = offset;
        self
    }

    /// The leader's term, as in a batch that stands in the log.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }

    /// The idempotent producer's stamp (KIP-98).
    #[must_use]
    pub fn producer(mut self, stamp: ProducerStamp) -> Self {
        self.producer = Some(stamp);
        self
    }

    /// Makes the batch part of its producer's transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional();
        self
    }

    /// Makes this a batch of control records; see [`push_marker`](Self::push_marker).
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control();
        self
    }

    /// Stamps the batch as a broker does under LogAppendTime. The records keep their own timestamps, unseen.
    #[must_use]
    pub fn log_append_time(mut self, now: Timestamp) -> Self {
        self.attributes = self.attributes.with_log_append_time();
        self.log_append_time = Some(now);
        self
    }

    /// Sets when the batch's tombstones may go (KIP-534). Call it before the first [`push`](Self::push): the records'
    /// timestamps count from it.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: Timestamp) -> Self {
        self.attributes = self.attributes.with_delete_horizon();
        self.delete_horizon = Some(horizon);
        self
    }

    /// Keeps the last offset that the batch had before compaction took records from its end.
    #[must_use]
    pub fn last_offset(mut self, offset: Offset) -> Self {
        self.last_offset = Some(offset);
        self
    }

    /// Appends a record at the next offset.
    pub fn push(
        &mut self,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        let timestamp = Timestamp::to_wire(timestamp);
        self.append(self.next_offset, timestamp, key, value, headers.iter().copied());
    }

    /// Appends a record of another batch, with its offset (which must not be below the last one), its own timestamp
    /// and its headers.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let Record { offset, key, value, headers, create_time, .. } = *record;
        self.append(offset, create_time, key, value, headers.iter());
    }

    /// Appends the marker of the end of a transaction; the batch must be [`control`](Self::control) and
    /// [`transactional`](Self::transactional) and carry the producer's id and epoch.
    pub fn push_marker(&mut self, timestamp: Timestamp, marker: EndTransactionMarker) {
        self.push(Some(timestamp), Some(&marker.key()), Some(&marker.value()), &[]);
    }

    /// Number of records so far.
    pub fn record_count(&self) -> u32 {
        self.count.cast_unsigned()
    }

    /// Size of the batch so far, as if it were not compressed.
    pub fn size_bytes(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// [`BatchError::Empty`] without records (unless [`last_offset`](Self::last_offset) is set),
    /// [`BatchError::Overflow`] past 2 GiB or 2³¹ offsets, [`BatchError::Compression`].
    pub fn build(mut self) -> Result<Bytes, BatchError> {
        if self.count == 0 {
            // As Kafka writes an emptied batch: there is nothing to compress, and nothing left to expire.
            self.codec = Codec::None;
            self.delete_horizon = None;
            self.attributes = self.attributes.emptied();
            self.max_timestamp = self.emptied_max_timestamp;
        }
        let mut out = Vec::with_capacity(self.size_bytes());
        out.resize(HEADER_LEN, 0);
        self.codec.compress(&self.body, &mut out)?;
        let mut header = self.header(out.len())?;
        write_header(&mut out, &header);
        header.crc = crc32c(out.get(CRC_FROM..).unwrap_or_default());
        write_header(&mut out, &header);
        Ok(out.into())
    }

    fn header(&self, size: usize) -> Result<BatchHeader, BatchError> {
        let last = match self.last_offset {
            Some(offset) => offset,
            None => self.next_offset.prev().filter(|_| self.count > 0).ok_or(BatchError::Empty)?,
        };
        let overflow = |_| BatchError::Overflow;
        if self.overflow {
            return Err(BatchError::Overflow);
        }
        Ok(BatchHeader {
            base_offset: self.base_offset.get(),
            length: i32::try_from(size - LENGTH_PREFIX).map_err(overflow)?,
            leader_epoch: LeaderEpoch::to_wire(self.leader_epoch),
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: i32::try_from(last - self.base_offset).map_err(overflow)?,
            base_timestamp: self.delete_horizon.map_or(self.base_timestamp, Timestamp::millis),
            max_timestamp: self.log_append_time.map_or(self.max_timestamp, Timestamp::millis),
            producer_id: ProducerId::to_wire(self.producer.map(|p| p.id)),
            producer_epoch: ProducerEpoch::to_wire(self.producer.map(|p| p.epoch)),
            base_sequence: Sequence::to_wire(self.producer.and_then(|p| p.base_sequence)),
            record_count: self.count,
        })
    }

    fn append<'h>(
        &mut self,
        offset: Offset,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        let base_timestamp = self.delete_horizon.map_or(self.base_timestamp, Timestamp::millis);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let offset_delta = self.narrow(offset - self.base_offset);
        let header_count = self.narrow(headers.clone().count());
        let length = 1
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(key)
            + nullable_len(value)
            + varint_len(header_count)
            + headers.clone().map(|h| nullable_len(Some(h.key)) + nullable_len(h.value)).sum::<usize>();
        let length = self.narrow(length);
        if self.overflow {
            return;
        }
        let out = &mut self.body;
        put_varint(out, length);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varint(out, header_count);
        for header in headers {
            put_nullable(out, Some(header.key));
            put_nullable(out, header.value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.next_offset = offset.next();
        match self.count.checked_add(1) {
            Some(count) => self.count = count,
            None => self.overflow = true,
        }
    }

    fn narrow(&mut self, n: impl TryInto<i32>) -> i32 {
        n.try_into().unwrap_or_else(|_| {
            self.overflow = true;
            0
        })
    }
}

fn write_header(out: &mut [u8], header: &BatchHeader) {
    if let Some(front) = out.first_chunk_mut::<HEADER_LEN>() {
        *front = header.to_bytes();
    }
}

/// A length past `i32::MAX` is caught by the length of the record, which is larger still.
fn wire_len(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |b| i32::try_from(b.len()).unwrap_or(i32::MAX))
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    varint_len(wire_len(bytes)) + bytes.map_or(0, <[u8]>::len)
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, wire_len(bytes));
    out.extend_from_slice(bytes.unwrap_or_default());
}
