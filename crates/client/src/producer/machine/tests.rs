use std::time::Duration;

use ottla_record::partitioner::partition_for_key;
use ottla_record::{Codec, Offset, Timestamp};
use ottla_rpc::{status, v1};

use super::*;
use crate::backoff::Backoff;
use crate::record::ProducerRecord;

fn limits() -> Limits {
    Limits {
        linger: Duration::ZERO,
        batch_bytes: 1_000,
        max_in_flight: 5,
        delivery_timeout: Duration::from_secs(10),
        topic_timeout: Duration::from_secs(5),
        topic_max_age: Duration::from_secs(300),
        backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
        codec: Codec::None,
        idempotent: true,
    }
}

fn machine(limits: Limits) -> Machine<u32> {
    Machine::new(limits, Random::seeded(1))
}

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

fn push(machine: &mut Machine<u32>, waiter: u32, record: ProducerRecord, ms: u64) {
    let timestamp = Timestamp::from_millis(1);
    machine.push(Pending { record, timestamp, waiter, created: at(ms), generation: 0 }, at(ms));
}

fn topic() -> Arc<str> {
    "t".into()
}

fn identify(machine: &mut Machine<u32>) {
    machine.identified(ProducerId::new(7), ProducerEpoch::ZERO, at(0));
}

fn refusal(kafka: KafkaError) -> Error {
    Error::from_detail("no".into(), v1::ErrorDetail { ..status::detail(kafka) })
}

fn told(machine: &mut Machine<u32>) -> Vec<String> {
    let outcomes = machine.outcomes();
    let told = outcomes.map(|Outcome { finished, partition, .. }| match finished.outcome {
        Ok((offset, _)) => format!("{} at {}/{offset}", finished.pending.waiter, partition.unwrap()),
        Err(error) => format!("{}: {}", finished.pending.waiter, error.kafka_name().unwrap_or("late")),
    });
    told.collect()
}

fn written(machine: &mut Machine<u32>, request: u64, base: i64) {
    machine.written(request, Written { base_offset: Offset::new(base), log_append_time: None }, at(0));
}

#[test]
fn a_record_waits_for_its_topic_and_then_for_the_producer_id() {
    let mut machine = machine(limits());
    push(&mut machine, 0, ProducerRecord::to("t").key("k"), 0);
    assert!(!machine.wants_identity(at(0)) && machine.send(at(0)).is_none());
    assert_eq!((machine.lookup(at(0)), machine.lookup(at(0))), (Some(topic()), None), "asked once");
    machine.topic_known(&topic(), 6, at(0));
    assert!(machine.wants_identity(at(0)) && !machine.wants_identity(at(0)), "asked once");
    assert!(machine.send(at(0)).is_none());
    identify(&mut machine);
    let request = machine.send(at(0)).unwrap();
    assert_eq!(Some(request.partition), partition_for_key(b"k", 6).map(|p| p.get()));
    written(&mut machine, request.id, 41);
    assert_eq!(told(&mut machine), [format!("0 at {}/41", request.partition)]);
    assert!(machine.is_idle());
}

#[test]
fn a_named_partition_needs_no_lookup() {
    let mut machine = machine(Limits { idempotent: false, ..limits() });
    push(&mut machine, 0, ProducerRecord::to("t").partition(9), 0);
    assert_eq!(machine.lookup(at(0)), None);
    assert_eq!(machine.send(at(0)).unwrap().partition, 9);
}

#[test]
fn a_topic_in_the_making_is_asked_for_again_and_a_missing_one_given_up() {
    let mut machine = machine(limits());
    push(&mut machine, 0, ProducerRecord::to("t").key("k"), 0);
    let mut ms = 0;
    let mut lookups = 0;
    while told(&mut machine).is_empty() {
        assert!(machine.lookup(at(ms)).is_some(), "the deadline was for something");
        lookups += 1;
        machine.topic_unknown(&topic(), refusal(KafkaError::UNKNOWN_TOPIC_OR_PARTITION), at(ms));
        if machine.is_idle() {
            break;
        }
        ms = machine.next_deadline().unwrap().since_start().as_millis() as u64 + 1;
    }
    assert!((5_000..7_000).contains(&ms), "after {ms} ms");
    assert!((7..20).contains(&lookups), "{lookups} lookups");
}

#[test]
fn a_topic_that_may_not_be_seen_fails_at_once() {
    let mut machine = machine(limits());
    push(&mut machine, 0, ProducerRecord::to("t"), 0);
    machine.lookup(at(0));
    machine.topic_unknown(&topic(), refusal(KafkaError::TOPIC_AUTHORIZATION_FAILED), at(0));
    assert_eq!(told(&mut machine), ["0: TOPIC_AUTHORIZATION_FAILED"]);
}

