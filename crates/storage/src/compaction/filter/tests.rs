use expect_test::{Expect, expect};
use ottla_record::{Attributes, ControlType, ProducerStamp, Sequence};

use super::*;
use crate::batches::stamp;

const NOW: i64 = 1_000_000;
const RETENTION: i64 = 5_000;

/// One batch, told in a line: `offset [p<producer>:<sequence>] [tx] [lz4] key=value key=- =value ...`, where `-` is no value
/// and an empty key none; `commit p<producer>` and `abort p<producer>` are markers. `~` leaves an offset out, `horizon<ms>`
/// gives the batch one.
fn batch(line: &str) -> Bytes {
    let mut words = line.split_whitespace();
    let base = Offset::new(words.next().unwrap().parse().unwrap());
    let mut builder = BatchBuilder::new(Codec::None);
    let mut records: Vec<&str> = Vec::new();
    let (mut id, mut sequence, mut transactional, mut marker) = (None, None, false, None);
    let mut horizon = None;
    for word in words {
        match word {
            "tx" => transactional = true,
            "lz4" => builder = BatchBuilder::new(Codec::Lz4),
            "commit" => marker = Some(ControlType::Commit),
            "abort" => marker = Some(ControlType::Abort),
            _ if word.starts_with("horizon") => horizon = Some(word[7..].parse().unwrap()),
            _ if word.starts_with('p') && !word.contains('=') => {
                let (number, from) = word[1..].split_once(':').unwrap_or((&word[1..], ""));
                id = Some(number.parse().unwrap());
                sequence = from.parse().ok();
            }
            _ => records.push(word),
        }
    }
    builder = builder.base_offset(base);
    if let Some(horizon) = horizon {
        builder = builder.delete_horizon(Timestamp::from_millis(horizon));
    }
    if let Some(id) = id {
        let base_sequence = sequence.map(Sequence::new);
        builder = builder.producer(ProducerStamp { base_sequence, ..stamp(id, 0, 0) });
    }
    if transactional || marker.is_some() {
        builder = builder.transactional();
    }
    let at = Timestamp::from_millis(10);
    if let Some(control) = marker {
        builder = builder.control();
        builder.push_marker(at, EndTransactionMarker { control, coordinator_epoch: 0 });
        return builder.build().unwrap();
    }
    for record in records {
        let (key, value) = record.split_once('=').unwrap();
        let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
        builder.push(Some(at), key, (value != "-").then_some(value.as_bytes()), &[]);
    }
    builder.build().unwrap()
}

fn told(bytes: &[u8]) -> String {
    let view = BatchView::parse(bytes).unwrap();
    view.verify_crc().unwrap();
    let header = view.header();
    let attributes: Attributes = header.attributes();
    let mut text = format!("{}..{}", header.base_offset(), header.last_offset());
    if let Some(stamp) = header.producer() {
        let sequence = stamp.base_sequence.map_or("".to_owned(), |sequence| format!(":{}", sequence.get()));
        text += &format!(" p{}{sequence}", stamp.id.get());
    }
    for (set, name) in [(attributes.is_transactional(), " tx"), (attributes.is_control(), " control")] {
        text += if set { name } else { "" };
    }
    if header.compression() != Compression::None {
        text += &format!(" {}", header.compression());
    }
    if let Some(horizon) = header.delete_horizon() {
        text += &format!(" horizon{}", horizon.millis());
    }
    for record in &view.records(1 << 20).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.timestamp, Some(Timestamp::from_millis(10)));
        if attributes.is_control() {
            text +=
                &format!(" {}:{:?}", record.offset, EndTransactionMarker::parse(&record).unwrap().control);
            continue;
        }
        let part =
            |bytes: Option<&[u8]>, none| bytes.map_or(none, |b| std::str::from_utf8(b).unwrap()).to_owned();
        text += &format!(" {}:{}={}", record.offset, part(record.key, ""), part(record.value, "-"));
    }
    text
}

