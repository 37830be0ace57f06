//! Measures how far the groups coordinated here are behind, for the metrics: seldom, bounded, and only while somebody looks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_coordination::group::request::{FetchOffsets, List};
use ottla_coordination::group::{GroupId, Request, Response};

use crate::lag::Precision;
use crate::metrics::group_lag::GroupLag;
use crate::node::Node;

/// Between two measurements. A partition costs a look at its view and, while it lags, a read of 61 bytes.
const INTERVAL: Duration = Duration::from_secs(5);
/// Partitions of all groups together that are measured.
const MAX_PARTITIONS: usize = 20_000;

type Committed = (Arc<str>, Arc<str>, i32, ottla_record::Offset);

/// Measures as long as the node lives.
pub(crate) async fn watch(node: Weak<Node>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(node) = node.upgrade().filter(|node| !node.is_closing()) else { return };
        if !node.groups.lags.take_asked() {
            continue;
        }
        let (committed, left_out) = committed(&node).await;
        let measured = tokio::task::spawn_blocking(move || {
            let lags = committed.into_iter().filter_map(|(group, topic, partition, offset)| {
                // Another broker's partition is that broker's to show, and a topic that is gone is nobody's.
                let lag = node.lag(&topic, partition, offset, Precision::Batch).ok()?;
                Some(GroupLag { group, topic, partition, lag })
            });
            node.groups.lags.show(lags.collect(), left_out);
        });
        if let Err(error) = measured.await {
            tracing::error!(%error, "measuring the lag of groups broke off; this is a bug: please report this line");
        }
    }
}

/// What the groups here have committed, by group, and how many partitions were too many.
async fn committed(node: &Node) -> (Vec<Committed>, usize) {
    let Ok(Response::List(mut groups)) = node.group(Request::List(List::default())).await else {
        return (Vec::new(), 0);
    };
    groups.sort_by(|one, other| one.group.cmp(&other.group));
    let (mut all, mut left_out) = (Vec::new(), 0);
    for listed in groups {
        let offsets = committed_by(node, listed.group).await;
        let room = MAX_PARTITIONS - all.len();
        left_out += offsets.len().saturating_sub(room);
        all.extend(offsets.into_iter().take(room));
    }
    (all, left_out)
}

async fn committed_by(node: &Node, group: GroupId) -> Vec<Committed> {
    let name = Arc::clone(group.text());
    let request = FetchOffsets { group, member: None, epoch: None, topics: None, require_stable: false };
    let Ok(Response::FetchOffsets(Ok(topics))) = node.group(Request::FetchOffsets(request)).await else {
        return Vec::new();
    };
    let mut offsets = Vec::new();
    for topic in topics {
        let Some(topic_name) = topic.name else { continue };
        offsets.extend(topic.partitions.into_iter().filter_map(|(index, found)| {
            let found = found.ok().flatten()?;
            Some((Arc::clone(&name), Arc::clone(&topic_name), index.get(), found.offset))
        }));
    }
    offsets
}
