//! The log against openraft's own tests of a store, over sled and over a port that fails on demand.

use std::collections::BTreeMap;

use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload};
use ottla_coordination::metadata::{Command, DeleteTopics, TopicSelector};
use tempfile::TempDir;

use super::*;
use crate::hard_state::SledHardState;
use crate::snapshot::Snapshots;
use crate::state_machine::StateMachine;

const NODE: NodeId = 1;

struct OverSled;

impl StoreBuilder<Types, Log, StateMachine, TempDir> for OverSled {
    async fn build(&self) -> Result<(TempDir, Log, StateMachine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let machine =
            StateMachine::open(Snapshots::open(dir.path().join("snapshots"), InUse::default()).unwrap())
                .unwrap();
        let log = log_in(&dir);
        Ok((dir, log, machine))
    }
}

fn log_in(dir: &TempDir) -> Log {
    open(dir).unwrap()
}

fn open(dir: &TempDir) -> Result<Log, QuorumError> {
    let path = dir.path().join("witness");
    let witness = Witness::open(&path).or_else(|_| Witness::create(&path)).unwrap();
    let port =
        SledHardState::open(&dir.path().join("state")).map_err(|e| QuorumError::from_hard_state(&path, e))?;
    Log::open(Box::new(port), witness, NODE, InUse::default())
}

#[test]
fn openrafts_own_tests_of_a_store() {
    Suite::test_all(OverSled).unwrap();
}

/// A store in memory whose n-th commit fails, before or after it took effect.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    cells: BTreeMap<u8, Vec<u8>>,
    entries: BTreeMap<u64, Vec<u8>>,
    commits_left: Option<u32>,
}

