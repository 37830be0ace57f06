//! The bounds on connections and on what their requests take together.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use it::batch::Batch;
use it::broker::{Broker, Kind, Spec};
use it::raw::{Connection, api, error, fetch_body, frame};
use it::{http2, tools, wait};
use ottla_client::{ByteSize, Client, ProducerRecord};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn half_requests_fill_no_memory_and_do_not_keep_others_waiting_for_ever() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka keeps a half request's memory until its connection idles");
    }
    const BOUND: u64 = 16 << 20;
    let mut broker = Spec::under_test()
        .set("queued.max.request.bytes", BOUND)
        .set("socket.request.max.bytes", 4 << 20)
        .start();
    broker.expect_log("queued.max.request.bytes is spent");
    let mut witness = broker.connect();
    witness.create_topic("t", 1, &[]).unwrap();
    let before = broker.rss_bytes();

    // 60 requests of 2 MiB, of which 1 MiB comes: as much as sockets take of it, and nothing after it.
    let half = [&(2_i32 << 20).to_be_bytes()[..], &vec![0; 1 << 20]].concat();
    let halves: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(broker.address()).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // The broker stops reading: that some do not get rid of theirs is what is wanted.
            let _ = stream.write_all(&half);
            stream
        })
        .collect();

    let begin = Instant::now();
    for _ in 0..20 {
        let (code, _) = witness.produce("t", 0, -1, &Batch::of_values(["small"]).bytes()).unwrap();
        assert_eq!(code, error::NONE);
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "small requests do not wait: {:?}", begin.elapsed());
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 3 * BOUND, "{} MiB for halves of 60 MiB", grown >> 20);

    // Those that stay away make room for one that is in earnest.
    let value = "v".repeat(900_000);
    let mut earnest = broker.connect();
    earnest.stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (code, offset) = earnest.produce("t", 0, -1, &Batch::of_values([value]).bytes()).unwrap();
    assert_eq!((code, offset), (error::NONE, 20));
    assert!(begin.elapsed() < Duration::from_secs(25), "took {:?}", begin.elapsed());
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 3 * BOUND, "{} MiB for halves of 60 MiB", grown >> 20);
    drop(halves);
}

#[test]
fn large_requests_that_do_not_fit_together_are_all_answered() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("its pool is of another size");
    }
    let broker = Spec::under_test()
        .set("queued.max.request.bytes", 2 << 20)
        .set("socket.request.max.bytes", 2 << 20)
        .start();
    broker.connect().create_topic("t", 1, &[]).unwrap();
    let (address, value) = (broker.address(), "v".repeat(1_000_000));
    let batch = Batch::of_values([value]).bytes();
    let offsets = std::thread::scope(|scope| {
        let send = || {
            let mut connection = Connection::open(&address).unwrap();
            (0..5).map(|_| connection.produce("t", 0, -1, &batch).unwrap()).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(send)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(offsets.iter().all(|(code, _)| *code == error::NONE), "{offsets:?}");
    assert_eq!(broker.connect().list_offset("t", 0, -1).unwrap(), (error::NONE, 100));
}

#[test]
fn half_messages_over_grpc_fill_no_memory_and_keep_nobody_waiting_for_ever_on_any_port() {
    const BOUND: u64 = 16 << 20;
    const HALF: usize = 1 << 20;
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no gRPC");
    }
    let mut broker = Spec::under_test()
        .set("queued.max.request.bytes", BOUND)
        .set("socket.request.max.bytes", 4 << 20)
        .start();
    broker.expect_log("queued.max.request.bytes is spent");
    let mut witness = broker.connect();
    witness.create_topic("t", 1, &[]).unwrap();
    let before = broker.rss_bytes();

    // 60 messages of 2 MiB, of which one half comes, by each of three ways.
    let kafka_half = [&(2_i32 << 20).to_be_bytes()[..], &vec![0; HALF]].concat();
    let grpc_half = [http2::message_header(2 << 20), vec![0; HALF]].concat();
    let halves: Vec<TcpStream> = (0..60)
        .map(|number| {
            // The broker stops reading: that some do not get rid of theirs is what is wanted.
            let (impatient, path) =
                (Some(Duration::from_millis(50)), ["Publish", "PublishStream"][number % 2]);
            if number % 3 == 0 {
                let mut stream = TcpStream::connect(broker.address()).unwrap();
                stream.set_write_timeout(impatient).unwrap();
                let _ = stream.write_all(&kafka_half);
                return stream;
            }
            let mut connection = http2::Connection::open(&broker.api_address()).unwrap();
            connection.stream.set_write_timeout(impatient).unwrap();
            connection.call(1, &format!("/ottla.v1.Log/{path}")).unwrap();
            let _ = connection.send(1, &grpc_half);
            connection.stream
        })
        .collect();

    // Those that stay away make room for those that are in earnest, on both ports.
    let begin = Instant::now();
    let value = "v".repeat(900_000);
    let mut earnest = broker.connect();
    earnest.stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let batch = Batch::of_values([value.clone()]).bytes();
    assert_eq!(earnest.produce("t", 0, -1, &batch).unwrap(), (error::NONE, 0));
    assert_eq!(publish(&broker, 1, 1, &value), 1);
    assert!(begin.elapsed() < Duration::from_secs(25), "took {:?}", begin.elapsed());
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 3 * BOUND, "{} MiB for halves of 60 MiB", grown >> 20);
    drop(halves);
}

