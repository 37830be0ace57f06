use openraft::Membership;
use ottla_record::{DirectoryId, Uuid};

use super::*;

fn party(node: i32, directory: u8) -> Party {
    Party { node: BrokerId::new(node), directory: DirectoryId(Uuid::from_bytes([directory; 16])) }
}

/// Voters 1 and 2, learner 3; each with the directory and the address of its number.
fn membership() -> StoredMembership {
    let member = |n: u8| Member { directory: party(0, n).directory, address: Some(format!("host{n}:9093")) };
    let nodes: BTreeMap<u64, Member> = (1..=3).map(|n| (u64::from(n), member(n))).collect();
    StoredMembership::new(None, Membership::new(vec![BTreeSet::from([1, 2])], nodes))
}

#[test]
fn one_step_at_a_time_towards_the_wish() {
    let step = |node: i32, directory, address: i32, votes, lag| {
        let wish = Wish { party: party(node, directory), address: format!("host{address}:9093"), votes };
        next_step(&membership(), &wish, lag)
    };
    assert_eq!(step(4, 4, 4, true, None), Step::AddLearner);
    assert_eq!(step(2, 2, 2, true, None), Step::Nothing);
    assert_eq!(step(2, 2, 2, false, None), Step::Nothing, "nobody loses its vote by a wish");
    assert_eq!(step(2, 9, 2, true, None), Step::Remove { votes: true });
    assert_eq!(step(3, 9, 3, true, None), Step::Remove { votes: false });
    assert_eq!(step(2, 2, 7, true, None), Step::Move);
    assert_eq!(step(3, 3, 3, false, None), Step::Nothing);
    assert_eq!(step(3, 3, 3, true, None), Step::CatchUp);
    assert_eq!(step(3, 3, 3, true, Some(11)), Step::CatchUp);
    assert_eq!(step(3, 3, 3, true, Some(10)), Step::Promote);
}

#[test]
fn whoever_is_no_broker_and_silent_has_left() {
    let patience = Duration::from_secs(9);
    let gone = |registered: bool, silent: u64| {
        departed(&membership(), |_| registered, |_| Duration::from_secs(silent), patience)
    };
    assert_eq!(gone(false, 9), BTreeSet::from([3]), "voters stay, whatever they are");
    assert_eq!(gone(true, 100), BTreeSet::new(), "a broker that is away comes back");
    assert_eq!(gone(false, 8), BTreeSet::new(), "it may be about to register");
}
