//! openraft's log over the port: checks everything at open, and answers only for what is durable.

use std::fmt::Debug;
use std::ops::{Bound as Edge, Range, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageIOError,
};

use crate::error::QuorumError;
use crate::frame;
use crate::port::{Cell, Change, HardState, HardStateError};
use crate::raft::{ENTRIES_BYTES, Entry, InUse, LogId, NodeId, StorageError, Types, Vote};
use crate::witness::{Bound, Witness};

const VOTE: &str = "the vote";
const PURGED: &str = "the start of the log";
/// Entries read from the store at once where only so many bytes are wanted.
const READ_AT_ONCE: u64 = 32;

/// The newest entry that is durable here, for those who do not write the log. Holding it holds no file open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<Option<LogId>>>);

impl Tail {
    /// The entry; `None` for an empty log.
    pub(crate) fn last(&self) -> Option<LogId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, last: Option<LogId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// The log and the vote of this node.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    port: Box<dyn HardState>,
    state: Mutex<State>,
    /// After `port`: dropped when that has been closed.
    _in_use: InUse,
}

struct State {
    witness: Witness,
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    tail: Tail,
}

impl Log {
    /// Reads and checks what is there: every checksum, that no entry is missing, and that nothing the witness has seen is
    /// gone.
    pub(crate) fn open(
        port: Box<dyn HardState>,
        witness: Witness,
        node: NodeId,
        in_use: InUse,
    ) -> Result<Self, QuorumError> {
        let path = witness.path().to_owned();
        let damaged = |what: String| QuorumError::Damaged { path: path.clone(), what };
        let hard = |e: HardStateError| QuorumError::from_hard_state(&path, e);
        let framed = |e: frame::FrameError| damaged(e.to_string());

        let vote: Option<Vote> = port
            .cell(Cell::Vote)
            .map_err(hard)?
            .map(|v| frame::decode(VOTE, &v))
            .transpose()
            .map_err(framed)?;
        let purged: Option<LogId> = port
            .cell(Cell::Purged)
            .map_err(hard)?
            .map(|v| frame::decode(PURGED, &v))
            .transpose()
            .map_err(framed)?;
        let mut last = purged;
        for (index, bytes) in port.entries(0..u64::MAX).map_err(hard)? {
            let expected = next_index(last);
            if index != expected {
                return Err(damaged(format!("log entry {expected} is missing, the next one is {index}")));
            }
            let entry: Entry = decode_entry(index, &bytes).map_err(framed)?;
            if entry.log_id.leader_id < last.map(|l| l.leader_id).unwrap_or_default() {
                return Err(damaged(format!("log entry {index} is of an older term than the one before it")));
            }
            last = Some(entry.log_id);
        }
        check_witness(&witness, vote, last)?;
        let tail = Tail::default();
        tail.set(last);
        let state = State { witness, vote: vote.map(|v| standing(v, node)), purged, last, tail };
        Ok(Self { shared: Arc::new(Shared { port, state: Mutex::new(state), _in_use: in_use }) })
    }

    /// Where the log ends, now and later.
    pub(crate) fn tail(&self) -> Tail {
        self.shared.state().tail.clone()
    }

