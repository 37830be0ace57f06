use expect_test::expect;

use super::*;

#[test]
fn special_timestamps_are_known_from_their_versions_on() {
    let first_versions: String = (-7..=0)
        .rev()
        .map(|timestamp| {
            let first = (1..=11).find(|version| wanted(timestamp, *version).is_some());
            let known = first.map_or_else(
                || "never".to_owned(),
                |version| format!("from {version}: {:?}", wanted(timestamp, version).unwrap()),
            );
            format!("{timestamp} {known}\n")
        })
        .collect();
    expect![[r#"
        0 from 1: AtOrAfter(0ms)
        -1 from 1: Latest
        -2 from 1: Earliest
        -3 from 7: MaxTimestamp
        -4 from 8: EarliestLocal
        -5 from 9: LatestTiered
        -6 from 11: EarliestPendingUpload
        -7 never
    "#]]
    .assert_eq(&first_versions);
}

#[test]
fn an_offset_fits_into_the_answer_of_every_version() {
    for version in 1..=11 {
        let found = FoundOffset {
            timestamp: Some(Timestamp::from_millis(5)),
            offset: Some(Offset::new(7)),
            leader_epoch: Some(LeaderEpoch::new(3)),
        };
        let mut answer = ListOffsetsPartitionResponse::default();
        fill(&mut answer, Ok(found), version);
        let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: vec![answer] };
        let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
        let mut writer = ottla_wire::Writer::new();
        ottla_wire::Message::encode(&response, &mut writer, version).unwrap();
    }
}
