//! The deletion of records: each partition's leader does its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::record::BrokerId;
use ottla_rpc::v1;
use ottla_rpc::v1::topics_client::TopicsClient;
use tokio::task::JoinSet;

use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::peers;
use crate::topics::deletion_of;

/// How much longer than a leader does this broker wait for its answer.
const FORWARD_GRACE: Duration = Duration::from_millis(500);

/// Deletes, here and where others lead. The answers stand in the order of the deletions.
pub(super) async fn delete(
    front: &Arc<Front>,
    is_handed_on: bool,
    topic: &str,
    deletions: Vec<v1::RecordDeletion>,
    timeout: Duration,
) -> Vec<v1::DeletedRecords> {
    let mut led: BTreeMap<Option<BrokerId>, Vec<v1::RecordDeletion>> = BTreeMap::new();
    let order: Vec<i32> = deletions.iter().map(|deletion| deletion.partition).collect();
    for deletion in deletions {
        let leader = (!is_handed_on).then(|| peers::leader_elsewhere(front, topic, deletion.partition));
        led.entry(leader.flatten()).or_default().push(deletion);
    }
    let mut asking = JoinSet::new();
    for (leader, part) in led {
        let (front, topic) = (Arc::clone(front), topic.to_owned());
        asking.spawn(async move {
            match leader {
                None => here(&front, &topic, &part, timeout).await,
                Some(leader) => there(&front, leader, &topic, part, timeout).await,
            }
        });
    }
    let mut deleted: BTreeMap<i32, v1::DeletedRecords> =
        asking.join_all().await.into_iter().flatten().map(|deleted| (deleted.partition, deleted)).collect();
    let missing = |partition| refused(topic, partition, errors::mismatch());
    order
        .into_iter()
        .map(|partition| deleted.remove(&partition).unwrap_or_else(|| missing(partition)))
        .collect()
}

async fn here(
    front: &Front,
    topic: &str,
    deletions: &[v1::RecordDeletion],
    timeout: Duration,
) -> Vec<v1::DeletedRecords> {
    let wanted: Result<Vec<_>, Failure> =
        deletions.iter().map(|deletion| deletion_of(topic, deletion)).collect();
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(failure) => {
            return deletions
                .iter()
                .map(|deletion| refused(topic, deletion.partition, failure.clone()))
                .collect();
        }
    };
    let outcomes = front.node.delete_records(wanted, timeout).await;
    let answers = deletions.iter().zip(outcomes).map(|(deletion, outcome)| match outcome {
        Ok(start) => {
            v1::DeletedRecords { partition: deletion.partition, log_start_offset: start.get(), error: None }
        }
        Err(error) => refused(topic, deletion.partition, errors::deletion(error)),
    });
    answers.collect()
}

async fn there(
    front: &Front,
    leader: BrokerId,
    topic: &str,
    deletions: Vec<v1::RecordDeletion>,
    timeout: Duration,
) -> Vec<v1::DeletedRecords> {
    let partitions: Vec<i32> = deletions.iter().map(|deletion| deletion.partition).collect();
    let all = |failure: Failure| {
        partitions.iter().map(|partition| refused(topic, *partition, failure.clone())).collect()
    };
    let way = match front.peers.way(&front.node.image(), leader) {
        Ok(way) => way,
        Err(failure) => return all(failure),
    };
    let timeout_ms = Some(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
    let request = v1::DeleteRecordsRequest { topic: topic.to_owned(), deletions, timeout_ms };
    let patience = Deadline::within(timeout + FORWARD_GRACE);
    let mut stub = TopicsClient::new(way.channel.clone());
    match stub.delete_records(peers::hand_on(request, None, patience)).await {
        Ok(deleted) => deleted.into_inner().partitions,
        Err(status) => all(peers::refused(leader, &status)),
    }
}

fn refused(topic: &str, partition: i32, failure: Failure) -> v1::DeletedRecords {
    let error = Some(failure.about(topic, Some(partition)).into_detail());
    v1::DeletedRecords { partition, log_start_offset: 0, error }
}
