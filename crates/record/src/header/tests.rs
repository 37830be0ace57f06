use super::*;
use crate::batch::{BatchView, Batches};
use crate::builder::BatchBuilder;
use crate::compression::Codec;

/// The example of docs/FORMATS.md, as it stands there.
fn example() -> Vec<u8> {
    let document = include_str!("../../../../docs/FORMATS.md");
    let from = document.find("For example, a batch of one record").unwrap();
    let block = document[from..].split("```").nth(1).unwrap();
    let digits: String = block.trim_start_matches("text").split_whitespace().collect();
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn one_record() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    let timestamp = Timestamp::from_millis(1_700_000_000_000);
    builder.push(Some(timestamp), Some(b"k"), Some(b"v"), &[]);
    builder.build().unwrap().to_vec()
}

#[test]
fn the_documented_example_is_what_is_written() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&example()), hex(&one_record()));
}

#[test]
fn a_stamp_leaves_the_crc_right() {
    let mut bytes = one_record();
    let (header, _) = bytes.split_first_chunk_mut::<HEADER_LEN>().unwrap();
    stamp(header, Offset::new(1 << 40), LeaderEpoch::new(77));
    let view = BatchView::parse(&bytes).unwrap();
    view.verify_crc().unwrap();
    assert_eq!(view.base_offset(), Offset::new(1 << 40));
    assert_eq!(view.header().partition_leader_epoch(), Some(LeaderEpoch::new(77)));

    let stamped = BatchHeader::parse(&one_record()).unwrap();
    let stamped = stamped.stamped(Offset::new(1 << 40), LeaderEpoch::new(77));
    assert_eq!(stamped.to_bytes(), bytes[..HEADER_LEN]);
}

#[test]
fn the_unwritten_end_of_a_file_is_a_length_of_zero() {
    let mut file = one_record();
    let written = file.len();
    file.resize(written + 4096, 0);
    let mut batches = Batches::new(&file);
    assert!(batches.next().unwrap().is_ok());
    assert_eq!(batches.next().unwrap().unwrap_err(), BatchError::Length { length: 0 });
    assert_eq!(batches.position(), written);
    assert!(batches.next().is_none());
}

#[test]
fn a_batch_that_compaction_emptied_keeps_its_place() {
    let full = one_record();
    let full = BatchHeader::parse(&full).unwrap().stamped(Offset::new(9), LeaderEpoch::new(1));
    let emptied = BatchBuilder::rewriting(&full, Codec::Lz4).build().unwrap();
    let header = BatchHeader::parse(&emptied).unwrap();
    assert_eq!(header.len(), HEADER_LEN);
    assert_eq!(header.record_count(), 0);
    assert_eq!((header.base_offset(), header.last_offset()), (Offset::new(9), Offset::new(9)));
    assert_eq!((header.max_timestamp(), header.crc()), (full.max_timestamp(), emptied_crc(&emptied)));
    // Emptied once more, it is what it was.
    assert_eq!(BatchBuilder::rewriting(&header, Codec::None).build().unwrap(), emptied);
}

fn emptied_crc(batch: &[u8]) -> u32 {
    crc32c(&batch[CRC_FROM..])
}

#[test]
fn crc_32c_of_the_catalogue() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c_of_parts(&[b"1234", b"", b"56789"]), 0xe306_9283);
}

#[test]
fn the_crc_is_computed_by_the_processor_where_it_can_be() {
    let target = crc_fast::get_calculator_target(crc_fast::CrcAlgorithm::Crc32Iscsi);
    if cfg!(target_arch = "x86_64") && std::is_x86_feature_detected!("pclmulqdq") {
        assert!(target.starts_with("x86_64"), "{target}");
    }
}
