//! What a log holds, read the way a consumer reads it, and what its index files say, read from their bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla_record::header::ProducerStamp;
use ottla_record::{BatchView, ControlType, EndTransactionMarker, LeaderEpoch, Offset, Timestamp};
use ottla_storage::{Log, LogView};

use crate::disk::{Content, Image};
use crate::oracle::RecordId;

/// One batch that a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBatch {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset of its last record.
    pub last: Offset,
    /// Term of the leader that wrote it.
    pub epoch: Option<LeaderEpoch>,
    /// The idempotent producer that sent it.
    pub producer: Option<ProducerStamp>,
    /// Largest timestamp.
    pub max_timestamp: Option<Timestamp>,
    /// What its records carry; of a transaction's end, what [`RecordId::marker`] makes of it.
    pub ids: Vec<RecordId>,
    /// The timestamp of each record.
    pub timestamps: Vec<Timestamp>,
    /// It belongs to a transaction.
    pub transactional: bool,
    /// It ends one, in this way.
    pub control: Option<ControlType>,
}

/// A whole log, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// First offset that may be read.
    pub log_start: Offset,
    /// End of what is written.
    pub log_end: Offset,
    /// End of what the log says is durable.
    pub flushed_end: Offset,
    /// From the batch that holds the log start to the end.
    pub batches: Vec<ObservedBatch>,
}

impl Observed {
    /// Reads everything, in bites of a size that crosses batches and segments.
    ///
    /// # Errors
    /// What a reader would have run into, in words.
    pub fn read(log: &Log) -> Result<Self, String> {
        let view = log.view();
        let (log_start, log_end) = (log.log_start(), log.log_end());
        let batches = read_batches(&view, log_start, log_end)?;
        Ok(Self { log_start, log_end, flushed_end: log.flushed_end(), batches })
    }

    /// Every record that may be read, with its offset.
    pub fn records(&self) -> impl Iterator<Item = (Offset, RecordId)> + '_ {
        self.batches
            .iter()
            .flat_map(|batch| batch.ids.iter().zip(0..).map(|(id, n)| (batch.base + n, *id)))
            .filter(|(offset, _)| *offset >= self.log_start)
    }

    /// The record at an offset.
    pub fn at(&self, offset: Offset) -> Option<RecordId> {
        let index = self.batches.partition_point(|batch| batch.last < offset);
        let batch = self.batches.get(index).filter(|batch| offset >= batch.base.max(self.log_start))?;
        batch.ids.get(usize::try_from(offset - batch.base).ok()?).copied()
    }
}

/// How much a reader asks for at once.
const BITE: usize = 700;
/// More than any batch here.
const LARGEST: usize = 1 << 20;

/// Every batch from the one that holds `from` up to `end`, read in bites that cross batches and segments.
fn read_batches(view: &LogView, mut from: Offset, end: Offset) -> Result<Vec<ObservedBatch>, String> {
    let mut batches = Vec::new();
    while from < end {
        let bytes = read(view, from, BITE).map_err(|error| format!("reading from {from}: {error}"))?;
        if bytes.is_empty() {
            return Err(format!("reading from {from} gives nothing, though the log ends at {end}"));
        }
        let found = parse(&bytes).map_err(|error| format!("reading from {from}: {error}"))?;
        from = found.last().map_or(end, |batch| batch.last.next());
        batches.extend(found);
    }
    Ok(batches)
}

/// Reads and checks batches as a consumer does.
///
/// # Errors
/// What a consumer would run into, in words.
pub fn parse(mut bytes: &[u8]) -> Result<Vec<ObservedBatch>, String> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let (found, len) = batch(bytes)?;
        bytes = bytes.split_at_checked(len).map_or(&[], |(_, rest)| rest);
        batches.push(found);
    }
    Ok(batches)
}

fn read(view: &LogView, from: Offset, max: usize) -> Result<Vec<u8>, String> {
    let Some(slice) = view.read(from, max, Offset::new(i64::MAX), true).map_err(|e| e.to_string())? else {
        return Ok(Vec::new());
    };
    slice.read().map_err(|error| error.to_string())
}

