use super::*;

#[test]
fn places_are_read_as_people_write_them() {
    let offset = |n| Place::Broker(Start::Offset(Offset::new(n)));
    let at = |millis| Place::Broker(Start::At(Timestamp::from_millis(millis)));
    for (text, place) in [
        ("start", Place::Broker(Start::Earliest)),
        ("end", Place::Broker(Start::Latest)),
        ("0", offset(0)),
        ("41", offset(41)),
        ("-10", Place::BeforeEnd(10)),
        ("@1700000000123", at(1_700_000_000_123)),
        ("2023-11-14T22:13:20Z", at(1_700_000_000_000)),
        ("2023-11-14 22:13:20", at(1_700_000_000_000)),
        ("90s", Place::Ago(Duration::from_secs(90))),
        ("2h 30m", Place::Ago(Duration::from_secs(9_000))),
    ] {
        assert_eq!(text.parse(), Ok(place), "{text}");
    }
    for text in ["", "yesterday", "@", "@x", "1.5", "2023-13-01T00:00:00Z"] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
}

#[test]
fn places_relative_to_the_end_or_to_now_are_found() {
    let (start, end) = (Offset::new(5), Offset::new(20));
    let now = UNIX_EPOCH + Duration::from_secs(1_000);
    let resolve = |place: Place| place.resolve(start, end, now);
    assert_eq!(resolve(Place::BeforeEnd(3)), Start::Offset(Offset::new(17)));
    assert_eq!(resolve(Place::BeforeEnd(100)), Start::Offset(start));
    assert_eq!(resolve(Place::Ago(Duration::from_secs(10))), Start::At(Timestamp::from_millis(990_000)));
    assert_eq!(resolve(Place::Ago(Duration::MAX)), Start::At(Timestamp::EPOCH));
    assert_eq!(resolve(Place::Broker(Start::Latest)), Start::Latest);
}