#[test]
fn records_without_a_broker_are_late_by_their_deadline() {
    let mut machine = machine(limits());
    push(&mut machine, 0, ProducerRecord::to("t"), 0);
    push(&mut machine, 1, ProducerRecord::to("t").partition(0), 50);
    machine.lookup(at(0));
    machine.wants_identity(at(0));
    for ms in [9_999, 10_000, 10_049, 10_050] {
        machine.tick(at(ms));
        let expected: &[&str] = match ms {
            10_000 => &["0: late"],
            10_050 => &["1: late"],
            _ => &[],
        };
        assert_eq!(told(&mut machine), expected, "after {ms} ms");
    }
    assert!(machine.is_idle());
    assert_eq!(machine.next_deadline(), None, "nothing to come back for");
}

#[test]
fn no_producer_id_for_good_fails_what_waits() {
    let mut machine = machine(limits());
    push(&mut machine, 0, ProducerRecord::to("t").partition(0), 0);
    machine.wants_identity(at(0));
    machine.not_identified(&refusal(KafkaError::NOT_CONTROLLER), at(0));
    assert!(told(&mut machine).is_empty());
    let again = machine.next_deadline().unwrap();
    assert!(machine.wants_identity(again));
    machine.not_identified(&refusal(KafkaError::CLUSTER_AUTHORIZATION_FAILED), again);
    assert_eq!(told(&mut machine), ["0: CLUSTER_AUTHORIZATION_FAILED"]);
}

#[test]
fn records_without_key_fill_a_batch_and_move_to_another_partition() {
    let mut machine = machine(Limits { linger: Duration::from_secs(1), ..limits() });
    push(&mut machine, 0, ProducerRecord::to("t").value(vec![0; 79]), 0);
    machine.lookup(at(0));
    machine.topic_known(&topic(), 4, at(0));
    identify(&mut machine);
    for number in 1..200 {
        push(&mut machine, number, ProducerRecord::to("t").value(vec![0; 79]), 0);
    }
    let mut per_partition = BTreeMap::<i32, usize>::new();
    machine.flush(at(0));
    let mut last = None;
    while let Some(request) = machine.send(at(0)) {
        assert_eq!(request.records, 10, "full batches");
        *per_partition.entry(request.partition).or_default() += request.records;
        last = Some(request.partition);
        written(&mut machine, request.id, 0);
    }
    assert!(last.is_some());
    assert_eq!(per_partition.values().sum::<usize>(), 200);
    assert_eq!(per_partition.len(), 4, "all partitions get some: {per_partition:?}");
}

#[test]
fn a_flush_is_over_when_all_before_it_are_finished() {
    let mut machine = machine(Limits { linger: Duration::from_secs(5), ..limits() });
    identify(&mut machine);
    push(&mut machine, 0, ProducerRecord::to("t").partition(0), 0);
    assert!(machine.send(at(0)).is_none(), "it lingers");
    let flush = machine.flush(at(0));
    let request = machine.send(at(0)).unwrap();
    push(&mut machine, 1, ProducerRecord::to("t").partition(0), 0);
    assert!(!machine.flushed(flush) && machine.send(at(0)).is_none(), "what comes later lingers");
    written(&mut machine, request.id, 0);
    assert!(machine.flushed(flush) && !machine.is_idle());
}

#[test]
fn partitions_take_turns() {
    let mut machine = machine(limits());
    identify(&mut machine);
    for number in 0..6 {
        push(
            &mut machine,
            number,
            ProducerRecord::to("t").partition(number as i32 % 2).value(vec![0; 990]),
            0,
        );
    }
    let sent: Vec<i32> =
        std::iter::from_fn(|| machine.send(at(0))).map(|request| request.partition).collect();
    assert_eq!(sent, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_broken_connection_touches_only_what_was_on_its_way() {
    let mut machine = machine(limits());
    identify(&mut machine);
    push(&mut machine, 0, ProducerRecord::to("t").partition(0), 0);
    push(&mut machine, 1, ProducerRecord::to("t").partition(1), 0);
    let first = machine.send(at(0)).unwrap();
    machine.disconnected(&Error::unavailable("a", "reset".into(), true), at(1));
    written(&mut machine, first.id, 0);
    assert!(told(&mut machine).is_empty(), "the answer of a broken connection is not heard");
    let again: Vec<i32> =
        std::iter::from_fn(|| machine.send(at(1))).map(|request| request.partition).collect();
    assert_eq!(again, [1, 0]);
}