#[test]
fn large_requests_that_do_not_fit_together_are_all_answered_on_both_ports() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no gRPC");
    }
    let broker = Spec::under_test()
        .set("queued.max.request.bytes", 2 << 20)
        .set("socket.request.max.bytes", 2 << 20)
        .start();
    broker.connect().create_topic("t", 1, &[]).unwrap();
    let (address, value) = (broker.address(), "v".repeat(1_000_000));
    let batch = Batch::of_values([value.clone()]).bytes();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut connection = Connection::open(&address).unwrap();
                connection.stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                for _ in 0..5 {
                    assert_eq!(connection.produce("t", 0, -1, &batch).unwrap().0, error::NONE);
                }
            });
        }
        scope.spawn(|| assert_eq!(publish(&broker, 10, 5, &value), 50));
    });
    assert_eq!(broker.connect().list_offset("t", 0, -1).unwrap(), (error::NONE, 100));
}

/// Has as many Rust clients publish so many values each, all at once. Returns how many were acknowledged.
fn publish(broker: &Broker, clients: usize, each: usize, value: &str) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut publishing = Vec::new();
        for _ in 0..clients {
            let client = Client::connect(format!("http://{}", broker.api_address())).await.unwrap();
            let (batch, buffer) = (ByteSize::bytes(1 << 20), ByteSize::bytes(64 << 20));
            let producer = client.producer().batch_size(batch).buffer(buffer).build().unwrap();
            let value = value.to_owned();
            publishing.push(tokio::spawn(async move {
                let mut sent = Vec::new();
                for _ in 0..each {
                    sent.push(producer.send(ProducerRecord::to("t").value(value.clone())).await.unwrap());
                }
                for sent in sent {
                    sent.await.unwrap();
                }
            }));
        }
        for publishing in publishing {
            publishing.await.unwrap();
        }
    });
    clients * each
}

#[test]
fn connections_of_both_ports_count_together() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no second port");
    }
    // From one address: those beyond are closed.
    let mut broker = Spec::under_test().set("max.connections.per.ip", 3).start();
    broker.expect_log("max.connections.per.ip");
    let mut held: Vec<Connection> = (0..2).map(|_| served(&broker)).collect();
    let third = http2::Connection::open(&broker.api_address()).unwrap();
    assert!(broker.connect().api_versions().is_err(), "a fourth of one address");
    assert!(http2::Connection::open(&broker.api_address()).is_err(), "a fourth of one address");
    held.pop();
    let fourth = wait::until("the place of the one that left", SOON, || {
        Ok(http2::Connection::open(&broker.api_address()).ok())
    });
    assert!(broker.connect().api_versions().is_err());
    drop((held, third, fourth.unwrap()));

    // Overrides have the last word there too.
    let mut broker = Spec::under_test()
        .set("max.connections.per.ip", 1)
        .set("max.connections.per.ip.overrides", "127.0.0.1:2,10.0.0.7:1")
        .start();
    broker.expect_log("max.connections.per.ip");
    let held = [(); 2].map(|()| {
        wait::until("a connection that is served", SOON, || {
            Ok(http2::Connection::open(&broker.api_address()).ok())
        })
    });
    assert!(http2::Connection::open(&broker.api_address()).is_err());
    drop(held);

    // In all: those beyond wait.
    let broker = Spec::under_test().set("max.connections", 2).start();
    let held = (served(&broker), http2::Connection::open(&broker.api_address()).unwrap());
    let mut third = TcpStream::connect(broker.api_address()).unwrap();
    third.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut answer = [0; 15];
    assert!(third.read(&mut answer).is_err(), "there is no room for a third");
    drop(held.0);
    third.set_read_timeout(Some(SOON)).unwrap();
    third.read_exact(&mut answer).expect("the place of the one that left");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn an_address_gets_as_many_connections_as_it_may() {
    for overrides in [None, Some("127.0.0.1:3,10.0.0.7:1")] {
        let spec = match overrides {
            None => Spec::under_test().set("max.connections.per.ip", 3),
            Some(overrides) => Spec::under_test()
                .set("max.connections.per.ip", 1)
                .set("max.connections.per.ip.overrides", overrides),
        };
        let mut broker = spec.start();
        broker.expect_log("max.connections.per.ip");
        // The connection that saw the broker ready may still be closing.
        let mut held: Vec<Connection> = (0..3).map(|_| served(&broker)).collect();
        let mut fourth = broker.connect();
        assert!(fourth.api_versions().is_err(), "a fourth connection of one address is closed");
        held.pop();
        held.push(served(&broker));
        assert!(broker.connect().api_versions().is_err());
        if broker.kind() == Kind::Ottla {
            let lines = broker.log().matches("connection closed: its address").count();
            assert_eq!(lines, 1, "one line for many");
        }
    }
}

