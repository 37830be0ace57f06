use expect_test::{Expect, expect};
use ottla_record::{BatchBuilder, BatchView, Codec, ProducerStamp};

use super::*;

/// `id/epoch/sequence+records`, `t` for transactional; `abort id/epoch@coordinator`, `commit …`. One line each.
fn story(script: &str, expect: Expect) {
    let mut states = ProducerStates::default();
    let mut offset = Offset::ZERO;
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (header, marker) = parse(line, offset);
        let verdict = match states.check(&header, marker.as_ref()) {
            Ok(Verdict::New) => {
                let ended = states.apply(&header, marker.as_ref());
                offset = header.last_offset().next();
                let ended = ended.map(|ended| {
                    let first = ended.first_offset;
                    format!(", ends the transaction of {first}, stable to {}", ended.last_stable_offset)
                });
                format!("at {}{}", header.base_offset(), ended.unwrap_or_default())
            }
            Ok(Verdict::Duplicate(batch)) => {
                format!("duplicate of {}..={}", batch.first_offset(), batch.last_offset)
            }
            Err(error) => error.to_string(),
        };
        out += &format!("{line}: {verdict}\n");
    }
    expect.assert_eq(&out);
}

fn parse(line: &str, offset: Offset) -> (BatchHeader, Option<EndTransactionMarker>) {
    let stamp = |id: &str, epoch: &str, sequence: Option<Sequence>| ProducerStamp {
        id: ProducerId::new(id.parse().unwrap()),
        epoch: ProducerEpoch::new(epoch.parse().unwrap()),
        base_sequence: sequence,
    };
    let bytes = if let Some((kind, rest)) = line.split_once(' ') {
        let (stamp_text, coordinator) = rest.split_once('@').unwrap();
        let (id, epoch) = stamp_text.split_once('/').unwrap();
        let control = if kind == "abort" { ControlType::Abort } else { ControlType::Commit };
        let marker = EndTransactionMarker { control, coordinator_epoch: coordinator.parse().unwrap() };
        let mut builder = BatchBuilder::new(Codec::None).base_offset(offset).transactional().control();
        builder = builder.producer(stamp(id, epoch, None));
        builder.push_marker(Timestamp::EPOCH, marker);
        let bytes = builder.build().unwrap();
        return (*BatchView::parse(&bytes).unwrap().header(), Some(marker));
    } else {
        let (text, transactional) = line.strip_suffix('t').map_or((line, false), |text| (text, true));
        let mut fields = text.split(['/', '+']);
        let mut field = || fields.next().unwrap();
        let (id, epoch, sequence) = (field(), field(), Sequence::new(field().parse().unwrap()));
        let records: usize = field().parse().unwrap();
        let mut builder = BatchBuilder::new(Codec::None).base_offset(offset);
        builder = builder.producer(stamp(id, epoch, Some(sequence)));
        if transactional {
            builder = builder.transactional();
        }
        for _ in 0..records {
            builder.push(Some(Timestamp::EPOCH), None, Some(b"v"), &[]);
        }
        builder.build().unwrap()
    };
    (*BatchView::parse(&bytes).unwrap().header(), None)
}

#[test]
fn sequences() {
    story(
        "1/0/5+2
         1/0/7+1
         1/0/9+1
         1/0/7+1
         1/0/5+2
         1/0/5+1
         1/1/3+1
         1/1/0+3
         1/0/8+1
         1/1/3+1",
        expect![[r#"
            1/0/5+2: at 0
            1/0/7+1: at 2
            1/0/9+1: producer 1 sent sequence 9, expected 8
            1/0/7+1: duplicate of 2..=2
            1/0/5+2: duplicate of 0..=1
            1/0/5+1: producer 1 sent sequence 5, expected 8
            1/1/3+1: producer 1 sent sequence 3, expected 0
            1/1/0+3: at 3
            1/0/8+1: producer 1 has epoch 0, but epoch 1 was seen
            1/1/3+1: at 6
        "#]],
    );
}

#[test]
fn five_batches_are_remembered_and_the_sequence_wraps() {
    story(
        "1/0/2147483645+1
         1/0/2147483646+1
         1/0/2147483647+3
         1/0/2+1
         1/0/3+1
         1/0/2147483645+1
         1/0/4+1
         1/0/2147483645+1
         1/0/2147483647+3",
        expect![[r#"
            1/0/2147483645+1: at 0
            1/0/2147483646+1: at 1
            1/0/2147483647+3: at 2
            1/0/2+1: at 5
            1/0/3+1: at 6
            1/0/2147483645+1: duplicate of 0..=0
            1/0/4+1: at 7
            1/0/2147483645+1: producer 1 sent sequence 2147483645, expected 5
            1/0/2147483647+3: duplicate of 2..=4
        "#]],
    );
}

#[test]
fn transactions() {
    story(
        "1/0/0+1t
         2/0/0+1t
         1/0/1+1
         abort 1/0@5
         1/0/1+1t
         1/0/0+1t
         commit 1/0@4
         commit 2/0@5
         abort 1/1@6
         1/0/1+1t
         1/1/0+1t",
        expect![[r#"
            1/0/0+1t: at 0
            2/0/0+1t: at 1
            1/0/1+1: producer 1 has a transaction open in this partition and sent a batch that is not part of it
            abort 1/0@5: at 2, ends the transaction of 0, stable to 1
            1/0/1+1t: at 3
            1/0/0+1t: duplicate of 0..=0
            commit 1/0@4: a marker for producer 1 has coordinator epoch 4, but epoch 5 was seen
            commit 2/0@5: at 4, ends the transaction of 1, stable to 3
            abort 1/1@6: at 5, ends the transaction of 3, stable to 6
            1/0/1+1t: producer 1 has epoch 0, but epoch 1 was seen
            1/1/0+1t: at 6
        "#]],
    );
}

#[test]
fn silent_producers_are_forgotten_unless_a_transaction_is_open() {
    let mut states = ProducerStates::default();
    for line in ["1/0/0+1", "2/0/0+1t"] {
        let (header, marker) = parse(line, Offset::ZERO);
        states.apply(&header, marker.as_ref());
    }
    states.expire(Timestamp::from_millis(999), 1000);
    assert_eq!(states.iter().len(), 2);
    states.expire(Timestamp::from_millis(1000), 1000);
    assert_eq!(states.iter().map(|(id, _)| id.get()).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_was_known_below_an_offset_leaves_out_what_came_later_and_those_that_came_with_it() {
    let mut states = ProducerStates::default();
    let mut offset = Offset::ZERO;
    for line in ["1/0/0+3", "2/0/0+1", "1/0/3+2t", "3/0/0+1"] {
        let (header, marker) = parse(line, offset);
        states.apply(&header, marker.as_ref());
        offset = header.last_offset().next();
    }
    let known = |most| {
        let before = states.before(Offset::new(4), most);
        assert_eq!(before.first_unstable_offset(), None);
        let lasts =
            before.iter().map(|(id, producer)| (id.get(), producer.recent.last().unwrap().last_offset.get()));
        lasts.collect::<Vec<_>>()
    };
    assert_eq!(known(9), [(1, 2), (2, 3)]);
    assert_eq!(known(1), [(2, 3)]);
    assert_eq!(states.before(offset, 9).iter().len(), 3);
    assert_eq!(states.before(offset, 9).first_unstable_offset(), Some(Offset::new(4)));
}
