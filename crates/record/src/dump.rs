//! One batch as one line of JSON, for reading with the eye or `jq`, and for comparing with another implementation.
//!
//! Numbers are spelled as in the format, -1 for "none"; keys, values and header keys are hexadecimal, or null.

use std::fmt::{self, Write};

use crate::batch::BatchView;
use crate::error::BatchError;
use crate::header::{BatchHeader, TimestampType};
use crate::ids::Sequence;
use crate::record::{Record, Records};
use crate::time::Timestamp;

/// The batch with all its records.
///
/// # Errors
/// As [`BatchView::records`], and as iterating over them.
pub fn json(batch: &BatchView<'_>, max_decompressed_bytes: usize) -> Result<String, BatchError> {
    let records = batch.records(max_decompressed_bytes)?;
    // Once now for the errors; writing to a string has none of its own.
    records.iter().try_for_each(|record| record.map(drop))?;
    Ok(Line { header: batch.header(), records: &records }.to_string())
}

struct Line<'a> {
    header: &'a BatchHeader,
    records: &'a Records<'a>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header;
        let attributes = header.attributes();
        let timestamp_type = match attributes.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        write!(f, "{{\"baseOffset\":{},\"lastOffset\":{}", header.base_offset(), header.last_offset())?;
        write!(f, ",\"count\":{},\"size\":{}", header.record_count(), header.len())?;
        write!(f, ",\"leaderEpoch\":{},\"crc\":{}", header.leader_epoch, header.crc())?;
        write!(f, ",\"compression\":\"{}\",\"timestampType\":\"{timestamp_type}\"", header.compression())?;
        write!(f, ",\"transactional\":{}", attributes.is_transactional())?;
        write!(f, ",\"control\":{}", attributes.is_control())?;
        write!(f, ",\"deleteHorizon\":{}", Timestamp::to_wire(header.delete_horizon()))?;
        write!(f, ",\"baseTimestamp\":{}", header.base_timestamp)?;
        write!(f, ",\"maxTimestamp\":{}", header.max_timestamp)?;
        write!(f, ",\"producerId\":{}", header.producer_id)?;
        write!(f, ",\"producerEpoch\":{}", header.producer_epoch)?;
        write!(f, ",\"baseSequence\":{}", header.base_sequence)?;
        write!(f, ",\"lastSequence\":{}", Sequence::to_wire(header.last_sequence()))?;
        f.write_str(",\"records\":[")?;
        for (i, record) in self.records.iter().flatten().enumerate() {
            write_record(f, if i == 0 { "" } else { "," }, &record)?;
        }
        f.write_str("]}")
    }
}

fn write_record(f: &mut fmt::Formatter<'_>, comma: &str, record: &Record<'_>) -> fmt::Result {
    let timestamp = Timestamp::to_wire(record.timestamp);
    write!(f, "{comma}{{\"offset\":{},\"timestamp\":{timestamp}", record.offset)?;
    write!(f, ",\"key\":{},\"value\":{}", Hex(record.key), Hex(record.value))?;
    f.write_str(",\"headers\":[")?;
    for (i, header) in record.headers.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(f, "{comma}[{},{}]", Hex(Some(header.key)), Hex(header.value))?;
    }
    f.write_str("]}")
}

struct Hex<'a>(Option<&'a [u8]>);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("null") };
        f.write_char('"')?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_char('"')
    }
}
