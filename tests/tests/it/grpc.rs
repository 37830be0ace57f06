//! The gRPC port as clients in another language meet it, and what bad input gets there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use it::broker::{Broker, Kind, Spec};
use it::clients::{finish, grpc_python};
use it::tools::{self, Tool};
use ottla_rpc::v1;
use ottla_rpc::v1::log_client::LogClient;

/// The broker, unless the one under test has no gRPC or there is no client.
fn broker(spec: Spec) -> Option<Broker> {
    if spec.kind == Kind::Kafka {
        tools::note("Kafka has no gRPC");
        return None;
    }
    tools::require(&[Tool::Python]).then(|| spec.start())
}

fn run(script: &str, args: &[&str]) -> String {
    let output = grpc_python(script, args).and_then(|command| finish(command, &[])).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn a_python_client_of_fifteen_lines_publishes_and_reads() {
    let Some(broker) = broker(Spec::under_test()) else { return };
    let printed = run("grpc_hello.py", &[&broker.api_address(), "greetings"]);
    assert_eq!(printed, "0 0 key hello 0\n0 1 key hello 1\n0 2 key hello 2\n");
}

#[test]
fn every_service_answers_a_python_client() {
    let Some(broker) = broker(Spec::under_test()) else { return };
    assert_eq!(run("grpc_services.py", &[&broker.api_address()]), "ok\n");
}

#[test]
fn ten_thousand_idle_streams_stay_in_bounded_memory_and_wake() {
    const STREAMS: u64 = 10_000;
    let Some(broker) = broker(Spec::under_test()) else { return };
    let before = broker.rss_bytes();
    let mut command = grpc_python("grpc_idle.py", &[&broker.api_address(), "10", "1000"]).unwrap();
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "idle");
    let grown = broker.rss_bytes().saturating_sub(before);
    let cpu = broker.cpu();
    let idle_for = Duration::from_secs(2);
    std::thread::sleep(idle_for);
    let used = broker.cpu() - cpu;
    eprintln!("{} bytes a stream, {used:?} of CPU in {idle_for:?}", grown / STREAMS);
    assert!(grown / STREAMS <= 16 << 10, "{} bytes a stream", grown / STREAMS);
    // Neither a timer nor a poll each: what remains is the broker's own housekeeping.
    assert!(used <= idle_for / 10, "{used:?} of CPU in {idle_for:?}");
    // Others are served meanwhile, and the streams wake.
    assert!(get(&broker, "/health/ready").starts_with("HTTP/1.1 200"));
    client.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "woken");
    assert!(client.wait().unwrap().success());
}

#[test]
fn streams_end_with_a_clear_status_when_the_broker_stops() {
    let Some(mut broker) = broker(Spec::under_test()) else { return };
    let mut command = grpc_python("grpc_until_stopped.py", &[&broker.api_address()]).unwrap();
    let mut client = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "following");
    let begin = Instant::now();
    assert!(broker.terminate().success());
    assert!(begin.elapsed() < Duration::from_secs(5), "streams held up the stop: {:?}", begin.elapsed());
    let ends: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(client.wait().unwrap().success());
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends.iter().all(|end| end.contains("UNAVAILABLE") && end.contains("shutting down")), "{ends:?}");
}

#[test]
fn bad_input_gets_clear_errors_while_others_are_served() {
    let spec = Spec::under_test().set("socket.request.max.bytes", 2 << 20);
    let Some(broker) = broker(spec) else { return };
    let before = broker.rss_bytes();
    assert_eq!(run("grpc_bad_input.py", &[&broker.api_address()]), "ok\n");

    // HTTP/1 to a gRPC method, and pages that are not there.
    let post = "POST /ottla.v1.Log/Publish HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answer = exchange(&broker, post);
    assert!(answer.starts_with("HTTP/1.1 505") && answer.contains("gRPC needs HTTP/2"), "{answer}");
    assert!(get(&broker, "/nothing").starts_with("HTTP/1.1 404"));
    let answer = exchange(&broker, "DELETE /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    // Not HTTP at all: a Kafka client on the wrong port.
    let answer = exchange(&broker, "\0\0\0\x10\0\x12\0\0\0\0\0\0\0\0\r\n\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    // A head that is too large.
    let answer = exchange(&broker, &format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000)));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    // Slow-loris: heads that never end hold a connection and nothing else.
    let mut slow: Vec<TcpStream> =
        (0..500).map(|_| TcpStream::connect(broker.api_address()).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nhost").unwrap();
    }
    assert!(get(&broker, "/health/live").contains("alive"));
    assert_eq!(run("grpc_hello.py", &[&broker.api_address(), "greetings"]).lines().count(), 3);
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    // One that says nothing is closed after ten seconds, one in the middle of a head after thirty.
    let mut silent = TcpStream::connect(broker.api_address()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0, "closed");
    let mut first = slow.remove(0);
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut rest = String::new();
    let _ = first.read_to_string(&mut rest);
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
}

