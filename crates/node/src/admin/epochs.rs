//! Where leader epochs end: how a reader finds out that what it has read is no longer in the log (KIP-101, KIP-279, KIP-320).

use std::sync::Arc;

use ottla_record::LeaderEpoch;
use ottla_storage::EpochEnd;

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
        host.leader_epochs(|history| history.end_offset_for_reader(epoch, current, view.log_end))
            .ok_or(FetchError::NotLeader)
    }
}
