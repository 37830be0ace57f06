use expect_test::{Expect, expect};
use ottla_record::Uuid;

use super::*;

fn directory(of: u8) -> DirectoryId {
    DirectoryId(Uuid::from_bytes([of; 16]))
}

fn member(node: u8, votes: bool, log_end: Option<u64>) -> QuorumMember {
    // 7 has everything, and is gone.
    let silent = if node == 7 { HEARD_WITHIN + Duration::from_millis(1) } else { HEARD_WITHIN };
    QuorumMember {
        node: BrokerId::new(node.into()),
        directory: directory(node),
        address: Some(format!("host{node}:9093")),
        votes,
        log_end,
        silent: log_end.map(|_| silent),
        behind_for: None,
    }
}

/// 1 leads with 100 entries; 2 votes too, and 3 where `three` says so; 4 has caught up, 5 has not, 6 was never reached, 7 is gone.
fn quorum(voters: &[u8]) -> QuorumDescription {
    let log_ends = [
        (1, Some(100)),
        (2, Some(100)),
        (3, Some(40)),
        (4, Some(90)),
        (5, Some(89)),
        (6, None),
        (7, Some(100)),
    ];
    let members = log_ends.map(|(node, log_end)| member(node, voters.contains(&node), log_end));
    QuorumDescription {
        leader: BrokerId::new(1),
        term: 7,
        high_watermark: Some(100),
        members: members.into(),
    }
}

fn outcomes(voters: &[u8], listed: &[i32], changes: &[VoterChange], expected: Expect) {
    let listed: Vec<BrokerId> = listed.iter().copied().map(BrokerId::new).collect();
    let mut text = String::new();
    for change in changes {
        text += &match check(*change, &quorum(voters), &listed) {
            Ok(()) => "done\n".to_owned(),
            Err(refusal) => format!("{}{refusal}\n", if refusal.passes() { "for now: " } else { "" }),
        };
    }
    expected.assert_eq(&text);
}

fn add(node: u8, with: u8) -> VoterChange {
    VoterChange::Add { node: BrokerId::new(node.into()), directory: directory(with) }
}

fn remove(node: u8, with: u8) -> VoterChange {
    VoterChange::Remove { node: BrokerId::new(node.into()), directory: directory(with) }
}

#[test]
fn a_vote_is_given_to_a_member_that_has_the_log() {
    let asked = [add(4, 4), add(2, 2), add(2, 9), add(4, 9), add(5, 5), add(6, 6), add(7, 7), add(8, 8)];
    outcomes(
        &[1, 2, 3],
        &[],
        &asked,
        expect![[r#"
        done
        The voter id for node 2 is already part of the set of voters, with log directory AgICAgICAgICAgICAgICAg.
        The voter id for node 2 is already part of the set of voters, with log directory AgICAgICAgICAgICAgICAg.
        Node 4 takes part with log directory BAQEBAQEBAQEBAQEBAQEBA, not with CQkJCQkJCQkJCQkJCQkJCQ
        for now: Node 5 is lagging behind by 11 entries: it gets a vote when it has caught up
        for now: Node 6 is not heard of: it gets a vote when it answers
        for now: Node 7 is not heard of: it gets a vote when it answers
        Node 8 is no member of the metadata quorum yet: start it with controller.quorum.bootstrap.servers first
    "#]],
    );
}

#[test]
fn a_vote_is_taken_from_the_voter_that_has_it() {
    let asked = [remove(3, 3), remove(1, 1), remove(3, 9), remove(4, 4), remove(8, 8)];
    outcomes(
        &[1, 2, 3],
        &[],
        &asked,
        expect![[r#"
        done
        done
        Cannot remove node 3 with log directory CQkJCQkJCQkJCQkJCQkJCQ from the set of voters: it is not in there.
        Cannot remove node 4 with log directory BAQEBAQEBAQEBAQEBAQEBA from the set of voters: it is not in there.
        Cannot remove node 8 with log directory CAgICAgICAgICAgICAgICA from the set of voters: it is not in there.
    "#]],
    );
    outcomes(
        &[1],
        &[],
        &[remove(1, 1)],
        expect![[r#"
        node 1 is the only voter
    "#]],
    );
    outcomes(
        &[1, 2, 3],
        &[2],
        &[remove(2, 2), remove(3, 3)],
        expect![[r#"
        node 2 is listed in controller.quorum.voters: take it out there first
        done
    "#]],
    );
}

#[test]
fn a_lag_is_counted_from_the_leaders_end() {
    let quorum = quorum(&[1, 2, 3]);
    let lags: Vec<_> = quorum.members.iter().map(|member| quorum.lag(member)).collect();
    assert_eq!(lags, [Some(0), Some(0), Some(60), Some(10), Some(11), None, Some(0)]);
}
