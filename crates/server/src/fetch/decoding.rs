//! From batches as they lie in the log to messages: as they are, or record by record.

use std::collections::VecDeque;

use bytes::Bytes;
use ottla_node::Fetched;
use ottla_node::record::{BatchError, BatchView, Batches, Offset};
use ottla_node::storage::AbortedTransaction;
use ottla_rpc::{records, v1};

use crate::errors::{self, Failure};
use crate::fetch::Cursor;

/// What a record takes in a message beside its key, its value and its headers, about.
const RECORD_OVERHEAD: usize = 32;

/// Batches of one partition on their way to the client.
///
/// Batches are decoded one by one, when the client has taken what came before: a stream never holds more than one
/// decompressed batch.
pub(super) struct Decoding {
    /// All that the messages have in common.
    blank: v1::FetchResponse,
    from: Offset,
    next: Offset,
    bytes: Bytes,
    aborted: Vec<AbortedTransaction>,
    max_message_bytes: usize,
    form: Form,
}

enum Form {
    Batches,
    Records { max_decompressed: usize, ready: VecDeque<v1::FetchResponse> },
}

impl Decoding {
    /// Batches that were read for a cursor.
    pub(super) fn new(
        cursor: &Cursor,
        fetched: &Fetched,
        bytes: Bytes,
        max_message_bytes: usize,
    ) -> Result<Self, BatchError> {
        let mut next = cursor.next();
        for batch in Batches::new(&bytes) {
            next = batch?.last_offset() + 1;
        }
        let blank = v1::FetchResponse {
            topic: cursor.topic().to_string(),
            partition: cursor.partition(),
            log_start_offset: fetched.log_start.get(),
            high_watermark: fetched.high_watermark.get(),
            ..Default::default()
        };
        let aborted = fetched.aborted.clone();
        let form = Form::Batches;
        Ok(Self { blank, from: cursor.next(), next, bytes, aborted, max_message_bytes, form })
    }

    /// Behind the last record.
    pub(super) fn next(&self) -> Offset {
        self.next
    }

    /// To be sent as they are, in one message.
    pub(super) fn into_batches(self) -> Self {
        self
    }

    /// To be sent record by record.
    pub(super) fn into_records(self, max_decompressed: usize) -> Self {
        Self { form: Form::Records { max_decompressed, ready: VecDeque::new() }, ..self }
    }

    /// The next message; `None` when there are no more.
    pub(super) fn next_message(&mut self) -> Result<Option<v1::FetchResponse>, Failure> {
        match &mut self.form {
            Form::Batches if self.bytes.is_empty() => Ok(None),
            Form::Batches => Ok(Some(v1::FetchResponse {
                batches: std::mem::take(&mut self.bytes),
                aborted: self.aborted.iter().map(aborted).collect(),
                next_offset: self.next.get(),
                ..self.blank.clone()
            })),
            Form::Records { max_decompressed, ready } => {
                if let Some(message) = ready.pop_front() {
                    return Ok(Some(message));
                }
                if self.bytes.is_empty() {
                    return Ok(None);
                }
                let mut filling = Filling {
                    blank: &self.blank,
                    max_bytes: self.max_message_bytes,
                    records: Vec::new(),
                    size: 0,
                    ready,
                };
                let mut reached = self.from;
                while !self.bytes.is_empty() && filling.ready.is_empty() {
                    let batch =
                        BatchView::parse(&self.bytes).map_err(|error| damaged(&self.blank, &error))?;
                    let len = batch.len();
                    if !is_hidden(&batch, &self.aborted) {
                        filling
                            .batch(&batch, self.from, *max_decompressed)
                            .map_err(|error| damaged(&self.blank, &error))?;
                    }
                    reached = batch.last_offset() + 1;
                    drop(self.bytes.split_to(len));
                }
                // Also without a record: the reader learns that it has seen everything up to here.
                Ok(filling.finish(reached))
            }
        }
    }
}

/// A message that is being filled.
struct Filling<'a> {
    blank: &'a v1::FetchResponse,
    max_bytes: usize,
    records: Vec<v1::Record>,
    size: usize,
    ready: &'a mut VecDeque<v1::FetchResponse>,
}

impl Filling<'_> {
    fn batch(
        &mut self,
        batch: &BatchView<'_>,
        from: Offset,
        max_decompressed: usize,
    ) -> Result<(), BatchError> {
        for record in &batch.records(max_decompressed)? {
            let record = record?;
            if record.offset < from {
                continue;
            }
            let record = records::to_v1(&record);
            let size = size(&record);
            if !self.records.is_empty() && self.size + size > self.max_bytes {
                let next = record.offset;
                self.close(next);
            }
            self.size += size;
            self.records.push(record);
        }
        Ok(())
    }

    fn close(&mut self, next_offset: i64) {
        self.size = 0;
        let records = std::mem::take(&mut self.records);
        self.ready.push_back(v1::FetchResponse { records, next_offset, ..self.blank.clone() });
    }

    fn finish(mut self, reached: Offset) -> Option<v1::FetchResponse> {
        self.close(reached.get());
        self.ready.pop_front()
    }
}

/// True for what no consumer of records sees: control batches, and those of aborted transactions (KIP-98).
fn is_hidden(batch: &BatchView<'_>, aborted: &[AbortedTransaction]) -> bool {
    let attributes = batch.header().attributes();
    if attributes.is_control() {
        return true;
    }
    let Some(producer) = batch.header().producer().filter(|_| attributes.is_transactional()) else {
        return false;
    };
    aborted.iter().any(|aborted| {
        aborted.producer == producer.id
            && (aborted.first_offset..=aborted.last_offset).contains(&batch.base_offset())
    })
}

fn aborted(aborted: &AbortedTransaction) -> v1::AbortedTransaction {
    v1::AbortedTransaction { producer_id: aborted.producer.get(), first_offset: aborted.first_offset.get() }
}

fn size(record: &v1::Record) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|header| header.name.len() + header.value.as_ref().map_or(0, Bytes::len) + 8);
    RECORD_OVERHEAD
        + record.key.as_ref().map_or(0, Bytes::len)
        + record.value.as_ref().map_or(0, Bytes::len)
        + headers.sum::<usize>()
}

fn damaged(blank: &v1::FetchResponse, error: &BatchError) -> Failure {
    tracing::error!(topic = %blank.topic, partition = blank.partition, %error, "a batch in the log is damaged");
    errors::fetch(ottla_node::FetchError::Storage).about(&blank.topic, Some(blank.partition))
}