/// Reads and checks the batch at the front.
fn batch(bytes: &[u8]) -> Result<(ObservedBatch, usize), String> {
    let view = BatchView::parse(bytes).map_err(|error| error.to_string())?;
    view.verify_crc().map_err(|error| format!("batch at {}: {error}", view.base_offset()))?;
    let header = *view.header();
    let (mut ids, mut timestamps, mut control) = (Vec::new(), Vec::new(), None);
    for record in &view.records(LARGEST).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        timestamps.push(record.timestamp.unwrap_or(Timestamp::EPOCH));
        if header.attributes().is_control() {
            let marker = EndTransactionMarker::parse(&record).ok_or("a control record of no known kind")?;
            control = Some(marker.control);
            ids.push(RecordId::marker(marker.coordinator_epoch));
            continue;
        }
        let value = record.value.unwrap_or_default();
        let id = value.first_chunk::<8>().ok_or("a record that nobody sent: its value is too short")?;
        ids.push(RecordId(u64::from_be_bytes(*id)));
    }
    let batch = ObservedBatch {
        base: view.base_offset(),
        last: view.last_offset(),
        epoch: header.partition_leader_epoch(),
        producer: header.producer(),
        max_timestamp: header.max_timestamp(),
        ids,
        timestamps,
        transactional: header.attributes().is_transactional(),
        control,
    };
    Ok((batch, view.len()))
}

/// Checks every index file of a partition's directory against the batches in the segment beside it, from the bytes.
///
/// # Errors
/// The first entry that does not point at the batch it says.
pub fn check_index_files(image: &Image, dir: &Path) -> Result<(), String> {
    let files: BTreeMap<PathBuf, Content> =
        image.files().into_iter().filter(|(path, _)| path.parent() == Some(dir)).collect();
    for (path, content) in &files {
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if !matches!(kind, "index" | "timeindex") {
            continue;
        }
        let log = path.with_extension("log");
        let Some(segment) = files.get(&log) else { continue };
        let base = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let base = Offset::new(base.ok_or_else(|| format!("{}: not a segment's name", path.display()))?);
        let batches = segment_batches(&bytes(segment));
        let check = if kind == "index" { check_offsets } else { check_times };
        check(base, &bytes(content), &batches).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn bytes(content: &Content) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(content.len()).unwrap_or(0)];
    content.read(&mut bytes, 0);
    bytes
}

/// Position, last offset and largest timestamp of each batch, up to the first that is none.
fn segment_batches(bytes: &[u8]) -> Vec<(u64, Offset, Option<Timestamp>)> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(view) = bytes.get(position..).and_then(|rest| BatchView::parse(rest).ok()) {
        if view.verify_crc().is_err() {
            break;
        }
        found.push((position as u64, view.last_offset(), view.header().max_timestamp()));
        position += view.len();
    }
    found
}

type Batches = [(u64, Offset, Option<Timestamp>)];

/// Kafka's offset index: last offset of the batch relative to the base, and its position, both `u32`.
fn check_offsets(base: Offset, bytes: &[u8], batches: &Batches) -> Result<(), String> {
    let (entries, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err("its size is not a whole number of entries".to_owned());
    }
    let mut before = None;
    for entry in entries {
        let entry = u64::from_be_bytes(*entry);
        let (offset, position) = (base + (entry >> 32).cast_signed(), entry & u64::from(u32::MAX));
        if !batches.iter().any(|(at, last, _)| *at == position && *last == offset) {
            return Err(format!("offset {offset} is said to end the batch at byte {position}; it does not"));
        }
        if before >= Some(offset) {
            return Err(format!("offset {offset} does not rise"));
        }
        before = Some(offset);
    }
    Ok(())
}

/// Kafka's time index: a timestamp (`i64`) and the last offset of the batch that holds it (`u32`, relative).
fn check_times(base: Offset, bytes: &[u8], batches: &Batches) -> Result<(), String> {
    let (entries, rest) = bytes.as_chunks::<12>();
    if !rest.is_empty() {
        return Err("its size is not a whole number of entries".to_owned());
    }
    let mut before = None;
    for entry in entries {
        let (timestamp, offset) = entry.split_at(8);
        let timestamp =
            timestamp.first_chunk().map(|bytes| Timestamp::from_millis(i64::from_be_bytes(*bytes)));
        let relative = offset.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let offset = base + i64::from(relative);
        if !batches.iter().any(|(_, last, max)| *last == offset && *max == timestamp) {
            return Err(format!(
                "{timestamp:?} is said to stand in the batch that ends at {offset}; it does not"
            ));
        }
        if let Some((_, later, max)) =
            batches.iter().find(|(_, last, max)| *last <= offset && *max > timestamp)
        {
            return Err(format!("{timestamp:?} at {offset}, but the batch that ends at {later} has {max:?}"));
        }
        if before >= Some((timestamp, offset)) {
            return Err(format!("{timestamp:?} at {offset} does not rise"));
        }
        before = Some((timestamp, offset));
    }
    Ok(())
}
