use super::*;

#[test]
fn the_throttle_keeps_to_its_rate() {
    let mut free = Throttle::new(f64::MAX);
    assert_eq!(free.wait_after(u64::MAX / 2), Duration::ZERO);
    // 300 bytes are what 300 ms allow; one more is to be waited for.
    let mut slow = Throttle::new(1_000.0);
    assert_eq!(slow.wait_after(300), Duration::ZERO);
    let wait = slow.wait_after(700);
    assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
    // What was waited for is paid.
    assert_eq!(slow.wait_after(100), Duration::ZERO);
}
