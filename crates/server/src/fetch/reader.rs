//! What Fetch and Subscribe have in common: several partitions, each read in its turn, and no further ahead than one read.

use std::future::Future;
use std::io;
use std::iter::once;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ottla_node::record::{Offset, TopicId};
use ottla_node::storage::ReadSlice;
use ottla_node::{
    FetchError, FetchItem, FetchOptions, Fetched, GrowthWait, Isolation, LookupError, PartitionHost, TopicKey,
};
use ottla_rpc::{KafkaError, v1};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::errors::{self, Failure};
use crate::fetch::decoding::Decoding;
use crate::fetch::elsewhere::{Distant, Elsewhere, Found};
use crate::front::Front;
use crate::peers;

/// Reads partitions in turns.
pub(crate) struct Reader {
    front: Arc<Front>,
    format: v1::FetchFormat,
    options: FetchOptions,
    cursors: Vec<Cursor>,
    /// Whose turn it is.
    turn: usize,
    growth: GrowthWait,
    /// A read that waits for the disk.
    cold: Option<(Read, JoinHandle<io::Result<Vec<u8>>>)>,
    /// What has been read and not sent, and for which cursor; `None` while the reader waits.
    decoding: Option<(usize, Decoding)>,
    /// What other brokers lead; `None` where only this one is asked.
    elsewhere: Option<Elsewhere>,
    /// Other brokers come next: neither waits for the other.
    turn_of_others: bool,
}

/// How far one partition has been read.
pub(crate) struct Cursor {
    host: Arc<PartitionHost>,
    next: Offset,
    /// Behind the last message that was handed out. What lies between is read and not sent.
    sent: Offset,
    /// Where the reader wants to end, if it does.
    stop: Option<Offset>,
    paused: bool,
}

/// A partition that cannot be read on. Its cursor is gone.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    /// Behind what was sent of it.
    pub(crate) at: Offset,
    /// True if the log does not hold the offset.
    pub(crate) is_out_of_range: bool,
    pub(crate) failure: Failure,
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

impl Cursor {
    pub(crate) fn new(host: Arc<PartitionHost>, next: Offset, stop: Option<Offset>) -> Self {
        Self { host, next, sent: next, stop, paused: false }
    }

    pub(super) fn topic(&self) -> &Arc<str> {
        self.host.topic()
    }

    pub(super) fn partition(&self) -> i32 {
        self.host.index().get()
    }

    pub(super) fn next(&self) -> Offset {
        self.next
    }

    fn is_of(&self, topic: TopicId, partition: i32) -> bool {
        self.host.topic_id() == topic && self.partition() == partition
    }
}

impl Reader {
    /// A reader of these partitions, which are led here. `growth` was registered before their places were looked up, so that
    /// nothing between that and the first wait is missed.
    pub(crate) fn new(
        front: &Arc<Front>,
        format: v1::FetchFormat,
        options: FetchOptions,
        growth: GrowthWait,
        cursors: Vec<Cursor>,
    ) -> Self {
        let front = Arc::clone(front);
        Self {
            front,
            format,
            options,
            cursors,
            turn: 0,
            growth,
            cold: None,
            decoding: None,
            elsewhere: None,
            turn_of_others: false,
        }
    }

    /// Goes on with other brokers where they lead what is read.
    #[must_use]
    pub(crate) fn asking_others(mut self) -> Self {
        self.elsewhere = Some(Elsewhere::new(&self.front, self.format, self.options));
        self
    }

    /// A reader of nothing yet.
    pub(crate) fn idle(front: &Arc<Front>, format: v1::FetchFormat, options: FetchOptions) -> Self {
        Self::new(front, format, options, GrowthWait::register(Vec::new()), Vec::new()).asking_others()
    }

    /// Reads a partition from a place on, also one that is being read: what was read of the old place is forgotten.
    pub(crate) fn read(
        &mut self,
        topic: TopicId,
        partition: i32,
        at: Offset,
        paused: bool,
    ) -> Result<(), LookupError> {
        self.stop(topic, partition);
        self.begin(topic, partition, at, None, paused)?;
        self.follow();
        Ok(())
    }

