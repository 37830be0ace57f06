use std::collections::{BTreeMap, BTreeSet};

use openraft::{CommittedLeaderId, Membership};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Uuid};

use super::*;
use crate::raft::Member;

fn party(node: i32, directory: u8) -> Party {
    Party { node: BrokerId::new(node), directory: DirectoryId(Uuid::from_bytes([directory; 16])) }
}

fn envelope(cluster: u8, from: Party, to: Party) -> Envelope {
    Envelope { cluster: ClusterId(Uuid::from_bytes([cluster; 16])), from, to }
}

fn at(term: u64, index: u64) -> Option<LogId> {
    Some(LogId::new(CommittedLeaderId::new(term, 1), index))
}

/// Nodes 1 to 3, each with the directory of its number, as entry 7 of term 4 says.
fn membership() -> StoredMembership {
    let member = |n: u8| Member { directory: party(0, n).directory, address: None };
    let nodes: BTreeMap<u64, Member> = (1..=3).map(|n| (u64::from(n), member(n))).collect();
    StoredMembership::new(at(4, 7), Membership::new(vec![BTreeSet::from([1, 2, 3])], nodes))
}

#[test]
fn only_what_is_meant_for_this_directory_of_this_node_passes() {
    let ours = envelope(9, party(1, 1), party(1, 1));
    let to = |cluster, to| is_meant(&ours, &envelope(cluster, party(2, 2), to));
    assert_eq!(to(9, party(1, 1)), Ok(()));
    assert_eq!(to(8, party(1, 1)), Err(Refusal::OtherCluster));
    for meant in [party(1, 5), party(3, 1)] {
        assert_eq!(to(9, meant), Err(Refusal::NotMeant { here: party(1, 1), meant }));
    }
}

#[test]
fn a_member_with_another_directory_passes_only_if_it_knows_more_than_we_do() {
    let from = |from, evidence| is_admitted(from, evidence, &membership());
    let wiped = party(2, 5);
    let refused = Err(Refusal::NotAdmitted { from: wiped });
    assert_eq!(from(party(2, 2), Evidence::LogEnd(None)), Ok(()));
    assert_eq!(from(party(4, 4), Evidence::LogEnd(None)), Ok(()), "nothing is known of it");
    assert_eq!(from(wiped, Evidence::LogEnd(None)), refused);
    assert_eq!(from(wiped, Evidence::LogEnd(at(4, 7))), refused);
    assert_eq!(from(wiped, Evidence::LogEnd(at(4, 8))), Ok(()));
    assert_eq!(from(wiped, Evidence::Term(4)), refused);
    assert_eq!(from(wiped, Evidence::Term(5)), Ok(()));
}

#[test]
fn a_node_that_knows_no_membership_takes_a_leader_at_its_word() {
    let blank = StoredMembership::default();
    assert_eq!(is_admitted(party(2, 5), Evidence::Term(1), &blank), Ok(()));
}
