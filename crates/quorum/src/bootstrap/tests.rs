use expect_test::{Expect, expect};
use ottla_record::{DirectoryId, Uuid};

use super::*;

fn party(node: i32) -> Party {
    let byte = u8::try_from(node).unwrap();
    Party { node: BrokerId::new(node), directory: DirectoryId(Uuid::from_bytes([byte; 16])) }
}

/// `voters` and `bootstrap` are node numbers, whose addresses are `hostN`. An answer is `N` for a blank node, `N:C` for a
/// blank one of cluster C, `N*C` for a member of C's quorum; nodes that are not named are silent.
fn decide(me: i32, voters: &[i32], bootstrap: &[i32], answers: &str) -> String {
    let host = |n: &i32| format!("host{n}");
    let seeds = Seeds {
        voters: voters.iter().map(|n| Voter { node: BrokerId::new(*n), address: host(n) }).collect(),
        bootstrap: bootstrap.iter().map(host).collect(),
    };
    let told: Vec<Described> = answers
        .split_whitespace()
        .map(|word| {
            let (node, cluster) = word.split_once([':', '*']).unwrap_or((word, ""));
            let party = party(node.parse().unwrap());
            let cluster = cluster.parse::<u8>().ok().map(|c| ClusterId(Uuid::from_bytes([c; 16])));
            let members =
                if word.contains('*') { vec![DescribedMember { party, address: None }] } else { Vec::new() };
            let incarnation = Incarnation(Uuid::ZERO);
            Described { party, incarnation, cluster, term: 0, leader: None, members }
        })
        .collect();
    let answers: Vec<_> = seeds
        .addresses(BrokerId::new(me))
        .into_iter()
        .map(|at| {
            let there = told.iter().find(|d| format!("host{}", d.party.node) == at).cloned();
            (at, there)
        })
        .collect();
    match seeds.decide(party(me), &host(&me), &answers) {
        Decision::Adopt(cluster) => format!("adopt {}", cluster.0.as_bytes()[0]),
        Decision::Form => {
            let members = seeds.founders(party(me), &host(&me), &answers).unwrap();
            format!("form {:?}", members.keys().collect::<Vec<_>>())
        }
        Decision::Wait(why) => format!("wait: {why}"),
    }
}

fn check(cases: &[(&str, String)], expected: Expect) {
    let text: String = cases.iter().map(|(case, outcome)| format!("{case}: {outcome}\n")).collect();
    expected.assert_eq(&text);
}

#[test]
fn who_forms_a_quorum_and_who_waits() {
    check(
        &[
            ("told of nobody", decide(1, &[], &[], "")),
            ("told of itself", decide(1, &[], &[1], "1")),
            ("told of another", decide(1, &[], &[2], "2")),
            ("told of several, one of them itself", decide(1, &[], &[1, 2], "1")),
            ("a member answers", decide(1, &[], &[2], "2*7")),
            ("only voter", decide(1, &[1], &[], "")),
            ("lowest, all answer", decide(1, &[1, 2, 3], &[], "2 3")),
            ("lowest, one is silent", decide(1, &[1, 2, 3], &[], "2")),
            ("lowest, one is a member", decide(1, &[1, 2, 3], &[], "2 3*7")),
            ("lowest, one has a cluster and nothing else", decide(1, &[1, 2, 3], &[], "2 3:7")),
            ("lowest, several clusters", decide(1, &[1, 2, 3], &[], "2*8 3*7")),
            ("not the lowest", decide(2, &[1, 2, 3], &[], "1 3")),
            ("not the lowest, formed", decide(2, &[1, 2, 3], &[], "1*7 3")),
            ("not listed", decide(4, &[1, 2, 3], &[], "1 2 3")),
            ("not listed, lower", decide(0, &[1, 2, 3], &[], "1 2 3")),
        ],
        expect![[r#"
            told of nobody: form [1]
            told of itself: form [1]
            told of another: wait: no member of a quorum answers at host2
            told of several, one of them itself: wait: no member of a quorum answers at host1, host2
            a member answers: adopt 7
            only voter: form [1]
            lowest, all answer: form [1, 2, 3]
            lowest, one is silent: wait: voter 3 does not answer at host3
            lowest, one is a member: adopt 7
            lowest, one has a cluster and nothing else: adopt 7
            lowest, several clusters: wait: the nodes it is told to ask are of several clusters: BwcHBwcHBwcHBwcHBwcHBw, CAgICAgICAgICAgICAgICA
            not the lowest: wait: node 1 is the lowest listed voter, and forms the quorum
            not the lowest, formed: adopt 7
            not listed: wait: node 1 is the lowest listed voter, and forms the quorum
            not listed, lower: wait: node 1 is the lowest listed voter, and forms the quorum
        "#]],
    );
}
