//! Hand-made request frames over a socket, for what no client would send and for measuring without a client's own cost.
//!
//! Independent of the crate `wire` on purpose: a misunderstanding there must not be shared by its test. Only versions from
//! before the compact encodings are spoken, so that the writer stays a screen long.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context, ensure};

mod responsible;

use responsible::Responsible;

/// Every answer of a live broker comes well within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A group's coordinator loads its partition, which is created by the first who asks, well within this.
const COORDINATOR_WITHIN: Duration = Duration::from_secs(20);

/// `api_key` values.
pub mod api {
    #![allow(missing_docs, reason = "Kafka's own names")]
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_FETCH: i16 = 9;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const API_VERSIONS: i16 = 18;
    pub const CREATE_TOPICS: i16 = 19;
    pub const DELETE_RECORDS: i16 = 21;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const CREATE_PARTITIONS: i16 = 37;
    pub const DESCRIBE_QUORUM: i16 = 55;
}

/// Kafka's error codes that the tests name.
pub mod error {
    #![allow(missing_docs, reason = "Kafka's own names")]
    pub const NONE: i16 = 0;
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub const CORRUPT_MESSAGE: i16 = 2;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const MESSAGE_TOO_LARGE: i16 = 10;
    pub const INVALID_TIMESTAMP: i16 = 32;
    pub const UNSUPPORTED_VERSION: i16 = 35;
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    pub const INVALID_PARTITIONS: i16 = 37;
    pub const INVALID_REQUEST: i16 = 42;
    pub const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;
    pub const KAFKA_STORAGE_ERROR: i16 = 56;
    pub const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
    pub const INVALID_RECORD: i16 = 87;
    /// Coordinator load in progress, coordinator not available, not coordinator.
    pub const COORDINATOR_NOT_READY: [i16; 3] = [14, 15, 16];
    /// Unknown topic, leader not available, not leader, offset not available: a client asks again.
    pub const RETRIABLE: [i16; 4] = [3, 5, 6, 78];
    /// Timed out, not enough replicas before and after the append: a producer sends the same batch again.
    pub const NOT_ACKNOWLEDGED: [i16; 3] = [7, 19, 20];
}

/// Writes Kafka's primitive types.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// One byte.
    pub fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Two bytes.
    pub fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Four bytes.
    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Eight bytes.
    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A string with its two-byte length.
    pub fn string(self, value: &str) -> Self {
        let mut writer = self.i16(i16::try_from(value.len()).expect("a short string"));
        writer.0.extend(value.as_bytes());
        writer
    }

    /// A null string.
    pub fn null_string(self) -> Self {
        self.i16(-1)
    }

    /// Bytes with their four-byte length.
    pub fn bytes(self, value: &[u8]) -> Self {
        let mut writer = self.i32(i32::try_from(value.len()).expect("below 2 GiB"));
        writer.0.extend(value);
        writer
    }

    /// Bytes as they are.
    pub fn raw(mut self, value: &[u8]) -> Self {
        self.0.extend(value);
        self
    }

    /// An array's length and its elements.
    pub fn array<T>(self, items: &[T], mut write: impl FnMut(Self, &T) -> Self) -> Self {
        let mut writer = self.i32(i32::try_from(items.len()).expect("a short array"));
        for item in items {
            writer = write(writer, item);
        }
        writer
    }
}

/// Reads Kafka's primitive types; a short answer is an error.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> anyhow::Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len).context("the answer ends early")?;
        self.0 = tail;
        Ok(head)
    }

    /// One byte.
    pub fn i8(&mut self) -> anyhow::Result<i8> {
        Ok(i8::from_be_bytes(self.take(1)?.try_into()?))
    }

    /// Two bytes.
    pub fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    /// Four bytes.
    pub fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    /// A string or null.
    pub fn string(&mut self) -> anyhow::Result<Option<String>> {
        let len = self.i16()?;
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        Ok(Some(String::from_utf8(self.take(len)?.to_vec())?))
    }

    /// Bytes; null reads as empty.
    pub fn bytes(&mut self) -> anyhow::Result<&'a [u8]> {
        let len = self.i32()?;
        self.take(usize::try_from(len).unwrap_or(0))
    }

    /// An array; null reads as empty.
    pub fn array<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<T>> {
        let len = self.i32()?;
        (0..len.max(0)).map(|_| read(self)).collect()
    }
}

/// A whole frame: length, header version 1, body.
pub fn frame(api: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let rest = Writer::default().i16(api).i16(version).i32(correlation).string("it").raw(body);
    Writer::default().bytes(&rest.0).0
}

