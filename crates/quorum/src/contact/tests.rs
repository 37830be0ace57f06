use super::*;

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

fn ages(silent: u64, behind_for: Option<u64>) -> Ages {
    Ages { silent: Some(Duration::from_millis(silent)), behind_for: behind_for.map(Duration::from_millis) }
}

#[test]
fn a_member_is_caught_up_by_the_call_it_has_caught_up_with() {
    let contacts = Contacts::default();
    assert_eq!(contacts.ages(3, 2, false, at(0)), Ages::default(), "nobody was heard of");
    // (its end, the leader's end, when) and what is known 5 ms later.
    let story = [
        (10, 40, 100, ages(5, None)),
        (40, 40, 200, ages(5, Some(5))),
        // Always one call behind, and never for longer than that.
        (40, 50, 300, ages(5, Some(105))),
        (50, 60, 400, ages(5, Some(105))),
        (60, 70, 500, ages(5, Some(105))),
        // It takes a snapshot, and is heard of all the same.
        (60, 90, 600, ages(5, Some(205))),
        (60, 90, 700, ages(5, Some(305))),
    ];
    for (end, leader_end, when, expected) in story {
        contacts.note(3, 2, end, leader_end, at(when));
        assert_eq!(contacts.ages(3, 2, false, at(when + 5)), expected, "at {when}");
    }
    assert_eq!(contacts.ages(3, 2, true, at(750)), ages(50, Some(50)), "what it has now is everything");
}

#[test]
fn what_was_noted_in_another_term_is_forgotten() {
    let contacts = Contacts::default();
    contacts.note(3, 2, 40, 40, at(100));
    contacts.note(5, 4, 40, 40, at(200));
    contacts.note(3, 2, 40, 40, at(300));
    assert_eq!(contacts.ages(3, 2, true, at(300)), Ages::default());
    assert_eq!(contacts.ages(5, 2, true, at(300)), Ages::default());
    assert_eq!(contacts.ages(5, 4, true, at(300)), ages(100, Some(100)));
}
