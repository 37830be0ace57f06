use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::far::inside;
use super::{End, Network};
use crate::tools;

/// What arrives is there at once: a bridge in the kernel.
const SILENCE: Duration = Duration::from_millis(300);

/// Whether what a broker says now is heard by the clients.
fn is_heard(network: &Network, broker: i32) -> bool {
    let ear = UdpSocket::bind((network.address(End::Clients), 0)).expect("our address");
    ear.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let address = ear.local_addr().expect("bound");
    let word = format!("echo hello > /dev/udp/{}/{}", address.ip(), address.port());
    let mut mouth = Command::new("nsenter");
    mouth.arg(format!("--net=/run/netns/{}", network.namespace(broker)));
    assert!(mouth.args(["bash", "-c", &word]).status().expect("nsenter").success());
    ear.recv(&mut [0; 16]).is_ok()
}

#[test]
fn a_cut_is_one_way_silent_and_of_one_link() {
    let network = match Network::create(&[1, 2]) {
        Ok(network) => network,
        Err(error) => return tools::skip(&format!("{error:#}")),
    };
    assert!(is_heard(&network, 1) && is_heard(&network, 2));
    network.cut(End::Broker(1), End::Clients).unwrap();
    assert!(!is_heard(&network, 1) && is_heard(&network, 2));
    network.join(End::Broker(1), End::Clients).unwrap();
    assert!(is_heard(&network, 1));
    network.cut(End::Clients, End::Broker(1)).unwrap();
    network.isolate(1, false).unwrap();
    assert!(is_heard(&network, 1), "the other direction and the other links go on");
    network.isolate(1, true).unwrap();
    network.throttle(1, End::Clients, Some("1mbit")).unwrap();
    assert!(is_heard(&network, 1));
    network.throttle(1, End::Clients, None).unwrap();
}

/// How long a word of one broker takes to another.
fn time_between(network: &Network, from: i32, to: i32) -> Duration {
    let socket = |broker: i32| {
        let address = network.address(End::Broker(broker));
        inside(&network.namespace(broker), move || UdpSocket::bind((address, 0))).expect("a socket")
    };
    let (mouth, ear) = (socket(from), socket(to));
    ear.set_read_timeout(Some(10 * SILENCE)).expect("a timeout");
    let start = Instant::now();
    mouth.send_to(b"hello", ear.local_addr().expect("bound")).expect("sent");
    ear.recv(&mut [0; 16]).expect("heard");
    start.elapsed()
}

#[test]
fn a_delay_is_one_way_and_of_one_link() {
    let network = match Network::create(&[1, 2, 3]) {
        Ok(network) => network,
        Err(error) => return tools::skip(&format!("{error:#}")),
    };
    if !Path::new("/dev/net/tun").exists() {
        // Not every kernel has them, and nothing can be installed for it.
        return eprintln!("SKIPPED delayed links: no /dev/net/tun here");
    }
    assert!(network.can_delay());
    network.delay(1, 2, Some(SILENCE)).unwrap();
    assert!(time_between(&network, 1, 2) >= SILENCE);
    assert!(time_between(&network, 2, 1) < SILENCE, "the other direction is as it was");
    assert!(time_between(&network, 1, 3) < SILENCE, "the other link is as it was");
    network.delay(2, 1, Some(SILENCE / 2)).unwrap();
    let back = time_between(&network, 2, 1);
    assert!(back >= SILENCE / 2 && back < SILENCE);
    network.delay(1, 2, None).unwrap();
    assert!(time_between(&network, 1, 2) < SILENCE);
}
