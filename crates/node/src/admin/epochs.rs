//! Where leader epochs end: how a reader finds out that what it has read is no longer in the log (KIP-101, KIP-279, KIP-320).

use std::sync::Arc;

use ottla_record::{LeaderEpoch, Offset};
use ottla_storage::{EpochEnd, LeaderEpochs};

use crate::fetch::{FetchError, check_leader};
use crate::node::Node;

/// One question about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochQuery {
    /// The topic.
    pub topic: String,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// The leader epoch the client knows, if it told (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch whose end is wanted.
    pub epoch: Option<LeaderEpoch>,
}

impl Node {
    /// Where each epoch ends; `None` if the log cannot tell. The answers stand in the order of the questions.
    pub async fn epoch_ends(
        self: &Arc<Self>,
        queries: Vec<EpochQuery>,
    ) -> Vec<Result<Option<EpochEnd>, FetchError>> {
        let (node, count) = (Arc::clone(self), queries.len());
        // The history of epochs belongs to the partition, which may be waiting for its disk.
        let answers =
            tokio::task::spawn_blocking(move || queries.iter().map(|query| node.epoch_end(query)).collect());
        answers.await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "looking up leader epochs failed; this is a bug: please report this line");
            vec![Err(FetchError::Storage); count]
        })
    }

    fn epoch_end(&self, query: &EpochQuery) -> Result<Option<EpochEnd>, FetchError> {
        let host = self.hosted(&query.topic, query.partition)?;
        let view = host.view();
        let current = check_leader(&view, query.current_leader_epoch)?;
        let Some(epoch) = query.epoch else { return Ok(None) };
        host.leader_epochs(|history| end_of(history, epoch, current, view.log_end))
            .ok_or(FetchError::NotLeader)
    }
}

/// Where `epoch` ends in a log that is led in epoch `current`.
///
/// The history knows an epoch from its first record on. Of the current one there may be no record yet: it ends where the log ends. A
/// consumer that looked up the end of a quiet partition knows such an epoch. Of an older one above the last that is known there never
/// will be any: what a consumer has read of it is gone with an unclean election, and that it is told the epoch before is how it
/// finds out, even where the log has reached its position again (KIP-320).
fn end_of(
    history: &LeaderEpochs,
    epoch: LeaderEpoch,
    current: LeaderEpoch,
    log_end: Offset,
) -> Option<EpochEnd> {
    let latest = history.latest().map(|latest| latest.epoch);
    if epoch <= current && latest.is_none_or(|latest| latest < epoch) {
        let known = if epoch == current { epoch } else { latest.unwrap_or(epoch) };
        return Some(EpochEnd { epoch: known, end: log_end });
    }
    history.end_offset_for(epoch, log_end)
}

#[cfg(test)]
mod tests;
