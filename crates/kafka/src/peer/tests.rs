use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};
use ottla_node::ports::{
    Lane, LeaderAnswer, PeerAddress, PeerError, PeerTransport, ReplicaFetch, ReplicaFetchError,
    ReplicaFetchPartition,
};
use ottla_node::storage::{ProducerStates, producer_snapshot};
use ottla_record::{
    BatchBuilder, BatchView, BrokerEpoch, BrokerId, Codec, LeaderEpoch, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, ProducerStamp, Sequence, TopicId, Uuid,
};
use ottla_wire::frame::{read_request_header, write_response};
use ottla_wire::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use ottla_wire::{ApiKey, ErrorCode, Message, Reader, Records, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fetch::{FETCH_VERSION, answers, request};
use super::*;

fn fetch() -> ReplicaFetch {
    let partition = |topic: u8, partition| ReplicaFetchPartition {
        topic_id: TopicId(Uuid::from_bytes([topic; 16])),
        partition: PartitionIndex::new(partition),
        leader_epoch: LeaderEpoch::new(3),
        offset: Offset::new(40),
        last_epoch: None,
        log_start: Offset::new(10),
        high_watermark: (partition == 1).then_some(Offset::new(39)),
        max_bytes: usize::MAX,
    };
    ReplicaFetch {
        lane: Lane::InSync,
        replica: BrokerId::new(2),
        replica_epoch: BrokerEpoch::new(77),
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
        max_bytes: 1 << 20,
        partitions: vec![partition(1, 0), partition(1, 1), partition(2, 0)],
    }
}

#[test]
fn a_request_says_who_asks_and_what_it_has() {
    let mut writer = Writer::new();
    request(&fetch(), &fetch().partitions).encode(&mut writer, FETCH_VERSION).unwrap();
    let mut reader = Reader::new(Bytes::from(writer.into_parts().0));
    let sent = ottla_wire::messages::FetchRequest::decode(&mut reader, FETCH_VERSION).unwrap();
    assert_eq!((sent.replica_state.replica_id, sent.replica_state.replica_epoch), (2, 77));
    assert_eq!((sent.session_epoch, sent.max_wait_ms, sent.min_bytes, sent.max_bytes), (-1, 500, 1, 1 << 20));
    let partitions = sent.topics.iter().map(|topic| topic.partitions.len());
    assert_eq!(partitions.collect::<Vec<_>>(), [2, 1]);
    let [first, second] = &sent.topics[0].partitions[..] else { panic!() };
    assert_eq!((first.fetch_offset, first.log_start_offset, first.current_leader_epoch), (40, 10, 3));
    assert_eq!((first.last_fetched_epoch, first.partition_max_bytes), (-1, i32::MAX));
    assert_eq!((first.high_watermark, second.high_watermark), (i64::MAX, 39));
}

fn check_answer(data: PartitionData, expected: &Expect) {
    let topic = FetchableTopicResponse { partitions: vec![data], ..Default::default() };
    let shown = match answers(FetchResponse { responses: vec![topic], ..Default::default() }) {
        Ok(answers) => match &answers[0].outcome {
            Ok(LeaderAnswer::Records { bytes, high_watermark, log_start }) => {
                format!("{} bytes, committed to {high_watermark}, from {log_start}", bytes.len())
            }
            Ok(LeaderAnswer::OutOfRange { log_start, log_end, producers }) => {
                let known: Vec<_> = producers.iter().map(|(id, known)| (id, known.next_sequence())).collect();
                format!("the log goes from {log_start} to {log_end}; wrote before: {known:?}")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("refused: {error}"),
        },
        Err(error) => format!("nonsense: {error}"),
    };
    expected.assert_eq(&shown);
}

/// Producer 7 has written sequences 0 and 1.
fn one_producer() -> ProducerStates {
    let stamp = ProducerStamp {
        id: ProducerId::new(7),
        epoch: ProducerEpoch::ZERO,
        base_sequence: Sequence::from_wire(0),
    };
    let mut batch = BatchBuilder::new(Codec::None).producer(stamp);
    for value in [b"a", b"b"] {
        batch.push(None, None, Some(value), &[]);
    }
    let mut states = ProducerStates::default();
    states.apply(BatchView::parse(&batch.build().unwrap()).unwrap().header(), None);
    states
}

#[test]
fn answers_are_understood_or_refused() {
    let marks = || PartitionData { high_watermark: 9, log_start_offset: 2, ..Default::default() };
    let records = Some(Records::Inline(Bytes::from_static(b"batches")));
    check_answer(PartitionData { records, ..marks() }, &expect!["7 bytes, committed to 9, from 2"]);
    check_answer(marks(), &expect!["0 bytes, committed to 9, from 2"]);
    check_answer(
        PartitionData { high_watermark: -1, ..marks() },
        &expect!["nonsense: the answer cannot be understood: the high watermark of partition 0 is missing"],
    );
    let diverging_epoch = EpochEndOffset { epoch: 4, end_offset: 30 };
    check_answer(
        PartitionData { diverging_epoch, ..marks() },
        &expect!["Diverging { epoch: Some(4), end: 30 }"],
    );
    let refused = |error_code| PartitionData { error_code, last_stable_offset: 12, ..marks() };
    check_answer(
        refused(ErrorCode::OFFSET_OUT_OF_RANGE),
        &expect!["the log goes from 2 to 12; wrote before: []"],
    );
    let snapshot = producer_snapshot::encode(&one_producer());
    let records = Some(Records::Inline(snapshot.clone().into()));
    check_answer(
        PartitionData { records, ..refused(ErrorCode::OFFSET_OUT_OF_RANGE) },
        &expect!["the log goes from 2 to 12; wrote before: [(7, Some(2))]"],
    );
    let records = Some(Records::Inline(Bytes::copy_from_slice(&snapshot[..30])));
    check_answer(
        PartitionData { records, ..refused(ErrorCode::OFFSET_OUT_OF_RANGE) },
        &expect![
            "nonsense: the answer cannot be understood: the producers' states: its CRC is 0xa5cb6e20, its bytes have 0x73cc14f0"
        ],
    );
    check_answer(
        refused(ErrorCode::UNKNOWN_LEADER_EPOCH),
        &expect!["refused: the leader has not heard of the term yet"],
    );
    check_answer(
        refused(ErrorCode::THROTTLING_QUOTA_EXCEEDED),
        &expect!["refused: the leader answered with error 89"],
    );
}

#[test]
fn a_refusal_of_everything_is_one() {
    let response =
        FetchResponse { error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ..Default::default() };
    assert!(matches!(answers(response), Err(PeerError::Refused(31))));
}

/// A peer that does with each connection what `serve` says.
async fn peer<F>(serve: impl Fn(usize, TcpStream) -> F + Send + 'static) -> PeerAddress
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            serve(number, stream).await;
        }
    });
    PeerAddress { broker: BrokerId::new(1), host: "127.0.0.1".to_owned(), port }
}

