//! What a random corpus does not reach: nulls, tags and defaults at their edges, what is not UTF-8, and claims that nothing backs.

use super::*;
use crate::frame;
use crate::messages::consumer_group_member_metadata_value::{
    ClassicMemberMetadata, ConsumerGroupMemberMetadataValue,
};
use crate::messages::describe_topic_partitions_request::{Cursor, DescribeTopicPartitionsRequest};
use crate::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use crate::messages::share_fetch_response::{self, ShareFetchResponse, ShareFetchableTopicResponse};
use crate::messages::*;

fn encode<M: Message>(message: &M, version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_parts().0)
}

fn decode<M: Message>(bytes: impl Into<Bytes>, version: i16) -> Result<M, Error> {
    M::decode(&mut Reader::new(bytes.into()), version)
}

fn reader(bytes: &'static [u8]) -> Reader {
    Reader::new(Bytes::from_static(bytes))
}

mod null {
    use super::*;

    #[test]
    fn is_allowed_by_version() {
        let all = MetadataRequest { topics: None, ..Default::default() };
        // Version 0 asks for all topics by an empty array.
        assert_eq!(encode(&all, 0), Err(Error::Null));
        assert_eq!(decode::<MetadataRequest>(&b"\xff\xff\xff\xff"[..], 0), Err(Error::Null));
        assert_eq!(encode(&all, 1).unwrap(), b"\xff\xff\xff\xff");
        assert_eq!(decode::<MetadataRequest>(&b"\xff\xff\xff\xff"[..], 1).unwrap().topics, None);
        // Any negative length is null, not only -1.
        assert_eq!(decode::<MetadataRequest>(&b"\x80\x00\x00\x00"[..], 1).unwrap().topics, None);
    }