/// Some seconds' worth of gzip, given to a broker that has one thread for everything.
#[test]
fn a_large_publish_keeps_nobody_waiting_and_a_stream_stays_in_order() {
    const RECORDS: usize = 40;
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no gRPC");
    }
    let broker = Spec::under_test().set("ottla.worker.threads", 1).start();
    broker.connect().create_topic("t", 1, &[]).unwrap();
    // Digits of a generator: gzip finds little in them, and looks for long.
    let mut state = 7_u64;
    let mut noise = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        b'0' + (state >> 33) as u8 % 10
    };
    let value: Vec<u8> = (0..400_000).map(|_| noise()).collect();
    let record = |value: Vec<u8>| v1::Record { value: Some(value.into()), ..Default::default() };
    let large = v1::PublishRequest {
        topic: "t".into(),
        records: vec![record(value); RECORDS],
        compression: v1::Compression::Gzip as i32,
        ..Default::default()
    };
    let small = v1::PublishRequest { records: vec![record(b"small".to_vec())], ..large.clone() };
    let messages = [large, small].map(Some).into_iter().zip(1..);
    let messages: Vec<_> = messages.map(|(publish, id)| v1::PublishStreamRequest { id, publish }).collect();

    let (begin, address) = (Instant::now(), format!("http://{}", broker.api_address()));
    let publishing = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut log = LogClient::connect(address).await.unwrap();
            let mut answers = log.publish_stream(tokio_stream::iter(messages)).await.unwrap().into_inner();
            let mut ranges = Vec::new();
            while let Some(answer) = answers.message().await.unwrap() {
                let Some(v1::publish_stream_response::Outcome::Published(published)) = answer.outcome else {
                    panic!("{answer:?}");
                };
                let ends = published.ranges.iter().map(|range| (range.base_offset, range.last_offset));
                ranges.push((answer.id, ends.collect::<Vec<_>>()));
            }
            (ranges, begin.elapsed())
        })
    });
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    while !publishing.is_finished() {
        let asking = Instant::now();
        assert!(get(&broker, "/health/live").contains("alive"));
        slowest = slowest.max(asking.elapsed());
        asked += 1;
    }
    let (ranges, took) = publishing.join().unwrap();
    eprintln!("packed in {took:?}; the slowest of {asked} others took {slowest:?}");
    assert!(took > Duration::from_millis(500), "too little work to tell: {took:?}");
    assert!(slowest < took / 4, "waited {slowest:?} of {took:?}");
    assert!(asked > 10);
    let [(1, large), (2, small)] = ranges.as_slice() else { panic!("{ranges:?}") };
    let records = RECORDS as i64;
    assert_eq!((large[0].0, large.last().unwrap().1), (0, records - 1));
    assert_eq!(small, &[(records, records)]);
}

#[test]
fn a_publish_that_is_written_in_part_says_which_part() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no gRPC");
    }
    let broker = Spec::under_test().start();
    broker.connect().create_topic("t", 3, &[("max.message.bytes", "1000")]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut log = LogClient::connect(format!("http://{}", broker.api_address())).await.unwrap();
        let record = |key: &str, size: usize| v1::Record {
            key: Some(key.to_owned().into()),
            value: Some(vec![b'v'; size].into()),
            ..Default::default()
        };
        let records =
            vec![record("a", 10), record("b", 2_000), record("a", 20), record("c", 10), record("b", 10)];
        let request = v1::PublishRequest { topic: "t".into(), records, ..Default::default() };
        let status = log.publish(request.clone()).await.unwrap_err();
        assert_eq!(format!("{:?}", status.code()), "Aborted", "{status:?}");
        let detail = ottla_rpc::status::from_status(&status).unwrap();
        assert_eq!(
            (detail.kafka_error.as_str(), detail.retriable),
            ("MESSAGE_TOO_LARGE", false),
            "{detail:?}"
        );
        assert!(!detail.incomplete);
        let failed: Vec<_> = detail
            .failed
            .iter()
            .map(|failed| (failed.kafka_error.as_str(), failed.retriable, failed.record_indexes.clone()))
            .collect();
        assert_eq!(failed, [("MESSAGE_TOO_LARGE", false, vec![1])]);
        let mut written: Vec<u32> =
            detail.written.iter().flat_map(|range| range.record_indexes.clone()).collect();
        written.sort_unstable();
        assert_eq!(written, [0, 2, 3, 4], "{detail:?}");
        for range in &detail.written {
            let records = range.last_offset - range.base_offset + 1;
            assert_eq!(records, range.record_indexes.len() as i64);
            let end = broker.connect().list_offset("t", range.partition, -1).unwrap();
            assert!(end.1 > range.last_offset, "what is said to be written is there");
        }

        // Only what failed is sent again, made smaller.
        let again = v1::PublishRequest { records: vec![record("b", 100)], ..request };
        log.publish(again).await.unwrap();
        let total: i64 = (0..3).map(|n| broker.connect().list_offset("t", n, -1).unwrap().1).sum();
        assert_eq!(total, 5, "each record once");

        // Whole batches are told by their number.
        let good = it::batch::Batch::of_values(["v"]).bytes();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        let request = v1::PublishRequest {
            topic: "t".into(),
            partition: Some(1),
            batches: [good.clone(), bad, good].concat().into(),
            ..Default::default()
        };
        let before = broker.connect().list_offset("t", 1, -1).unwrap().1;
        let detail = ottla_rpc::status::from_status(&log.publish(request).await.unwrap_err()).unwrap();
        let failed: Vec<_> =
            detail.failed.iter().map(|failed| (failed.kafka_error.as_str(), failed.batch_index)).collect();
        assert_eq!(failed, [("CORRUPT_MESSAGE", Some(1))]);
        let written: Vec<_> = detail.written.iter().map(|range| range.base_offset).collect();
        assert_eq!(written, [before, before + 1]);
    });
}

fn get(broker: &Broker, path: &str) -> String {
    exchange(broker, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

/// Sends a request and reads until the broker closes the connection.
fn exchange(broker: &Broker, request: &str) -> String {
    let mut stream = TcpStream::connect(broker.api_address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The broker may refuse before it has read all.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
