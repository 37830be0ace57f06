//! The records inside a batch: a borrowed view of each, checked as it is reached.
//!
//! ```text
//! length          varint    of all that follows
//! attributes      i8        unused
//! timestamp delta varlong   to the batch's base timestamp
//! offset delta    varint    to the batch's base offset
//! key             varint length (-1 for null), bytes
//! value           varint length (-1 for null), bytes
//! headers         varint count, then each: key (varint length, bytes), value (varint length or -1, bytes)
//! ```

use std::borrow::Cow;

use crate::error::BatchError;
use crate::header::{BatchHeader, TimestampType};
use crate::ids::Offset;
use crate::time::Timestamp;
use crate::varint::Cursor;

/// The records of one batch, decompressed; iterate over a reference to it.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl<'a> Records<'a> {
    /// `body` must be the decompressed records that `header` counts.
    pub(crate) fn new(header: BatchHeader, body: Cow<'a, [u8]>) -> Self {
        Self { header, body }
    }

    /// The records, each checked as it is reached. After the last one, bytes left over are an error; after an error
    /// there is nothing more.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.body)
    }

    /// Size of the records when not compressed.
    pub fn size_bytes(&self) -> usize {
        self.body.len()
    }
}

impl<'b> IntoIterator for &'b Records<'_> {
    type Item = Result<Record<'b>, BatchError>;
    type IntoIter = RecordIter<'b>;

    fn into_iter(self) -> RecordIter<'b> {
        self.iter()
    }
}

/// Iterator over the records of a batch.
#[derive(Clone, Debug)]
pub struct RecordIter<'b> {
    header: BatchHeader,
    cursor: Cursor<'b>,
    next: u32,
    failed: bool,
}

impl<'b> RecordIter<'b> {
    /// The records of a batch whose decompressed records the caller keeps, as one does who hands out slices of them.
    pub fn new(header: &BatchHeader, body: &'b [u8]) -> Self {
        Self { header: *header, cursor: Cursor::new(body), next: 0, failed: false }
    }

    fn record(&mut self) -> Result<Record<'b>, BatchError> {
        let index = self.next;
        self.next += 1;
        let record = Record::parse(&mut self.cursor, &self.header)
            .map_err(|what| BatchError::Structure { index, what })?;
        if self.next == self.header.record_count() && !self.cursor.is_empty() {
            return Err(BatchError::Structure { index, what: "bytes left over behind the last record" });
        }
        Ok(record)
    }
}

impl<'b> Iterator for RecordIter<'b> {
    type Item = Result<Record<'b>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next >= self.header.record_count() {
            return None;
        }
        let record = self.record();
        self.failed = record.is_err();
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.header.record_count().saturating_sub(self.next) as usize;
        // The count is a claim: a reservation by it must stay below what the bytes can hold, 7 at least for a record.
        (0, Some(left))
    }
}

/// One record. Key and value are borrowed from the batch, or from its decompressed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'b> {
    /// Position in the partition (in what a producer sent: in the batch).
    pub offset: Offset,
    /// The producer's timestamp, or with LogAppendTime the batch's.
    pub timestamp: Option<Timestamp>,
    /// What decides the partition, and what compaction keeps one record of.
    pub key: Option<&'b [u8]>,
    /// `None` is a tombstone in a compacted topic.
    pub value: Option<&'b [u8]>,
    /// Further named values.
    pub headers: Headers<'b>,
    pub(crate) offset_delta: i32,
    /// As the producer set it, whatever the timestamp type of the batch.
    pub(crate) create_time: i64,
}

impl<'b> Record<'b> {
    #[inline(always)]
    pub(crate) fn parse(cursor: &mut Cursor<'b>, header: &BatchHeader) -> Result<Self, &'static str> {
        let length = cursor.varint().ok_or("its length")?;
        let body = usize::try_from(length).ok().and_then(|n| cursor.take(n)).ok_or("its length")?;
        let mut body = Cursor::new(body);
        body.byte().ok_or("its attributes")?;
        let timestamp_delta = body.varlong().ok_or("its timestamp")?;
        let offset_delta = body.varint().ok_or("its offset")?;
        let key = body.nullable_bytes().ok_or("its key")?;
        let value = body.nullable_bytes().ok_or("its value")?;
        let headers = Headers::parse(&mut body)?;
        if !body.is_empty() {
            return Err("bytes left over behind its headers");
        }
        // Java's arithmetic wraps; so does ours, rather than panic on what a client sent.
        let create_time = header.base_timestamp.wrapping_add(timestamp_delta);
        let timestamp = match header.attributes().timestamp_type() {
            TimestampType::CreateTime => Timestamp::from_wire(create_time),
            TimestampType::LogAppendTime => header.max_timestamp(),
        };
        let offset = header.base_offset() + i64::from(offset_delta);
        Ok(Self { offset, timestamp, key, value, headers, offset_delta, create_time })
    }
}

/// The headers of one record, in order; a key may come more than once (KIP-82).
#[derive(Clone, Copy, Debug)]
pub struct Headers<'b> {
    count: u32,
    cursor: Cursor<'b>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// UTF-8 as Kafka's clients write it; not checked here.
    pub key: &'b [u8],
    /// Any bytes, or null.
    pub value: Option<&'b [u8]>,
}

impl<'b> Headers<'b> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers { count: 0, cursor: Cursor::EMPTY };

    #[inline(always)]
    fn parse(cursor: &mut Cursor<'b>) -> Result<Self, &'static str> {
        const WHAT: &str = "its headers";
        let count = cursor.varint().and_then(|n| u32::try_from(n).ok()).ok_or(WHAT)?;
        let headers = Self { count, cursor: *cursor };
        if count > 0 {
            *cursor = headers.skip().ok_or(WHAT)?;
        }
        Ok(headers)
    }

    fn skip(self) -> Option<Cursor<'b>> {
        let mut cursor = self.cursor;
        for _ in 0..self.count {
            Self::header(&mut cursor)?;
        }
        Some(cursor)
    }

    fn header(cursor: &mut Cursor<'b>) -> Option<Header<'b>> {
        let key = cursor.nullable_bytes()??;
        let value = cursor.nullable_bytes()?;
        Some(Header { key, value })
    }

    /// Number of headers.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True without headers.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'b>> + Clone + use<'b> {
        let mut cursor = self.cursor;
        // They were all read once when the record was parsed, so none fails now.
        (0..self.count).map_while(move |_| Self::header(&mut cursor))
    }
}

impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers<'_> {}
