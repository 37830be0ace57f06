//! Looking up offsets: the ends of a partition, and offsets by timestamp.

use std::sync::Arc;

use ottla_record::{LeaderEpoch, Offset, Timestamp};
use ottla_replication::{Availability, View};
use ottla_storage::{ReadError, TimestampOffset};

use crate::fetch::{FetchError, Isolation, check_leader};
use crate::host::PartitionHost;
use crate::node::Node;

/// A view becomes stale when a segment it points at is deleted or cut meanwhile; then the next one is asked, this often.
const ATTEMPTS: usize = 3;

/// One question about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetQuery {
    /// The topic.
    pub topic: String,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// The leader epoch the client knows, if it told (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Which offset.
    pub wanted: WantedOffset,
}

/// Which offset is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedOffset {
    /// The end of what the asker may read.
    Latest,
    /// The first offset in the log.
    Earliest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first offset on this broker's disk (KIP-405): without tiered storage, the first of all.
    EarliestLocal,
    /// The last offset in tiered storage (KIP-1005): without tiered storage there is none.
    LatestTiered,
    /// The first offset not yet in tiered storage (KIP-1023): without tiered storage there is none.
    EarliestPendingUpload,
    /// The first record of this time or later.
    AtOrAfter(Timestamp),
}

/// Who asks, which decides how far they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReader {
    /// A consumer.
    Consumer(Isolation),
    /// Another replica, or somebody looking over its shoulder: sees the log to its end.
    Replica,
}

/// An offset, as far as there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundOffset {
    /// Timestamp of the record, where it was found by one.
    pub timestamp: Option<Timestamp>,
    /// The offset; `None` if no record answers the question.
    pub offset: Option<Offset>,
    /// Epoch of the leader that wrote there.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Why an offset is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OffsetError {
    /// The partition cannot be asked.
    #[error(transparent)]
    Partition(#[from] FetchError),
    /// The leader is new, and does not know yet how far its predecessor had come (KIP-207).
    #[error("the high watermark has not reached the start of the leader's epoch")]
    NotAvailable,
}

impl WantedOffset {
    /// True if the answer lies in the view. Others wait for the disk or for the partition.
    fn is_at_hand(self) -> bool {
        matches!(self, Self::Latest | Self::LatestTiered | Self::EarliestPendingUpload)
    }
}

impl Node {
    /// Looks up offsets. The answers stand in the order of the questions.
    pub async fn list_offsets(
        self: &Arc<Self>,
        reader: OffsetReader,
        queries: Vec<OffsetQuery>,
    ) -> Vec<Result<FoundOffset, OffsetError>> {
        let look_up = move |node: &Self, queries: &[OffsetQuery]| -> Vec<_> {
            queries.iter().map(|query| node.find_offset(reader, query)).collect()
        };
        if queries.iter().all(|query| query.wanted.is_at_hand()) {
            return look_up(self, &queries);
        }
        let (node, count) = (Arc::clone(self), queries.len());
        tokio::task::spawn_blocking(move || look_up(&node, &queries)).await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "looking up offsets failed; this is a bug: please report this line");
            vec![Err(FetchError::Storage.into()); count]
        })
    }

    fn find_offset(&self, reader: OffsetReader, query: &OffsetQuery) -> Result<FoundOffset, OffsetError> {
        let host = self.hosted(&query.topic, query.partition).map_err(FetchError::Lookup)?;
        let view = host.view();
        let epoch = check_leader(&view, query.current_leader_epoch)?;
        let is_settled = is_settled(&view, reader);
        // What a lagging leader does not know may exist: the asker is to come again.
        let nothing = || if is_settled { Ok(FoundOffset::default()) } else { Err(OffsetError::NotAvailable) };
        match query.wanted {
            WantedOffset::Latest if is_settled => Ok(FoundOffset {
                timestamp: None,
                offset: Some(end(&view, reader)),
                leader_epoch: Some(epoch),
            }),
            WantedOffset::Latest => Err(OffsetError::NotAvailable),
            WantedOffset::Earliest | WantedOffset::EarliestLocal => {
                let start = view.log_start;
                let leader_epoch = host.leader_epochs(|epochs| epochs.epoch_at(start)).flatten();
                Ok(FoundOffset { timestamp: None, offset: Some(start), leader_epoch })
            }
            WantedOffset::LatestTiered | WantedOffset::EarliestPendingUpload => Ok(FoundOffset::default()),
            WantedOffset::MaxTimestamp => {
                let found = attempt(&host, |view| view.log.max_timestamp(end(view, reader)))?;
                found.map_or_else(nothing, |found| Ok(found.into()))
            }
            WantedOffset::AtOrAfter(timestamp) => {
                let found =
                    attempt(&host, |view| view.log.offset_for_timestamp(timestamp, end(view, reader)))?;
                found.map_or_else(nothing, |found| Ok(found.into()))
            }
        }
    }
}

/// How far the asker sees.
fn end(view: &View, reader: OffsetReader) -> Offset {
    match reader {
        OffsetReader::Consumer(Isolation::ReadUncommitted) => view.high_watermark,
        OffsetReader::Consumer(Isolation::ReadCommitted) => view.last_stable,
        OffsetReader::Replica => view.log_end,
    }
}

/// False while the end that consumers see may lie below what an older leader has shown them.
fn is_settled(view: &View, reader: OffsetReader) -> bool {
    match (reader, view.availability) {
        (OffsetReader::Consumer(_), Availability::Leading { epoch_start, .. }) => {
            view.high_watermark >= epoch_start
        }
        _ => true,
    }
}

fn attempt(
    host: &PartitionHost,
    look: impl Fn(&View) -> Result<Option<TimestampOffset>, ReadError>,
) -> Result<Option<TimestampOffset>, FetchError> {
    for _ in 0..ATTEMPTS {
        match look(&host.view()) {
            Ok(found) => return Ok(found),
            Err(ReadError::Stale) => {}
            Err(error) => {
                tracing::error!(partition = ?host, %error, "a timestamp was looked up in a log that cannot be read; check the disk");
                return Err(FetchError::Storage);
            }
        }
    }
    Err(FetchError::Storage)
}

impl From<TimestampOffset> for FoundOffset {
    fn from(found: TimestampOffset) -> Self {
        Self {
            timestamp: Some(found.timestamp),
            offset: Some(found.offset),
            leader_epoch: found.leader_epoch,
        }
    }
}