    /// Reads a partition where it is led.
    pub(super) fn begin(
        &mut self,
        topic: TopicId,
        partition: i32,
        at: Offset,
        stop: Option<Offset>,
        paused: bool,
    ) -> Result<(), LookupError> {
        let topics = self.front.node.topics();
        let hosted = topics.topic(TopicKey::Id(topic))?;
        if let Some(elsewhere) = &mut self.elsewhere
            && peers::leader_elsewhere(&self.front, &hosted.name, partition).is_some()
        {
            let topic_name = Arc::clone(&hosted.name);
            elsewhere.add(Distant {
                topic: topic_name,
                topic_id: topic,
                partition,
                next: at,
                stop,
                paused,
                lost: None,
            });
            return Ok(());
        }
        let host = Arc::clone(hosted.partition(partition)?);
        self.cursors.push(Cursor { paused, ..Cursor::new(host, at, stop) });
        Ok(())
    }

    /// Reads a partition no more.
    pub(crate) fn stop(&mut self, topic: TopicId, partition: i32) {
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.stop(topic, partition);
        }
        let Some(at) = self.cursors.iter().position(|cursor| cursor.is_of(topic, partition)) else { return };
        self.remove(at);
        self.follow();
    }

    /// Pauses a partition or goes on with it, behind what was sent of it.
    pub(crate) fn set_paused(&mut self, topic: TopicId, partition: i32, paused: bool) {
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.set_paused(topic, partition, paused);
        }
        let Some(at) = self.cursors.iter().position(|cursor| cursor.is_of(topic, partition)) else { return };
        self.forget(at);
        if let Some(cursor) = self.cursors.get_mut(at) {
            cursor.paused = paused;
            cursor.next = cursor.sent;
        }
    }

    /// The next message; `None` when nothing is left to read.
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<v1::FetchResponse>, Broken>> {
        loop {
            if std::mem::take(&mut self.turn_of_others)
                && let Poll::Ready(Some(read)) = self.poll_others(cx)
            {
                return Poll::Ready(read);
            }
            if let Some((at, decoding)) = &mut self.decoding {
                let at = *at;
                match decoding.next_message() {
                    Ok(Some(message)) => {
                        if let Some(cursor) = self.cursors.get_mut(at) {
                            cursor.sent = Offset::new(message.next_offset);
                        }
                        self.turn_of_others = true;
                        return Poll::Ready(Ok(Some(message)));
                    }
                    Ok(None) => self.decoding = None,
                    Err(failure) => return self.broken(at, failure, false),
                }
            }
            if let Some((_, reading)) = &mut self.cold {
                let joined = ready!(Pin::new(reading).poll(cx));
                let Some((read, _)) = self.cold.take() else { continue };
                let bytes = joined.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
                let at = read.cursor;
                if let Err(failure) = self.take(read, bytes) {
                    return self.broken(at, failure, false);
                }
                continue;
            }
            match self.find() {
                Err((at, error)) if self.moved(at, error) => {}
                Err((at, error)) => {
                    let failure = self.failure(at, error);
                    return self.broken(at, failure, matches!(error, FetchError::OffsetOutOfRange { .. }));
                }
                Ok(Some((read, slice))) if is_resident(&slice).unwrap_or(true) => {
                    let at = read.cursor;
                    if let Err(failure) = self.take(read, slice.read()) {
                        return self.broken(at, failure, false);
                    }
                }
                Ok(Some((read, slice))) => {
                    // The disk's time is not the worker's.
                    self.cold = Some((read, tokio::task::spawn_blocking(move || slice.read())));
                }
                Ok(None) if self.cursors.is_empty() && self.nothing_elsewhere() => {
                    return Poll::Ready(Ok(None));
                }
                Ok(None) => match self.poll_others(cx) {
                    Poll::Ready(Some(read)) => return Poll::Ready(read),
                    // One more is led here now, or all of the others are done.
                    Poll::Ready(None) => {}
                    Poll::Pending => ready!(self.growth.poll_grown(cx)),
                },
            }
        }
    }

    fn nothing_elsewhere(&self) -> bool {
        self.elsewhere.as_ref().is_none_or(Elsewhere::is_empty)
    }

    /// What other brokers have; ready with `None` when something else is to be looked at.
    fn poll_others(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Option<v1::FetchResponse>, Broken>>> {
        if self.nothing_elsewhere() {
            return Poll::Pending;
        }
        let Some(elsewhere) = &mut self.elsewhere else { return Poll::Pending };
        match ready!(elsewhere.poll(cx)) {
            Found::Message(message) => Poll::Ready(Some(Ok(Some(message)))),
            Found::Nothing => Poll::Ready(None),
            Found::Broken(distant, failure) => Poll::Ready(Some(Err(broken(distant, failure)))),
            Found::Here(distant) => {
                let Distant { topic, topic_id, partition, next, stop, paused, .. } = distant;
                let topics = self.front.node.topics();
                let host = topics.topic(TopicKey::Id(topic_id)).and_then(|topic| topic.partition(partition));
                match host {
                    Ok(host) => {
                        self.cursors.push(Cursor { paused, ..Cursor::new(Arc::clone(host), next, stop) });
                        self.follow();
                        Poll::Ready(None)
                    }
                    Err(error) => {
                        let failure = errors::lookup(error).about(&topic, Some(partition));
                        let at = next;
                        let is_out_of_range = false;
                        Poll::Ready(Some(Err(Broken {
                            topic,
                            topic_id,
                            partition,
                            at,
                            is_out_of_range,
                            failure,
                        })))
                    }
                }
            }
        }
    }

    /// True if another broker leads the partition now, or will soon: it is read on there.
    fn moved(&mut self, at: usize, error: FetchError) -> bool {
        let may_have_moved =
            matches!(error, FetchError::NotLeader | FetchError::Lookup(LookupError::NotHosted));
        if !may_have_moved || self.elsewhere.is_none() {
            return false;
        }
        let Some(cursor) = self.cursors.get(at) else { return false };
        if self.front.node.image().topic_by_id(cursor.host.topic_id()).is_none() {
            return false;
        }
        let Some(Cursor { host, sent, stop, paused, .. }) = self.remove(at) else { return false };
        let distant = Distant {
            topic: Arc::clone(host.topic()),
            topic_id: host.topic_id(),
            partition: host.index().get(),
            next: sent,
            stop,
            paused,
            lost: Some((Instant::now(), errors::fetch(error))),
        };
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.add(distant);
        }
        self.follow();
        true
    }

    /// Looks at each partition once, beginning behind the one that had something last.
    fn find(&mut self) -> Result<Option<(Read, ReadSlice)>, (usize, FetchError)> {
        let mut left = self.cursors.len();
        while left > 0 {
            left -= 1;
            let at = self.turn % self.cursors.len();
            match self.look(at).map_err(|error| (at, error))? {
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

    fn look(&self, at: usize) -> Result<Look, FetchError> {
        let Some(cursor) = self.cursors.get(at).filter(|cursor| !cursor.paused) else {
            return Ok(Look::Nothing);
        };
        if cursor.stop.is_some_and(|stop| cursor.next >= stop) {
            return Ok(Look::Finished);
        }
        let item = FetchItem {
            topic: TopicKey::Id(cursor.host.topic_id()),
            partition: cursor.partition(),
            offset: cursor.next.get(),
            max_bytes: self.options.max_bytes,
            current_leader_epoch: None,
            is_read: true,
        };
        let outcome = self.front.node.fetch(self.options, once(item)).pop();
        let mut fetched = outcome.unwrap_or(Err(FetchError::Storage))?;
        Ok(match fetched.slice.take() {
            Some(slice) => Look::Found(Read { cursor: at, fetched }, slice),
            // Compaction may have taken what stood before the end.
            None if cursor.stop.is_some_and(|stop| stop <= end(&fetched, self.options.isolation)) => {
                Look::Finished
            }
            None => Look::Nothing,
        })
    }

    fn take(&mut self, read: Read, bytes: io::Result<Vec<u8>>) -> Result<(), Failure> {
        let Some(cursor) = self.cursors.get_mut(read.cursor) else { return Ok(()) };
        let (topic, partition) = (Arc::clone(cursor.topic()), cursor.partition());
        let bytes = bytes.map_err(|error| {
            tracing::error!(%topic, partition, %error, "reading the log failed");
            errors::fetch(FetchError::Storage).about(&topic, Some(partition))
        })?;
        let max_decompressed = self.front.node.settings().config.max_decompressed_bytes;
        let decoding = Decoding::new(cursor, &read.fetched, Bytes::from(bytes), self.options.max_bytes)
            .map_err(|error| {
                tracing::error!(%topic, partition, %error, "a batch in the log is damaged");
                errors::fetch(FetchError::Storage).about(&topic, Some(partition))
            })?;
        cursor.next = decoding.next();
        let decoding = match self.format {
            v1::FetchFormat::Batches => decoding.into_batches(),
            v1::FetchFormat::Records => decoding.into_records(max_decompressed),
        };
        self.decoding = Some((read.cursor, decoding));
        Ok(())
    }

    /// Why a partition cannot be read on.
    fn failure(&self, at: usize, error: FetchError) -> Failure {
        let Some(cursor) = self.cursors.get(at) else { return errors::fetch(error) };
        let is_gone = self.front.node.image().topic_by_id(cursor.host.topic_id()).is_none();
        let failure = match error {
            FetchError::NotLeader | FetchError::Lookup(LookupError::UnknownTopicId) if is_gone => {
                Failure::new(
                    KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
                    "the topic was deleted while it was read",
                )
            }
            error => errors::fetch(error),
        };
        failure.about(cursor.topic(), Some(cursor.partition()))
    }

    fn broken(
        &mut self,
        at: usize,
        failure: Failure,
        is_out_of_range: bool,
    ) -> Poll<Result<Option<v1::FetchResponse>, Broken>> {
        let Some(cursor) = self.remove(at) else { return Poll::Ready(Ok(None)) };
        Poll::Ready(Err(Broken {
            topic: Arc::clone(cursor.topic()),
            topic_id: cursor.host.topic_id(),
            partition: cursor.partition(),
            at: cursor.sent,
            is_out_of_range,
            failure,
        }))
    }

    /// Takes a cursor out; what others have under way stays theirs.
    fn remove(&mut self, at: usize) -> Option<Cursor> {
        if at >= self.cursors.len() {
            return None;
        }
        self.forget(at);
        let behind = |index: &mut usize| *index -= usize::from(*index > at);
        if let Some((read, _)) = &mut self.cold {
            behind(&mut read.cursor);
        }
        if let Some((index, _)) = &mut self.decoding {
            behind(index);
        }
        behind(&mut self.turn);
        Some(self.cursors.remove(at))
    }

    /// Drops what was read for a cursor and not sent.
    fn forget(&mut self, at: usize) {
        self.cold.take_if(|(read, _)| read.cursor == at);
        self.decoding.take_if(|(index, _)| *index == at);
    }

    /// Waits for the partitions that are read now.
    pub(super) fn follow(&mut self) {
        self.growth =
            GrowthWait::register(self.cursors.iter().map(|cursor| Arc::clone(&cursor.host)).collect());
    }
}

fn broken(distant: Distant, failure: Failure) -> Broken {
    let Distant { topic, topic_id, partition, next: at, .. } = distant;
    let is_out_of_range = failure.detail.kafka_error == KafkaError::OFFSET_OUT_OF_RANGE.name();
    Broken { topic, topic_id, partition, at, is_out_of_range, failure }
}

fn end(fetched: &Fetched, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::ReadUncommitted => fetched.high_watermark,
        Isolation::ReadCommitted => fetched.last_stable,
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
