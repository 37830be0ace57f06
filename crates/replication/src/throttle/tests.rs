//! A throttle through time.

use super::*;

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

/// A throttle of so many bytes a second that was busy until the tenth second, and owes nothing.
fn busy(rate: u64) -> Throttle {
    let mut throttle = Throttle::unlimited();
    throttle.set_rate(Some(rate), at(10_000));
    throttle
}

/// In how many milliseconds it is free again.
fn wait(throttle: &Throttle, now: u64) -> u128 {
    (throttle.free_at(0, at(now)) - at(now)).as_millis()
}

#[test]
fn without_a_rate_nothing_waits() {
    let mut throttle = Throttle::unlimited();
    throttle.record(u64::MAX, at(0));
    assert_eq!(throttle.free_at(u64::MAX, at(0)), at(0));
}

#[test]
fn what_is_copied_takes_as_long_as_the_rate_says() {
    let mut throttle = busy(1_000);
    assert_eq!(wait(&throttle, 10_000), 0);
    // Time and bytes recorded then, and how long nothing more is copied.
    for (now, bytes, expected) in
        [(10_000, 500, 500), (10_200, 100, 400), (10_600, 0, 0), (10_600, 2_000, 2_000)]
    {
        throttle.record(bytes, at(now));
        assert_eq!(wait(&throttle, now), expected, "at {now} after {bytes}");
    }
    assert_eq!(wait(&throttle, 12_599), 1);
    assert_eq!(wait(&throttle, 12_600), 0);
}

#[test]
fn a_copy_in_portions_keeps_the_rate_over_all() {
    let (mut throttle, mut now, mut copied) = (busy(1_000_000), 10_000, 0);
    while copied < 20_000_000 {
        assert_eq!(throttle.free_at(0, at(now)), at(now));
        throttle.record(300_000, at(now));
        copied += 300_000;
        now += u64::try_from(wait(&throttle, now)).unwrap();
    }
    assert_eq!(now - 10_000, copied / 1_000);
}

#[test]
fn what_was_not_used_is_worth_a_second_at_most() {
    for (idle_ms, free_bytes) in [(0, 0), (300, 300), (1_000, 1_000), (3_600_000, 1_000)] {
        let (throttle, now) = (busy(1_000), 10_000 + idle_ms);
        assert_eq!(throttle.free_at(free_bytes, at(now)), at(now), "idle for {idle_ms} ms");
        let more = throttle.free_at(free_bytes + 100, at(now)) - at(now);
        assert_eq!(more.as_millis(), 100, "idle for {idle_ms} ms");
    }
}

#[test]
fn what_is_under_way_counts_before_it_is_recorded() {
    let throttle = busy(1_000);
    assert_eq!(throttle.free_at(250, at(10_000)), at(10_250));
    assert_eq!(wait(&throttle, 10_000), 0);
}

#[test]
fn another_rate_takes_over_what_is_owed() {
    let mut throttle = busy(1_000);
    throttle.record(4_000, at(10_000));
    throttle.set_rate(Some(1_000), at(11_000));
    assert_eq!(wait(&throttle, 11_000), 3_000);
    throttle.set_rate(Some(3_000), at(11_000));
    assert_eq!(wait(&throttle, 11_000), 1_000);
    throttle.set_rate(None, at(11_500));
    assert_eq!(wait(&throttle, 11_500), 0);
    // Nothing is owed to a rate that was not there.
    throttle.set_rate(Some(1), at(11_600));
    assert_eq!(wait(&throttle, 11_600), 0);
}

#[test]
fn a_rate_of_nothing_lets_nothing_through_until_there_is_another() {
    let mut throttle = busy(0);
    assert_eq!(throttle.free_at(0, at(10_000)), Monotonic::NEVER);
    // In-sync replicas are served all the same, and recorded.
    throttle.record(1, at(10_000));
    throttle.set_rate(Some(1_000), at(10_000));
    assert_eq!(wait(&throttle, 10_000), 0);
}
