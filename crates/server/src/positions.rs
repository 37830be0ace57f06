//! Places in partitions: from what a reader names to an offset. The leader of each knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_node::admin::offsets::{FoundOffset, OffsetQuery, OffsetReader, WantedOffset};
use ottla_node::record::{BrokerId, LeaderEpoch, Offset, Timestamp};
use ottla_node::{Isolation, Node};
use ottla_rpc::v1;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::position::At;
use tokio::task::JoinSet;

use crate::deadline::Deadline;
use crate::errors::{self, Failure, invalid};
use crate::front::Front;
use crate::peers;

/// Where a place is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: Offset,
    /// Timestamp of the record there, where the place was given by time.
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

/// How far a reader sees.
pub(crate) fn isolation(isolation: i32) -> Result<Isolation, Failure> {
    match v1::Isolation::try_from(isolation) {
        Ok(v1::Isolation::ReadUncommitted) => Ok(Isolation::ReadUncommitted),
        Ok(v1::Isolation::ReadCommitted) => Ok(Isolation::ReadCommitted),
        Err(_) => Err(invalid(format!("there is no Isolation {isolation}"))),
    }
}

/// Checks that a place is one. None is the earliest.
pub(crate) fn check(position: Option<&v1::Position>) -> Result<(), Failure> {
    Wanted::of(position).map(drop)
}

/// Looks places up, those in partitions that another broker leads with that broker. The answers stand in the order of the
/// partitions.
pub(crate) async fn look_up(
    front: &Arc<Front>,
    partitions: &[v1::FetchPartition],
    isolation: Isolation,
) -> Vec<Result<Place, Failure>> {
    let is_exact = |asked: &v1::FetchPartition| {
        matches!(asked.from.as_ref().and_then(|from| from.at.as_ref()), Some(At::Offset(_)))
    };
    let mut led: BTreeMap<Option<BrokerId>, Vec<usize>> = BTreeMap::new();
    for (at, asked) in partitions.iter().enumerate() {
        let leader = (!is_exact(asked))
            .then(|| peers::leader_elsewhere(front, &asked.topic, asked.partition))
            .flatten();
        led.entry(leader).or_default().push(at);
    }
    if led.keys().all(Option::is_none) {
        return look_up_here(&front.node, partitions, isolation).await;
    }
    let mut asking = JoinSet::new();
    for (leader, places) in led {
        let part: Vec<_> = places.iter().filter_map(|at| partitions.get(*at).cloned()).collect();
        let front = Arc::clone(front);
        asking.spawn(async move {
            let found = match leader {
                None => look_up_here(&front.node, &part, isolation).await,
                Some(leader) => look_up_there(&front, leader, part, isolation).await,
            };
            places.into_iter().zip(found).collect::<Vec<_>>()
        });
    }
    let mut places: Vec<_> = partitions.iter().map(|_| Err(errors::mismatch())).collect();
    for (at, found) in asking.join_all().await.into_iter().flatten() {
        if let Some(place) = places.get_mut(at) {
            *place = found;
        }
    }
    places
}

/// How far a reader sees, as other brokers are told.
pub(crate) fn isolation_on_the_wire(isolation: Isolation) -> v1::Isolation {
    match isolation {
        Isolation::ReadUncommitted => v1::Isolation::ReadUncommitted,
        Isolation::ReadCommitted => v1::Isolation::ReadCommitted,
    }
}

async fn look_up_there(
    front: &Front,
    leader: BrokerId,
    partitions: Vec<v1::FetchPartition>,
    isolation: Isolation,
) -> Vec<Result<Place, Failure>> {
    let count = partitions.len();
    let all = |failure: Failure| (0..count).map(|_| Err(failure.clone())).collect();
    let way = match front.peers.way(&front.node.image(), leader) {
        Ok(way) => way,
        Err(failure) => return all(failure),
    };
    let request = v1::ListOffsetsRequest { partitions, isolation: isolation_on_the_wire(isolation).into() };
    let patience = Deadline::within(front.node.settings().config.request_timeout);
    let mut stub = LogClient::new(way.channel.clone());
    match stub.list_offsets(peers::hand_on(request, None, patience)).await {
        Ok(listed) => listed.into_inner().offsets.into_iter().map(place_of).collect(),
        Err(status) => all(peers::refused(leader, &status)),
    }
}

fn place_of(listed: v1::ListedOffset) -> Result<Place, Failure> {
    if let Some(detail) = listed.error {
        let subject = format!("{}-{}", listed.topic, listed.partition);
        return Err(Failure {
            message: format!("{subject}: {}", detail.kafka_error),
            detail: Box::new(detail),
        });
    }
    Ok(Place {
        offset: Offset::from_wire(listed.offset).ok_or_else(errors::mismatch)?,
        timestamp: listed.timestamp_ms.map(Timestamp::from_millis),
        leader_epoch: listed.leader_epoch.map(LeaderEpoch::new),
    })
}

