//! What readers work on: an immutable picture of a partition, published after every change.

use ottla_record::{BrokerId, LeaderEpoch, Offset};
use ottla_storage::LogView;

use crate::replica_fetch::FetchPosition;

/// A picture of a partition between two events. Readers keep it without any lock.
///
/// `log_start ≤ last_stable ≤ high_watermark ≤ log_end`; with `fsync` also `high_watermark ≤ flushed_end ≤ log_end`.
#[derive(Clone, Debug)]
pub struct View {
    /// Segments and indexes.
    pub log: LogView,
    /// First offset that may be read.
    pub log_start: Offset,
    /// End of what `read_committed` consumers may read.
    pub last_stable: Offset,
    /// End of what consumers may read.
    pub high_watermark: Offset,
    /// End of what is durable here.
    pub flushed_end: Offset,
    /// End of what is written here.
    pub log_end: Offset,
    /// Below this a scan need not look after a crash.
    pub recovery_point: Offset,
    /// Bytes in all segments.
    pub size_bytes: u64,
    /// Whether and as what this replica serves.
    pub availability: Availability,
    /// Whom this replica copies, and from where it fetches next; `None` unless it follows a leader.
    pub following: Option<Following>,
}

/// A follower's task: fetch from the leader, and bring the answer as [`crate::Event::Fetched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// Whom to ask.
    pub leader: BrokerId,
    /// The term to name.
    pub leader_epoch: LeaderEpoch,
    /// What to ask for; `None` while the next fetch may not be sent: with `fsync` it says what is on the disk, and the flush
    /// is still out.
    pub fetch: Option<FetchPosition>,
}

/// Whether and as what a replica serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Leads in this epoch.
    Leading {
        /// The term.
        epoch: LeaderEpoch,
        /// Where the term began: until the high watermark has reached it, the latest offset is not known (KIP-207).
        epoch_start: Offset,
    },
    /// Another broker leads, or none.
    NotLeading {
        /// The last term heard of.
        epoch: Option<LeaderEpoch>,
    },
    /// A write or a flush failed.
    Offline,
}

impl Availability {
    /// The term in which this replica leads.
    pub fn leading(self) -> Option<LeaderEpoch> {
        match self {
            Self::Leading { epoch, .. } => Some(epoch),
            Self::NotLeading { .. } | Self::Offline => None,
        }
    }
}
