//! Reading: consumers get file ranges, never copies, and may wait for records to come.

use std::sync::Arc;

use ottla_record::{LeaderEpoch, Monotonic, Offset};
use ottla_replication::{Availability, View};
use ottla_storage::{AbortedTransaction, ReadError, ReadSlice};

use crate::fetch_wait::GrowthWait;
use crate::host::PartitionHost;
use crate::node::Node;
use crate::topics::{LookupError, TopicKey};

/// Up to where a consumer may read (`isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset, with the aborted transactions named (KIP-98).
    ReadCommitted,
}

/// What a reader wants of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchItem<'a> {
    /// Which topic.
    pub topic: TopicKey<'a>,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// First offset wanted, as the client sent it.
    pub offset: i64,
    /// Bytes wanted at most; the first batch comes whole even if it is larger (KIP-74).
    pub max_bytes: usize,
    /// The leader epoch the client knows, if it told (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// False where the client is sent to another replica: the partition is checked, and nothing of it is read.
    pub is_read: bool,
}

/// Bounds of a fetch over all its partitions.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Bytes in all, at most; the first batch found comes whole.
    pub max_bytes: usize,
    /// Up to where.
    pub isolation: Isolation,
    /// Whether copies serve, too, as far as they know to be committed (KIP-392).
    pub from_followers: bool,
}

/// What a partition had.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// First offset in the log.
    pub log_start: Offset,
    /// End of what consumers may read.
    pub high_watermark: Offset,
    /// End of what `read_committed` consumers may read.
    pub last_stable: Offset,
    /// Aborted transactions within the records, with [`Isolation::ReadCommitted`].
    pub aborted: Vec<AbortedTransaction>,
    /// Whole batches in a file; `None` if there was nothing to read or no room left in the answer.
    pub slice: Option<ReadSlice>,
}

/// Why a partition was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The partition is not here.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Another broker leads it.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The client knows an older leader epoch.
    #[error("the client's leader epoch is older than {current}")]
    FencedLeaderEpoch {
        /// The epoch here.
        current: LeaderEpoch,
    },
    /// The client knows a newer leader epoch.
    #[error("the client's leader epoch is newer than {current}")]
    UnknownLeaderEpoch {
        /// The epoch here.
        current: LeaderEpoch,
    },
    /// The offset lies outside the log.
    #[error("the offset lies outside the log, which starts at {log_start} and ends at {high_watermark}")]
    OffsetOutOfRange {
        /// First offset in the log.
        log_start: Offset,
        /// End of what consumers may read.
        high_watermark: Offset,
    },
    /// A file could not be read, or is damaged.
    #[error("the log could not be read")]
    Storage,
}

/// A fetch's answers, in the order of the items.
pub type FetchOutcomes = Vec<Result<Fetched, FetchError>>;

impl Node {
    /// Reads what is there now.
    pub fn fetch<'a>(
        &self,
        options: FetchOptions,
        items: impl Iterator<Item = FetchItem<'a>> + Clone,
    ) -> FetchOutcomes {
        let outcomes = self.look(options, items.clone());
        self.count_sent(items, &outcomes);
        outcomes
    }

    /// Reads what is there now if that is enough for an answer; otherwise `None`, for [`Node::fetch_wait`] to follow.
    pub fn fetch_if_enough<'a>(
        &self,
        options: FetchOptions,
        items: impl Iterator<Item = FetchItem<'a>> + Clone,
        min_bytes: usize,
    ) -> Option<FetchOutcomes> {
        let outcomes = self.look(options, items.clone());
        is_enough(&outcomes, min_bytes).then(|| {
            self.count_sent(items, &outcomes);
            outcomes
        })
    }

    fn look<'a>(&self, options: FetchOptions, items: impl Iterator<Item = FetchItem<'a>>) -> FetchOutcomes {
        let topics = self.topics();
        let mut left = options.max_bytes;
        let mut empty = true;
        items
            .map(|item| {
                let host = topics.topic(item.topic).and_then(|topic| topic.partition(item.partition))?;
                let max_bytes = if item.is_read { item.max_bytes.min(left) } else { 0 };
                let fetched = read_current(host, &item, options, max_bytes, empty && item.is_read)?;
                if let Some(slice) = &fetched.slice {
                    left = left.saturating_sub(slice.len);
                    empty = false;
                }
                Ok(fetched)
            })
            .collect()
    }

    /// Reads until there are `min_bytes`, an error, or the deadline has come.
    pub async fn fetch_wait(
        &self,
        options: FetchOptions,
        items: &[FetchItem<'_>],
        min_bytes: usize,
        deadline: Monotonic,
    ) -> FetchOutcomes {
        let topics = self.topics();
        let hosts: Vec<Arc<PartitionHost>> = items
            .iter()
            .filter_map(|item| {
                topics.topic(item.topic).and_then(|topic| topic.partition(item.partition)).ok()
            })
            .cloned()
            .collect();
        drop(topics);
        let wait = GrowthWait::register(hosts);
        loop {
            let outcomes = self.look(options, items.iter().copied());
            let left = deadline - self.clock().now().monotonic;
            if is_enough(&outcomes, min_bytes) || left.is_zero() {
                self.count_sent(items.iter().copied(), &outcomes);
                return outcomes;
            }
            // Either way there is one more look: growth may have come with the deadline.
            let _elapsed = tokio::time::timeout(left, wait.grown()).await;
        }
    }
}

