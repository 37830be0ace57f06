//! What all partitions of the log directory share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::cleaner::Cleaner;
use crate::flush::FlushCoordinator;
use crate::in_sync::IsrProposals;
use crate::keeper::Keeper;
use crate::metrics::directory::DirectoryMetrics;
use crate::metrics::replication::ReplicationMetrics;
use crate::ports::Clock;
use crate::replication_quota::ReplicationQuotas;

/// The threads and clocks behind the partitions of one log directory.
pub(crate) struct DirectoryShell {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flusher: FlushCoordinator,
    /// For copies that catch up.
    pub(crate) background_flusher: FlushCoordinator,
    pub(crate) keeper: Keeper,
    pub(crate) cleaner: Cleaner,
    pub(crate) metrics: Arc<DirectoryMetrics>,
    /// What partitions led here want the cluster to decide.
    pub(crate) isr: IsrProposals,
    pub(crate) replication: Arc<ReplicationMetrics>,
    pub(crate) quotas: ReplicationQuotas,
    /// Some log could not be opened: then nothing is known of its files, and no stop is clean.
    pub(crate) some_log_is_shut: AtomicBool,
}

impl DirectoryShell {
    /// How long the oldest flush that is not finished has been waiting or running; zero if there is none.
    pub(crate) fn oldest_unfinished_flush(&self) -> Duration {
        self.flusher.oldest_unfinished().max(self.background_flusher.oldest_unfinished())
    }
}

impl fmt::Debug for DirectoryShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryShell").finish_non_exhaustive()
    }
}
