//! Reading: one stream over several partitions, each in its turn, and no further ahead than the client takes.

mod decoding;
mod elsewhere;
mod reader;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_node::{FetchOptions, GrowthWait, Isolation, PartitionHost, TopicKey};
use ottla_rpc::v1;
use ottla_rpc::v1::position::At;
use tokio_stream::Stream;
use tonic::Status;

use crate::errors::{self, Failure, invalid};
use crate::front::Front;
use crate::peers;
use crate::positions;

pub(crate) use crate::fetch::reader::{Broken, Cursor, Reader};

/// Partitions of one stream.
const MAX_PARTITIONS: usize = 10_000;
/// Bytes of records in one message where the client does not say.
const DEFAULT_MESSAGE_BYTES: i32 = 1 << 20;

/// The messages of one Fetch.
pub(crate) struct Tail {
    reader: Reader,
    ended: bool,
}

impl Tail {
    /// Finds where each partition is to be read from. What another broker has handed on is read here or not at all.
    pub(crate) async fn begin(
        front: &Arc<Front>,
        request: v1::FetchRequest,
        is_handed_on: bool,
    ) -> Result<Self, Failure> {
        let format = format(request.format)?;
        let isolation = positions::isolation(request.isolation)?;
        let max_bytes = message_bytes(request.max_message_bytes)?.min(front.limits.max_fetch_bytes);
        check_partitions(&request.partitions)?;
        let options = FetchOptions { max_bytes, isolation, from_followers: false };
        let leads_elsewhere = |asked: &v1::FetchPartition| {
            peers::leader_elsewhere(front, &asked.topic, asked.partition).is_some()
        };
        if !is_handed_on && request.partitions.iter().any(leads_elsewhere) {
            return Self::begin_anywhere(front, request, format, options).await;
        }
        let hosts =
            request.partitions.iter().map(|asked| host(front, asked)).collect::<Result<Vec<_>, _>>()?;
        // Before the first read, so that nothing between it and the first wait is missed.
        let growth = GrowthWait::register(hosts.clone());
        let places = positions::look_up_here(&front.node, &request.partitions, isolation).await;
        let cursors = hosts.into_iter().zip(places).map(|(host, place)| {
            let view = host.view();
            let end = match isolation {
                Isolation::ReadUncommitted => view.high_watermark,
                Isolation::ReadCommitted => view.last_stable,
            };
            Ok(Cursor::new(host, place?.offset, request.stop_at_end.then_some(end)))
        });
        let cursors = cursors.collect::<Result<Vec<_>, Failure>>()?;
        let reader = Reader::new(front, format, options, growth, cursors);
        let reader = if is_handed_on { reader } else { reader.asking_others() };
        Ok(Self { reader, ended: false })
    }

    /// The same where other brokers lead some of the partitions.
    async fn begin_anywhere(
        front: &Arc<Front>,
        request: v1::FetchRequest,
        format: v1::FetchFormat,
        options: FetchOptions,
    ) -> Result<Self, Failure> {
        let isolation = options.isolation;
        let places = positions::look_up(front, &request.partitions, isolation).await;
        let latest = Some(v1::Position { at: Some(At::Landmark(v1::Landmark::Latest.into())) });
        let ends = match request.stop_at_end {
            false => request.partitions.iter().map(|_| None).collect::<Vec<_>>(),
            true => {
                let ends: Vec<_> = request
                    .partitions
                    .iter()
                    .map(|asked| v1::FetchPartition { from: latest, ..asked.clone() })
                    .collect();
                positions::look_up(front, &ends, isolation).await.into_iter().map(Some).collect()
            }
        };
        let mut reader = Reader::idle(front, format, options);
        for (asked, (place, end)) in request.partitions.iter().zip(places.into_iter().zip(ends)) {
            let about = |error| errors::lookup(error).about(&asked.topic, Some(asked.partition));
            let topic = front
                .node
                .topics()
                .topic(TopicKey::Name(&asked.topic))
                .map(|topic| topic.id)
                .map_err(about)?;
            let (at, stop) = (place?.offset, end.transpose()?.map(|end| end.offset));
            if stop.is_none_or(|stop| at < stop) {
                reader.begin(topic, asked.partition, at, stop, false).map_err(about)?;
            }
        }
        reader.follow();
        Ok(Self { reader, ended: false })
    }
}

impl Stream for Tail {
    type Item = Result<v1::FetchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let message = std::task::ready!(this.reader.poll_message(cx));
        this.ended = !matches!(message, Ok(Some(_)));
        Poll::Ready(message.map_err(|broken| Status::from(broken.failure)).transpose())
    }
}

/// In what form a reader wants records.
pub(crate) fn format(format: i32) -> Result<v1::FetchFormat, Failure> {
    v1::FetchFormat::try_from(format).map_err(|_| invalid(format!("there is no FetchFormat {format}")))
}

fn host(front: &Front, asked: &v1::FetchPartition) -> Result<Arc<PartitionHost>, Failure> {
    let topics = front.node.topics();
    let host = topics.topic(TopicKey::Name(&asked.topic)).and_then(|topic| topic.partition(asked.partition));
    host.cloned().map_err(|error| errors::lookup(error).about(&asked.topic, Some(asked.partition)))
}

fn check_partitions(partitions: &[v1::FetchPartition]) -> Result<(), Failure> {
    if partitions.is_empty() {
        return Err(invalid("there is nothing to read: `partitions` is empty"));
    }
    if partitions.len() > MAX_PARTITIONS {
        return Err(invalid(format!("one stream reads {MAX_PARTITIONS} partitions at most")));
    }
    let mut seen = HashSet::with_capacity(partitions.len());
    match partitions.iter().find(|asked| !seen.insert((asked.topic.as_str(), asked.partition))) {
        Some(twice) => {
            Err(invalid("the partition is named twice").about(&twice.topic, Some(twice.partition)))
        }
        None => Ok(()),
    }
}

/// Bytes of records in one message.
pub(crate) fn message_bytes(asked: Option<i32>) -> Result<usize, Failure> {
    let asked = asked.unwrap_or(DEFAULT_MESSAGE_BYTES);
    match usize::try_from(asked) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(invalid(format!("max_message_bytes {asked} is not positive"))),
    }
}
