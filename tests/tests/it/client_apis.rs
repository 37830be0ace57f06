//! Requests that few clients make, made by those that do.

use it::batch::Batch;
use it::broker::Broker;
use it::clients::python;
use it::raw::error;
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

#[test]
fn librdkafka_replaces_all_settings_of_a_topic_at_once() {
    if !tools::require(&[Tool::Python]) {
        return;
    }
    let broker = Broker::start();
    broker.connect().create_topic("t", 1, &[]).unwrap();
    let output = python("confluent_replaced_configs.py", &[&broker.address(), "t"]).unwrap();
    assert_eq!(String::from_utf8(output).unwrap().trim(), "ok");
}

/// KIP-320: what lets a consumer notice that the records before its position are no longer those it read.
#[test]
fn kafkas_consumer_asks_where_the_epoch_of_its_position_ended() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let mut broker = Broker::start();
    let address = broker.address();
    let mut tools = Toolbox::start();
    let mut read = |offset: &str, epoch: &str| {
        let answer = tools.run("ValidatedPosition", &[&address, "t", offset, epoch]).success();
        answer.trim().to_owned()
    };
    let mut connection = broker.connect();
    connection.create_topic("t", 1, &[]).unwrap();
    let first = Batch::of_values(["a", "b", "c"]).bytes();
    assert_eq!(connection.produce("t", 0, -1, &first).unwrap(), (error::NONE, 0));
    assert_eq!(read("0", "0"), "0 0 a", "a topic's first epoch is 0");

    // A new process leads in a new epoch.
    broker.terminate();
    broker.restart();
    let mut connection = broker.connect();
    connection.wait_led("t", 0).unwrap();
    let second = Batch::of_values(["d", "e"]).bytes();
    assert_eq!(connection.produce("t", 0, -1, &second).unwrap(), (error::NONE, 3));
    let of_d = read("3", "0");
    let [offset, epoch, value] = of_d.split(' ').collect::<Vec<_>>()[..] else { panic!("{of_d}") };
    assert_eq!((offset, value), ("3", "d"));
    assert!(epoch.parse::<i32>().unwrap() > 0, "{of_d}");

    assert_eq!(read("4", epoch), format!("4 {epoch} e"), "a position within its epoch");
    assert_eq!(read("4", "0"), "ended 3", "epoch 0 has no record before this position");
}
