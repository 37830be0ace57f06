//! What is refused, and as what.

mod kept;

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::builder::BatchBuilder;
use crate::header::Attributes;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    }
}

/// Three records a millisecond apart, the first at the broker's clock.
fn batch(codec: Codec) -> Bytes {
    batch_at(codec, &[0, 1, 2])
}

fn batch_at(codec: Codec, millis_after_now: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for millis in millis_after_now {
        let timestamp = Timestamp::from_millis(NOW.millis() + millis);
        builder.push(Some(timestamp), Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

/// The batch with another header, and the CRC that goes with it.
fn altered(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(batch).unwrap();
    change(&mut header);
    recrc([&header.to_bytes()[..], &batch[HEADER_LEN..]].concat())
}

fn recrc(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// The batch with other bytes at a place, and the right CRC.
fn patched(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    recrc(batch)
}

fn outcome(sent: Bytes, rules: &ProduceRules) -> String {
    match validate(sent, rules, NOW) {
        Ok(validated) => {
            let header = validated.first().header();
            format!("ok, {:?}, max timestamp {:+}", header.attributes(), header.max_timestamp - NOW.millis())
        }
        Err(error) => {
            let mut text = format!("{:?}: {error}", error.refusal());
            for record in error.record_errors().iter().skip(1) {
                write!(text, "; {record}").unwrap();
            }
            text
        }
    }
}

fn check<'a>(cases: impl IntoIterator<Item = (&'a str, Bytes, ProduceRules)>, expected: Expect) {
    let mut table = String::new();
    for (what, sent, rules) in cases {
        writeln!(table, "{what}\n  {}", outcome(sent, &rules)).unwrap();
    }
    expected.assert_eq(&table);
}

#[test]
fn what_is_no_batch() {
    let good = batch(Codec::None);
    let torn = |n: usize| good.slice(..n);
    let and = |more: &[u8]| Bytes::from([&good[..], more].concat());
    let mut flipped = good.to_vec();
    flipped[100] ^= 0x10;
    let cases = [
        ("nothing", Bytes::new()),
        ("half a header", torn(30)),
        ("half a batch", torn(good.len() - 1)),
        ("a length below the header's", patched(&good, 8, &48i32.to_be_bytes())),
        ("a negative length", patched(&good, 8, &(-1i32).to_be_bytes())),
        ("a length of 2 GiB", patched(&good, 8, &i32::MAX.to_be_bytes())),
        ("zeros", Bytes::from(vec![0; 200])),
        ("message format 0", patched(&good, 16, &[0])),
        ("message format 1", patched(&good, 16, &[1])),
        ("message format 3", patched(&good, 16, &[3])),
        ("a flipped bit in a record", flipped.into()),
        ("two batches", and(&good)),
        ("garbage behind a batch", and(&[7; 100])),
        ("a torn batch behind one", and(&good[..70])),
    ];
    check(
        cases.map(|(what, sent)| (what, sent, rules())),
        expect![[r#"
            nothing
              InvalidRecord: there is no record batch
            half a header
              CorruptMessage: the batch is torn: 30 of 61 bytes are there
            half a batch
              CorruptMessage: the batch is torn: 105 of 106 bytes are there
            a length below the header's
              CorruptMessage: the batch length 48 is below 49, that of an empty batch
            a negative length
              CorruptMessage: the batch length -1 is below 49, that of an empty batch
            a length of 2 GiB
              CorruptMessage: the batch is torn: 106 of 2147483659 bytes are there
            zeros
              CorruptMessage: the batch length 0 is below 49, that of an empty batch
            message format 0
              UnsupportedForMessageFormat: message format 0 is not supported, only 2 is (KIP-724)
            message format 1
              UnsupportedForMessageFormat: message format 1 is not supported, only 2 is (KIP-724)
            message format 3
              UnsupportedForMessageFormat: message format 3 is not supported, only 2 is (KIP-724)
            a flipped bit in a record
              CorruptMessage: the batch is corrupt: its CRC is 0x8b091db8, its bytes have 0x4b052d86
            two batches
              InvalidRecord: a produce request may hold exactly one record batch per partition
            garbage behind a batch
              UnsupportedForMessageFormat: message format 7 is not supported, only 2 is (KIP-724)
            a torn batch behind one
              CorruptMessage: the batch is torn: 70 of 106 bytes are there
        "#]],
    );
}

#[test]
fn headers_that_a_client_may_not_send() {
    let good = batch(Codec::None);
    let producer = |id, epoch, sequence| {
        altered(&good, |h| {
            (h.producer_id, h.producer_epoch, h.base_sequence) = (id, epoch, sequence);
        })
    };
    let flags = |bits: i16| altered(&good, |h| h.attributes = Attributes(h.attributes.0 | bits));
    let cases = [
        ("codec 5", patched(&good, 21, &5i16.to_be_bytes())),
        ("codec 7", patched(&good, 21, &7i16.to_be_bytes())),
        ("a base offset", altered(&good, |h| h.base_offset = 10)),
        ("a negative base offset", altered(&good, |h| h.base_offset = -1)),
        ("a negative last offset delta", altered(&good, |h| h.last_offset_delta = -1)),
        ("no records", altered(&good, |h| h.record_count = 0)),
        ("a negative count", altered(&good, |h| h.record_count = -3)),
        ("fewer records than offsets", altered(&good, |h| h.record_count = 2)),
        ("more records than offsets", altered(&good, |h| h.record_count = 4)),
        (
            "offsets and count both too high",
            altered(&good, |h| {
                (h.record_count, h.last_offset_delta) = (4, 3);
            }),
        ),
        (
            "offsets and count both too low",
            altered(&good, |h| {
                (h.record_count, h.last_offset_delta) = (2, 1);
            }),
        ),
        (
            "a count of 2³¹ - 1",
            altered(&good, |h| {
                (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1);
            }),
        ),
        ("a control batch", flags(0x20)),
        ("LogAppendTime", flags(0x08)),
        ("transactional without a producer", flags(0x10)),
        ("a producer without epoch", producer(5, -1, 0)),
        ("a producer without sequence", producer(5, 0, -1)),
        ("an idempotent producer", producer(5, 0, i32::MAX)),
        ("a sequence without a producer (KafkaJS)", producer(-1, 0, 0)),
        ("unused attribute bits", flags(0x4000)),
    ];
    check(
        cases.map(|(what, sent)| (what, sent, rules())),
        expect![[r#"
        codec 5
          UnsupportedCompressionType: compression codec 5 is unknown
        codec 7
          UnsupportedCompressionType: compression codec 7 is unknown
        a base offset
          InvalidRecord: the base offset of a produced batch should be 0, but it is 10
        a negative base offset
          InvalidRecord: the batch has an invalid offset range: base -1, last delta 2
        a negative last offset delta
          InvalidRecord: the batch has an invalid offset range: base 0, last delta -1
        no records
          InvalidRecord: the batch counts 0 records but its last offset delta is 2
        a negative count
          InvalidRecord: the batch counts -3 records but its last offset delta is 2
        fewer records than offsets
          InvalidRecord: the batch counts 2 records but its last offset delta is 2
        more records than offsets
          InvalidRecord: the batch counts 4 records but its last offset delta is 2
        offsets and count both too high
          InvalidRecord: record 3 of the batch is malformed: its length
        offsets and count both too low
          InvalidRecord: record 2 of the batch is malformed: bytes left over
        a count of 2³¹ - 1
          InvalidRecord: record 3 of the batch is malformed: its length
        a control batch
          InvalidRecord: clients are not allowed to write control records
        LogAppendTime
          InvalidTimestamp: a producer should not set the timestamp type to LogAppendTime
        transactional without a producer
          InvalidRecord: a transactional batch needs a producer id
        a producer without epoch
          InvalidRecord: producer id 5 comes with epoch -1 and sequence 0
        a producer without sequence
          InvalidRecord: producer id 5 comes with epoch 0 and sequence -1
        an idempotent producer
          ok, none/CreateTime, max timestamp +2
        a sequence without a producer (KafkaJS)
          ok, none/CreateTime, max timestamp +2
        unused attribute bits
          ok, none/CreateTime, max timestamp +2
    "#]],
    );
}

#[test]
fn records_that_are_malformed() {
    let good = batch(Codec::None);
    // A record of 15 bytes: length 14, attributes, timestamp 0, offset 0, key "key", value "value", no headers.
    let cases = [
        ("a record longer than the batch", patched(&good, HEADER_LEN, &[0x7e])),
        ("a negative record length", patched(&good, HEADER_LEN, &[0x01])),
        ("a record one byte longer", patched(&good, HEADER_LEN, &[30])),
        ("a record one byte shorter", patched(&good, HEADER_LEN, &[26])),
        ("a key longer than the record", patched(&good, HEADER_LEN + 4, &[60])),
        ("a value one byte shorter", patched(&good, HEADER_LEN + 8, &[8])),
        ("headers that are not there", patched(&good, HEADER_LEN + 14, &[2])),
        ("a negative header count", patched(&good, HEADER_LEN + 14, &[1])),
        ("the offsets 0, 0, 2", patched(&good, HEADER_LEN + 15 + 3, &[0])),
        ("the offsets 0, -1, 2", patched(&good, HEADER_LEN + 15 + 3, &[1])),
    ];
    check(
        cases.map(|(what, sent)| (what, sent, rules())),
        expect![[r#"
            a record longer than the batch
              InvalidRecord: record 0 of the batch is malformed: its length
            a negative record length
              InvalidRecord: record 0 of the batch is malformed: its length
            a record one byte longer
              InvalidRecord: record 0 of the batch is malformed: bytes left over behind its headers
            a record one byte shorter
              InvalidRecord: record 0 of the batch is malformed: its headers
            a key longer than the record
              InvalidRecord: record 0 of the batch is malformed: its key
            a value one byte shorter
              InvalidRecord: record 0 of the batch is malformed: its headers
            headers that are not there
              InvalidRecord: record 0 of the batch is malformed: its headers
            a negative header count
              InvalidRecord: record 0 of the batch is malformed: its headers
            the offsets 0, 0, 2
              InvalidRecord: rejected records: 1; record 1: Offset delta 0 is not the record's position in the batch
            the offsets 0, -1, 2
              InvalidRecord: rejected records: 1; record 1: Offset delta -1 is not the record's position in the batch
        "#]],
    );
}

#[test]
fn timestamps() {
    const HOUR: i64 = 3_600_000;
    let default = rules();
    let day = ProduceRules { before_max_ms: 24 * HOUR, ..default };
    let append = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..day };
    let far = batch_at(Codec::None, &[0, HOUR + 1, -NOW.millis(), 2 * HOUR]);
    let far_zstd = batch_at(Codec::Zstd { level: 3 }, &[0, HOUR + 1, -NOW.millis(), 2 * HOUR]);
    let old_zstd = batch_at(Codec::Zstd { level: 3 }, &[0, -25 * HOUR, 1]);
    let mut none = BatchBuilder::new(Codec::None);
    none.push(None, None, None, &[]);
    let none = none.build().unwrap();
    let claims = |codec, max: i64| altered(&batch(codec), |h| h.max_timestamp = max);
    check(
        [
            ("an hour ahead", batch_at(Codec::None, &[0, HOUR]), default),
            ("further ahead", far.clone(), default),
            ("further ahead, compressed", far_zstd, default),
            ("from 1970", batch_at(Codec::None, &[-NOW.millis()]), default),
            ("a day old", batch_at(Codec::None, &[-24 * HOUR]), day),
            ("older", batch_at(Codec::None, &[-24 * HOUR - 1]), day),
            ("older and ahead", far.clone(), day),
            ("older, compressed behind a newer one", old_zstd, day),
            ("no timestamp", none, day),
            ("whatever, the broker stamps it", far, append),
            ("a largest timestamp too low", claims(Codec::None, 5), default),
            ("the same, compressed", claims(Codec::Lz4, 5), default),
            ("a largest timestamp of none", claims(Codec::Gzip { level: 1 }, -1), default),
            ("a largest timestamp far ahead", claims(Codec::Snappy, i64::MAX), default),
        ],
        expect![[r#"
            an hour ahead
              ok, none/CreateTime, max timestamp +3600000
            further ahead
              InvalidTimestamp: rejected records: 2; record 1: Timestamp 1700003600001 is out of range. The timestamp should be within [-9223372036854775808, 1700003600000]; record 3: Timestamp 1700007200000 is out of range. The timestamp should be within [-9223372036854775808, 1700003600000]
            further ahead, compressed
              InvalidTimestamp: rejected records: 2; record 1: Timestamp 1700003600001 is out of range. The timestamp should be within [-9223372036854775808, 1700003600000]; record 3: Timestamp 1700007200000 is out of range. The timestamp should be within [-9223372036854775808, 1700003600000]
            from 1970
              ok, none/CreateTime, max timestamp -1700000000000
            a day old
              ok, none/CreateTime, max timestamp -86400000
            older
              InvalidTimestamp: rejected records: 1; record 0: Timestamp 1699913599999 is out of range. The timestamp should be within [1699913600000, 1700003600000]
            older and ahead
              InvalidTimestamp: rejected records: 3; record 1: Timestamp 1700003600001 is out of range. The timestamp should be within [1699913600000, 1700003600000]; record 2: Timestamp 0 is out of range. The timestamp should be within [1699913600000, 1700003600000]; record 3: Timestamp 1700007200000 is out of range. The timestamp should be within [1699913600000, 1700003600000]
            older, compressed behind a newer one
              InvalidTimestamp: rejected records: 1; record 1: Timestamp 1699910000000 is out of range. The timestamp should be within [1699913600000, 1700003600000]
            no timestamp
              ok, none/CreateTime, max timestamp -1700000000001
            whatever, the broker stamps it
              ok, none/LogAppendTime, max timestamp +0
            a largest timestamp too low
              ok, none/CreateTime, max timestamp +2
            the same, compressed
              ok, lz4/CreateTime, max timestamp +2
            a largest timestamp of none
              ok, gzip/CreateTime, max timestamp +2
            a largest timestamp far ahead
              ok, snappy/CreateTime, max timestamp +2
        "#]],
    );
}

#[test]
fn what_the_topic_and_the_request_ask_for() {
    let mut keyless = BatchBuilder::new(Codec::Lz4);
    keyless.push(Some(NOW), Some(b"key"), None, &[]);
    keyless.push(Some(NOW), None, Some(b"value"), &[]);
    keyless.push(Some(NOW), None, Some(b"value"), &[]);
    let keyless = keyless.build().unwrap();
    let plain = batch(Codec::None);
    let compacted = ProduceRules { compacted: true, ..rules() };
    let exact = ProduceRules { max_batch_bytes: plain.len(), ..rules() };
    let smaller = ProduceRules { max_batch_bytes: plain.len() - 1, ..rules() };
    let old = ProduceRules { allow_zstd: false, ..rules() };
    check(
        [
            ("keys where they must be", batch(Codec::Snappy), compacted),
            ("no keys where they must be", keyless.clone(), compacted),
            ("no keys where they need not be", keyless, rules()),
            ("as large as may be", plain.clone(), exact),
            ("a byte larger", plain, smaller),
            ("zstd, Produce 6", batch(Codec::Zstd { level: 3 }), old),
            ("lz4, Produce 6", batch(Codec::Lz4), old),
        ],
        expect![[r#"
            keys where they must be
              ok, snappy/CreateTime, max timestamp +2
            no keys where they must be
              InvalidRecord: rejected records: 2; record 1: Compacted topic cannot accept message without key; record 2: Compacted topic cannot accept message without key
            no keys where they need not be
              ok, lz4/CreateTime, max timestamp +0
            as large as may be
              ok, none/CreateTime, max timestamp +2
            a byte larger
              MessageTooLarge: the batch takes 106 bytes, max.message.bytes is 105
            zstd, Produce 6
              UnsupportedCompressionType: zstd is allowed from Produce version 7
            lz4, Produce 6
              ok, lz4/CreateTime, max timestamp +2
        "#]],
    );
}

#[test]
fn compressed_rubbish_and_bombs() {
    let rubbish = |codec: Codec| {
        let good = batch(codec);
        patched(&good, HEADER_LEN, &vec![0xa5; good.len() - HEADER_LEN])
    };
    let mut bomb = BatchBuilder::new(Codec::Zstd { level: 3 });
    bomb.push(Some(NOW), None, Some(&vec![0; 2 << 20]), &[]);
    let bomb = bomb.build().unwrap();
    let inside = ProduceRules { compression: Some(Codec::None), ..rules() };
    check(
        [
            ("a bomb that nobody opens", bomb.clone(), rules()),
            ("a bomb that must be opened", bomb, inside),
            ("rubbish that nobody opens", rubbish(Codec::Lz4), rules()),
            ("gzip rubbish", rubbish(Codec::Gzip { level: 6 }), inside),
            ("snappy rubbish", rubbish(Codec::Snappy), inside),
            ("lz4 rubbish", rubbish(Codec::Lz4), inside),
            ("zstd rubbish", rubbish(Codec::Zstd { level: 3 }), inside),
        ],
        expect![[r#"
            a bomb that nobody opens
              ok, zstd/CreateTime, max timestamp +0
            a bomb that must be opened
              CorruptMessage: zstd data is larger than 1048576 bytes when decompressed
            rubbish that nobody opens
              ok, lz4/CreateTime, max timestamp +2
            gzip rubbish
              CorruptMessage: gzip data cannot be decompressed: invalid gzip header
            snappy rubbish
              CorruptMessage: snappy data cannot be decompressed: snappy: corrupt input (invalid header)
            lz4 rubbish
              CorruptMessage: lz4 data cannot be decompressed: not an LZ4 frame
            zstd rubbish
              CorruptMessage: zstd data cannot be decompressed: Unknown frame descriptor
        "#]],
    );
}