fn client() -> PeerClient {
    PeerClient::new(PeerOptions {
        own: BrokerId::new(2),
        timeout: Duration::from_secs(10),
        max_response_bytes: 1_000,
        receive_buffer: None,
    })
}

/// Takes a request; its correlation id.
async fn take(stream: &mut TcpStream) -> i32 {
    let length = usize::try_from(stream.read_i32().await.unwrap()).unwrap();
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.unwrap();
    read_request_header(&mut Reader::new(Bytes::from(frame))).unwrap().0.correlation_id
}

fn empty_answer(correlation: i32) -> Vec<u8> {
    let mut writer = Writer::new();
    let response = FetchResponse::default();
    write_response(&mut writer, ApiKey::Fetch, FETCH_VERSION, correlation, &response).unwrap();
    writer.into_parts().0
}

#[tokio::test]
async fn a_connection_is_kept_and_replaced_when_the_peer_has_closed_it() {
    let address = peer(|_, mut stream| async move {
        // Two answers a connection.
        for _ in 0..2 {
            let correlation = take(&mut stream).await;
            stream.write_all(&empty_answer(correlation)).await.unwrap();
        }
    })
    .await;
    let client = client();
    for _ in 0..7 {
        assert_eq!(client.fetch(&address, fetch()).await.unwrap(), []);
    }
}

/// What a request names: session, epoch, partitions with offsets, forgotten ones.
fn named(request: &ottla_wire::messages::FetchRequest) -> String {
    let partitions = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|one| format!("{}-{}@{}", topic.topic_id.as_bytes()[0], one.partition, one.fetch_offset))
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(|one| format!("-{}-{one}", topic.topic_id.as_bytes()[0]))
    });
    let all: Vec<String> = partitions.chain(forgotten).collect();
    format!("{} {} {}", request.session_id, request.session_epoch, all.join(" "))
}

