//! The gRPC port as clients in another language meet it, and what bad input gets there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use it::broker::{Broker, Kind, Spec};
use it::clients::{finish, grpc_python};
use it::tools::{self, Tool};

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