    #[test]
    fn names_within_arrays_are_allowed_by_version_too() {
        let by_id = DeleteTopicsResponse {
            responses: vec![delete_topics_response::DeletableTopicResult {
                name: None,
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(encode(&by_id, 5), Err(Error::Null));
        assert_eq!(decode::<DeleteTopicsResponse>(encode(&by_id, 6).unwrap(), 6), Ok(by_id));
    }

    #[test]
    fn is_never_the_content_of_a_share_fetch() {
        let share_fetch = |records| {
            let partition = share_fetch_response::PartitionData { records, ..Default::default() };
            let topic = ShareFetchableTopicResponse { partitions: vec![partition], ..Default::default() };
            ShareFetchResponse { responses: vec![topic], ..Default::default() }
        };
        assert_eq!(encode(&share_fetch(None), 1), Err(Error::Null));
        let empty = share_fetch(Some(Records::EMPTY));
        assert_eq!(decode(encode(&empty, 1).unwrap(), 1), Ok(empty));
    }

    #[test]
    fn marks_a_struct_by_one_byte() {
        let request = |cursor| DescribeTopicPartitionsRequest { cursor, ..Default::default() };
        let without = encode(&request(None), 0).unwrap();
        assert_eq!(without[without.len() - 2..], [0xff, 0]);
        let cursor = Cursor { topic_name: "t".into(), partition_index: 3 };
        let mut with = encode(&request(Some(cursor.clone())), 0).unwrap();
        let marker = without.len() - 2;
        assert_eq!(with[marker], 1);
        for present in [0, 1, 5, 127] {
            with[marker] = present;
            assert_eq!(
                decode::<DescribeTopicPartitionsRequest>(with.clone(), 0).unwrap().cursor.as_ref(),
                Some(&cursor)
            );
        }
        with[marker] = 0x80;
        assert_eq!(decode::<DescribeTopicPartitionsRequest>(with, 0).unwrap().cursor, None);
    }
}

mod tags {
    use super::*;

    fn log_value() -> TransactionLogValue {
        TransactionLogValue {
            previous_producer_id: 1,
            next_producer_id: 2,
            client_transaction_version: 3,
            next_producer_epoch: 4,
            ..Default::default()
        }
    }

    /// The encoding of an empty value without its tags, and with those given.
    fn with_tags(tags: &[u8]) -> Vec<u8> {
        let mut bytes = encode(&TransactionLogValue::default(), 1).unwrap();
        assert_eq!(bytes.pop(), Some(0), "no tags");
        bytes.extend_from_slice(tags);
        bytes
    }

    #[test]
    fn are_written_in_their_order_whatever_that_of_the_fields() {
        let bytes = encode(&log_value(), 1).unwrap();
        let tags = b"\x04\x00\x08\0\0\0\0\0\0\0\x01\x01\x08\0\0\0\0\0\0\0\x02\x02\x02\0\x03\x03\x02\0\x04";
        assert_eq!(bytes, with_tags(tags));
        assert_eq!(decode::<TransactionLogValue>(bytes, 1), Ok(log_value()));
    }

    #[test]
    fn may_be_unknown_unordered_and_repeated() {
        let bytes = with_tags(b"\x04\x02\x02\0\x09\x63\x03abc\x00\x08\0\0\0\0\0\0\0\x07\x02\x02\0\x05");
        let expected = TransactionLogValue {
            previous_producer_id: 7,
            client_transaction_version: 5,
            ..Default::default()
        };
        assert_eq!(decode::<TransactionLogValue>(bytes, 1), Ok(expected));
    }

    #[test]
    fn end_where_their_size_says() {
        let wrong = |declared, read| Err(Error::TagSize { tag: 2, declared, read });
        assert_eq!(decode::<TransactionLogValue>(with_tags(b"\x01\x02\x03\0\x09\0"), 1), wrong(3, 2));
        assert_eq!(decode::<TransactionLogValue>(with_tags(b"\x01\x02\x01\0\x09\0"), 1), wrong(1, 2));
        let beyond = decode::<TransactionLogValue>(with_tags(b"\x01\x63\x7f\0\x09\0"), 1);
        assert_eq!(beyond, Err(Error::Truncated { wanted: 127, left: 3 }));
    }

    #[test]
    fn of_another_version_are_refused() {
        let mut bytes = encode(&FetchRequest::default(), 13).unwrap();
        assert_eq!(bytes.pop(), Some(0));
        bytes.extend_from_slice(b"\x01\x01\x00");
        assert_eq!(decode::<FetchRequest>(bytes, 13), Err(Error::UnexpectedTag(1)));
    }

    #[test]
    fn more_than_there_are_bytes_for_end_the_frame() {
        let claimed = with_tags(b"\xff\xff\xff\xff\x07");
        assert!(matches!(decode::<TransactionLogValue>(claimed, 1), Err(Error::Truncated { .. })));
    }

    #[test]
    fn hold_null_where_null_is_not_the_default() {
        let plain = ConsumerGroupMemberMetadataValue::default();
        assert_eq!(plain.classic_member_metadata, Some(ClassicMemberMetadata::default()));
        let null = ConsumerGroupMemberMetadataValue { classic_member_metadata: None, ..plain.clone() };
        let bytes = encode(&null, 0).unwrap();
        // One tag, number 0, of one byte, and that a varint 0.
        assert_eq!(bytes[bytes.len() - 4..], [1, 0, 1, 0]);
        assert_eq!(decode(bytes, 0), Ok(null));
        assert_eq!(encode(&plain, 0).unwrap().last(), Some(&0), "no tags");

        let classic = ClassicMemberMetadata { session_timeout_ms: 5, ..Default::default() };
        let other = ConsumerGroupMemberMetadataValue { classic_member_metadata: Some(classic), ..plain };
        let bytes = encode(&other, 0).unwrap();
        assert_eq!(bytes[bytes.len() - 10..], [1, 0, 7, 1, 0, 0, 0, 5, 1, 0]);
        assert_eq!(decode(bytes, 0), Ok(other));
    }
}

mod defaults {
    use super::*;

    #[test]
    fn are_those_of_the_schema_at_every_depth() {
        let partition = PartitionData::default();
        assert_eq!((partition.last_stable_offset, partition.log_start_offset), (-1, -1));
        assert_eq!(partition.current_leader, LeaderIdAndEpoch { leader_id: -1, leader_epoch: -1 });
        assert_eq!(partition.records, None);
        // Nullable without a default is empty, not null.
        assert_eq!(partition.aborted_transactions, Some(vec![]));
        assert_eq!(FetchRequest::default().max_bytes, i32::MAX);
        assert_eq!(MetadataRequest::default().topics, Some(vec![]));
        assert!(MetadataRequest::default().allow_auto_topic_creation);
        assert_eq!(ApiVersionsResponse::default().finalized_features_epoch, -1);
    }

    #[test]
    fn are_what_absent_fields_decode_to() {
        let response =
            MetadataResponse { cluster_id: Some("c".into()), controller_id: 5, ..Default::default() };
        // Version 0 has neither, and may drop both.
        let old: MetadataResponse = decode(encode(&response, 0).unwrap(), 0).unwrap();
        assert_eq!((old.cluster_id, old.controller_id), (None, -1));
    }

    #[test]
    fn alone_can_be_left_out_unless_the_schema_calls_a_field_ignorable() {
        let ignorable = OffsetCommitValue { leader_epoch: 7, ..Default::default() };
        assert_eq!(
            decode::<OffsetCommitValue>(encode(&ignorable, 2).unwrap(), 2),
            Ok(OffsetCommitValue::default())
        );

        let next = TransactionLogValue { next_producer_id: 7, ..Default::default() };
        let error = encode(&next, 0).unwrap_err();
        assert_eq!(error.to_string(), "TransactionLogValue version 0 cannot carry NextProducerId");
        assert!(encode(&TransactionLogValue::default(), 0).is_ok());

        let session = FetchResponse { session_id: 3, ..Default::default() };
        let error = Error::UnsupportedField { message: "FetchResponse", field: "SessionId", version: 6 };
        assert_eq!((encode(&session, 6), encode(&session, 7).is_ok()), (Err(error), true));
        // A tagged field's versions count as well.
        let nodes = vec![fetch_response::NodeEndpoint::default()];
        assert!(encode(&FetchResponse { node_endpoints: nodes, ..Default::default() }, 15).is_err());
    }

    #[test]
    fn versions_outside_the_schema_do_not_exist() {
        let error = Error::UnsupportedVersion { message: "ApiVersionsRequest", version: 99 };
        assert_eq!(decode::<ApiVersionsRequest>(Bytes::new(), 99), Err(error));
        assert_eq!(encode(&ApiVersionsRequest::default(), 99), Err(error));
        assert!(decode::<ProduceRequest>(Bytes::new(), 2).is_err());
    }
}

mod scalars {
    use super::*;

    #[test]
    fn any_byte_but_zero_is_true() {
        for (byte, expected) in [(&[0u8], false), (&[1], true), (&[0x80], true)] {
            assert_eq!(reader(byte).bool(), Ok(expected));
        }
    }

    #[test]
    fn varints_have_five_bytes_at_most() {
        for (value, encoded) in [
            (0u32, &[0u8][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut writer = Writer::new();
            writer.uvarint(value);
            assert_eq!(writer.written(), encoded);
            assert_eq!(Reader::new(Bytes::copy_from_slice(encoded)).uvarint(), Ok(value));
        }
        assert_eq!(reader(b"\x81\x80\x80\x80\x00").uvarint(), Ok(1), "overlong");
        assert_eq!(reader(b"\xff\xff\xff\xff\x7f").uvarint(), Ok(u32::MAX), "excess bits");
        assert_eq!(reader(b"\x80\x80\x80\x80\x80\x00").uvarint(), Err(Error::Varint));
        assert_eq!(reader(b"\x80").uvarint(), Err(Error::Truncated { wanted: 1, left: 0 }));
    }

    #[test]
    fn texts_end_at_32767_bytes_both_ways() {
        let text = "x".repeat(32_768);
        for flex in [false, true] {
            let mut writer = Writer::new();
            assert_eq!(writer.string(flex, &text), Err(Error::StringTooLong(32_768)));
            assert_eq!(writer.string(flex, &text[1..]), Ok(()));
            let mut reader = Reader::new(writer.into_parts().0.into());
            assert_eq!(reader.string(flex).unwrap().len(), 32_767);
        }
        // Only a compact length can claim more.
        let mut long = vec![0x81, 0x80, 0x02];
        long.resize(40_000, b'x');
        assert_eq!(Reader::new(long.into()).string(true), Err(Error::StringTooLong(32_768)));
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_not_refused() {
        assert_eq!(reader(b"\x00\x03a\xffb").string(false).unwrap(), "a\u{fffd}b");
        assert_eq!(reader(b"\x03\xc3\x28").string(true).unwrap(), "\u{fffd}(");
    }

    #[test]
    fn a_compact_null_is_zero() {
        assert_eq!(reader(b"\0").nullable_string(true, true), Ok(None));
        assert_eq!(reader(b"\0").nullable_string(true, false), Err(Error::Null));
        // 2^31 as a length plus one is negative for Kafka, which makes it null.
        assert_eq!(reader(b"\x81\x80\x80\x80\x08").nullable_bytes(true, true), Ok(None));
    }
}

mod errors {
    use super::*;
    use crate::messages::delete_topics_response::DeletableTopicResult;

    #[test]
    fn are_counted_as_they_are_written() {
        let codes = [ErrorCode::NONE, ErrorCode::INVALID_REQUEST, ErrorCode::TOPIC_DELETION_DISABLED];
        let responses = codes.into_iter().chain([ErrorCode::INVALID_REQUEST]).map(|error_code| {
            DeletableTopicResult { name: Some("t".to_owned()), error_code, ..Default::default() }
        });
        let response = DeleteTopicsResponse { responses: responses.collect(), ..Default::default() };
        let mut writer = Writer::new();
        response.encode(&mut writer, 5).unwrap();
        let counted = [(ErrorCode::INVALID_REQUEST, 2), (ErrorCode::TOPIC_DELETION_DISABLED, 1)];
        assert_eq!(writer.errors(), counted);
        writer.clear();
        assert_eq!(writer.errors(), []);
    }
}

mod bounds {
    use super::*;

    /// Produce with an array of as many topics as its length can claim, at a classic and a flexible version.
    const CLAIMS: [(i16, &[u8]); 3] = [
        (3, b"\xff\xff\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff"),
        (9, b"\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff\x07"),
        (9, b"\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff\x0f"),
    ];

    #[test]
    fn a_claim_of_two_billion_elements_allocates_nothing() {
        for (version, bytes) in CLAIMS {
            let mut reader = reader(bytes);
            let mut result = None;
            let allocated =
                allocation_counter::measure(|| result = Some(ProduceRequest::decode(&mut reader, version)));
            assert!(matches!(result, Some(Err(Error::ArrayTooLong { .. } | Error::Null))), "{result:?}");
            assert_eq!(allocated.count_total, 0, "version {version}");
        }
    }

    #[test]
    fn what_the_frame_could_hold_is_reserved_little_by_little() {
        // A million members of three bytes are possible in this frame, and 96 MB in memory; the first one is broken.
        let mut bytes = b"\x02g".to_vec();
        bytes.extend_from_slice(&[0xc1, 0x84, 0x3d]);
        bytes.extend_from_slice(&[0xff; 3_000_000]);
        let mut reader = Reader::new(bytes.into());
        let mut result = None;
        let allocated =
            allocation_counter::measure(|| result = Some(LeaveGroupRequest::decode(&mut reader, 5)));
        assert!(matches!(result, Some(Err(_))), "{result:?}");
        assert!(allocated.bytes_max <= 65 << 10, "{allocated:?}");
    }

    #[test]
    fn a_million_elements_is_the_most() {
        let array = |claimed: i32| {
            let mut bytes = claimed.to_be_bytes().to_vec();
            bytes.resize(4 + claimed as usize, 1);
            Reader::new(bytes.into()).array(false, 1, Reader::i8).map(|array| array.len())
        };
        assert_eq!(array(1_000_000), Ok(1_000_000));
        assert_eq!(
            array(1_000_001),
            Err(Error::ArrayTooLong { claimed: 1_000_001, smallest: 1, left: 1_000_001 })
        );
    }

    #[test]
    fn a_produce_request_costs_no_copy_of_its_records() {
        let partition = produce_request::PartitionProduceData {
            records: Some(Records::Inline(vec![7; 65_536].into())),
            ..Default::default()
        };
        let topic =
            produce_request::TopicProduceData { partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { topic_data: vec![topic], ..Default::default() };
        let frame = Bytes::from(encode(&request, 13).unwrap());
        let _shared = frame.clone();
        let mut reader = Reader::new(frame);
        let mut result = None;
        let allocated =
            allocation_counter::measure(|| result = Some(ProduceRequest::decode(&mut reader, 13)));
        assert_eq!(result, Some(Ok(request)));
        // The two arrays; topics are named by id.
        assert_eq!(allocated.count_total, 2, "{allocated:?}");
        assert!(allocated.bytes_total < 512, "{allocated:?}");
    }
}

mod records_and_holes {
    use super::*;

    fn fetch(records: impl Fn(u32) -> Records) -> FetchResponse {
        let partition =
            |i| PartitionData { partition_index: i, records: Some(records(i as u32)), ..Default::default() };
        let topic =
            FetchableTopicResponse { partitions: (0..3).map(partition).collect(), ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }
    }

    #[test]
    fn holes_filled_equal_the_inline_encoding() {
        let content = |key: u32| Bytes::from(vec![key as u8 + 1; 1000 * (key as usize + 1)]);
        for version in FetchResponse::VERSIONS {
            let inline = encode(&fetch(|key| Records::Inline(content(key))), version).unwrap();

            let mut holed = Writer::new();
            let frame = holed.begin_frame();
            fetch(|key| Records::Hole { key, len: content(key).len() as u32 })
                .encode(&mut holed, version)
                .unwrap();
            holed.finish_frame(frame).unwrap();
            assert_eq!(holed.frame_len(), inline.len() as u64 + 4);
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
            assert_eq!(body, inline, "version {version}");
            assert_eq!(i32::from_be_bytes(*length) as usize, body.len());
        }
    }

    #[test]
    fn decoded_records_are_a_slice_of_the_frame() {
        let frame =
            Bytes::from(encode(&fetch(|_| Records::Inline(Bytes::from_static(b"batch"))), 17).unwrap());
        let decoded: FetchResponse = decode(frame.clone(), 17).unwrap();
        let records = decoded.responses[0].partitions[2].records.as_ref().unwrap().inline().unwrap();
        assert!(frame.as_ptr_range().contains(&records.as_ptr()));
        assert_eq!(records, "batch");
    }

    #[test]
    fn a_frame_of_two_gibibytes_is_abandoned() {
        let mut writer = Writer::with_buffer(b"before".to_vec());
        let frame = writer.begin_frame();
        let huge = fetch(|key| Records::Hole { key, len: 1 << 30 });
        huge.encode(&mut writer, 17).unwrap();
        assert!(matches!(writer.finish_frame(frame), Err(Error::TooLong(_))));
        assert_eq!((writer.written(), writer.holes()), (&b"before"[..], &[][..]));
        let too_long = fetch(|key| Records::Hole { key, len: i32::MAX as u32 });
        assert_eq!(encode(&too_long, 17), Err(Error::TooLong(i32::MAX as usize)));
    }

    #[test]
    fn frames_can_follow_each_other() {
        let mut writer = Writer::new();
        let heartbeat = HeartbeatResponse::default();
        frame::write_response(&mut writer, crate::ApiKey::Heartbeat, 4, 1, &heartbeat).unwrap();
        let first = writer.frame_len();
        let response = fetch(|key| Records::Hole { key, len: 10 });
        frame::write_response(&mut writer, crate::ApiKey::Fetch, 17, 2, &response).unwrap();
        let second = &writer.written()[first as usize..];
        let length = i32::from_be_bytes(*second.first_chunk().unwrap());
        assert_eq!(length as usize, second.len() - 4 + 30);
        // A response that cannot be written leaves no trace.
        let before = writer.frame_len();
        let broken = MetadataResponse {
            topics: vec![metadata_response::MetadataResponseTopic { name: None, ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(
            frame::write_response(&mut writer, crate::ApiKey::Metadata, 9, 3, &broken),
            Err(Error::Null)
        );
        assert_eq!(writer.frame_len(), before);
    }
}

mod frames {
    use super::*;
    use crate::ApiKey;

    #[test]
    fn bytes_behind_a_body_are_left_alone() {
        let mut bytes = encode(&HeartbeatResponse::default(), 4).unwrap();
        bytes.extend_from_slice(b"more");
        let mut reader = Reader::new(bytes.into());
        HeartbeatResponse::decode(&mut reader, 4).unwrap();
        assert_eq!(reader.into_rest(), "more");
    }

    #[test]
    fn a_header_of_a_newer_client_can_be_answered() {
        // ApiVersions 99, correlation id 7, client id "c", no tags, and a body of which we know nothing.
        let mut reader = reader(b"\x00\x12\x00\x63\x00\x00\x00\x07\x00\x01c\x00\xff\xff");
        let (header, api) = frame::read_request_header(&mut reader).unwrap();
        assert_eq!((api, header.request_api_version, header.correlation_id), (ApiKey::ApiVersions, 99, 7));
        assert!(!api.versions().contains(&header.request_api_version));
        let mut writer = Writer::new();
        let answer = ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..Default::default() };
        frame::write_response(&mut writer, api, 0, header.correlation_id, &answer).unwrap();
        assert_eq!(writer.written(), b"\0\0\0\x0a\0\0\0\x07\0\x23\0\0\0\0");
    }

    #[test]
    fn a_client_id_may_be_null_and_is_never_compact() {
        let mut reader = reader(b"\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\x00");
        assert_eq!(frame::read_request_header(&mut reader).unwrap().0.client_id, None);
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn an_api_that_brokers_do_not_serve_has_no_header() {
        for code in [4i16, 52, 93] {
            let mut bytes = code.to_be_bytes().to_vec();
            bytes.extend_from_slice(&[0; 16]);
            assert_eq!(
                frame::read_request_header(&mut Reader::new(bytes.into())),
                Err(Error::UnknownApi(code))
            );
        }
    }

    #[test]
    fn a_response_comes_back_under_its_correlation_id() {
        for (api, version) in [(ApiKey::Heartbeat, 3), (ApiKey::Heartbeat, 4)] {
            let mut writer = Writer::new();
            frame::write_response(&mut writer, api, version, -5, &HeartbeatResponse::default()).unwrap();
            let mut reader = Reader::new(Bytes::copy_from_slice(&writer.written()[frame::LENGTH_PREFIX..]));
            assert_eq!(frame::read_response_header(&mut reader, api, version), Ok(-5));
            assert_eq!(HeartbeatResponse::decode(&mut reader, version), Ok(HeartbeatResponse::default()));
            assert_eq!(reader.remaining(), 0);
        }
    }
}