    /// True if nothing was ever stored.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.shared.state();
        state.vote.is_none() && state.last.is_none()
    }

    /// The newest entry that was removed from the log's start.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shared.state().purged
    }

    /// Runs something that blocks, off the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        verb: ErrorVerb,
        subject: ErrorSubject<NodeId>,
        run: impl FnOnce(&Shared) -> Result<T, HardStateError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shared = Arc::clone(&self.shared);
        let error = |e: AnyError| StorageError::from(StorageIOError::new(subject, verb, e));
        match tokio::task::spawn_blocking(move || run(&shared)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(error(AnyError::new(&e))),
            Err(e) => Err(error(AnyError::new(&e))),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicking holder leaves is at worst an older bound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_vote(&self, vote: Vote) -> Result<(), HardStateError> {
        let value = encode(VOTE, &vote)?;
        self.port.commit(&Change { cells: vec![(Cell::Vote, value)], ..Change::default() })?;
        let mut state = self.state();
        state.vote = Some(vote);
        state.remember()
    }

    fn append(&self, entries: &[Entry]) -> Result<(), HardStateError> {
        let mut change = Change::default();
        for entry in entries {
            let index = entry.get_log_id().index;
            change.append.push((index, encode(&entry_name(index), entry)?));
        }
        self.port.commit(&change)?;
        let mut state = self.state();
        state.last = entries.last().map(|e| *e.get_log_id()).or(state.last);
        state.remember()
    }

    fn truncate(&self, from: u64) -> Result<(), HardStateError> {
        let kept = match from.checked_sub(1) {
            Some(index) => match self.read(index..from)?.pop() {
                Some(entry) => Some(*entry.get_log_id()),
                None => self.state().purged,
            },
            None => None,
        };
        let mut state = self.state();
        let lower = Bound { last: kept.map(position), ..state.bound() };
        state.witness.lower(lower)?;
        self.port.commit(&Change { remove: from..u64::MAX, ..Change::default() })?;
        state.last = kept;
        state.tail.set(kept);
        Ok(())
    }

    fn purge(&self, upto: LogId) -> Result<(), HardStateError> {
        let value = encode(PURGED, &upto)?;
        let remove = 0..upto.index.saturating_add(1);
        self.port.commit(&Change { cells: vec![(Cell::Purged, value)], remove, ..Change::default() })?;
        let mut state = self.state();
        state.purged = Some(upto);
        state.last = state.last.max(Some(upto));
        state.remember()
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<Entry>, HardStateError> {
        let decode = |(index, bytes): (u64, Vec<u8>)| {
            decode_entry(index, &bytes).map_err(|e| HardStateError::Damaged(e.to_string()))
        };
        self.port.entries(range)?.into_iter().map(decode).collect()
    }

    /// The first entries of a range that together are not much more than `max_bytes`; at least one, if there is one.
    fn read_some(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, HardStateError> {
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, range.start);
        while next < range.end && bytes < max_bytes {
            let end = next.saturating_add(READ_AT_ONCE).min(range.end);
            let pieces = self.port.entries(next..end)?;
            if pieces.is_empty() {
                break;
            }
            for (index, piece) in pieces {
                if bytes >= max_bytes {
                    break;
                }
                bytes += piece.len();
                let entry =
                    decode_entry(index, &piece).map_err(|e| HardStateError::Damaged(e.to_string()))?;
                entries.push(entry);
            }
            next = end;
        }
        Ok(entries)
    }
}

impl State {
    fn bound(&self) -> Bound {
        Bound { vote: self.vote.map_or((0, 0), candidate), last: self.last.map(position) }
    }

    /// Tells the witness what is durable now.
    fn remember(&mut self) -> Result<(), HardStateError> {
        self.tail.set(self.last);
        let bound = self.bound();
        Ok(self.witness.set(bound)?)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Edge::Included(&start) => start,
            Edge::Excluded(&start) => start.saturating_add(1),
            Edge::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Edge::Included(&end) => end.saturating_add(1),
            Edge::Excluded(&end) => end,
            Edge::Unbounded => u64::MAX,
        };
        self.blocking(ErrorVerb::Read, ErrorSubject::Logs, move |shared| shared.read(start..end)).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        // What a follower is sent at once is in memory several times over, here and there.
        let read = move |shared: &Shared| shared.read_some(start..end, ENTRIES_BYTES);
        self.blocking(ErrorVerb::Read, ErrorSubject::Logs, read).await
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let state = self.shared.state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.blocking(ErrorVerb::Write, ErrorSubject::Vote, move |shared| shared.save_vote(vote)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.shared.state().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.blocking(ErrorVerb::Write, ErrorSubject::Logs, move |shared| shared.append(&entries)).await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(ErrorVerb::Delete, ErrorSubject::Logs, move |shared| shared.truncate(log_id.index))
            .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(ErrorVerb::Delete, ErrorSubject::Logs, move |shared| shared.purge(log_id)).await
    }
}

/// The vote with which a process starts. It does not take up a leadership of the process before it: what that one had
/// appended and not yet made durable may be gone, and two values must never stand at one index and term. So it stands
/// for election again, in a new term.
fn standing(vote: Vote, node: NodeId) -> Vote {
    if vote.is_committed() && vote.leader_id().node_id == node {
        Vote::new(vote.leader_id().term, node)
    } else {
        vote
    }
}

fn check_witness(witness: &Witness, vote: Option<Vote>, last: Option<LogId>) -> Result<(), QuorumError> {
    let bound = witness.bound();
    let lost = |what: String| {
        Err(QuorumError::Damaged {
            path: parent(witness.path()),
            what: format!("{what}: the hard state has lost what it once held"),
        })
    };
    let voted = vote.map_or((0, 0), candidate);
    if voted < bound.vote {
        let ((term, node), (had_term, had_node)) = (voted, bound.vote);
        return lost(format!(
            "the vote is for node {node} in term {term}, but one for node {had_node} in term {had_term} was stored"
        ));
    }
    if last.map(position) < bound.last {
        let (has, had) = (last.map_or(0, |l| l.index), bound.last.map_or(0, |(_, index)| index));
        return lost(format!("the log ends at entry {has}, but entry {had} was stored"));
    }
    Ok(())
}

fn parent(path: &Path) -> std::path::PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// Term, and the node voted for in it: the order in which votes are given.
fn candidate(vote: Vote) -> (u64, u64) {
    (vote.leader_id().term, vote.leader_id().node_id)
}

fn position(log_id: LogId) -> (u64, u64) {
    (log_id.leader_id.term, log_id.index)
}

fn next_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |l| l.index.saturating_add(1))
}

fn entry_name(index: u64) -> String {
    format!("log entry {index}")
}

fn encode(key: &str, value: &impl serde::Serialize) -> Result<Vec<u8>, HardStateError> {
    frame::encode(key, value).map_err(|e| HardStateError::Damaged(e.to_string()))
}

fn decode_entry(index: u64, bytes: &[u8]) -> Result<Entry, frame::FrameError> {
    frame::decode(&entry_name(index), bytes)
}

#[cfg(test)]
mod tests;
