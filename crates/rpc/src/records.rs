//! Between protobuf's records and Kafka's batches.

use bytes::Bytes;
use ottla_record::{BatchBuilder, Codec, Header, Record, Timestamp};

use crate::v1;

/// Appends a record to a batch. One without a timestamp gets `now`.
pub fn push(batch: &mut BatchBuilder, record: &v1::Record, now: Timestamp) {
    let headers: Vec<Header<'_>> = record
        .headers
        .iter()
        .map(|header| Header { key: header.name.as_bytes(), value: header.value.as_deref() })
        .collect();
    let timestamp = record.timestamp_ms.map_or(now, Timestamp::from_millis);
    batch.push(Some(timestamp), record.key.as_deref(), record.value.as_deref(), &headers);
}

/// A record of a batch, copied out of it. A header whose name is not UTF-8, which Kafka's own clients cannot write,
/// comes with the replacement character in it.
pub fn to_v1(record: &Record<'_>) -> v1::Record {
    let header = |header: Header<'_>| v1::Header {
        name: String::from_utf8_lossy(header.key).into_owned(),
        value: header.value.map(Bytes::copy_from_slice),
    };
    v1::Record {
        key: record.key.map(Bytes::copy_from_slice),
        value: record.value.map(Bytes::copy_from_slice),
        headers: record.headers.iter().map(header).collect(),
        timestamp_ms: record.timestamp.map(Timestamp::millis),
        offset: record.offset.get(),
    }
}

/// The codec of a compression, at Kafka's own default level.
pub fn codec(compression: v1::Compression) -> Codec {
    match compression {
        v1::Compression::None => Codec::None,
        v1::Compression::Gzip => Codec::Gzip { level: -1 },
        v1::Compression::Snappy => Codec::Snappy,
        v1::Compression::Lz4 => Codec::Lz4,
        v1::Compression::Zstd => Codec::Zstd { level: 3 },
    }
}