/// A connection that is answered.
fn served(broker: &Broker) -> Connection {
    wait::until("a connection that is served", SOON, || {
        let mut connection = Connection::open(&broker.address())?;
        connection.api_versions()?;
        Ok(Some(connection))
    })
    .unwrap()
}

#[test]
fn connections_beyond_the_broker_s_number_wait() {
    let broker = Spec::under_test().set("max.connections", 2).start();
    let mut held: Vec<Connection> = (0..2).map(|_| served(&broker)).collect();
    let mut third = broker.connect();
    third.stream.write_all(&frame(api::API_VERSIONS, 0, 1, &[])).unwrap();
    third.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.receive().is_err(), "there is no room for a third");
    held.iter_mut().for_each(|connection| assert!(connection.api_versions().is_ok()));
    held.pop();
    third.stream.set_read_timeout(Some(SOON)).unwrap();
    third.receive().expect("the place of the one that left");
}

#[test]
fn connections_come_in_at_the_rate_allowed() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("it averages over eleven seconds, and lets all of these in at once");
    }
    let broker = Spec::under_test().set("max.connection.creation.rate", 10).start();
    let begin = Instant::now();
    let held: Vec<Connection> = (0..25).map(|_| served(&broker)).collect();
    let took = begin.elapsed();
    assert!((Duration::from_millis(1_300)..SOON).contains(&took), "{} took {took:?}", held.len());
}

#[test]
fn idle_connections_are_closed_in_time_or_never() {
    let broker = Spec::under_test().set("connections.max.idle.ms", 1_000).start();
    let mut idle = served(&broker);
    // A half request that stops is no traffic either.
    let mut half = served(&broker);
    half.stream.write_all(&[0, 0, 1]).unwrap();
    let mut busy = served(&broker);
    // Closing takes time by its nature, and so does seeing that nothing is closed.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        busy.api_versions().expect("a connection with traffic stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(idle.is_closed_by_peer() && half.is_closed_by_peer());

    let broker = Spec::under_test().set("connections.max.idle.ms", -1).start();
    let mut idle = served(&broker);
    std::thread::sleep(Duration::from_millis(2_500));
    idle.api_versions().expect("never closed");
}

#[test]
fn an_answer_nobody_takes_is_idle_too() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("its log is off");
    }
    let broker = Spec::under_test().set("connections.max.idle.ms", 1_000).start();
    let mut connection = broker.connect();
    connection.create_topic("t", 1, &[]).unwrap();
    let batch = Batch::of_values(["v".repeat(900_000)]).bytes();
    for _ in 0..20 {
        assert_eq!(connection.produce("t", 0, -1, &batch).unwrap().0, error::NONE);
    }
    let fetch = frame(api::FETCH, 11, 7, &fetch_body("t", &[(0, 0)], 0, 50 << 20));
    connection.stream.write_all(&fetch).unwrap();
    // More than sockets hold, and nobody reads it. That it was closed can be seen in the log only.
    wait::until("the broker to close it", SOON, || {
        Ok(broker.log().contains("connection closed: no traffic").then_some(()))
    })
    .unwrap();
}