/// One connection; requests are answered in order.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for tests that write half a frame.
    pub stream: TcpStream,
    correlation: i32,
    /// Where it stands for all brokers of a cluster; `stream` leads to one of them.
    responsible: Option<Box<Responsible>>,
}

impl Connection {
    /// Connects without Nagle's delay.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let address = address.to_socket_addrs()?.next().context("an address")?;
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream, correlation: 0, responsible: None })
    }

    /// One that stands for the brokers at these addresses: records, offsets and topics go to whoever is responsible for them. Any
    /// other request goes to one of them.
    pub fn to_cluster(addresses: &[String]) -> anyhow::Result<Self> {
        let mut connections = addresses.iter().map(|address| Self::open(address));
        let connection = connections.find_map(Result::ok).context("one of the brokers is there")?;
        Ok(Self { responsible: Some(Box::new(Responsible::new(addresses))), ..connection })
    }

    /// Sends a request and returns the answer behind its correlation id.
    pub fn call(&mut self, api: i16, version: i16, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.correlation += 1;
        self.stream.write_all(&frame(api, version, self.correlation, body))?;
        let answer = self.receive()?;
        let mut reader = Reader(&answer);
        let correlation = reader.i32()?;
        ensure!(correlation == self.correlation, "answer {correlation} to request {}", self.correlation);
        Ok(reader.0.to_vec())
    }

    /// Reads one frame without its length.
    pub fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("the broker closed the connection")?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// True when the broker closes the connection without an answer.
    pub fn is_closed_by_peer(&mut self) -> bool {
        // A reset is a close as well: the broker had unread bytes of ours.
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// ApiVersions 0: every (api, lowest, highest) advertised.
    pub fn api_versions(&mut self) -> anyhow::Result<Vec<(i16, i16, i16)>> {
        let answer = self.call(api::API_VERSIONS, 0, &[])?;
        let mut reader = Reader(&answer);
        let code = reader.i16()?;
        ensure!(code == error::NONE, "ApiVersions answers error {code}");
        reader.array(|reader| Ok((reader.i16()?, reader.i16()?, reader.i16()?)))
    }

    /// CreateTopics 4, and waits until every partition has a leader.
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        if let Some(responsible) = &mut self.responsible {
            return responsible.create_topic(topic, partitions, configs);
        }
        let answer = self.call_create_topic(topic, partitions, configs)?;
        for (name, code, message) in created(&answer)? {
            ensure!(code == error::NONE, "creating {name:?}: error {code} {message:?}");
        }
        crate::wait::until("leaders", Duration::from_secs(10), || {
            let leaders = self.leaders(topic)?;
            let led =
                leaders.len() == usize::try_from(partitions)? && leaders.iter().all(|leader| *leader >= 0);
            Ok(led.then_some(()))
        })?;
        (0..partitions).try_for_each(|partition| self.wait_led(topic, partition))
    }

    /// The answer of CreateTopics 4 for a topic with as many replicas as it has by default.
    fn call_create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<Vec<u8>> {
        let body = Writer::default()
            .i32(1)
            .string(topic)
            .i32(partitions)
            .i16(-1)
            .i32(0)
            .array(configs, |writer, (key, value)| writer.string(key).string(value))
            .i32(30_000)
            .i8(0);
        self.call(api::CREATE_TOPICS, 4, &body.0)
    }

    /// InitProducerId 0: an id and an epoch without a transaction.
    fn init_producer(&mut self) -> anyhow::Result<(i64, i16)> {
        let answer = self.call(api::INIT_PRODUCER_ID, 0, &Writer::default().null_string().i32(60_000).0)?;
        let mut reader = Reader(&answer);
        reader.i32()?;
        let code = reader.i16()?;
        ensure!(code == error::NONE, "InitProducerId: error {code}");
        Ok((reader.i64()?, reader.i16()?))
    }

    /// Metadata 1: the leader of each partition of a topic, in the order of their indexes.
    pub fn leaders(&mut self, topic: &str) -> anyhow::Result<Vec<i32>> {
        let answer = self.call(api::METADATA, 1, &Writer::default().i32(1).string(topic).0)?;
        let mut reader = Reader(&answer);
        reader.array(|reader| Ok((reader.i32()?, reader.string()?, reader.i32()?, reader.string()?)))?;
        reader.i32()?;
        let topics = reader.array(|reader| {
            let code = reader.i16()?;
            reader.string()?;
            reader.i8()?;
            let mut partitions = reader.array(|reader| {
                let found = (reader.i16()?, reader.i32()?, reader.i32()?);
                reader.array(Reader::i32)?;
                reader.array(Reader::i32)?;
                Ok((found.1, found.2))
            })?;
            partitions.sort_unstable();
            Ok((code, partitions))
        })?;
        let (code, partitions) = topics.into_iter().next().context("one topic")?;
        ensure!(code == error::NONE, "metadata of {topic}: error {code}");
        Ok(partitions.into_iter().map(|(_, leader)| leader).collect())
    }

    /// Produce 8 of one batch to one partition: error code and base offset.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &[u8],
    ) -> anyhow::Result<(i16, i64)> {
        if let Some(responsible) = &mut self.responsible {
            return responsible.produce(topic, partition, acks, batch);
        }
        let answer = self.call(api::PRODUCE, 8, &produce_body(topic, &[partition], acks, batch))?;
        let outcome = produced(&answer)?;
        outcome.first().copied().context("one partition")
    }

    /// Waits until a partition's leader is ready to serve it, as clients do after a restart.
    pub fn wait_led(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        crate::wait::until("a leader that serves", Duration::from_secs(20), || {
            let (code, _) = self.list_offset(topic, partition, -1)?;
            Ok((!error::RETRIABLE.contains(&code)).then_some(()))
        })
    }

    /// [`Connection::produce`] with acks=all, again as long as the answer is one to ask again after, as clients do. For
    /// batches whose second arrival would not matter: an answer of this kind means that nothing was written.
    pub fn produce_once_led(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &[u8],
    ) -> anyhow::Result<(i16, i64)> {
        crate::wait::until("a leader that takes records", Duration::from_secs(20), || {
            let (code, offset) = self.produce(topic, partition, -1, batch)?;
            Ok((!error::RETRIABLE.contains(&code)).then_some((code, offset)))
        })
    }

    /// DeleteRecords 1 of partition 0, which this broker leads; an error of the broker is one.
    pub fn delete_records(&mut self, topic: &str, before: i64) -> anyhow::Result<()> {
        let body = Writer::default().i32(1).string(topic).i32(1).i32(0).i64(before).i32(10_000);
        let answer = self.call(api::DELETE_RECORDS, 1, &body.0)?;
        let code = answer.last_chunk::<2>().context("an error code")?;
        let code = i16::from_be_bytes(*code);
        ensure!(code == error::NONE, "DeleteRecords of {topic}: error {code}");
        Ok(())
    }

    /// Fetch 11 of one partition: error code, high watermark, log start offset and the records' bytes.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<Fetched> {
        if let Some(responsible) = &mut self.responsible {
            let asked = |leader: &mut Self| {
                let fetched = leader.fetch(topic, partition, offset)?;
                Ok((fetched.error, fetched))
            };
            return Ok(responsible.leader(topic, partition, asked)?.1);
        }
        let body = fetch_body(topic, &[(partition, offset)], 0, 1 << 20);
        let answer = self.call(api::FETCH, 11, &body)?;
        fetched(&answer)?.pop().context("one partition")
    }

    /// ListOffsets 1: error code and offset at a timestamp, or at -1 (latest) or -2 (earliest).
    pub fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> anyhow::Result<(i16, i64)> {
        if let Some(responsible) = &mut self.responsible {
            return responsible
                .leader(topic, partition, |leader| leader.list_offset(topic, partition, timestamp));
        }
        let body = Writer::default().i32(-1).i32(1).string(topic).i32(1).i32(partition).i64(timestamp);
        let answer = self.call(api::LIST_OFFSETS, 1, &body.0)?;
        let mut reader = Reader(&answer);
        let topics = reader.array(|reader| {
            reader.string()?;
            reader.array(|reader| {
                reader.i32()?;
                let code = reader.i16()?;
                reader.i64()?;
                Ok((code, reader.i64()?))
            })
        })?;
        topics.first().and_then(|partitions| partitions.first()).copied().context("one partition")
    }

    /// OffsetFetch 2: what a group has committed of a topic, as soon as its coordinator can say it. Nothing counts as 0.
    pub fn committed(
        &mut self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> anyhow::Result<BTreeMap<i32, i64>> {
        if let Some(responsible) = &mut self.responsible {
            return responsible
                .coordinator(group, |coordinator| coordinator.call_offset_fetch(group, topic, partitions));
        }
        crate::wait::until("a coordinator", COORDINATOR_WITHIN, || {
            self.call_offset_fetch(group, topic, partitions)
        })
    }

    /// One answer of OffsetFetch 2; `None` from who cannot say it yet, or no more.
    fn call_offset_fetch(
        &mut self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> anyhow::Result<Option<BTreeMap<i32, i64>>> {
        let wanted: Vec<i32> = (0..partitions).collect();
        let body = Writer::default().string(group).i32(1).string(topic);
        let body = body.array(&wanted, |writer, partition| writer.i32(*partition));
        let answer = self.call(api::OFFSET_FETCH, 2, &body.0)?;
        let mut reader = Reader(&answer);
        let topics = reader.array(|reader| {
            reader.string()?;
            reader.array(|reader| {
                let (partition, offset) = (reader.i32()?, reader.i64()?);
                reader.string()?;
                Ok((partition, offset, reader.i16()?))
            })
        })?;
        let code = reader.i16()?;
        if error::COORDINATOR_NOT_READY.contains(&code) {
            return Ok(None);
        }
        ensure!(code == error::NONE, "OffsetFetch: error {code}");
        let mut found = BTreeMap::new();
        for (partition, offset, code) in topics.into_iter().flatten() {
            ensure!(code == error::NONE, "OffsetFetch of partition {partition}: error {code}");
            found.insert(partition, offset.max(0));
        }
        let asked: BTreeSet<i32> = wanted.iter().copied().collect();
        ensure!(found.keys().copied().collect::<BTreeSet<_>>() == asked, "OffsetFetch: {found:?}");
        Ok(Some(found))
    }
}

/// Name, error code and message of one topic in an answer of CreateTopics.
type Created = (Option<String>, i16, Option<String>);

/// What CreateTopics 4 answered for each topic.
pub fn created(answer: &[u8]) -> anyhow::Result<Vec<Created>> {
    let mut reader = Reader(answer);
    reader.i32()?;
    reader.array(|reader| Ok((reader.string()?, reader.i16()?, reader.string()?)))
}

/// The body of Produce 8 with the same batch for each partition.
pub fn produce_body(topic: &str, partitions: &[i32], acks: i16, batch: &[u8]) -> Vec<u8> {
    let head = Writer::default().null_string().i16(acks).i32(30_000).i32(1).string(topic);
    head.array(partitions, |writer, partition| writer.i32(*partition).bytes(batch)).0
}

/// What Produce 8 answered: (error, base offset) per partition.
pub fn produced(answer: &[u8]) -> anyhow::Result<Vec<(i16, i64)>> {
    let mut reader = Reader(answer);
    let topics = reader.array(|reader| {
        reader.string()?;
        reader.array(|reader| {
            reader.i32()?;
            let outcome = (reader.i16()?, reader.i64()?);
            reader.i64()?;
            reader.i64()?;
            reader.array(|reader| Ok((reader.i32()?, reader.string()?)))?;
            reader.string()?;
            Ok(outcome)
        })
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// The body of Fetch 11 without a session.
pub fn fetch_body(topic: &str, partitions: &[(i32, i64)], wait_ms: i32, partition_max_bytes: i32) -> Vec<u8> {
    let head = Writer::default()
        .i32(-1)
        .i32(wait_ms)
        .i32(1)
        .i32(52_428_800)
        .i8(0)
        .i32(0)
        .i32(-1)
        .i32(1)
        .string(topic);
    let body = head.array(partitions, |writer, (partition, offset)| {
        writer.i32(*partition).i32(-1).i64(*offset).i64(-1).i32(partition_max_bytes)
    });
    body.i32(0).string("").0
}

/// One partition of a fetch's answer.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its index.
    pub partition: i32,
    /// Kafka's error code.
    pub error: i16,
    /// The high watermark.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start: i64,
    /// Whole batches, possibly with a cut one at the end.
    pub records: Vec<u8>,
}

/// What Fetch 11 answered.
pub fn fetched(answer: &[u8]) -> anyhow::Result<Vec<Fetched>> {
    let borrowed = fetched_slices(answer)?;
    Ok(borrowed.into_iter().map(|(head, records)| Fetched { records: records.to_vec(), ..head }).collect())
}

/// What Fetch 11 answered, the records left where they are (the heads hold none).
pub fn fetched_slices(answer: &[u8]) -> anyhow::Result<Vec<(Fetched, &[u8])>> {
    let mut reader = Reader(answer);
    reader.i32()?;
    let code = reader.i16()?;
    ensure!(code == error::NONE, "fetch: error {code}");
    reader.i32()?;
    let topics = reader.array(|reader| {
        reader.string()?;
        reader.array(|reader| {
            let (partition, error, high_watermark) = (reader.i32()?, reader.i16()?, reader.i64()?);
            reader.i64()?;
            let log_start = reader.i64()?;
            reader.array(|reader| Ok((reader.i64()?, reader.i64()?)))?;
            reader.i32()?;
            let head = Fetched { partition, error, high_watermark, log_start, records: Vec::new() };
            Ok((head, reader.bytes()?))
        })
    })?;
    Ok(topics.into_iter().flatten().collect())
}
