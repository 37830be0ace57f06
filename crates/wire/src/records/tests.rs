use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn offset_commit() -> GroupRecord {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 1 };
    GroupRecord::OffsetCommit(key, Some(OffsetCommitValue { offset: 42, ..Default::default() }))
}

#[test]
fn a_key_begins_with_its_type_and_a_value_with_its_version() {
    let record = offset_commit();
    assert_eq!(hex(&record.encode_key().unwrap()), "000100016700017400000001");
    assert!(hex(&record.encode_value(3).unwrap().unwrap()).starts_with("0003000000000000002a"));
    for version in record.value_versions() {
        let (key, value) = (record.encode_key().unwrap(), record.encode_value(version).unwrap());
        assert_eq!(GroupRecord::decode(key, value).unwrap(), record, "version {version}");
    }
}

#[test]
fn the_legacy_offset_commit_reads_as_todays() {
    let mut key = offset_commit().encode_key().unwrap().to_vec();
    key[1] = 0;
    let legacy = LegacyOffsetCommitValue { offset: 42, ..Default::default() };
    let value = encode_versioned(&legacy, 0).unwrap();
    assert_eq!(GroupRecord::decode(key.into(), Some(value)).unwrap(), offset_commit());
}

#[test]
fn a_record_without_a_value_deletes() {
    let GroupRecord::OffsetCommit(key, _) = offset_commit() else { panic!() };
    let tombstone = GroupRecord::OffsetCommit(key, None);
    assert_eq!(tombstone.encode_value(3).unwrap(), None);
    assert_eq!(GroupRecord::decode(tombstone.encode_key().unwrap(), None).unwrap(), tombstone);
}

#[test]
fn a_newer_brokers_record_can_be_told_from_a_broken_one() {
    let decode = |key: &'static [u8], value: Option<&'static [u8]>| {
        GroupRecord::decode(Bytes::from_static(key), value.map(Bytes::from_static)).unwrap_err()
    };
    assert_eq!(decode(b"\x00\x09\x00\x01g", None), RecordError::UnknownType(9));
    assert_eq!(decode(b"\x7f\xff", None), RecordError::UnknownType(i16::MAX));
    assert!(matches!(decode(b"\x00", None), RecordError::Broken { part: "key", .. }));
    assert!(matches!(
        decode(b"\x00\x02\x00\x05g", None),
        RecordError::Broken { part: "GroupMetadataKey", .. }
    ));
    let broken = decode(b"\x00\x03\x00\x01g", Some(b"\x00\x09"));
    assert_eq!(
        broken.to_string(),
        "a record's ConsumerGroupMetadataValue is broken: ConsumerGroupMetadataValue has no version 9"
    );
}

#[test]
fn record_types_are_those_of_the_schema() {
    for (schema, types) in [
        (include_str!("../../schema/group-records.schema"), GroupRecord::TYPES),
        (include_str!("../../schema/transaction-records.schema"), TransactionRecord::TYPES),
        (include_str!("../../schema/share-records.schema"), ShareRecord::TYPES),
    ] {
        let mut expected = Vec::new();
        for line in schema.lines().filter(|line| line.starts_with("coordinator-")) {
            let [kind, name, api] = line.split(' ').take(3).collect::<Vec<_>>()[..] else { panic!("{line}") };
            let code: i16 = api.strip_prefix("api=").unwrap().parse().unwrap();
            // The one type that is only read.
            if !name.starts_with("Legacy") {
                expected.push((code, kind == "coordinator-value", name));
            }
        }
        expected.sort();
        let mut known: Vec<(i16, bool, &str)> = types
            .iter()
            .flat_map(|(code, key, value)| [(*code, false, *key), (*code, true, *value)])
            .collect();
        known.sort();
        assert_eq!(known, expected);
    }
}

#[test]
fn a_transaction_marker_is_versioned() {
    let marker = EndTxnMarker { coordinator_epoch: 7 };
    assert_eq!(hex(&encode_versioned(&marker, 0).unwrap()), "000000000007");
    let commit = ControlRecordTypeSchema { r#type: 1 };
    assert_eq!(hex(&encode_versioned(&commit, 0).unwrap()), "00000001");
    assert_eq!(decode_versioned::<ControlRecordTypeSchema>(Bytes::from_static(b"\0\0\0\x01")), Ok(commit));
}

#[test]
fn a_newer_subscription_reads_as_the_newest_known() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        rack_id: Some("r".into()),
        ..Default::default()
    };
    let mut bytes = encode_versioned(&subscription, 3).unwrap().to_vec();
    bytes[1] = 9;
    bytes.extend_from_slice(b"what version 9 adds");
    assert_eq!(decode_consumer_protocol(bytes.clone().into()), Ok(subscription));
    bytes[0] = 0xff;
    assert!(decode_consumer_protocol::<ConsumerProtocolSubscription>(bytes.into()).is_err());
}