/// Looks places up in what this broker leads.
pub(crate) async fn look_up_here(
    node: &Arc<Node>,
    partitions: &[v1::FetchPartition],
    isolation: Isolation,
) -> Vec<Result<Place, Failure>> {
    let wanted: Vec<Result<Wanted, Failure>> =
        partitions.iter().map(|asked| Wanted::of(asked.from.as_ref())).collect();
    let query = |asked: &v1::FetchPartition, wanted| OffsetQuery {
        topic: asked.topic.clone(),
        partition: asked.partition,
        current_leader_epoch: None,
        wanted,
    };
    let queries = partitions.iter().zip(&wanted).filter_map(|(asked, wanted)| {
        wanted.as_ref().ok().and_then(Wanted::to_look_up).map(|wanted| query(asked, wanted))
    });
    let reader = OffsetReader::Consumer(isolation);
    let mut found = node.list_offsets(reader, queries.collect()).await.into_iter();
    // A time after all records means the end; so does the largest timestamp of an empty partition.
    let mut missing = Vec::new();
    let mut places: Vec<Result<Place, Failure>> = Vec::with_capacity(partitions.len());
    for (at, (asked, wanted)) in partitions.iter().zip(wanted).enumerate() {
        let about = |failure: Failure| failure.about(&asked.topic, Some(asked.partition));
        places.push(match wanted {
            Err(failure) => Err(about(failure)),
            Ok(Wanted::Exactly(offset)) => Ok(Place { offset, timestamp: None, leader_epoch: None }),
            Ok(Wanted::LookUp(_)) => match found.next() {
                None => Err(about(errors::mismatch())),
                Some(Err(error)) => Err(about(errors::offset(error))),
                Some(Ok(FoundOffset { offset, timestamp, leader_epoch })) => {
                    if offset.is_none() {
                        missing.push((at, query(asked, WantedOffset::Latest)));
                    }
                    Ok(Place { offset: offset.unwrap_or(Offset::ZERO), timestamp, leader_epoch })
                }
            },
        });
    }
    let (at, queries): (Vec<usize>, Vec<OffsetQuery>) = missing.into_iter().unzip();
    let ends = if queries.is_empty() { Vec::new() } else { node.list_offsets(reader, queries).await };
    for (at, end) in at.into_iter().zip(ends) {
        let (Some(place), Some(asked)) = (places.get_mut(at), partitions.get(at)) else { continue };
        *place = match end {
            Ok(end) => {
                Ok(Place { offset: end.offset.unwrap_or(Offset::ZERO), timestamp: None, leader_epoch: None })
            }
            Err(error) => Err(errors::offset(error).about(&asked.topic, Some(asked.partition))),
        };
    }
    places
}

/// What a reader names.
enum Wanted {
    Exactly(Offset),
    LookUp(WantedOffset),
}

impl Wanted {
    fn of(position: Option<&v1::Position>) -> Result<Self, Failure> {
        let Some(at) = position.and_then(|position| position.at.as_ref()) else {
            return Ok(Self::LookUp(WantedOffset::Earliest));
        };
        match *at {
            At::Offset(offset) => Offset::from_wire(offset)
                .map(Self::Exactly)
                .ok_or_else(|| invalid(format!("the offset {offset} is negative"))),
            At::TimestampMs(millis) if millis < 0 => {
                Err(invalid(format!("the timestamp {millis} is negative")))
            }
            At::TimestampMs(millis) => {
                Ok(Self::LookUp(WantedOffset::AtOrAfter(Timestamp::from_millis(millis))))
            }
            At::Landmark(landmark) => match v1::Landmark::try_from(landmark) {
                Ok(v1::Landmark::Earliest) => Ok(Self::LookUp(WantedOffset::Earliest)),
                Ok(v1::Landmark::Latest) => Ok(Self::LookUp(WantedOffset::Latest)),
                Ok(v1::Landmark::MaxTimestamp) => Ok(Self::LookUp(WantedOffset::MaxTimestamp)),
                Ok(v1::Landmark::Unspecified) | Err(_) => Err(invalid(format!(
                    "the landmark {landmark} is no place; 1 is the earliest, 2 the latest"
                ))),
            },
        }
    }

    fn to_look_up(&self) -> Option<WantedOffset> {
        match self {
            Self::Exactly(_) => None,
            Self::LookUp(wanted) => Some(*wanted),
        }
    }
}