/// Shows a filter a log whose records below `mapped_to` are in the map, and tells what becomes of each batch.
struct Case<'a> {
    log: &'a str,
    mapped_to: i64,
    /// Producer id to the last offset it must keep; `-` for one with a marker only.
    producers: &'a [(i64, Option<i64>)],
    aborted: &'a [(i64, i64, i64)],
}

fn check(case: &Case<'_>, expected: Expect) {
    let mut keys = KeyMap::new(1 << 16, 0.9, u64::MAX, &[1; 16]);
    let lines: Vec<&str> = case.log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_aborted = |view: &BatchView<'_>| {
        let id = view.header().producer().map(|stamp| stamp.id.get());
        view.header().attributes().is_transactional()
            && case.aborted.iter().any(|(producer, first, last)| {
                id == Some(*producer) && (*first..=*last).contains(&view.base_offset().get())
            })
    };
    for line in &lines {
        let bytes = batch(line);
        let view = BatchView::parse(&bytes).unwrap();
        for record in &view.records(1 << 20).unwrap() {
            let record = record.unwrap();
            let counts = !view.header().attributes().is_control() && !is_aborted(&view);
            if let Some(key) = record.key.filter(|_| counts && record.offset.get() < case.mapped_to) {
                keys.put_all(&[(keys.hash(key), record.offset)]).unwrap();
            }
        }
    }
    let producers = case.producers.iter().map(|(id, data)| {
        let mut recent = [None; RECENT_BATCHES];
        recent[0] = data.map(Offset::new);
        (ProducerId::new(*id), LastOfProducer { recent, epoch: ProducerEpoch::ZERO })
    });
    let aborted = case.aborted.iter().map(|(id, first, last)| AbortedTransaction {
        producer: ProducerId::new(*id),
        first_offset: Offset::new(*first),
        last_offset: Offset::new(*last),
        last_stable_offset: Offset::new(*last),
    });
    let mut filter = Filter::new(
        keys,
        Offset::new(case.mapped_to),
        producers.collect(),
        aborted.collect(),
        Timestamp::from_millis(NOW),
        RETENTION,
    );
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let bytes = batch(line);
        let view = BatchView::parse(&bytes).unwrap();
        let outcome = filter.filter(&view, number + 1 == lines.len()).unwrap();
        let after = match &outcome.filtered {
            Filtered::Unchanged => "unchanged".to_owned(),
            Filtered::Gone => "gone".to_owned(),
            Filtered::Rewritten(bytes) => told(bytes),
        };
        text += &format!("{line} -> {after}");
        text += if outcome.aborted.is_some() { " (aborted)\n" } else { "\n" };
    }
    expected.assert_eq(&text);
}

