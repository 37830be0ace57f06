//! When the controller looks, and what it asks for then.

use super::*;
use crate::metadata::tests::{cluster, run};

const INTERVAL: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(seconds))
}

/// Brokers 1 and 2, and partitions that 1 should lead. With `away` it was lost and is back in sync: 2 leads them.
fn image(partitions: usize, away: bool) -> Image {
    let mut image = cluster();
    for broker in [1, 2] {
        run(&mut image, &format!("register {broker}"));
        run(&mut image, &format!("unfence {broker}"));
    }
    run(&mut image, &format!("create t on={}", vec!["1,2"; partitions].join("/")));
    if away {
        run(&mut image, "fence 1");
        run(&mut image, "unfence 1");
        for partition in 0..partitions {
            run(&mut image, &format!("isr t-{partition} by=2 to=1,2"));
        }
    }
    image
}

fn named(command: Option<ElectLeaders>) -> Option<usize> {
    command.map(|command| command.partitions.unwrap().len())
}

#[test]
fn only_a_controller_looks_and_first_after_an_interval() {
    let away = image(2, true);
    let mut checks = Checks::new(Some(INTERVAL));
    assert_eq!(checks.next_deadline(), Monotonic::NEVER);
    assert_eq!(checks.check(at(1_000), &away), None);
    checks.took_control(at(1_000));
    assert_eq!(checks.next_deadline(), at(1_300));
    assert_eq!(checks.check(at(1_299), &away), None);
    assert_eq!(named(checks.check(at(1_300), &away)), Some(2));
    checks.lost_control();
    assert_eq!(checks.next_deadline(), Monotonic::NEVER);
    // What it had asked for is decided under somebody else.
    checks.decided(at(1_301), 2);
    assert_eq!(checks.check(at(9_000), &away), None);
}

#[test]
fn nobody_looks_where_it_is_switched_off() {
    let mut checks = Checks::new(None);
    checks.took_control(at(0));
    assert_eq!(checks.next_deadline(), Monotonic::NEVER);
    assert_eq!(checks.check(at(10_000), &image(1, true)), None);
}

#[test]
fn the_next_look_is_an_interval_after_an_answer_or_after_finding_nothing() {
    let (away, home) = (image(2, true), image(2, false));
    let mut checks = Checks::new(Some(INTERVAL));
    checks.took_control(at(0));
    assert_eq!(checks.check(at(310), &home), None);
    assert_eq!(checks.next_deadline(), at(610));
    assert_eq!(named(checks.check(at(610), &away)), Some(2));
    // The answer is still out: what is asked for is not asked for again.
    assert_eq!(checks.next_deadline(), Monotonic::NEVER);
    assert_eq!(checks.check(at(2_000), &away), None);
    checks.decided(at(2_000), 2);
    assert_eq!(checks.next_deadline(), at(2_300));
}

#[test]
fn more_than_fit_in_a_command_follow_at_once_unless_something_failed() {
    let mut away = image(MAX_ELECTIONS + 1, true);
    let mut checks = Checks::new(Some(INTERVAL));
    checks.took_control(at(0));
    let command = checks.check(at(300), &away).unwrap();
    assert_eq!(named(Some(command.clone())), Some(MAX_ELECTIONS));
    away.apply(&crate::metadata::Command::ElectLeaders(command));
    checks.decided(at(301), MAX_ELECTIONS);
    assert_eq!(checks.next_deadline(), at(301));
    assert_eq!(named(checks.check(at(301), &away)), Some(1));
    checks.decided(at(302), 1);
    assert_eq!(checks.next_deadline(), at(602));
    // A command of which nobody knows what became is not repeated without end.
    let _ = checks.check(at(602), &image(1, true));
    checks.decided(at(603), 0);
    assert_eq!(checks.next_deadline(), at(903));
}
