//! A client that says just what a test wants said, on one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use ottla_node::record::{BatchBuilder, Batches, Codec, Timestamp, TopicId};
use ottla_wire::frame::{read_response_header, write_request};
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use ottla_wire::{ErrorCode, Message, Reader, Records, Request, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PRODUCE_VERSION: i16 = 13;
pub(crate) const FETCH_VERSION: i16 = 17;

pub(crate) struct Client {
    stream: TcpStream,
    correlation: i32,
    /// `client.rack`.
    pub(crate) rack: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, correlation: 0, rack: String::new() }
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.correlation += 1;
        let mut message = Writer::new();
        write_request(&mut message, self.correlation, Some("test"), request, version).unwrap();
        self.stream.write_all(&message.into_parts().0).await.unwrap();
        let length = usize::try_from(self.stream.read_i32().await.unwrap()).unwrap();
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).await.unwrap();
        let mut reader = Reader::new(Bytes::from(frame));
        assert_eq!(read_response_header(&mut reader, R::API, version).unwrap(), self.correlation);
        R::Response::decode(&mut reader, version).unwrap()
    }

    /// Publishes one record.
    pub(crate) async fn produce(
        &mut self,
        topic: TopicId,
        acks: i16,
        value: &str,
    ) -> PartitionProduceResponse {
        let mut response = self.produce_whole(topic, acks, value).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// The same, with all that the answer says.
    pub(crate) async fn produce_whole(&mut self, topic: TopicId, acks: i16, value: &str) -> ProduceResponse {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(Some(Timestamp::from_millis(1_700_000_000_000)), None, Some(value.as_bytes()), &[]);
        let records = Some(Records::Inline(batch.build().unwrap()));
        let partition = PartitionProduceData { index: 0, records };
        let topic =
            TopicProduceData { topic_id: topic.0, partition_data: vec![partition], ..Default::default() };
        let request =
            ProduceRequest { acks, timeout_ms: 20_000, topic_data: vec![topic], ..Default::default() };
        self.call(&request, PRODUCE_VERSION).await
    }

    /// Publishes one record with `acks=all`; its offset.
    pub(crate) async fn publish(&mut self, topic: TopicId, value: &str) -> i64 {
        let answer = self.produce(topic, -1, value).await;
        assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
        answer.base_offset
    }

    /// Fetches without waiting.
    pub(crate) async fn fetch(&mut self, topic: TopicId, offset: i64) -> PartitionData {
        let mut response = self.fetch_whole(topic, offset, 0).await;
        response.responses.remove(0).partitions.remove(0)
    }

    /// The same, with all that the answer says, and waiting.
    pub(crate) async fn fetch_whole(
        &mut self,
        topic: TopicId,
        offset: i64,
        max_wait_ms: i32,
    ) -> FetchResponse {
        let partition = FetchPartition {
            partition: 0,
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            current_leader_epoch: -1,
            ..Default::default()
        };
        let topic = FetchTopic { topic_id: topic.0, partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 10 << 20,
            topics: vec![topic],
            rack_id: self.rack.clone(),
            ..Default::default()
        };
        self.call(&request, FETCH_VERSION).await
    }

    /// Everything that consumers may read from the start on.
    pub(crate) async fn read(&mut self, topic: TopicId) -> Vec<(i64, String)> {
        let mut read = Vec::new();
        loop {
            let next = read.last().map_or(0, |(offset, _)| offset + 1);
            let data = self.fetch(topic, next).await;
            assert_eq!(data.error_code, ErrorCode::NONE, "{data:?}");
            let before = read.len();
            read.extend(values(&data).into_iter().filter(|(offset, _)| *offset >= next));
            if read.len() == before {
                return read;
            }
        }
    }
}

/// The records of an answer.
pub(crate) fn values(data: &PartitionData) -> Vec<(i64, String)> {
    let Some(Records::Inline(bytes)) = &data.records else { return Vec::new() };
    let mut values = Vec::new();
    for batch in Batches::new(bytes) {
        for record in batch.unwrap().records(1 << 20).unwrap().iter() {
            let record = record.unwrap();
            values.push((record.offset.get(), String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
    values
}
