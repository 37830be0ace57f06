//! Reading: one stream over several partitions, each in its turn, and no further ahead than the client takes.

mod decoding;

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::iter::once;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use ottla_node::record::{Offset, TopicId};
use ottla_node::storage::ReadSlice;
use ottla_node::{
    FetchError, FetchItem, FetchOptions, Fetched, GrowthWait, Isolation, LookupError, PartitionHost, TopicKey,
};
use ottla_rpc::{KafkaError, v1};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::Status;

use crate::errors::{self, Failure, invalid};
use crate::fetch::decoding::Decoding;
use crate::front::Front;
use crate::positions;

/// Partitions of one stream.
const MAX_PARTITIONS: usize = 10_000;
/// Bytes of records in one message where the client does not say.
const DEFAULT_MESSAGE_BYTES: i32 = 1 << 20;

/// The messages of one Fetch.
pub(crate) struct Tail {
    front: Arc<Front>,
    format: v1::FetchFormat,
    options: FetchOptions,
    cursors: Vec<Cursor>,
    /// Whose turn it is.
    turn: usize,
    growth: GrowthWait,
    /// A read that waits for the disk.
    cold: Option<(Read, JoinHandle<io::Result<Vec<u8>>>)>,
    /// What has been read and not sent; `None` while the stream waits.
    decoding: Option<Decoding>,
    ended: bool,
}

/// How far one partition has been read.
struct Cursor {
    topic: Arc<str>,
    topic_id: TopicId,
    partition: i32,
    next: Offset,
    /// Where the reader wants to end, if it does.
    stop: Option<Offset>,
}

/// A read of one partition, before its bytes are there.
struct Read {
    cursor: usize,
    fetched: Fetched,
}

/// What a look at one partition found.
enum Look {
    Nothing,
    Finished,
    Found(Read, ReadSlice),
}

impl Tail {
    /// Finds where each partition is to be read from.
    pub(crate) async fn begin(front: &Arc<Front>, request: v1::FetchRequest) -> Result<Self, Failure> {
        let format = v1::FetchFormat::try_from(request.format)
            .map_err(|_| invalid(format!("there is no FetchFormat {}", request.format)))?;
        let isolation = positions::isolation(request.isolation)?;
        let max_bytes = message_bytes(request.max_message_bytes)?.min(front.limits.max_fetch_bytes);
        check_partitions(&request.partitions)?;
        let hosts =
            request.partitions.iter().map(|asked| host(front, asked)).collect::<Result<Vec<_>, _>>()?;
        // Before the first read, so that nothing between it and the first wait is missed.
        let growth = GrowthWait::register(hosts.clone());
        let places = positions::look_up(&front.node, &request.partitions, isolation).await;
        let cursors = request.partitions.iter().zip(&hosts).zip(places).map(|((asked, host), place)| {
            let view = host.view();
            let end = match isolation {
                Isolation::ReadUncommitted => view.high_watermark,
                Isolation::ReadCommitted => view.last_stable,
            };
            Ok(Cursor {
                topic: Arc::clone(host.topic()),
                topic_id: host.topic_id(),
                partition: asked.partition,
                next: place?.offset,
                stop: request.stop_at_end.then_some(end),
            })
        });
        let cursors = cursors.collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self {
            front: Arc::clone(front),
            format,
            options: FetchOptions { max_bytes, isolation },
            cursors,
            turn: 0,
            growth,
            cold: None,
            decoding: None,
            ended: false,
        })
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<v1::FetchResponse>, Failure>> {
        loop {
            if let Some(decoding) = &mut self.decoding {
                if let Some(message) = decoding.next_message()? {
                    return Poll::Ready(Ok(Some(message)));
                }
                self.decoding = None;
            }
            if let Some((_, reading)) = &mut self.cold {
                let joined = std::task::ready!(Pin::new(reading).poll(cx));
                let Some((read, _)) = self.cold.take() else { continue };
                let bytes = joined.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
                self.take(read, bytes)?;
                continue;
            }
            match self.find()? {
                Some((read, slice)) if is_resident(&slice).unwrap_or(true) => {
                    self.take(read, slice.read())?
                }
                Some((read, slice)) => {
                    // The disk's time is not the worker's.
                    self.cold = Some((read, tokio::task::spawn_blocking(move || slice.read())));
                }
                None if self.cursors.is_empty() => return Poll::Ready(Ok(None)),
                None => std::task::ready!(self.growth.poll_grown(cx)),
            }
        }
    }