#[test]
fn a_session_sends_what_changed_and_everything_again_when_it_is_lost() {
    let mut session = session::Session::default();
    let mut wanted = fetch();
    assert_eq!(named(&session.next(&wanted)), "0 0 1-0@40 1-1@40 2-0@40");
    assert!(session.answered(ErrorCode::NONE, 5));
    assert_eq!(named(&session.next(&wanted)), "5 1 ");
    assert!(session.answered(ErrorCode::NONE, 5));
    wanted.partitions[1].offset = Offset::new(41);
    wanted.partitions.remove(0);
    assert_eq!(named(&session.next(&wanted)), "5 2 1-1@41 -1-0");
    assert!(session.answered(ErrorCode::NONE, 5));
    wanted.partitions[1].leader_epoch = LeaderEpoch::new(4);
    assert_eq!(named(&session.next(&wanted)), "5 3 2-0@40");
    assert!(!session.answered(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0));
    assert_eq!(named(&session.next(&wanted)), "0 0 1-1@41 2-0@40");
    assert!(session.answered(ErrorCode::NONE, 0), "a leader that opens none");
    assert_eq!(named(&session.next(&wanted)), "0 0 1-1@41 2-0@40");
}

#[tokio::test]
async fn a_request_given_up_holds_nothing_up() {
    let address = peer(|number, mut stream| async move {
        let correlation = take(&mut stream).await;
        if number == 0 {
            // Never answered; the connection stays open.
            std::mem::forget(stream);
        } else {
            stream.write_all(&empty_answer(correlation)).await.unwrap();
        }
    })
    .await;
    let client = client();
    let given_up = tokio::time::timeout(Duration::from_millis(50), client.fetch(&address, fetch())).await;
    assert!(given_up.is_err());
    assert_eq!(client.fetch(&address, fetch()).await.unwrap(), []);
}

#[tokio::test]
async fn a_peer_has_hung_up_when_no_connection_to_it_is_open_and_one_was_closed() {
    let address = peer(|number, mut stream| async move {
        let correlation = take(&mut stream).await;
        stream.write_all(&empty_answer(correlation)).await.unwrap();
        if number > 0 {
            // Open, and answering no more.
            std::mem::forget(stream);
        }
    })
    .await;
    let client = client();
    let in_lane = |lane| ReplicaFetch { lane, ..fetch() };
    client.fetch(&address, in_lane(Lane::CatchingUp)).await.unwrap();
    while !client.has_hung_up(address.broker) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.fetch(&address, in_lane(Lane::InSync)).await.unwrap();
    assert!(!client.has_hung_up(address.broker), "one is open");
    // Given up by this end, after which there is none.
    let waits = client.fetch(&address, in_lane(Lane::InSync));
    assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err());
    assert!(
        !client.has_hung_up(address.broker),
        "what was closed before the last one was opened does not count"
    );
}

#[tokio::test]
async fn nonsense_ends_the_call_and_claims_no_memory() {
    let cases: [(&'static [u8], &str); 4] = [
        (
            &[0x7f, 0xff, 0xff, 0xff],
            "the answer cannot be understood: an answer of 2147483647 bytes, where 1000 are allowed",
        ),
        (&[0xff, 0xff, 0xff, 0xff], "the answer cannot be understood: an answer of negative length -1"),
        (&[0, 0, 0, 5, 0, 0, 9, 9, 0], "the answer cannot be understood: request 0 was answered as 2313"),
        (&[0, 0, 0, 5, 0], "unexpected end of file"),
    ];
    for (bytes, expected) in cases {
        let address = peer(move |_, mut stream| async move {
            take(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
        })
        .await;
        let error = client().fetch(&address, fetch()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn error_codes_of_kafka_are_told_apart() {
    let of = |code| {
        let data = PartitionData { error_code: code, log_start_offset: 0, ..Default::default() };
        let topic = FetchableTopicResponse { partitions: vec![data], ..Default::default() };
        answers(FetchResponse { responses: vec![topic], ..Default::default() }).unwrap().remove(0).outcome
    };
    assert_eq!(of(ErrorCode::STALE_BROKER_EPOCH), Err(ReplicaFetchError::StaleBrokerEpoch));
    assert_eq!(of(ErrorCode::FENCED_LEADER_EPOCH), Err(ReplicaFetchError::FencedLeaderEpoch));
}
