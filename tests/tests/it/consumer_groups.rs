//! Consumer groups of Kafka's Java client, the Python clients and kcat; `cargo xtask interop` runs those of all others too.

use std::thread;

use anyhow::Context as _;
use it::broker::Broker;
use it::interop::client::{Client, Protocol};
use it::interop::{scenario, spec, stories};
use it::raw::Connection;
use it::tools::{self, Tool};
use ottla_wire::messages::ListGroupsRequest;

use crate::committed_offsets::ask;

#[test]
fn java_members_share_a_topic() {
    share(&[
        (Client::Java, Protocol::Eager),
        (Client::Java, Protocol::Cooperative),
        (Client::Java, Protocol::Static),
        (Client::Java, Protocol::Consumer),
    ]);
}

#[test]
fn python_members_share_a_topic() {
    share(&[
        (Client::ConfluentKafka, Protocol::Cooperative),
        (Client::ConfluentKafka, Protocol::Consumer),
        (Client::KafkaPython, Protocol::Eager),
        (Client::Aiokafka, Protocol::Eager),
    ]);
}

#[test]
fn kcats_share_a_topic() {
    share(&[(Client::Kcat, Protocol::Eager)]);
}

#[test]
fn java_members_change_the_protocol_of_their_group_while_they_work() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = spec().start();
    let kind_of = |group: &str| {
        // Each broker lists those that it coordinates.
        let listed = broker.addresses().into_iter().filter_map(|address| {
            ask(&mut Connection::open(&address).ok()?, &ListGroupsRequest::default(), 5).ok()
        });
        let found = listed.flat_map(|listed| listed.groups).find(|listed| listed.group_id == group);
        found.map(|found| found.group_type).context("the group is listed")
    };
    for classic in [Protocol::Cooperative, Protocol::Eager] {
        let told = scenario::migrate(&broker, Client::Java, classic, &kind_of);
        told.unwrap_or_else(|failure| panic!("{failure:#}"));
    }
}

#[test]
fn offsets_are_reset_and_deleted_by_kafkas_tool() {
    if tools::require(&[Tool::Kafka]) {
        stories::offsets_are_reset_and_deleted(&spec().start());
    }
}

/// Two groups at a time on one broker: most of a story is waiting, but members start by the threes.
fn share(cells: &[(Client, Protocol)]) {
    let needed: Vec<Tool> = cells.iter().filter_map(|(client, _)| client.tool()).collect();
    if !tools::require(&needed) {
        return;
    }
    share_on(&spec().start(), cells);
}

/// The same on a broker that is there.
pub(crate) fn share_on(broker: &Broker, cells: &[(Client, Protocol)]) {
    for pair in cells.chunks(2) {
        let failures: Vec<String> = thread::scope(|scope| {
            let tell = |cell: &(Client, Protocol)| {
                let (client, protocol) = *cell;
                scope.spawn(move || scenario::share(broker, client, protocol))
            };
            let told: Vec<_> = pair.iter().map(tell).collect();
            let failed = told.into_iter().filter_map(|story| story.join().expect("no panic").err());
            failed.map(|failure| format!("{failure:#}")).collect()
        });
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}
