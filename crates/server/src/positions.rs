//! Places in partitions: from what a reader names to an offset.

use std::sync::Arc;

use ottla_node::admin::offsets::{FoundOffset, OffsetQuery, OffsetReader, WantedOffset};
use ottla_node::record::{LeaderEpoch, Offset, Timestamp};
use ottla_node::{Isolation, Node};
use ottla_rpc::v1;
use ottla_rpc::v1::position::At;

use crate::errors::{self, Failure, invalid};

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

/// Looks places up. The answers stand in the order of the partitions.
pub(crate) async fn look_up(
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
