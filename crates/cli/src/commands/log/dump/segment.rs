//! Record batches, and the records in them.

use std::path::Path;

use ottla_record::header::BatchHeader;
use ottla_record::{
    BatchError, BatchView, ControlType, EndTransactionMarker, LeaderEpoch, Offset, Timestamp,
};
use ottla_storage::SegmentReader;
use ottla_storage::scan::{Check, Scanned};

use super::item::{Batch, Item, Record, timestamp_type};
use super::{Dump, Report, Trouble, decode};
use crate::output::Shown;

pub(super) fn dump(path: &Path, arguments: &Dump, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let segment = SegmentReader::open(path).map_err(Trouble::Read)?;
    let mut scan = segment.batches();
    let mut next = segment.base();
    loop {
        match scan.next(Check::Crc).map_err(Trouble::Read)? {
            Scanned::Batch { position, header } => {
                in_order(&header, &mut next, position, report)?;
                batch(&segment, position, &header, arguments, report)?;
            }
            Scanned::End => return Ok(()),
            Scanned::Unwritten => {
                let (position, bytes) = (scan.position(), segment.size() - scan.position());
                return Ok(report.item(Item::Unwritten { position, bytes })?);
            }
            Scanned::Invalid(error) => {
                let position = scan.position();
                report.damage(Some(position), &error)?;
                // With a wrong CRC the length may be right: what follows tells.
                let mut behind = segment.batches_from(position);
                match behind.next(Check::Header).map_err(Trouble::Read)? {
                    Scanned::Batch { header, .. } if matches!(error, BatchError::CorruptCrc { .. }) => {
                        report.item(Item::Batch(described(position, &header)))?;
                        next = next.max(header.last_offset().next());
                        scan = behind;
                    }
                    _ => return Ok(()),
                }
            }
        }
    }
}

/// Offsets rise. Gaps are what compaction leaves.
fn in_order(
    header: &BatchHeader,
    next: &mut Offset,
    position: u64,
    report: &mut Report<'_, '_>,
) -> Result<(), Trouble> {
    if header.base_offset() < *next {
        let base = header.base_offset();
        report
            .damage(Some(position), format!("a batch starts at offset {base}, where {next} was expected"))?;
    }
    *next = (*next).max(header.last_offset().next());
    Ok(())
}

fn batch(
    segment: &SegmentReader,
    position: u64,
    header: &BatchHeader,
    arguments: &Dump,
    report: &mut Report<'_, '_>,
) -> Result<(), Trouble> {
    report.item(Item::Batch(described(position, header)))?;
    if !arguments.records && arguments.decode.is_none() {
        return Ok(());
    }
    if header.len() > arguments.max_batch_bytes {
        let note = format!("its records are not shown: {} bytes (--max-batch-bytes)", header.len());
        return Ok(report.item(Item::Note { note: &note })?);
    }
    let bytes = segment.read(position, header.len()).map_err(Trouble::Read)?;
    let records = BatchView::parse(&bytes).and_then(|view| view.records(arguments.max_batch_bytes));
    let records = match records {
        Ok(records) => records,
        Err(error @ BatchError::DecompressedTooLarge { .. }) => {
            let note = format!("its records are not shown: {error} (--max-batch-bytes)");
            return Ok(report.item(Item::Note { note: &note })?);
        }
        Err(error) => return Ok(report.damage(Some(position), error)?),
    };
    for read in &records {
        match read {
            Ok(read) => record(header, &read, arguments, report)?,
            Err(error) => return Ok(report.damage(Some(position), error)?),
        }
    }
    Ok(())
}

fn record(
    header: &BatchHeader,
    record: &ottla_record::Record<'_>,
    arguments: &Dump,
    report: &mut Report<'_, '_>,
) -> Result<(), Trouble> {
    if header.attributes().is_control()
        && let Some(marker) = EndTransactionMarker::parse(record)
    {
        return Ok(report.item(Item::Marker {
            offset: record.offset.get(),
            producer_id: header.producer().map(|stamp| stamp.id.get()),
            outcome: match marker.control {
                ControlType::Abort => "abort",
                ControlType::Commit => "commit",
            },
            coordinator_epoch: marker.coordinator_epoch,
        })?);
    }
    let decoded = match arguments.decode {
        Some(topic) if !header.attributes().is_control() => match decode::record(topic, record) {
            Ok(decoded) => Some(decoded),
            Err(error) => {
                report.damage(None, format!("the record at offset {}: {error}", record.offset))?;
                None
            }
        },
        _ => None,
    };
    let show = |bytes| Shown::new(bytes, arguments.max_value_bytes);
    let raw = decoded.is_none();
    Ok(report.item(Item::Record(Record {
        offset: record.offset.get(),
        timestamp: record.timestamp.map(Timestamp::millis),
        key: raw.then(|| show(record.key)),
        value: raw.then(|| show(record.value)),
        headers: record.headers.iter().map(|header| (show(Some(header.key)), show(header.value))).collect(),
        decoded,
    }))?)
}

fn described(position: u64, header: &BatchHeader) -> Batch {
    let producer = header.producer();
    Batch {
        position,
        bytes: header.len(),
        base_offset: header.base_offset().get(),
        last_offset: header.last_offset().get(),
        records: header.record_count(),
        leader_epoch: header.partition_leader_epoch().map(LeaderEpoch::get),
        compression: header.compression().to_string(),
        timestamp_type: timestamp_type(header.attributes().timestamp_type()),
        max_timestamp: header.max_timestamp().map(Timestamp::millis),
        producer_id: producer.map(|stamp| stamp.id.get()),
        producer_epoch: producer.map(|stamp| stamp.epoch.get()),
        base_sequence: producer.and_then(|stamp| stamp.base_sequence).map(ottla_record::Sequence::get),
        transactional: header.attributes().is_transactional(),
        control: header.attributes().is_control(),
        delete_horizon: header.delete_horizon().map(Timestamp::millis),
        crc: header.crc(),
    }
}