    /// Looks at each partition once, beginning behind the one that had something last.
    fn find(&mut self) -> Result<Option<(Read, ReadSlice)>, Failure> {
        let mut left = self.cursors.len();
        while left > 0 {
            left -= 1;
            let at = self.turn % self.cursors.len();
            match self.look(at)? {
                Look::Nothing => self.turn = at + 1,
                Look::Finished => {
                    self.cursors.remove(at);
                    self.turn = at;
                }
                Look::Found(read, slice) => {
                    self.turn = at + 1;
                    return Ok(Some((read, slice)));
                }
            }
        }
        Ok(None)
    }

    fn look(&self, at: usize) -> Result<Look, Failure> {
        let Some(cursor) = self.cursors.get(at) else { return Ok(Look::Nothing) };
        if cursor.stop.is_some_and(|stop| cursor.next >= stop) {
            return Ok(Look::Finished);
        }
        let item = FetchItem {
            topic: TopicKey::Id(cursor.topic_id),
            partition: cursor.partition,
            offset: cursor.next.get(),
            max_bytes: self.options.max_bytes,
            current_leader_epoch: None,
        };
        let outcome = self.front.node.fetch(self.options, once(item)).pop();
        let mut fetched = match outcome {
            Some(Ok(fetched)) => fetched,
            Some(Err(error)) => return Err(self.failure(cursor, error)),
            None => return Err(errors::mismatch()),
        };
        match fetched.slice.take() {
            Some(slice) => Ok(Look::Found(Read { cursor: at, fetched }, slice)),
            // Compaction may have taken what stood before the end.
            None if cursor.stop.is_some_and(|stop| stop <= end(&fetched, self.options.isolation)) => {
                Ok(Look::Finished)
            }
            None => Ok(Look::Nothing),
        }
    }

    fn take(&mut self, read: Read, bytes: io::Result<Vec<u8>>) -> Result<(), Failure> {
        let Some(cursor) = self.cursors.get_mut(read.cursor) else { return Ok(()) };
        let bytes = bytes.map_err(|error| {
            tracing::error!(topic = %cursor.topic, partition = cursor.partition, %error, "reading the log failed");
            errors::fetch(FetchError::Storage).about(&cursor.topic, Some(cursor.partition))
        })?;
        let max_decompressed = self.front.node.settings().config.max_decompressed_bytes;
        let decoding = Decoding::new(cursor, &read.fetched, Bytes::from(bytes), self.options.max_bytes)
            .map_err(|error| damaged(cursor, &error))?;
        cursor.next = decoding.next();
        self.decoding = Some(match self.format {
            v1::FetchFormat::Batches => decoding.into_batches(),
            v1::FetchFormat::Records => decoding.into_records(max_decompressed),
        });
        Ok(())
    }

    /// Why a partition cannot be read on.
    fn failure(&self, cursor: &Cursor, error: FetchError) -> Failure {
        let is_gone = self.front.node.image().topic_by_id(cursor.topic_id).is_none();
        let failure = match error {
            FetchError::NotLeader | FetchError::Lookup(LookupError::UnknownTopicId) if is_gone => {
                Failure::new(
                    KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
                    "the topic was deleted while it was read",
                )
            }
            error => errors::fetch(error),
        };
        failure.about(&cursor.topic, Some(cursor.partition))
    }
}

impl Stream for Tail {
    type Item = Result<v1::FetchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let message = std::task::ready!(this.poll_message(cx));
        this.ended = !matches!(message, Ok(Some(_)));
        Poll::Ready(message.map_err(Status::from).transpose())
    }
}

fn end(fetched: &Fetched, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::ReadUncommitted => fetched.high_watermark,
        Isolation::ReadCommitted => fetched.last_stable,
    }
}

fn damaged(cursor: &Cursor, error: &dyn std::fmt::Display) -> Failure {
    tracing::error!(topic = %cursor.topic, partition = cursor.partition, %error, "a batch in the log is damaged");
    errors::fetch(FetchError::Storage).about(&cursor.topic, Some(cursor.partition))
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

fn message_bytes(asked: Option<i32>) -> Result<usize, Failure> {
    let asked = asked.unwrap_or(DEFAULT_MESSAGE_BYTES);
    match usize::try_from(asked) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(invalid(format!("max_message_bytes {asked} is not positive"))),
    }
}

/// True if a read will not wait for the disk. Looks at the first and the last byte: what lies between was written and read
/// in one go with them.
fn is_resident(slice: &ReadSlice) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags};
    let Some(descriptor) = slice.file.descriptor() else { return Ok(true) };
    for position in [slice.position, slice.position + (slice.len as u64).saturating_sub(1)] {
        let mut byte = [0u8; 1];
        let mut slices = [io::IoSliceMut::new(&mut byte)];
        match rustix::io::preadv2(descriptor, &mut slices, position, ReadWriteFlags::NOWAIT) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            // A file system that cannot tell.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
