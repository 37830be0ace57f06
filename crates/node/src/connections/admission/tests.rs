use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

fn unlimited() -> AdmissionLimits {
    AdmissionLimits {
        total: usize::MAX,
        per_address: usize::MAX,
        of_address: HashMap::new(),
        per_second: usize::MAX,
    }
}

#[tokio::test]
async fn beyond_the_number_a_connection_waits_until_another_has_closed() {
    let admission = Admission::new(AdmissionLimits { total: 2, ..unlimited() });
    let (first, _second) = (admission.place().await, admission.place().await);
    let waiting = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.place().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    let _third = waiting.await.unwrap();
    assert_eq!(admission.open(), 2);
}

#[tokio::test]
async fn an_address_has_as_many_as_it_may() {
    let of_address = HashMap::from([(THERE, 0)]);
    let admission = Admission::new(AdmissionLimits { per_address: 2, of_address, ..unlimited() });
    let mut held = Vec::new();
    for address in [HERE, IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())] {
        let mut place = admission.place().await;
        place.claim(address).unwrap();
        held.push(place);
    }
    let refused = async |address| admission.place().await.claim(address).unwrap_err();
    assert_eq!(refused(HERE).await, TooMany { allowed: 2, to_tell: Some(1) });
    assert_eq!(refused(THERE).await, TooMany { allowed: 0, to_tell: None });
    assert_eq!(admission.open(), 2, "who is refused takes no place");
    held.pop();
    admission.place().await.claim(HERE).unwrap();
}

#[test]
fn the_log_is_told_of_refusals_now_and_then() {
    let mut refused = Refused { count: 0, told: None };
    let begin = Instant::now();
    let told: Vec<_> =
        (0..25).map(|second| refused.count_and_tell(begin + Duration::from_secs(second))).collect();
    let lines: Vec<_> = told.into_iter().flatten().collect();
    assert_eq!(lines, [1, 10, 10]);
}

#[test]
fn new_connections_come_no_faster_than_the_rate() {
    let begin = Instant::now();
    let admitted = |per_second, arrivals: [u64; 8]| {
        let admission = Admission::new(AdmissionLimits { per_second, ..unlimited() });
        arrivals.map(|millis| {
            let at = admission.admit_at(begin + Duration::from_millis(millis));
            at.saturating_duration_since(begin).as_millis()
        })
    };
    // After a quiet second a second's worth may come at once.
    assert_eq!(admitted(4, [1000; 8]), [1000, 1000, 1000, 1000, 1250, 1500, 1750, 2000]);
    assert_eq!(
        admitted(4, [1000, 1000, 1250, 1500, 1750, 2000, 2000, 9000]),
        [1000, 1000, 1250, 1500, 1750, 2000, 2000, 9000],
    );
    // 0 does not close the door.
    assert_eq!(admitted(0, [1000; 8]), [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000]);
}
