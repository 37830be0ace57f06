//! Places on connections, and what a peer's answer becomes.

use std::sync::Arc;

use ottla_node::coordination::metadata::{
    Command, Endpoint, FormCluster, Image, RegisterBroker, SecurityProtocol,
};
use ottla_node::record::{BrokerId, ClusterId, DirectoryId, Incarnation, Uuid};
use tonic::{Code, Status};

use super::*;

const PEER: BrokerId = BrokerId::new(2);

fn id(n: u8) -> Uuid {
    Uuid::from_random([n; 16])
}

fn image(listeners: &[(SecurityProtocol, &str, u16)]) -> Image {
    let mut image = Image::empty();
    image.apply(&Command::FormCluster(FormCluster { cluster: ClusterId(id(1)) }));
    let endpoint = |(protocol, host, port): &(SecurityProtocol, &str, u16)| Endpoint {
        listener: format!("{protocol:?}"),
        protocol: *protocol,
        host: (*host).to_owned(),
        port: *port,
    };
    image.apply(&Command::RegisterBroker(RegisterBroker {
        broker: PEER,
        incarnation: Incarnation(id(2)),
        cluster: ClusterId(id(1)),
        directory: DirectoryId(id(3)),
        endpoints: listeners.iter().map(endpoint).collect(),
        rack: None,
        replaces: None,
    }));
    image
}

#[tokio::test]
async fn streams_share_a_connection_until_it_is_full_and_places_come_back() {
    let (peers, image) = (Peers::default(), image(&[(SecurityProtocol::Api, "127.0.0.1", 1)]));
    let connections = || peers.known.lock().get(&PEER).map_or(0, |known| known.connections.len());
    let ways: Vec<Way> =
        (0..=STREAMS_PER_CONNECTION).map(|_| peers.way(&image, PEER).expect("a way")).collect();
    assert_eq!(connections(), 2);
    drop(ways);
    let _one = peers.way(&image, PEER).expect("a way");
    assert_eq!(connections(), 2);
    assert_eq!(
        peers.known.lock().get(&PEER).map(|known| Arc::strong_count(&known.connections[0].places)),
        Some(2)
    );
}

#[tokio::test]
async fn a_broker_that_moved_gets_new_connections() {
    let peers = Peers::default();
    let addressed = |image: &Image| {
        peers.way(image, PEER).expect("a way");
        peers.known.lock().get(&PEER).map(|known| (known.address.clone(), known.connections.len()))
    };
    let first = addressed(&image(&[(SecurityProtocol::Api, "127.0.0.1", 1)]));
    assert_eq!(first, Some(("http://127.0.0.1:1".to_owned(), 1)));
    let moved =
        addressed(&image(&[(SecurityProtocol::Plaintext, "h", 9), (SecurityProtocol::Api, "::1", 2)]));
    assert_eq!(moved, Some(("http://[::1]:2".to_owned(), 1)));
}

#[tokio::test]
async fn a_broker_without_the_port_cannot_be_asked_and_the_caller_may_come_back() {
    let failure = Peers::default()
        .way(&image(&[(SecurityProtocol::Plaintext, "127.0.0.1", 1)]), PEER)
        .expect_err("no way");
    assert_eq!((failure.detail.kafka_error.as_str(), failure.detail.retriable), ("NETWORK_EXCEPTION", true));
    assert!(failure.message.contains("no API listener"), "{}", failure.message);
}

#[test]
fn an_answer_with_a_detail_is_passed_on_and_one_without_means_that_nothing_is_known() {
    let theirs = Failure::new(KafkaError::MESSAGE_TOO_LARGE, "too large").about("orders", Some(3));
    assert_eq!(refused(PEER, &Status::from(theirs.clone())), theirs);
    assert_eq!(refused(PEER, &Status::from(theirs.clone())).about("orders", Some(3)), theirs);
    let broken = refused(PEER, &Status::new(Code::Unavailable, "connection reset"));
    assert_eq!((broken.detail.kafka_error.as_str(), broken.detail.retriable), ("NETWORK_EXCEPTION", true));
}
