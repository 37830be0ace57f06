use ottla_record::BatchView;
use ottla_rpc::{status, v1};

use super::*;
use crate::backoff::Backoff;

const TOPIC_MS: u64 = 5_000;

fn limits() -> Limits {
    Limits {
        linger: Duration::from_millis(5),
        batch_bytes: 100,
        max_in_flight: 5,
        delivery_timeout: Duration::from_secs(10),
        topic_timeout: Duration::from_millis(TOPIC_MS),
        topic_max_age: Duration::from_secs(300),
        backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
        codec: Codec::None,
        idempotent: true,
    }
}

fn refusal(kafka: KafkaError) -> Error {
    Error::from_detail("no".into(), v1::ErrorDetail { ..status::detail(kafka) })
}

fn broken() -> Error {
    Error::unavailable("http://b:1", "reset".into(), true)
}

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

/// A partition, and what a story says of it: what was sent as `request: epoch/sequence+count`, what was finished as
/// `record=offset` or `record!error`.
struct Story {
    partition: Partition<u32>,
    limits: Limits,
    records: u32,
    requests: u64,
    finished: Vec<Finished<u32>>,
}

impl Story {
    fn new(limits: Limits) -> Self {
        let mut partition = Partition::new("t", 0, &limits);
        partition.give_id(ProducerId::new(7), ProducerEpoch::ZERO);
        Self { partition, limits, records: 0, requests: 0, finished: Vec::new() }
    }

    /// Records that fill a batch each: 79 bytes of value and 21 around it.
    fn push(&mut self, batches: u32, ms: u64) {
        (0..batches).for_each(|_| self.push_sized(79, ms));
    }

    fn push_sized(&mut self, value: usize, ms: u64) {
        let record = ProducerRecord::to("t").value(vec![b'x'; value]);
        let timestamp = Timestamp::from_millis(1_000);
        let pending = Pending { record, timestamp, waiter: self.records, created: at(ms), generation: 0 };
        self.records += 1;
        self.partition.push(pending);
        self.partition.check_invariants(&self.limits);
    }

    /// Sends what can be sent now.
    fn send(&mut self, ms: u64) -> String {
        let mut sent = Vec::new();
        while let Some(out) = self.partition.send(self.requests, at(ms), 0, &self.limits, &mut self.finished)
        {
            let view = BatchView::parse(&out.batches).unwrap();
            view.verify_crc().unwrap();
            let count = view.header().record_count();
            assert_eq!(count as usize, out.records);
            sent.push(match view.header().producer() {
                Some(ProducerStamp { epoch, base_sequence: Some(sequence), .. }) => {
                    format!("{}: {epoch}/{sequence}+{count}", self.requests)
                }
                _ => format!("{}: +{count}", self.requests),
            });
            self.requests += 1;
            self.partition.check_invariants(&self.limits);
        }
        sent.join(", ")
    }

    fn written(&mut self, request: u64, base: i64) -> String {
        let written = Written { base_offset: Offset::new(base), log_append_time: None };
        self.partition.written(request, written, &mut self.finished);
        self.told()
    }

    fn failed(&mut self, request: u64, error: Error, ms: u64) -> String {
        self.partition.failed(request, error, at(ms), &self.limits, &mut self.finished);
        self.told()
    }

    fn disconnected(&mut self, ms: u64) -> String {
        self.partition.disconnected(&broken(), at(ms), &self.limits, &mut self.finished);
        self.told()
    }

    fn expire(&mut self, ms: u64) -> String {
        self.partition.expire(at(ms), &self.limits, &mut self.finished);
        self.told()
    }

