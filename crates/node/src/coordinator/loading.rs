//! From the log to a shard that answers.
//!
//! A shard reads its partition from the log's start to the end that it had when the term began, and serves once the high
//! watermark has passed that end: what it read is then committed. Records of transactions count from their marker on, and not
//! at all if they were aborted or are still open.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_coordination::shard::Event;
use ottla_record::record::RecordIter;
use ottla_record::{BatchError, BatchView, Batches, ControlType, EndTransactionMarker, Offset, ProducerId};
use ottla_replication::{Availability, View};
use ottla_storage::ReadError;

use crate::coordinator::Hosted;
use crate::coordinator::shard_host::ShardHost;
use crate::fetch_wait::GrowthWait;

/// No batch decompresses to more: none that a coordinator wrote does.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// Records that a shard takes in at once; whoever asks it something meanwhile waits no longer than for these.
const MAX_REPLAYED_AT_ONCE: usize = 4096;

/// Views that retention or compaction may overtake during one load.
const MAX_STALE_VIEWS: usize = 100;

/// Loads a shard: at once if there is nothing to read, as in a new partition, and beside the caller otherwise.
pub(crate) fn begin<M: Hosted>(host: &Arc<ShardHost<M>>) {
    let view = host.partition().view();
    if view.availability.leading() == Some(host.epoch()) && view.log_start == view.log_end {
        return host.submit(Event::Loaded);
    }
    host.shared().runtime.spawn(load(Arc::clone(host)));
}

/// Why a shard cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the record at offset {offset}: {error}")]
    Record { offset: Offset, error: String },
    #[error("reading it ended early: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

async fn load<M: Hosted>(host: Arc<ShardHost<M>>) {
    let shared = Arc::clone(host.shared());
    // All shards of a broker begin at once when it starts, and the disk is one.
    let Ok(_turn) = shared.loads.acquire().await else { return };
    let began = shared.clock.now().monotonic;
    let Some(view) = reached(&host, |_| true).await else { return host.resign() };
    let end = view.log_end;
    let reader = Arc::clone(&host);
    let read = tokio::task::spawn_blocking(move || Replay::new(&reader, view).run(end)).await;
    match read.map_err(LoadError::from).flatten() {
        Ok(records) => {
            if reached(&host, |view| view.high_watermark >= end).await.is_none() {
                return host.resign();
            }
            host.submit(Event::Loaded);
            let took = shared.clock.now().monotonic - began;
            shared.metrics.load_seconds.observe(took);
            tracing::debug!(partition = ?host.partition(), records, took_ms = took.as_millis(), "a coordinator is loaded");
        }
        Err(error) => {
            tracing::error!(
                partition = ?host.partition(),
                %error,
                "a coordinator cannot be loaded, and its groups are not served; check the partition with `ottla log dump`"
            );
            host.resign();
        }
    }
}

/// Waits for the partition to lead in the shard's term and to be `ready`; `None` once it never will.
async fn reached<M: Hosted>(host: &ShardHost<M>, ready: impl Fn(&View) -> bool) -> Option<Arc<View>> {
    let wait = GrowthWait::register(vec![Arc::clone(host.partition())]);
    loop {
        if host.is_resigned() || host.partition().is_closed() {
            return None;
        }
        let view = host.partition().view();
        match view.availability {
            Availability::Leading { epoch, .. } if epoch == host.epoch() && ready(&view) => {
                return Some(view);
            }
            Availability::Leading { epoch, .. } if epoch > host.epoch() => return None,
            Availability::Offline => return None,
            Availability::Leading { .. } | Availability::NotLeading { .. } => {}
        }
        wait.grown().await;
    }
}

/// One pass over a log.
struct Replay<'a, M: Hosted> {
    host: &'a Arc<ShardHost<M>>,
    view: Arc<View>,
    position: Offset,
    /// Records that the shard has not been given yet.
    decoded: Vec<M::Record>,
    /// Records of transactions whose end has not been seen.
    open: BTreeMap<ProducerId, Vec<M::Record>>,
    count: u64,
    passed_over: u64,
}

impl<'a, M: Hosted> Replay<'a, M> {
    fn new(host: &'a Arc<ShardHost<M>>, view: Arc<View>) -> Self {
        let position = view.log_start;
        Self { host, view, position, decoded: Vec::new(), open: BTreeMap::new(), count: 0, passed_over: 0 }
    }

    /// Reads up to `end`; the number of records that the shard was given. Blocks.
    fn run(mut self, end: Offset) -> Result<u64, LoadError> {
        let buffer = self.host.shared().load_buffer_bytes;
        let mut stale = 0;
        while self.position < end && !self.host.is_resigned() {
            let slice = match self.view.log.read(self.position, buffer, end, true) {
                Ok(Some(slice)) => slice,
                Ok(None) => break,
                Err(ReadError::Stale | ReadError::OffsetOutOfRange { .. }) if stale < MAX_STALE_VIEWS => {
                    stale += 1;
                    self.view = self.host.partition().view();
                    self.position = self.position.max(self.view.log_start);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let bytes = Bytes::from(slice.read()?);
            for batch in Batches::new(&bytes) {
                self.batch(&bytes, &batch?)?;
            }
            self.position = self.position.next().max(slice.end_offset);
        }
        self.hand_over();
        if self.passed_over > 0 {
            tracing::warn!(
                partition = ?self.host.partition(),
                records = self.passed_over,
                "records of types that this version does not know were passed over"
            );
        }
        Ok(self.count)
    }

    fn batch(&mut self, bytes: &Bytes, batch: &BatchView<'_>) -> Result<(), LoadError> {
        batch.verify_crc()?;
        let header = batch.header();
        let compression = header.compression();
        let body = if compression.compresses() {
            compression.decompress(batch.records_bytes(), MAX_DECOMPRESSED_BYTES)?.into()
        } else {
            bytes.slice_ref(batch.records_bytes())
        };
        let producer = header.producer().map(|stamp| stamp.id);
        for record in RecordIter::new(header, &body) {
            let record = record?;
            if record.offset < self.position {
                continue;
            }
            if header.attributes().is_control() {
                if let (Some(producer), Some(marker)) = (producer, EndTransactionMarker::parse(&record)) {
                    self.transaction_ended(producer, marker.control);
                }
                continue;
            }
            // Compacted topics have no records without a key.
            let Some(key) = record.key else { continue };
            let value = record.value.map(|value| body.slice_ref(value));
            match M::decode(&body.slice_ref(key), value.as_ref()) {
                Ok(Some(decoded)) => match producer.filter(|_| header.attributes().is_transactional()) {
                    Some(producer) => self.open.entry(producer).or_default().push(decoded),
                    None => self.decoded.push(decoded),
                },
                Ok(None) => self.passed_over += 1,
                Err(error) => return Err(LoadError::Record { offset: record.offset, error }),
            }
            if self.decoded.len() >= MAX_REPLAYED_AT_ONCE {
                self.hand_over();
            }
        }
        Ok(())
    }

    fn transaction_ended(&mut self, producer: ProducerId, how: ControlType) {
        let records = self.open.remove(&producer).unwrap_or_default();
        if how == ControlType::Commit {
            self.decoded.extend(records);
        }
    }

    fn hand_over(&mut self) {
        if !self.decoded.is_empty() {
            self.count += self.decoded.len() as u64;
            self.host.submit(Event::Replayed(std::mem::take(&mut self.decoded)));
        }
    }
}