#[test]
fn the_last_value_of_a_key_stays() {
    check(
        &Case {
            log: "0 a=1 b=1 a=2
                  3 a=3
                  4 lz4 c=1 b=2 d=1
                  7 c=2
                  8 e=1",
            mapped_to: 9,
            producers: &[],
            aborted: &[],
        },
        expect![[r#"
            0 a=1 b=1 a=2 -> gone
            3 a=3 -> unchanged
            4 lz4 c=1 b=2 d=1 -> 4..6 lz4 5:b=2 6:d=1
            7 c=2 -> unchanged
            8 e=1 -> unchanged
        "#]],
    );
}

#[test]
fn above_the_map_nothing_is_judged() {
    check(
        &Case {
            log: "0 a=1 b=1
                  2 a=2 =x
                  4 a=3 =y b=-",
            mapped_to: 4,
            producers: &[],
            aborted: &[],
        },
        expect![[r#"
            0 a=1 b=1 -> 0..1 1:b=1
            2 a=2 =x -> 2..3 2:a=2
            4 a=3 =y b=- -> unchanged
        "#]],
    );
}

#[test]
fn a_tombstone_stays_until_its_horizon() {
    check(
        &Case {
            log: "0 a=1 b=1
                  2 a=- c=1
                  4 horizon1000001 b=-
                  5 horizon1000000 d=- e=1
                  7 horizon999999 f=-
                  8 g=1",
            mapped_to: 9,
            producers: &[],
            aborted: &[],
        },
        expect![[r#"
            0 a=1 b=1 -> gone
            2 a=- c=1 -> 2..3 horizon1005000 2:a=- 3:c=1
            4 horizon1000001 b=- -> unchanged
            5 horizon1000000 d=- e=1 -> 5..6 horizon1000000 6:e=1
            7 horizon999999 f=- -> gone
            8 g=1 -> unchanged
        "#]],
    );
}

#[test]
fn records_without_a_key_go_and_the_end_of_a_segment_stays() {
    check(
        &Case {
            log: "0 =x =y
                  2 a=1
                  3 a=2
                  4 =z =z",
            mapped_to: 6,
            producers: &[],
            aborted: &[],
        },
        expect![[r#"
            0 =x =y -> gone
            2 a=1 -> gone
            3 a=2 -> unchanged
            4 =z =z -> 4..5
        "#]],
    );
}

#[test]
fn the_last_batch_of_a_known_producer_stays_without_its_records() {
    check(
        &Case {
            log: "0 p1:0 a=1 b=1
                  2 p1:2 a=2
                  3 p2:7 b=2
                  4 p3:0 a=3
                  5 a=4 b=3",
            mapped_to: 7,
            producers: &[(1, Some(2)), (3, Some(99))],
            aborted: &[],
        },
        expect![[r#"
            0 p1:0 a=1 b=1 -> gone
            2 p1:2 a=2 -> 2..2 p1:2
            3 p2:7 b=2 -> gone
            4 p3:0 a=3 -> gone
            5 a=4 b=3 -> unchanged
        "#]],
    );
}

#[test]
fn transactions() {
    check(
        &Case {
            log: "0 p1:0 tx a=1
                  1 p2:0 tx a=2 b=1
                  3 p1:1 tx c=1
                  4 abort p2
                  5 commit p1
                  6 p2:2 tx b=2
                  7 commit p2
                  8 commit p3
                  9 horizon1000000 commit p4
                  10 abort p5
                  11 c=2",
            mapped_to: 12,
            producers: &[(2, Some(6))],
            aborted: &[(2, 1, 4), (5, 900, 901)],
        },
        expect![[r#"
            0 p1:0 tx a=1 -> unchanged
            1 p2:0 tx a=2 b=1 -> gone
            3 p1:1 tx c=1 -> gone
            4 abort p2 -> unchanged (aborted)
            5 commit p1 -> unchanged
            6 p2:2 tx b=2 -> unchanged
            7 commit p2 -> unchanged
            8 commit p3 -> 8..8 p3 tx control horizon1005000 8:Commit
            9 horizon1000000 commit p4 -> gone
            10 abort p5 -> 10..10 p5 tx control horizon1005000 10:Abort
            11 c=2 -> unchanged
        "#]],
    );
}

#[test]
fn a_producer_of_which_only_a_marker_is_known_keeps_it() {
    check(
        &Case {
            log: "0 horizon1 commit p1
                  1 horizon1 commit p2
                  2 a=1",
            mapped_to: 3,
            producers: &[(2, None)],
            aborted: &[],
        },
        expect![[r#"
            0 horizon1 commit p1 -> gone
            1 horizon1 commit p2 -> 1..1 p2 tx control
            2 a=1 -> unchanged
        "#]],
    );
}

#[test]
fn an_entry_whose_marker_is_gone_does_not_reach_the_next_transaction() {
    check(
        &Case {
            log: "0 a=1
                  20 p1:0 tx b=1
                  21 commit p1",
            mapped_to: 22,
            producers: &[],
            aborted: &[(1, 0, 10)],
        },
        expect![[r#"
            0 a=1 -> unchanged
            20 p1:0 tx b=1 -> unchanged
            21 commit p1 -> unchanged
        "#]],
    );
}
