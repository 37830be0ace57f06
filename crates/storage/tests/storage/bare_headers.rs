//! What a consumer is given where compaction has left headers and no record.

use ottla_record::header::HEADER_LEN;
use ottla_record::{BatchBuilder, Codec, Offset, Timestamp};
use ottla_storage::LogConfig;

use crate::batches::{epoch, stamp, validated};
use crate::compaction::{append, compact, compacting, memory, settle, values};
use crate::support::{self, root};

/// Compaction keeps the headers of producers' last batches. A consumer is not given an answer of headers alone, which librdkafka
/// takes for a record that its buffer cut short.
#[test]
fn a_consumer_is_given_what_lies_behind_batches_without_records() {
    const PRODUCERS: i64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) =
        support::open(&root, LogConfig { segment_bytes: 1 << 20, segment_ms: 5, ..compacting() });
    for id in 0..PRODUCERS {
        let mut builder = BatchBuilder::new(Codec::None).producer(stamp(id, 0, 0));
        builder.push(Some(Timestamp::EPOCH), Some(b"a"), Some(&[b'x'; 300]), &[]);
        log.append_as_leader(&validated(builder.build().unwrap()), epoch(1), support::now()).unwrap();
    }
    append(&mut log, 10, &[("a", Some("last"))]);
    append(&mut log, 20, &[("b", Some("after"))]);
    settle(&root, &mut log);
    compact(&root, &mut log, memory(100), support::now());
    assert_eq!(values(&log), format!("{PRODUCERS}:a=last {}:b=after", PRODUCERS + 1));

    let view = log.view();
    let end = view.log_end();
    let bare = view.read(Offset::ZERO, 1 << 20, Offset::new(PRODUCERS), true).unwrap().unwrap();
    assert_eq!(
        (bare.len, bare.end_offset),
        (PRODUCERS as usize * HEADER_LEN, Offset::new(PRODUCERS)),
        "the case that is asked for here: headers and nothing else, more than are looked at in one go"
    );
    // Asked for less than all of the headers, a consumer is given the record behind them.
    for max_bytes in [1, HEADER_LEN * 10, HEADER_LEN * 300, HEADER_LEN * PRODUCERS as usize] {
        let slice = view.read_records(Offset::ZERO, max_bytes, end, true).unwrap().unwrap();
        assert!(slice.end_offset > Offset::new(PRODUCERS), "{max_bytes}: {slice:?}");
    }
    // Headers that records follow in one slice go out with them, from where it was asked.
    let whole = view.read_records(Offset::new(7), 1 << 20, end, true).unwrap().unwrap();
    assert_eq!(whole.base_offset, Offset::new(7));
    // Where no record can be read yet there is nothing else to give, and the reader moves on.
    let only = view.read_records(Offset::ZERO, 1 << 20, Offset::new(PRODUCERS), true).unwrap().unwrap();
    assert_eq!((only.base_offset, only.end_offset), (Offset::ZERO, Offset::new(PRODUCERS)));
    // Nothing is skipped for want of room.
    assert_eq!(view.read_records(Offset::ZERO, 1, end, false).unwrap().map(|slice| slice.len), None);
}