    fn told(&mut self) -> String {
        self.partition.check_invariants(&self.limits);
        let told = |finished: Finished<u32>| match finished.outcome {
            Ok((offset, _)) => format!("{}={offset}", finished.pending.waiter),
            Err(Error::TimedOut { maybe_sent, .. }) => {
                format!(
                    "{}!{}",
                    finished.pending.waiter,
                    if maybe_sent { "late, maybe written" } else { "late" }
                )
            }
            Err(error) => format!("{}!{}", finished.pending.waiter, error.kafka_name().unwrap_or("other")),
        };
        self.finished.drain(..).map(told).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn records_wait_for_a_full_batch_or_the_linger() {
    let mut story = Story::new(limits());
    story.push_sized(20, 0);
    story.push_sized(20, 1);
    assert_eq!(story.partition.next(at(1), 0, &story.limits), Next::At(at(5)));
    assert_eq!(story.send(4), "");
    assert_eq!(story.send(5), "0: 0/0+2");
    // A third that does not fit closes the batch before it.
    story.push_sized(60, 6);
    story.push_sized(60, 6);
    assert_eq!(story.send(6), "1: 0/2+1");
    // A flush does not linger.
    assert_eq!(story.partition.next(at(6), 1, &story.limits), Next::Send);
    assert_eq!(story.written(0, 10), "0=10, 1=11");
}

#[test]
fn five_are_in_flight_and_no_more() {
    let mut story = Story::new(limits());
    story.push(7, 0);
    assert_eq!(story.send(0), "0: 0/0+1, 1: 0/1+1, 2: 0/2+1, 3: 0/3+1, 4: 0/4+1");
    assert_eq!(story.written(0, 0), "0=0");
    assert_eq!(story.send(0), "5: 0/5+1");
}

#[test]
fn after_a_broken_connection_everything_goes_again_in_order() {
    let mut story = Story::new(limits());
    story.push(3, 0);
    assert_eq!(story.send(0), "0: 0/0+1, 1: 0/1+1, 2: 0/2+1");
    assert_eq!(story.written(0, 0), "0=0");
    story.push(1, 1);
    assert_eq!(story.disconnected(2), "");
    assert_eq!(story.send(2), "3: 0/1+1, 4: 0/2+1");
    assert_eq!(story.written(3, 1), "1=1");
    assert_eq!(story.send(2), "", "nothing new behind a batch that may have been written");
    assert_eq!(story.written(4, 2), "2=2");
    assert_eq!(story.send(2), "5: 0/3+1");
    assert_eq!(story.written(5, 3), "3=3");
}

#[test]
fn what_was_sent_behind_a_failed_batch_goes_again_behind_it() {
    let mut story = Story::new(limits());
    story.push(4, 0);
    assert_eq!(story.send(0), "0: 0/0+1, 1: 0/1+1, 2: 0/2+1, 3: 0/3+1");
    assert_eq!(story.failed(0, refusal(KafkaError::NOT_ENOUGH_REPLICAS), 100), "");
    // Nothing overtakes: not before the broker has refused the others, and not before the wait is over.
    assert_eq!(story.send(100), "");
    for request in 1..4 {
        assert_eq!(story.failed(request, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 100), "");
    }
    assert_eq!(story.send(99), "");
    assert_eq!(story.send(100), "4: 0/0+1, 5: 0/1+1, 6: 0/2+1, 7: 0/3+1");
    assert_eq!(story.written(4, 0), "0=0");
}

#[test]
fn a_batch_refused_for_good_leaves_a_gap_and_the_rest_begins_a_new_epoch() {
    let mut story = Story::new(limits());
    story.push(3, 0);
    story.send(0);
    assert_eq!(story.failed(0, refusal(KafkaError::INVALID_RECORD), 0), "0!INVALID_RECORD");
    assert_eq!(story.failed(1, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 0), "");
    assert_eq!(story.send(0), "", "as long as one of the old epoch is on its way");
    assert_eq!(story.failed(2, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 0), "");
    assert_eq!(story.send(0), "3: 1/0+1, 4: 1/1+1");
    assert_eq!(story.written(3, 0), "1=0");
}

#[test]
fn a_late_batch_that_was_written_after_all_closes_its_gap() {
    let mut story = Story::new(limits());
    story.push(1, 0);
    story.push(1, 9_000);
    story.send(9_000);
    assert_eq!(story.disconnected(9_500), "");
    assert_eq!(story.expire(10_000), "0!late, maybe written");
    // The second goes on under its old sequence, and the broker takes it: so it had the first.
    assert_eq!(story.send(10_000), "2: 0/1+1");
    assert_eq!(story.written(2, 1), "1=1");
    story.push(1, 10_001);
    assert_eq!(story.send(10_001), "3: 0/2+1");
}

#[test]
fn a_late_batch_that_was_not_written_makes_the_next_begin_anew() {
    let mut story = Story::new(limits());
    story.push(1, 0);
    story.push(2, 9_000);
    story.send(9_000);
    story.disconnected(9_500);
    assert_eq!(story.expire(10_000), "0!late, maybe written");
    assert_eq!(story.send(10_000), "3: 0/1+1, 4: 0/2+1");
    assert_eq!(story.failed(3, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 10_000), "");
    assert_eq!(story.failed(4, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 10_000), "");
    assert_eq!(story.send(10_000), "5: 1/0+1, 6: 1/1+1");
}

#[test]
fn the_answer_to_a_late_batch_still_counts() {
    let mut story = Story::new(limits());
    story.push(1, 0);
    story.send(0);
    assert_eq!(story.partition.next_expiry(story.limits.delivery_timeout), Some(at(10_000)));
    assert_eq!(story.expire(10_000), "0!late, maybe written");
    assert_eq!(story.written(0, 0), "", "nobody waits for it any more");
    story.push(1, 10_001);
    assert_eq!(story.send(10_001), "1: 0/1+1", "but there is no gap");
}

#[test]
fn a_batch_that_was_never_sent_is_late_without_a_doubt() {
    let mut story = Story::new(limits());
    story.push(6, 0);
    story.send(0);
    assert_eq!(
        story.expire(10_000),
        "5!late, 0!late, maybe written, 1!late, maybe written, 2!late, maybe written, 3!late, maybe written, \
         4!late, maybe written"
    );
    for request in 0..5 {
        story.written(request, request as i64);
    }
    story.push(1, 10_001);
    assert_eq!(story.send(10_001), "5: 0/5+1", "it took no sequence");
}

#[test]
fn a_broker_that_lost_what_it_acknowledged_is_reported() {
    let mut story = Story::new(limits());
    story.push(1, 0);
    story.send(0);
    story.written(0, 0);
    story.push(2, 1);
    story.send(1);
    let refused = refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(story.failed(1, refused.clone(), 1), "1!OUT_OF_ORDER_SEQUENCE_NUMBER");
    assert_eq!(story.failed(2, refused, 1), "");
    assert_eq!(story.send(1), "3: 1/0+1");
}

#[test]
fn a_forgotten_producer_begins_anew_without_losing_a_record() {
    let mut story = Story::new(limits());
    story.push(2, 0);
    story.send(0);
    assert_eq!(story.failed(0, refusal(KafkaError::UNKNOWN_PRODUCER_ID), 0), "");
    assert_eq!(story.failed(1, refusal(KafkaError::UNKNOWN_PRODUCER_ID), 0), "");
    assert_eq!(story.send(0), "2: 1/0+1, 3: 1/1+1");
}

#[test]
fn a_batch_too_large_for_the_topic_is_split_in_place() {
    let mut story = Story::new(limits());
    (0..4).for_each(|_| story.push_sized(4, 0));
    story.push(1, 0);
    assert_eq!(story.send(0), "0: 0/0+4, 1: 0/4+1");
    assert_eq!(story.failed(0, refusal(KafkaError::MESSAGE_TOO_LARGE), 0), "");
    assert_eq!(story.failed(1, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 0), "");
    assert_eq!(story.send(0), "2: 0/0+2, 3: 0/2+2, 4: 0/4+1");
    assert_eq!(story.written(2, 0), "0=0, 1=1");
    assert_eq!(story.written(3, 2), "2=2, 3=3");
    assert_eq!(story.failed(4, refusal(KafkaError::MESSAGE_TOO_LARGE), 0), "4!MESSAGE_TOO_LARGE");
}

#[test]
fn past_the_last_epoch_another_producer_id_is_wanted() {
    let mut story = Story::new(limits());
    story.partition.stamp = Some((ProducerId::new(7), ProducerEpoch::new(i16::MAX)));
    story.push(2, 0);
    story.send(0);
    story.failed(0, refusal(KafkaError::INVALID_RECORD), 0);
    story.failed(1, refusal(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER), 0);
    assert!(story.partition.wants_id(&story.limits) && story.send(0).is_empty());
    assert!(!story.partition.give_id(ProducerId::new(7), ProducerEpoch::ZERO), "the old one again");
    assert!(story.partition.give_id(ProducerId::new(8), ProducerEpoch::ZERO));
    assert_eq!(story.send(0), "2: 0/0+1");
}

#[test]
fn without_idempotence_there_are_no_sequences_and_repetitions_go_first() {
    let mut story = Story::new(Limits { idempotent: false, max_in_flight: 2, ..limits() });
    story.push(3, 0);
    assert_eq!(story.send(0), "0: +1, 1: +1");
    assert_eq!(story.failed(0, refusal(KafkaError::NOT_LEADER_OR_FOLLOWER), 0), "");
    assert_eq!(story.send(0), "2: +1");
    assert_eq!(story.written(1, 0), "1=0");
    assert_eq!(story.written(2, 1), "0=1");
}

#[test]
fn sequences_wrap_behind_the_largest() {
    let mut story = Story::new(limits());
    story.partition.next_sequence = u64::from(i32::MAX.cast_unsigned());
    story.partition.acknowledged = story.partition.next_sequence;
    story.push(2, 0);
    assert_eq!(story.send(0), "0: 0/2147483647+1, 1: 0/0+1");
}

/// A broker of one partition that keeps Kafka's rules for sequences, over connections that break and answers that are
/// lost; what it holds in the end is compared with what was promised.
mod against_a_broker_of_the_rules {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;
    use crate::backoff::Random;

    #[derive(Default)]
    struct Broker {
        log: Vec<u32>,
        epoch: i16,
        next: i32,
        /// Base sequence to base offset of the last five batches.
        recent: VecDeque<(i32, i64)>,
    }

    impl Broker {
        fn append(&mut self, batch: &[u8]) -> Result<i64, KafkaError> {
            let view = BatchView::parse(batch).unwrap();
            let stamp = view.header().producer().unwrap();
            let (epoch, base) = (stamp.epoch.get(), stamp.base_sequence.unwrap().get());
            if epoch < self.epoch {
                return Err(KafkaError::INVALID_PRODUCER_EPOCH);
            }
            if epoch > self.epoch {
                if base != 0 {
                    return Err(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                (self.epoch, self.next) = (epoch, 0);
                self.recent.clear();
            }
            if let Some((_, offset)) = self.recent.iter().find(|(sequence, _)| *sequence == base) {
                return Ok(*offset);
            }
            if base != self.next {
                return Err(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            let offset = self.log.len() as i64;
            let records = view.records(1 << 20).unwrap();
            let number = |value: &[u8]| u32::from_le_bytes(value[..4].try_into().unwrap());
            let numbers: Vec<u32> =
                records.iter().map(|record| number(record.unwrap().value.unwrap())).collect();
            if numbers.iter().any(|number| number % 40 == 39) {
                return Err(KafkaError::INVALID_RECORD);
            }
            self.next += numbers.len() as i32;
            self.log.extend(numbers);
            self.recent.push_back((base, offset));
            if self.recent.len() > 5 {
                self.recent.pop_front();
            }
            Ok(offset)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn acknowledged_once_in_order_and_nothing_twice(seed: u64) {
            let mut random = Random::seeded(seed);
            let mut story = Story::new(Limits { delivery_timeout: Duration::from_millis(400), ..limits() });
            let mut broker = Broker::default();
            let mut wire: VecDeque<(u64, Bytes)> = VecDeque::new();
            let mut answers: VecDeque<(u64, Result<i64, KafkaError>)> = VecDeque::new();
            let mut outcomes: BTreeMap<u32, Result<i64, bool>> = BTreeMap::new();
            let mut ms = 0;
            // At first anything goes wrong; then everything works until all is told.
            for step in 0..3_000u32 {
                let calm = step > 600;
                ms += u64::from(random.below(10));
                if !calm && random.below(3) == 0 {
                    let mut value = story.records.to_le_bytes().to_vec();
                    value.resize(4 + random.below(60) as usize, 0);
                    let record = ProducerRecord::to("t").value(value);
                    let timestamp = Timestamp::from_millis(1);
                    let pending =
                        Pending { record, timestamp, waiter: story.records, created: at(ms), generation: 0 };
                    story.records += 1;
                    story.partition.push(pending);
                }
                while let Some(out) =
                    story.partition.send(story.requests, at(ms), 0, &story.limits, &mut story.finished)
                {
                    wire.push_back((story.requests, out.batches));
                    story.requests += 1;
                }
                match random.below(if calm { 6 } else { 8 }) {
                    0..3 => if let Some((request, batch)) = wire.pop_front() {
                        // Now and then the broker cannot.
                        let unable = !calm && random.below(12) == 0;
                        let answer =
                            if unable { Err(KafkaError::NOT_ENOUGH_REPLICAS) } else { broker.append(&batch) };
                        answers.push_back((request, answer));
                    },
                    3..6 => match answers.pop_front() {
                        Some((request, Ok(offset))) => {
                            let written = Written { base_offset: Offset::new(offset), log_append_time: None };
                            story.partition.written(request, written, &mut story.finished);
                        }
                        Some((request, Err(error))) => {
                            story.partition.failed(request, refusal(error), at(ms + 3), &story.limits, &mut story.finished);
                        }
                        None => {}
                    },
                    6 if random.below(4) == 0 => {
                        // What the broker had not read is lost, and so is every answer.
                        wire.clear();
                        answers.clear();
                        story.partition.disconnected(&broken(), at(ms), &story.limits, &mut story.finished);
                    }
                    _ => {}
                }
                if story.partition.next_expiry(story.limits.delivery_timeout).is_some_and(|due| due <= at(ms)) {
                    story.partition.expire(at(ms), &story.limits, &mut story.finished);
                }
                story.partition.check_invariants(&story.limits);
                for finished in story.finished.drain(..) {
                    let outcome = match finished.outcome {
                        Ok((offset, _)) => Ok(offset.get()),
                        Err(Error::TimedOut { maybe_sent, .. }) => Err(maybe_sent),
                        Err(_) => Err(false),
                    };
                    prop_assert!(outcomes.insert(finished.pending.waiter, outcome).is_none(), "told twice");
                }
            }
            prop_assert_eq!(outcomes.len() as u32, story.records, "every record is told of");
            prop_assert!(broker.log.is_sorted_by(|a, b| a < b), "in order, none twice: {:?}", broker.log);
            for (record, outcome) in outcomes {
                match outcome {
                    Ok(offset) => prop_assert_eq!(broker.log[offset as usize], record),
                    Err(false) => prop_assert!(!broker.log.contains(&record), "{} was to have failed", record),
                    Err(true) => {}
                }
            }
        }
    }
}
