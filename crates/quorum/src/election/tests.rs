use openraft::CommittedLeaderId;

use super::*;

const TIMING: Timing = Timing { lease: Duration::from_millis(500), haste: 8 };

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn log(term: u64, index: u64) -> Option<LogId> {
    Some(LogId::new(CommittedLeaderId::new(term, 1), index))
}

fn follower_among(voters: &[&[NodeId]]) -> Standing {
    Standing { term: 4, leads: false, voters: voters.iter().map(|s| s.iter().copied().collect()).collect() }
}

/// Node 2, which asks after 600 ms.
fn node_among(voters: &[&[NodeId]]) -> Election {
    let mut election = Election::new(2, TIMING, ms(600), at(0));
    election.handle(Event::Standing(follower_among(voters)), at(0));
    election
}

fn tick(election: &mut Election, now: u64) -> Option<Effect> {
    election.handle(Event::Tick { timeout: ms(700) }, at(now))
}

fn ask(round: u64, voters: &[NodeId]) -> Option<Effect> {
    Some(Effect::Ask { round, term: 5, voters: voters.to_vec() })
}

fn answered(election: &mut Election, round: u64, by: NodeId, granted: bool) -> Option<Effect> {
    election.handle(Event::Answered { round, by, granted }, at(610))
}

#[test]
fn a_voter_asks_first_and_stands_with_a_majority_once() {
    let mut election = node_among(&[&[1, 2, 3]]);
    assert_eq!(tick(&mut election, 599), None);
    assert_eq!(tick(&mut election, 600), ask(1, &[1, 3]));
    assert_eq!(answered(&mut election, 1, 1, false), None);
    assert_eq!(answered(&mut election, 1, 3, true), Some(Effect::Elect));
    assert_eq!(answered(&mut election, 1, 1, true), None, "once a round");
    assert_eq!(election.next_deadline(), at(1300), "the election may fail");
    assert_eq!(tick(&mut election, 1300), ask(2, &[1, 3]));
    assert_eq!(answered(&mut election, 1, 1, true), None, "an answer to an older question");
}

#[test]
fn a_leader_that_is_heard_of_moves_the_deadline_and_ends_the_round() {
    let mut election = node_among(&[&[1, 2, 3]]);
    election.handle(Event::Heard { timeout: ms(550) }, at(500));
    assert_eq!(tick(&mut election, 1049), None);
    assert_eq!(tick(&mut election, 1050), ask(1, &[1, 3]));
    election.handle(Event::Heard { timeout: ms(600) }, at(1060));
    assert_eq!(answered(&mut election, 1, 3, true), None);
}

#[test]
fn an_isolated_voter_asks_for_ever_and_never_stands() {
    let mut election = node_among(&[&[1, 2, 3]]);
    for round in 1..50 {
        let now = election.next_deadline();
        let asked = election.handle(Event::Tick { timeout: ms(700) }, now);
        assert_eq!(asked, ask(round, &[1, 3]));
    }
}

#[test]
fn a_leader_known_to_be_gone_is_not_waited_for() {
    let mut election = node_among(&[&[1, 2, 3]]);
    election.handle(Event::Heard { timeout: ms(600) }, at(1000));
    let question = Question { last: log(4, 7) };
    assert!(!election.consents(question, log(4, 7), at(1010)));
    let gone = |leader| Event::LeaderGone { leader, believed: Some(1), timeout: ms(800) };
    election.handle(gone(3), at(1010));
    assert_eq!(election.next_deadline(), at(1600), "that was not the leader");
    election.handle(gone(1), at(1010));
    assert_eq!(election.next_deadline(), at(1110));
    assert!(election.consents(question, log(4, 7), at(1010)));
    assert_eq!(tick(&mut election, 1110), ask(1, &[1, 3]));
    assert_eq!(election.next_deadline(), at(1110) + ms(700) / 8, "still in haste");
    election.handle(Event::Heard { timeout: ms(600) }, at(1120));
    assert_eq!(tick(&mut election, 1719), None);
    assert_eq!(tick(&mut election, 1720), ask(2, &[1, 3]));
    assert_eq!(election.next_deadline(), at(2420), "no haste any more");
}

#[test]
fn consent_needs_a_log_that_is_not_behind_and_no_leader() {
    let mut election = node_among(&[&[1, 2, 3]]);
    let consents =
        |election: &Election, asker, own, now| election.consents(Question { last: asker }, own, at(now));
    let cases = [
        (log(4, 7), log(4, 7), true),
        (log(4, 8), log(4, 7), true),
        (log(5, 1), log(4, 7), true),
        (log(4, 6), log(4, 7), false),
        (log(3, 9), log(4, 7), false),
        (None, log(0, 0), false),
        (None, None, true),
    ];
    for (asker, own, expected) in cases {
        assert_eq!(consents(&election, asker, own, 0), expected, "{asker:?} {own:?}");
    }
    election.handle(Event::Heard { timeout: ms(600) }, at(100));
    assert!(!consents(&election, log(9, 9), log(4, 7), 599));
    assert!(consents(&election, log(9, 9), log(4, 7), 600));
    election.handle(Event::Standing(Standing { leads: true, ..follower_among(&[&[1, 2, 3]]) }), at(700));
    assert!(!consents(&election, log(9, 9), log(4, 7), 800));
}

#[test]
fn who_leads_or_does_not_vote_has_no_deadline() {
    let mut election = node_among(&[&[1, 3]]);
    assert_eq!(election.next_deadline(), Monotonic::NEVER);
    assert_eq!(tick(&mut election, 9000), None);
    election.handle(Event::Standing(Standing { leads: true, ..follower_among(&[&[1, 2, 3]]) }), at(9000));
    assert_eq!(election.next_deadline(), Monotonic::NEVER);
    // Without its majority it is one voter among others, after a lease.
    election.handle(Event::Standing(follower_among(&[&[1, 2, 3]])), at(9100));
    assert_eq!(election.next_deadline(), at(9600));
}

#[test]
fn the_only_voter_asks_nobody() {
    let mut election = node_among(&[&[2]]);
    assert_eq!(tick(&mut election, 0), Some(Effect::Elect));
    assert_eq!(election.next_deadline(), at(700));
    // openraft tells of its candidacy, which is no news.
    election.handle(Event::Standing(Standing { term: 5, ..follower_among(&[&[2]]) }), at(1));
    assert_eq!(election.next_deadline(), at(700));
}

#[test]
fn while_the_voters_change_both_sides_must_consent() {
    let mut election = node_among(&[&[1, 2, 3], &[2, 4, 5]]);
    assert_eq!(tick(&mut election, 600), ask(1, &[1, 3, 4, 5]));
    assert_eq!(answered(&mut election, 1, 1, true), None);
    assert_eq!(answered(&mut election, 1, 3, true), None);
    assert_eq!(answered(&mut election, 1, 5, true), Some(Effect::Elect));
}
