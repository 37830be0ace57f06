//! One message of a fetch, unpacked batch by batch into records.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{
    BatchError, BatchHeader, BatchView, ControlType, EndTransactionMarker, Offset, Record, RecordIter,
};
use ottla_rpc::v1;

use crate::record::{ConsumerRecord, Header};
use crate::size::ByteSize;

/// Batches of one partition, and how far they are unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Where the reader goes on after it.
    pub(crate) next_offset: Offset,
    batches: Bytes,
    unpacked: usize,
    /// Aborted transactions not yet begun, by first offset.
    aborted: Vec<v1::AbortedTransaction>,
    /// Producers in the middle of an aborted transaction.
    aborting: BTreeSet<i64>,
}

impl Message {
    pub(crate) fn new(topic: Arc<str>, response: v1::FetchResponse) -> Self {
        let v1::FetchResponse { partition, batches, mut aborted, next_offset, .. } = response;
        // The next to begin is taken from the end.
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self {
            topic,
            partition,
            next_offset: Offset::new(next_offset),
            batches,
            unpacked: 0,
            aborted,
            aborting: BTreeSet::new(),
        }
    }

    /// The records of the next batch from `from` on; `None` behind the last batch. The CRC is checked. Records of aborted
    /// transactions and control records are left out.
    ///
    /// # Errors
    /// Whatever is wrong with the batch; the message then stays where it is.
    pub(crate) fn next_batch(
        &mut self,
        from: Offset,
        max_decompressed: ByteSize,
    ) -> Result<Option<Vec<ConsumerRecord>>, BatchError> {
        let rest = self.batches.slice(self.unpacked..);
        if rest.is_empty() {
            return Ok(None);
        }
        let view = BatchView::parse(&rest)?;
        view.verify_crc()?;
        let records = if self.is_visible(&view)? && view.last_offset() >= from {
            self.unpack(&view, &rest, from, max_decompressed)?
        } else {
            Vec::new()
        };
        self.unpacked += view.len();
        Ok(Some(records))
    }

    /// As Kafka's `CompletedFetch.nextFetchedRecord`: a transaction's abort holds from its first record to its marker.
    fn is_visible(&mut self, view: &BatchView<'_>) -> Result<bool, BatchError> {
        while let Some(begun) = self.aborted.pop_if(|t| t.first_offset <= view.last_offset().get()) {
            self.aborting.insert(begun.producer_id);
        }
        let producer = view.header().producer().map(|stamp| stamp.id.get());
        if view.header().attributes().is_control() {
            if let Some(producer) = producer
                && self.aborting.contains(&producer)
                && ends_in_abort(view)?
            {
                self.aborting.remove(&producer);
            }
            return Ok(false);
        }
        let aborted = producer.is_some_and(|producer| self.aborting.contains(&producer));
        Ok(!(aborted && view.header().attributes().is_transactional()))
    }

    fn unpack(
        &self,
        view: &BatchView<'_>,
        rest: &Bytes,
        from: Offset,
        max_decompressed: ByteSize,
    ) -> Result<Vec<ConsumerRecord>, BatchError> {
        let header: &BatchHeader = view.header();
        let body = if header.record_count() > 0 && header.compression().compresses() {
            Bytes::from(header.compression().decompress(view.records_bytes(), max_decompressed.get())?)
        } else {
            rest.slice_ref(view.records_bytes())
        };
        RecordIter::new(header, &body)
            .filter(|record| record.as_ref().map_or(true, |record| record.offset >= from))
            .map(|record| record.map(|record| self.own(&record, &body)))
            .collect()
    }

    /// Key and value are slices of the body, not copies.
    fn own(&self, record: &Record<'_>, body: &Bytes) -> ConsumerRecord {
        let header = |header: ottla_record::Header<'_>| Header {
            name: String::from_utf8_lossy(header.key).into_owned(),
            value: header.value.map(|value| body.slice_ref(value)),
        };
        ConsumerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(|key| body.slice_ref(key)),
            value: record.value.map(|value| body.slice_ref(value)),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

fn ends_in_abort(view: &BatchView<'_>) -> Result<bool, BatchError> {
    // Markers are a few bytes, and never compressed by a broker.
    const MAX_MARKER_BYTES: usize = 1024;
    let records = view.records(MAX_MARKER_BYTES)?;
    let first = records.iter().next().transpose()?;
    let marker = first.as_ref().and_then(EndTransactionMarker::parse);
    Ok(marker.is_some_and(|marker| marker.control == ControlType::Abort))
}

#[cfg(test)]
mod tests;