impl Node {
    /// Counts what becomes an answer. A look that a long poll takes and does not answer with counts for nothing.
    fn count_sent<'a>(&self, items: impl Iterator<Item = FetchItem<'a>>, outcomes: &FetchOutcomes) {
        let topics = self.topics();
        for (item, outcome) in items.zip(outcomes) {
            let Ok(topic) = topics.topic(item.topic) else { continue };
            let traffic = topic.traffic();
            traffic.fetches.inc();
            match outcome {
                Ok(Fetched { slice: Some(slice), .. }) => {
                    let first = slice.base_offset.get().max(item.offset);
                    traffic.bytes_out.add(slice.len as u64);
                    traffic.records_out.add((slice.end_offset.get() - first).unsigned_abs());
                }
                Ok(Fetched { slice: None, .. }) => {}
                Err(_) => traffic.fetches_failed.inc(),
            }
        }
    }
}

/// True if a fetch need not wait: enough bytes, or an error that the client must hear of now.
pub fn is_enough(outcomes: &FetchOutcomes, min_bytes: usize) -> bool {
    let mut bytes = 0;
    for outcome in outcomes {
        match outcome {
            Ok(fetched) => bytes += fetched.slice.as_ref().map_or(0, |slice| slice.len),
            Err(_) => return true,
        }
    }
    bytes >= min_bytes
}

/// Reads by the view of now. One that retention or a truncation has overtaken meanwhile is replaced by the next.
fn read_current(
    host: &PartitionHost,
    item: &FetchItem<'_>,
    options: FetchOptions,
    max_bytes: usize,
    min_one: bool,
) -> Result<Fetched, FetchError> {
    for _attempt in 0..MAX_STALE_VIEWS {
        match read(&host.view(), item, options, max_bytes, min_one) {
            Err(ReadFailure::Stale) => {}
            Err(ReadFailure::Answer(error)) => return Err(error),
            Ok(fetched) => return Ok(fetched),
        }
    }
    Err(FetchError::Storage)
}

/// Views that may be overtaken one after the other before a read gives up.
pub(crate) const MAX_STALE_VIEWS: usize = 8;

enum ReadFailure {
    Stale,
    Answer(FetchError),
}

impl From<FetchError> for ReadFailure {
    fn from(error: FetchError) -> Self {
        Self::Answer(error)
    }
}

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::Stale) {
            return Self::Stale;
        }
        tracing::error!(%error, "a read of the log failed, and the client was told KAFKA_STORAGE_ERROR; check the disk");
        Self::Answer(FetchError::Storage)
    }
}

fn read(
    view: &View,
    item: &FetchItem<'_>,
    options: FetchOptions,
    max_bytes: usize,
    min_one: bool,
) -> Result<Fetched, ReadFailure> {
    let FetchOptions { isolation, from_followers, .. } = options;
    match view.following {
        Some(following) if from_followers => check_epoch(following.leader_epoch, item.current_leader_epoch)?,
        _ => check_leader(view, item.current_leader_epoch)?,
    };
    let (log_start, high_watermark) = (view.log_start, view.high_watermark);
    let out_of_range = FetchError::OffsetOutOfRange { log_start, high_watermark };
    let from = Offset::from_wire(item.offset).ok_or(out_of_range)?;
    if from < log_start || from > view.log_end {
        return Err(out_of_range.into());
    }
    let end = match isolation {
        Isolation::ReadUncommitted => high_watermark,
        Isolation::ReadCommitted => view.last_stable,
    };
    let mut fetched = Fetched {
        log_start,
        high_watermark,
        last_stable: view.last_stable,
        aborted: Vec::new(),
        slice: None,
    };
    // Between the high watermark and the log end there is nothing to see yet, which is no error (KIP-207).
    if from >= end || (max_bytes == 0 && !min_one) {
        return Ok(fetched);
    }
    let slice = match view.log.read_records(from, max_bytes, end, min_one) {
        Err(ReadError::OffsetOutOfRange { .. }) => return Err(out_of_range.into()),
        read => read?,
    };
    if let Some(slice) = slice {
        if isolation == Isolation::ReadCommitted {
            fetched.aborted = view.log.aborted_transactions(from, end)?;
        }
        fetched.slice = Some(slice);
    }
    Ok(fetched)
}

/// Checks that this broker leads, in the epoch that the client knows.
pub(crate) fn check_leader(view: &View, known: Option<LeaderEpoch>) -> Result<LeaderEpoch, FetchError> {
    let current = match view.availability {
        Availability::Leading { epoch, .. } => epoch,
        Availability::NotLeading { .. } => return Err(FetchError::NotLeader),
        Availability::Offline => return Err(FetchError::Storage),
    };
    check_epoch(current, known)
}

fn check_epoch(current: LeaderEpoch, known: Option<LeaderEpoch>) -> Result<LeaderEpoch, FetchError> {
    match known {
        Some(epoch) if epoch < current => Err(FetchError::FencedLeaderEpoch { current }),
        Some(epoch) if epoch > current => Err(FetchError::UnknownLeaderEpoch { current }),
        _ => Ok(current),
    }
}
