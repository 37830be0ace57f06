use super::*;
use crate::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};

fn fetch(records: impl Fn(u32) -> Records) -> FetchResponse {
    let partition =
        |i| PartitionData { partition_index: i, records: Some(records(i as u32)), ..Default::default() };
    let topic = FetchableTopicResponse { partitions: (0..3).map(partition).collect(), ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

#[test]
fn holes_filled_equal_the_inline_encoding() {
    let content = |key: u32| Bytes::from(vec![key as u8 + 1; 1000 * (key as usize + 1)]);
    for version in FetchResponse::VERSIONS {
        let mut inline = Writer::new();
        fetch(|key| Records::Inline(content(key))).encode(&mut inline, version).unwrap();

        let mut holed = Writer::new();
        let frame = holed.begin_frame();
        fetch(|key| Records::Hole { key, len: content(key).len() as u32 })
            .encode(&mut holed, version)
            .unwrap();
        holed.finish_frame(frame).unwrap();
        assert_eq!(holed.frame_len(), inline.frame_len() + 4);
        let (written, holes) = holed.into_parts();
        let mut filled = Vec::new();
        let mut from = 0;
        for hole in holes {
            filled.extend_from_slice(&written[from..hole.at]);
            filled.extend_from_slice(&content(hole.key));
            from = hole.at;
        }
        filled.extend_from_slice(&written[from..]);
        let (length, body) = filled.split_first_chunk().unwrap();
        assert_eq!(body, inline.written(), "version {version}");
        assert_eq!(i32::from_be_bytes(*length) as usize, body.len());
    }
}

#[test]
fn decoded_records_are_a_slice_of_the_frame() {
    let mut writer = Writer::new();
    fetch(|_| Records::Inline(Bytes::from_static(b"batch"))).encode(&mut writer, 17).unwrap();
    let frame = Bytes::from(writer.into_parts().0);
    let decoded = FetchResponse::decode(&mut Reader::new(frame.clone()), 17).unwrap();
    let records = decoded.responses[0].partitions[2].records.as_ref().unwrap().inline().unwrap();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    assert_eq!(records, "batch");
}
