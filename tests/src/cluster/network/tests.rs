use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

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