impl HardState for Memory {
    fn cell(&self, cell: Cell) -> Result<Option<Vec<u8>>, HardStateError> {
        Ok(self.0.lock().unwrap().cells.get(&(cell as u8)).cloned())
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, HardStateError> {
        Ok(self.0.lock().unwrap().entries.range(range).map(|(i, e)| (*i, e.clone())).collect())
    }

    fn commit(&self, change: &Change) -> Result<(), HardStateError> {
        let mut contents = self.0.lock().unwrap();
        match &mut contents.commits_left {
            Some(0) => return Err(HardStateError::Poisoned),
            Some(left) => *left -= 1,
            None => {}
        }
        for (cell, value) in &change.cells {
            contents.cells.insert(*cell as u8, value.clone());
        }
        contents.entries.retain(|index, _| !change.remove.contains(index));
        contents.entries.extend(change.append.iter().cloned());
        Ok(())
    }
}

fn entry(term: u64, index: u64) -> Entry {
    let topic = TopicSelector::Name("t".repeat(usize::try_from(index % 7 * 700).unwrap()));
    Entry {
        log_id: LogId::new(CommittedLeaderId::new(term, NODE), index),
        payload: EntryPayload::Normal(Command::DeleteTopics(DeleteTopics { topics: vec![topic] })),
    }
}

fn over(memory: &Memory, dir: &TempDir) -> Result<Log, QuorumError> {
    let path = dir.path().join("witness");
    let witness = Witness::open(&path).or_else(|_| Witness::create(&path)).unwrap();
    Log::open(Box::new(memory.clone()), witness, NODE, InUse::default())
}

/// What opening says after `tamper` had its way with a log of five entries, of which the first two are purged.
fn opened_after(tamper: impl FnOnce(&mut Contents)) -> String {
    let (memory, dir) = (Memory::default(), tempfile::tempdir().unwrap());
    let log = over(&memory, &dir).unwrap();
    log.shared.save_vote(Vote::new_committed(3, NODE)).unwrap();
    log.shared.append(&[entry(1, 0), entry(1, 1), entry(2, 2), entry(3, 3), entry(3, 4)]).unwrap();
    log.shared.purge(*entry(1, 1).get_log_id()).unwrap();
    drop(log);
    tamper(&mut memory.0.lock().unwrap());
    match over(&memory, &dir) {
        Ok(log) => {
            let state = log.shared.state();
            format!("{:?} {:?} {:?}", state.vote, state.purged, state.last)
        }
        // The directory differs from run to run.
        Err(e) => e.to_string().split_once(": ").unwrap().1.to_owned(),
    }
}

#[test]
fn what_a_store_lost_or_damaged_is_noticed_at_open() {
    let cases = [
        ("untouched", opened_after(|_| {})),
        ("last entry gone", opened_after(|c| drop(c.entries.remove(&4)))),
        ("all entries gone", opened_after(|c| c.entries.clear())),
        ("entry in the middle gone", opened_after(|c| drop(c.entries.remove(&3)))),
        ("first entry gone", opened_after(|c| drop(c.entries.remove(&2)))),
        ("vote gone", opened_after(|c| drop(c.cells.remove(&(Cell::Vote as u8))))),
        ("purge gone", opened_after(|c| drop(c.cells.remove(&(Cell::Purged as u8))))),
        (
            "older vote",
            opened_after(|c| {
                let old = frame::encode(VOTE, &Vote::new(2, NODE)).unwrap();
                c.cells.insert(Cell::Vote as u8, old);
            }),
        ),
        ("bit flipped", opened_after(|c| c.entries.get_mut(&3).unwrap()[40] ^= 1)),
        ("cut", opened_after(|c| c.entries.get_mut(&3).unwrap().truncate(20))),
        ("empty", opened_after(|c| c.entries.get_mut(&3).unwrap().clear())),
        (
            "entries exchanged",
            opened_after(|c| {
                let (a, b) = (c.entries[&3].clone(), c.entries[&4].clone());
                c.entries.extend([(3, b), (4, a)]);
            }),
        ),
    ];
    let text: String = cases.iter().map(|(case, outcome)| format!("{case}: {outcome}\n")).collect();
    expect_test::expect![[r#"
        untouched: Some(Vote { leader_id: LeaderId { term: 3, node_id: 1 }, committed: false }) Some(LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index: 1 }) Some(LogId { leader_id: LeaderId { term: 3, node_id: 1 }, index: 4 })
        last entry gone: the log ends at entry 3, but entry 4 was stored: the hard state has lost what it once held
        all entries gone: the log ends at entry 1, but entry 4 was stored: the hard state has lost what it once held
        entry in the middle gone: log entry 3 is missing, the next one is 4
        first entry gone: log entry 2 is missing, the next one is 3
        vote gone: the vote is for node 0 in term 0, but one for node 1 in term 3 was stored: the hard state has lost what it once held
        purge gone: log entry 0 is missing, the next one is 2
        older vote: the vote is for node 1 in term 2, but one for node 1 in term 3 was stored: the hard state has lost what it once held
        bit flipped: log entry 3 is damaged: its checksum does not match
        cut: log entry 3 is damaged: its checksum does not match
        empty: log entry 3 is damaged: its checksum does not match
        entries exchanged: log entry 3 is damaged: its checksum does not match
    "#]].assert_eq(&text);
}

#[test]
fn a_lone_leader_stands_for_election_again_after_a_restart() {
    let own = Vote::new_committed(3, NODE);
    assert_eq!(standing(own, NODE), Vote::new(3, NODE));
    let others = Vote::new_committed(3, NODE + 1);
    assert_eq!(standing(others, NODE), others);
    assert!(standing(own, NODE) < own, "or the vote would not be what was stored");
}

#[test]
fn a_truncation_lowers_the_bound_first() {
    let (memory, dir) = (Memory::default(), tempfile::tempdir().unwrap());
    let log = over(&memory, &dir).unwrap();
    log.shared.append(&[entry(1, 0), entry(1, 1), entry(1, 2)]).unwrap();
    // Stopped between the two steps, the log is longer than the bound, which is fine.
    memory.0.lock().unwrap().commits_left = Some(0);
    assert!(log.shared.truncate(1).is_err());
    memory.0.lock().unwrap().commits_left = None;
    let log = over(&memory, &dir).unwrap();
    assert_eq!(log.shared.state().last, Some(*entry(1, 2).get_log_id()));
    log.shared.truncate(1).unwrap();
    let log = over(&memory, &dir).unwrap();
    assert_eq!(log.shared.state().last, Some(*entry(1, 0).get_log_id()));
    log.shared.truncate(0).unwrap();
    assert_eq!(over(&memory, &dir).unwrap().shared.state().last, None);
}

#[test]
fn entries_of_any_size_come_back_from_sled() {
    let dir = tempfile::tempdir().unwrap();
    let huge = |index| Entry {
        log_id: LogId::new(CommittedLeaderId::new(1, NODE), index),
        payload: EntryPayload::Normal(Command::DeleteTopics(DeleteTopics {
            topics: vec![TopicSelector::Name("x".repeat(3 * 1024 * 1024))],
        })),
    };
    let written: Vec<Entry> =
        (0..40).map(|i| entry(1, i)).chain([huge(40)]).chain((41..60).map(|i| entry(2, i))).collect();
    let log = log_in(&dir);
    for batch in written.chunks(7) {
        log.shared.append(batch).unwrap();
    }
    drop(log);
    let log = log_in(&dir);
    let read = log.shared.read(0..u64::MAX).unwrap();
    let json =
        |entries: &[Entry]| entries.iter().map(|e| serde_json::to_string(e).unwrap()).collect::<Vec<_>>();
    assert!(json(&read) == json(&written));
    let blobs = std::fs::read_dir(dir.path().join("state/blobs")).unwrap().count();
    assert_eq!(blobs, 0, "values in files of their own would not be synced");
}

/// What a power cut may leave: the store as it was at that moment, and the witness as it was then or at any moment since it
/// was last synced.
#[derive(Clone)]
struct Moment {
    cells: BTreeMap<u8, Vec<u8>>,
    entries: BTreeMap<u64, Vec<u8>>,
    witness: Vec<u8>,
    /// The first moment from which on the witness was not synced.
    witness_synced: usize,
    /// What had been answered for by then.
    vote: Option<Vote>,
    last: Option<LogId>,
}

/// A store in memory that notes every moment at which the power may be cut: before and after each commit.
#[derive(Clone)]
struct Recorder {
    memory: Memory,
    witness: std::path::PathBuf,
    moments: Arc<Mutex<Vec<Moment>>>,
    answered: Arc<Mutex<(Option<Vote>, Option<LogId>)>>,
}

impl Recorder {
    fn note(&self, witness_is_synced: bool) {
        let mut moments = self.moments.lock().unwrap();
        let contents = self.memory.0.lock().unwrap();
        let (vote, last) = *self.answered.lock().unwrap();
        let synced = moments.last().map_or(0, |moment| moment.witness_synced);
        let witness_synced = if witness_is_synced { moments.len() } else { synced };
        let witness = std::fs::read(&self.witness).unwrap();
        let (cells, entries) = (contents.cells.clone(), contents.entries.clone());
        moments.push(Moment { cells, entries, witness, witness_synced, vote, last });
    }
}

impl HardState for Recorder {
    fn cell(&self, cell: Cell) -> Result<Option<Vec<u8>>, HardStateError> {
        self.memory.cell(cell)
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, HardStateError> {
        self.memory.entries(range)
    }

    fn commit(&self, change: &Change) -> Result<(), HardStateError> {
        // Where the log gets shorter, the witness was synced just before.
        self.note(change.remove.end == u64::MAX);
        self.memory.commit(change)?;
        self.note(false);
        Ok(())
    }
}

#[test]
fn a_power_cut_at_every_sync_keeps_votes_and_entries() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let witness = Witness::create(&path).unwrap();
    let recorder = Recorder {
        memory: Memory::default(),
        witness: path.clone(),
        moments: Arc::default(),
        answered: Arc::default(),
    };
    let log = Log::open(Box::new(recorder.clone()), witness, NODE, InUse::default()).unwrap();
    let shared = &log.shared;
    let answered = |vote: Option<Vote>, last: Option<LogId>| {
        *recorder.answered.lock().unwrap() = (vote, last);
        recorder.note(false);
    };
    let (first, second) = (Vote::new(1, NODE), Vote::new_committed(2, NODE + 1));
    let id = |term, index| Some(*entry(term, index).get_log_id());
    shared.save_vote(first).unwrap();
    answered(Some(first), None);
    shared.append(&[entry(1, 0), entry(1, 1)]).unwrap();
    answered(Some(first), id(1, 1));
    shared.append(&[entry(1, 2), entry(1, 3)]).unwrap();
    answered(Some(first), id(1, 3));
    shared.save_vote(second).unwrap();
    // Another leader's log takes the place of the end: from here on that end is owed to nobody.
    answered(Some(second), id(1, 1));
    shared.truncate(2).unwrap();
    answered(Some(second), id(1, 1));
    shared.append(&[entry(2, 2), entry(2, 3), entry(2, 4)]).unwrap();
    answered(Some(second), id(2, 4));
    shared.purge(*entry(2, 3).get_log_id()).unwrap();
    answered(Some(second), id(2, 4));
    drop(log);

    let moments = recorder.moments.lock().unwrap().clone();
    let mut cuts = 0;
    for (at, moment) in moments.iter().enumerate() {
        for older in &moments[moment.witness_synced..=at] {
            let contents =
                Contents { cells: moment.cells.clone(), entries: moment.entries.clone(), commits_left: None };
            std::fs::write(&path, &older.witness).unwrap();
            let left = Memory(Arc::new(Mutex::new(contents)));
            let witness = Witness::open(&path).unwrap();
            let log = Log::open(Box::new(left), witness, NODE, InUse::default())
                .unwrap_or_else(|e| panic!("cut at {at}: {e}"));
            let state = log.shared.state();
            assert!(state.vote >= moment.vote, "cut at {at}: {:?}", state.vote);
            assert!(state.last >= moment.last, "cut at {at}: {:?}", state.last);
            cuts += 1;
        }
    }
    assert!(cuts > 50, "{cuts} cuts");
}
