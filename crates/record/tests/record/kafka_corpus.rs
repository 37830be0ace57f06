//! Batches that Kafka 4.3's own classes wrote (`cargo xtask record-oracle --write`), with what Kafka says is in them.

use std::io::Read;

use ottla_record::{BatchBuilder, BatchView, Batches, Codec, Compression, EndTransactionMarker, dump};

const MAX: usize = 1 << 20;

struct Case {
    bytes: Vec<u8>,
    json: String,
}

fn corpus() -> Vec<Case> {
    let mut text = String::new();
    let packed = &include_bytes!("../corpus/kafka-4.3.txt.gz")[..];
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let (hex, json) = line.split_once('\t').unwrap();
            Case { bytes: from_hex(hex), json: json.to_owned() }
        })
        .collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn we_read_what_kafka_wrote() {
    let corpus = corpus();
    assert!(corpus.len() >= 200);
    for case in &corpus {
        let view = BatchView::parse(&case.bytes).unwrap();
        view.verify_crc().unwrap();
        assert_eq!(view.len(), case.bytes.len());
        assert_eq!(view.header().to_bytes(), case.bytes[..61]);
        assert_eq!(dump::json(&view, MAX).unwrap(), case.json);
    }
}

#[test]
fn we_write_uncompressed_batches_byte_for_byte_as_kafka() {
    let mut written = 0;
    for case in corpus() {
        let view = BatchView::parse(&case.bytes).unwrap();
        if view.header().compression() != Compression::None {
            continue;
        }
        let mut builder = BatchBuilder::rewriting(view.header(), Codec::None);
        let records = view.records(MAX).unwrap();
        records.iter().for_each(|record| builder.push_record(&record.unwrap()));
        assert!(builder.build().unwrap() == case.bytes, "{}", case.json);
        written += 1;
    }
    assert!(written >= 50, "{written}");
}

#[test]
fn the_corpus_holds_what_it_should() {
    let corpus = corpus();
    for needle in [
        "\"none\"",
        "\"gzip\"",
        "\"snappy\"",
        "\"lz4\"",
        "\"zstd\"",
        "LogAppendTime",
        "\"transactional\":true,\"control\":false",
        "\"control\":true",
        "\"deleteHorizon\":1",
        "\"producerId\":-1",
        "\"lastSequence\":2147483647",
        "\"key\":null",
        "\"value\":null",
        "\"value\":\"\"",
        ",null]",
        "\"timestamp\":-1",
        "\"count\":0",
        "\"count\":100",
    ] {
        let found = corpus.iter().filter(|case| case.json.contains(needle)).count();
        assert!(found >= 2, "{found} of {needle}");
    }
    assert!(corpus.iter().any(|case| case.json.len() > 200_000), "no batch of several blocks");
}

#[test]
fn markers_read_as_kafka_wrote_them() {
    let mut found = [0, 0];
    for case in corpus() {
        let view = BatchView::parse(&case.bytes).unwrap();
        if !view.header().attributes().is_control() || view.header().record_count() == 0 {
            continue;
        }
        let records = view.records(MAX).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let marker = EndTransactionMarker::parse(&record).unwrap();
        assert_eq!(Some(&marker.key()[..]), record.key);
        assert_eq!(Some(&marker.value()[..]), record.value);
        found[marker.control as usize] += 1;
    }
    assert!(found.iter().all(|n| *n > 0), "aborts and commits: {found:?}");
}

#[test]
fn all_of_them_in_one_buffer_are_walked() {
    let corpus = corpus();
    let buffer: Vec<u8> = corpus.iter().flat_map(|case| &case.bytes).copied().collect();
    let mut batches = Batches::new(&buffer[..buffer.len() - 1]);
    let whole = batches.by_ref().take_while(Result::is_ok).count();
    assert_eq!(whole, corpus.len() - 1);
    assert_eq!(batches.position(), buffer.len() - corpus.last().unwrap().bytes.len());
    assert!(batches.next().is_none(), "the torn batch is reported once");
}
