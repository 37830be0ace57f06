//! What one broker says of the cluster over Kafka's wire: who is there, who leads, who is in sync, who leads the quorum.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::raw::{Connection, Reader, Writer, api, error};

/// A broker that is stopped accepts connections and says nothing; those who ask go on to the next one.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The answer of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Live brokers and their addresses.
    pub brokers: BTreeMap<i32, String>,
    /// Whom clients send what is for the controller. Kafka's brokers name any broker here.
    pub controller: i32,
    /// The partitions of what was asked for, in order of their indexes.
    pub partitions: Vec<PartitionView>,
}

/// One partition of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Its index.
    pub index: i32,
    /// Who leads it.
    pub leader: Option<i32>,
    /// Who holds it.
    pub replicas: Vec<i32>,
    /// Who of them is in sync.
    pub in_sync: Vec<i32>,
}

impl View {
    /// Metadata 1 of the brokers, and of a topic if one is named.
    pub fn ask(address: &str, topic: Option<&str>) -> anyhow::Result<Self> {
        let body = Writer::default().array(topic.as_slice(), |writer, topic| writer.string(topic));
        Self::about(address, &body).with_context(|| format!("metadata of {topic:?}"))
    }

    /// The same of all topics, those that the cluster keeps for itself among them.
    pub fn ask_everything(address: &str) -> anyhow::Result<Self> {
        Self::about(address, &Writer::default().i32(-1))
    }

    fn about(address: &str, body: &Writer) -> anyhow::Result<Self> {
        let answer = patient(address)?.call(api::METADATA, 1, &body.0)?;
        let mut reader = Reader(&answer);
        let brokers = reader.array(|reader| {
            let (id, host, port) = (reader.i32()?, reader.string()?, reader.i32()?);
            reader.string()?;
            Ok((id, format!("{}:{port}", host.context("a host")?)))
        })?;
        let controller = reader.i32()?;
        let topics = reader.array(|reader| {
            let code = reader.i16()?;
            reader.string()?;
            reader.i8()?;
            Ok((code, reader.array(partition)?))
        })?;
        let mut partitions = Vec::new();
        for (code, found) in topics {
            ensure!(code == error::NONE, "error {code}");
            partitions.extend(found);
        }
        partitions.sort_by_key(|partition| partition.index);
        Ok(Self { brokers: brokers.into_iter().collect(), controller, partitions })
    }
}

fn partition(reader: &mut Reader<'_>) -> anyhow::Result<PartitionView> {
    reader.i16()?;
    let (index, leader) = (reader.i32()?, reader.i32()?);
    let (replicas, in_sync) = (reader.array(Reader::i32)?, reader.array(Reader::i32)?);
    Ok(PartitionView { index, leader: Some(leader).filter(|leader| *leader >= 0), replicas, in_sync })
}

/// Who leads the metadata quorum, by Kafka's DescribeQuorum or, from a broker that does not serve it, by its metrics.
pub fn quorum_leader(address: &str, api_address: &str) -> anyhow::Result<Option<i32>> {
    let mut connection = patient(address)?;
    let served = connection.api_versions()?.iter().any(|(api, _, _)| *api == api::DESCRIBE_QUORUM);
    let leader = match served {
        true => describe_quorum(&mut connection)?,
        false => metric(api_address, "ottla_quorum_leader_id")?,
    };
    Ok(Some(leader).filter(|leader| *leader >= 0))
}

/// A gauge without labels.
fn metric(address: &str, name: &str) -> anyhow::Result<i32> {
    let mut stream = patient(address)?.stream;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("{name} is not among the metrics"))?.trim().parse()?)
}

/// FindCoordinator 1: who coordinates a group.
pub fn coordinator(address: &str, group: &str) -> anyhow::Result<i32> {
    let body = Writer::default().string(group).i8(0);
    let answer = patient(address)?.call(api::FIND_COORDINATOR, 1, &body.0)?;
    let mut reader = Reader(&answer);
    reader.i32()?;
    let code = reader.i16()?;
    ensure!(code == error::NONE, "FindCoordinator: error {code}");
    reader.string()?;
    reader.i32()
}

/// DescribeQuorum 0, as far as the leader. This API has no version without the compact encodings.
fn describe_quorum(connection: &mut Connection) -> anyhow::Result<i32> {
    let topic = b"__cluster_metadata";
    let body = Writer::default()
        // The tagged fields of a header of version 2, then one topic and one partition with theirs.
        .i8(0)
        .i8(2)
        .i8(i8::try_from(topic.len() + 1)?)
        .raw(topic)
        .i8(2)
        .i32(0)
        .raw(&[0, 0, 0]);
    let answer = connection.call(api::DESCRIBE_QUORUM, 0, &body.0)?;
    let mut reader = Reader(&answer);
    reader.i8()?;
    let code = reader.i16()?;
    ensure!(code == error::NONE, "DescribeQuorum: error {code}");
    reader.i8()?;
    let name = reader.i8()?;
    reader.take(usize::try_from(name - 1)?)?;
    reader.i8()?;
    reader.i32()?;
    let code = reader.i16()?;
    ensure!(code == error::NONE, "DescribeQuorum of the partition: error {code}");
    reader.i32()
}

fn patient(address: &str) -> anyhow::Result<Connection> {
    let connection = Connection::open(address)?;
    connection.stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(connection)
}
