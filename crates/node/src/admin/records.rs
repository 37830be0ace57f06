//! Deleting records from the start of partitions (KIP-107).

use std::sync::Arc;
use std::time::Duration;

use ottla_record::Offset;
use ottla_replication::{DeleteRecords, DeleteRecordsError, Event};

use crate::completion::{Waiter, ticket};
use crate::node::Node;
use crate::topics::LookupError;

/// What to delete of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The topic.
    pub topic: String,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// First offset to keep; `None` for the high watermark.
    pub before: Option<Offset>,
}

/// Why records were not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionError {
    /// The partition is not here.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The partition refused.
    #[error(transparent)]
    Partition(#[from] DeleteRecordsError),
    /// It takes longer than the caller waits. It may still happen.
    #[error("the deletion was not confirmed in time")]
    TimedOut,
}

impl Node {
    /// Deletes records; the answers are the partitions' first offsets afterwards, in the order of the deletions.
    pub async fn delete_records(
        self: &Arc<Self>,
        deletions: Vec<Deletion>,
        timeout: Duration,
    ) -> Vec<Result<Offset, DeletionError>> {
        let count = deletions.len();
        let (ticket, slots) = ticket(count);
        let slots: Vec<_> = slots.collect();
        let node = Arc::clone(self);
        let deadline = self.clock().now().monotonic + timeout;
        // Deleting renames files and syncs a checkpoint.
        let submitted = tokio::task::spawn_blocking(move || -> Vec<Result<(), LookupError>> {
            let submit = |(deletion, slot): (Deletion, _)| {
                let host = node.hosted(&deletion.topic, deletion.partition)?;
                let waiter = Waiter::DeleteRecords(slot);
                let before = deletion.before;
                host.submit(Event::DeleteRecords(DeleteRecords { waiter, before, deadline }));
                Ok(())
            };
            deletions.into_iter().zip(slots).map(submit).collect()
        });
        let answered = tokio::time::timeout(timeout, async { (submitted.await, ticket.await) }).await;
        let Ok((submitted, outcomes)) = answered else { return vec![Err(DeletionError::TimedOut); count] };
        let submitted = submitted.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "deleting records failed; this is a bug: please report this line");
            vec![Err(LookupError::Offline); count]
        });
        let answer =
            |(submitted, outcome): (Result<(), LookupError>, Option<Result<Offset, DeleteRecordsError>>)| {
                submitted?;
                // Dropped without an outcome: the partition was closed meanwhile.
                Ok(outcome.unwrap_or(Err(DeleteRecordsError::NotLeader))?)
            };
        submitted.into_iter().zip(outcomes).map(answer).collect()
    }
}
