//! From a request to batches: which partition each record goes to, and how records are packed.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_node::HostedTopic;
use ottla_node::record::partitioner::partition_for_key;
use ottla_node::record::{BatchBuilder, BatchHeader, Timestamp};
use ottla_rpc::{KafkaError, records, v1};

use crate::errors::{Failure, invalid};

/// Batches in one request at most.
const MAX_BATCHES: usize = 10_000;

/// What a record takes beside its key, its value and its headers, at most: seven varints and the attributes.
const RECORD_OVERHEAD: usize = 40;
/// The same for a header.
const HEADER_OVERHEAD: usize = 10;

/// One batch for one partition.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) partition: i32,
    pub(super) bytes: Bytes,
    /// How many there are in it.
    pub(super) records: u32,
    /// Which of the request's records these are; empty for all of them.
    pub(super) indexes: Vec<u32>,
}

/// Turns a request into batches, in the order in which they are to be appended.
pub(super) fn pack(
    request: v1::PublishRequest,
    topic: &HostedTopic,
    now: Timestamp,
) -> Result<Vec<Packed>, Failure> {
    match (request.records.is_empty(), request.batches.is_empty()) {
        (true, true) => Err(invalid("there is nothing to publish: neither `records` nor `batches`")),
        (false, false) => Err(invalid("`records` and `batches` cannot be in one request")),
        (true, false) => match request.partition {
            Some(partition) => split(partition, request.batches),
            None => Err(invalid("`batches` need a `partition`")),
        },
        (false, true) => build(&request, topic, now),
    }
}

/// Whole batches, one by one: each is appended by itself, as a Kafka producer would send it.
fn split(partition: i32, mut batches: Bytes) -> Result<Vec<Packed>, Failure> {
    let mut packed = Vec::new();
    while !batches.is_empty() {
        if packed.len() == MAX_BATCHES {
            return Err(invalid(format!("a request may have {MAX_BATCHES} batches")));
        }
        // What is no batch is refused by the checks before the append, with the reason.
        let (len, records) = match BatchHeader::parse(&batches) {
            Ok(header) => (header.len().min(batches.len()), header.record_count()),
            Err(_) => (batches.len(), 0),
        };
        packed.push(Packed { partition, bytes: batches.split_to(len), records, indexes: Vec::new() });
    }
    Ok(packed)
}

fn build(request: &v1::PublishRequest, topic: &HostedTopic, now: Timestamp) -> Result<Vec<Packed>, Failure> {
    let compression = v1::Compression::try_from(request.compression).map_err(|_| {
        Failure::new(
            KafkaError::UNSUPPORTED_COMPRESSION_TYPE,
            format!("there is no Compression {}", request.compression),
        )
    })?;
    let codec = records::codec(compression);
    let max_bytes = topic.settings().produce.max_batch_bytes;
    let mut packing = Packing { builders: BTreeMap::new(), packed: Vec::new(), max_bytes, codec };
    let count = topic.partitions().len();
    let mut keyless = None;
    for (index, record) in (0u32..).zip(&request.records) {
        check(index, record)?;
        let partition = match (request.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, u32::try_from(count).unwrap_or(u32::MAX))
                .map_or(0, |partition| partition.get()),
            (None, None) => *keyless.get_or_insert_with(|| topic.next_keyless_partition().get()),
        };
        packing.push(partition, index, record, now)?;
    }
    let mut packed = packing.finish()?;
    if let [only] = packed.as_mut_slice() {
        only.indexes = Vec::new();
    }
    Ok(packed)
}

fn check(index: u32, record: &v1::Record) -> Result<(), Failure> {
    match record.timestamp_ms {
        Some(millis) if millis < 0 => {
            let mut failure = Failure::new(
                KafkaError::INVALID_TIMESTAMP,
                format!("record {index} has the timestamp {millis}, before 1970"),
            );
            let reason = "a timestamp is not negative".to_owned();
            failure.detail.refused_records =
                vec![v1::RefusedRecord { index: i32::try_from(index).unwrap_or(i32::MAX), reason }];
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// Batches being filled.
struct Packing {
    builders: BTreeMap<i32, (BatchBuilder, Vec<u32>)>,
    packed: Vec<Packed>,
    max_bytes: usize,
    codec: ottla_node::record::Codec,
}

impl Packing {
    fn push(
        &mut self,
        partition: i32,
        index: u32,
        record: &v1::Record,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let fresh = || (BatchBuilder::new(self.codec), Vec::new());
        let (builder, indexes) = self.builders.entry(partition).or_insert_with(fresh);
        // Before compression, so that a batch is never too large by what it was packed of. A record that is too large by
        // itself is refused with its own error.
        if !indexes.is_empty() && builder.size_bytes() + size_bound(record) > self.max_bytes {
            let (builder, indexes) =
                std::mem::replace(self.builders.entry(partition).or_insert_with(fresh), fresh());
            self.packed.push(close(partition, builder, indexes)?);
        }
        let (builder, indexes) = self.builders.entry(partition).or_insert_with(fresh);
        records::push(builder, record, now);
        indexes.push(index);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Packed>, Failure> {
        for (partition, (builder, indexes)) in self.builders {
            self.packed.push(close(partition, builder, indexes)?);
        }
        if self.packed.len() > MAX_BATCHES {
            return Err(invalid(format!("these records make more than {MAX_BATCHES} batches")));
        }
        Ok(self.packed)
    }
}

fn close(partition: i32, builder: BatchBuilder, indexes: Vec<u32>) -> Result<Packed, Failure> {
    let records = builder.record_count();
    let bytes = builder.build().map_err(|error| {
        let mut failure = Failure::new(KafkaError::INVALID_RECORD, error.to_string());
        failure.detail.partition = Some(partition);
        failure
    })?;
    Ok(Packed { partition, bytes, records, indexes })
}

/// What a record takes in a batch at most, before compression.
pub(super) fn size_bound(record: &v1::Record) -> usize {
    let header = |header: &v1::Header| {
        HEADER_OVERHEAD + header.name.len() + header.value.as_ref().map_or(0, Bytes::len)
    };
    RECORD_OVERHEAD
        + record.key.as_ref().map_or(0, Bytes::len)
        + record.value.as_ref().map_or(0, Bytes::len)
        + record.headers.iter().map(header).sum::<usize>()
}
