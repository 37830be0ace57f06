//! How far a group is behind in partitions that other brokers lead: their leaders are asked.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::Isolation;
use ottla_node::record::{BrokerId, Offset};
use ottla_rpc::v1;
use ottla_rpc::v1::Landmark;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::position::At;
use tokio::task::JoinSet;

use crate::deadline::Deadline;
use crate::front::Front;
use crate::peers;
use crate::positions;

/// Partitions whose first unread record is looked at, at one time.
const MAX_AT_ONCE: usize = 32;
/// How long one look may take. What is not known by then is left out.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Fills in the ends and the lags. What cannot be known is left out.
pub(super) async fn measure(front: &Arc<Front>, offsets: Vec<&mut v1::GroupOffset>) {
    let edge = |landmark: Landmark| {
        let from = Some(v1::Position { at: Some(At::Landmark(landmark.into())) });
        let asked = offsets.iter().map(|offset| v1::FetchPartition {
            topic: offset.topic.clone(),
            partition: offset.partition,
            from,
        });
        asked.collect::<Vec<_>>()
    };
    let (starts, ends) = (edge(Landmark::Earliest), edge(Landmark::Latest));
    let starts = positions::look_up(front, &starts, Isolation::ReadUncommitted).await;
    let ends = positions::look_up(front, &ends, Isolation::ReadUncommitted).await;
    let mut ages = JoinSet::new();
    let mut known = Vec::with_capacity(offsets.len());
    for (at, (offset, edges)) in offsets.into_iter().zip(starts.into_iter().zip(ends)).enumerate() {
        if let (Ok(start), Ok(end)) = edges {
            (offset.log_start_offset, offset.log_end_offset) =
                (Some(start.offset.get()), Some(end.offset.get()));
            if let Some(committed) = offset.committed {
                let records = (end.offset.get() - committed).max(0);
                offset.lag_records = Some(records);
                let from = Offset::new(committed.max(start.offset.get()));
                match peers::leader_elsewhere(front, &offset.topic, offset.partition).filter(|_| records > 0)
                {
                    None if records == 0 => offset.lag_ms = Some(0),
                    None => {}
                    Some(leader) => {
                        if ages.len() >= MAX_AT_ONCE {
                            note(ages.join_next().await, &mut known);
                        }
                        let (front, topic, partition) =
                            (Arc::clone(front), offset.topic.clone(), offset.partition);
                        ages.spawn(async move { (at, age(&front, leader, topic, partition, from).await) });
                    }
                }
            }
        }
        known.push(offset);
    }
    while let Some(looked) = ages.join_next().await {
        note(Some(looked), &mut known);
    }
}

type Looked = Result<(usize, Option<i64>), tokio::task::JoinError>;

fn note(looked: Option<Looked>, offsets: &mut [&mut v1::GroupOffset]) {
    if let Some(Ok((at, age))) = looked
        && let Some(offset) = offsets.get_mut(at)
    {
        offset.lag_ms = age;
    }
}

/// The age in milliseconds of the first record at or after an offset.
async fn age(front: &Front, leader: BrokerId, topic: String, partition: i32, from: Offset) -> Option<i64> {
    let way = front.peers.way(&front.node.image(), leader).ok()?;
    let from = Some(v1::Position { at: Some(At::Offset(from.get())) });
    let request = v1::FetchRequest {
        partitions: vec![v1::FetchPartition { topic, partition, from }],
        format: v1::FetchFormat::Records.into(),
        isolation: v1::Isolation::ReadUncommitted.into(),
        // One record comes whole.
        max_message_bytes: Some(1),
        stop_at_end: true,
    };
    let mut stub = LogClient::new(way.channel.clone()).max_decoding_message_size(usize::MAX);
    let looking = async {
        let request = peers::hand_on(request, None, Deadline::within(LOOK_TIMEOUT));
        let mut messages = stub.fetch(request).await?.into_inner();
        while let Some(message) = messages.message().await? {
            if let Some(record) = message.records.first() {
                return Ok::<_, tonic::Status>(record.timestamp_ms);
            }
        }
        Ok(None)
    };
    let written = tokio::time::timeout(LOOK_TIMEOUT, looking).await.ok()?;
    let written = written
        .inspect_err(|status| tracing::debug!(%leader, %status, "the age of a group's lag is not known"))
        .ok()??;
    Some((front.node.clock().now().wall.millis() - written).max(0))
}
