//! A shard: a machine that decides records, with the log that keeps them. It appends, applies, parks the answers until the records
//! are committed, and is loaded again from the log when that fails.
//!
//! | module | what it holds |
//! |---|---|
//! | [`machine`] | [`Machine`]: the decisions of one coordinator over one partition, and [`Step`], what it decided |
//!
//! What a [`Shard`] does:
//!
//! | state | [`Event`] | becomes | what happens |
//! |---|---|---|---|
//! | loading | `Request` | loading | answered with [`ShardError::LoadInProgress`] |
//! | loading | `Replayed` | loading | the records are applied |
//! | loading | `Loaded` | active | the machine starts its timers |
//! | loading | `Committed`, `Failed`, `Tick` | loading | nothing: they belong to an earlier life |
//! | loading | `Resign` | resigned | nothing waits |
//! | active | `Request` | active | the machine decides; its records are applied and appended; its answers wait for them, or, without records, for the last append they could have seen (none: they leave at once) |
//! | active | `Request`, [`MAX_PENDING`] appends wait | active | answered with [`ShardError::Busy`]; nothing is decided |
//! | active | `Committed` | active | once every older append is committed too, the answers that waited for it leave |
//! | active | `Failed` of an append that waits | resigned | whoever waits gets [`ShardError::NotCoordinator`]: what was applied may not be in the log, so the caller loads the shard again |
//! | active | `Failed`, `Committed` of any other | active | nothing |
//! | active | `Tick` | active | as `Request`, without one |
//! | active | `Replayed`, `Loaded` | active | nothing: a load that was overtaken |
//! | active | `Resign` | resigned | whoever waits gets [`ShardError::NotCoordinator`] |
//! | resigned | `Request` | resigned | answered with [`ShardError::NotCoordinator`] |
//! | resigned | any other | resigned | nothing |
//!
//! Records are applied when they are appended, so the next decision sees them; nobody else does before they are committed, because
//! an answer that could show them waits for them. So no snapshots of the state are needed.
//!
//! Invariant: answers leave in the order in which they were decided.

pub mod machine;

use std::collections::VecDeque;
use std::fmt;

use ottla_record::{Monotonic, Now};

pub use machine::{Machine, Step};

use crate::metadata::Image;

/// Appends of one shard that may wait to be committed. Past this, requests are refused: a disk that hangs must not collect them.
pub const MAX_PENDING: usize = 16_384;

/// Number of an append. Rises over all lives of a shard, so that a late answer to an older one is not taken for a newer one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppendId(u64);

impl AppendId {
    /// The first append of a shard's first life.
    pub const FIRST: Self = Self(0);

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What can happen to a shard.
#[derive(Debug)]
pub enum Event<M: Machine> {
    /// Somebody asks.
    Request {
        /// Who gets the answer.
        waiter: M::Waiter,
        /// What is asked.
        request: M::Request,
    },
    /// Records of the log, in its order.
    Replayed(Vec<M::Record>),
    /// The log has been replayed, and all that was replayed is committed.
    Loaded,
    /// An append is committed. Those who say so may overtake each other; an older one may even turn out to have failed.
    Committed(AppendId),
    /// An append is not in the log, or nobody knows.
    Failed(AppendId),
    /// Time has passed, or the image has changed.
    Tick,
    /// Another broker leads the partition now, or this one stops.
    Resign,
}

/// What a shard asks of its caller, in the order given.
#[derive(Debug)]
pub enum Effect<M: Machine> {
    /// Append these as one batch, then say [`Event::Committed`] or [`Event::Failed`]. The order of appends is the order of the log.
    Append {
        /// Its number.
        id: AppendId,
        /// What to write.
        records: Vec<M::Record>,
    },
    /// Answer a request.
    Reply {
        /// Whom.
        waiter: M::Waiter,
        /// With what.
        outcome: Result<M::Response, ShardError>,
    },
}

/// Why a shard does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// It is not in charge, or lost what it had decided.
    #[error("this broker does not coordinate that partition now")]
    NotCoordinator,
    /// It reads its log. Asking again helps.
    #[error("the coordinator is loading its partition")]
    LoadInProgress,
    /// [`MAX_PENDING`] appends wait for the disk. Asking again may help.
    #[error("too many appends of the coordinator wait for the disk")]
    Busy,
}

/// One partition of a coordinator. See the module for what it does with each event.
pub struct Shard<M: Machine> {
    state: State<M>,
    next_append: AppendId,
}

enum State<M: Machine> {
    Loading(M),
    Active(Active<M>),
    Resigned,
}

struct Active<M: Machine> {
    machine: M,
    /// Appends that are not committed, oldest first.
    pending: VecDeque<Pending<M>>,
}

/// An append that is not known to be committed with all before it, and the answers that wait for that.
struct Pending<M: Machine> {
    id: AppendId,
    /// It is, but an older one is not.
    committed: bool,
    replies: Vec<(M::Waiter, M::Response)>,
}

impl<M: Machine> Shard<M> {
    /// A shard that begins to load into an empty machine. `first_append` is what [`Shard::next_append`] said of its last life.
    pub fn loading(machine: M, first_append: AppendId) -> Self {
        Self { state: State::Loading(machine), next_append: first_append }
    }

    /// A shard that is not in charge.
    pub fn resigned(first_append: AppendId) -> Self {
        Self { state: State::Resigned, next_append: first_append }
    }

    /// The number of its next append.
    pub fn next_append(&self) -> AppendId {
        self.next_append
    }

    /// True once it answers.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// True once it is not in charge.
    pub fn is_resigned(&self) -> bool {
        matches!(self.state, State::Resigned)
    }

    /// The machine of an active shard, for what may be looked at from outside: it holds what is not committed yet, too.
    pub fn machine(&self) -> Option<&M> {
        match &self.state {
            State::Active(active) => Some(&active.machine),
            State::Loading(_) | State::Resigned => None,
        }
    }

    /// When the next [`Event::Tick`] is due; [`Monotonic::NEVER`] if nothing waits for one.
    pub fn next_deadline(&self) -> Monotonic {
        self.machine().and_then(M::next_deadline).unwrap_or(Monotonic::NEVER)
    }

    /// Takes one event and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event<M>, image: &Image, now: Now, effects: &mut Vec<Effect<M>>) {
        match (&mut self.state, event) {
            (State::Active(active), Event::Request { waiter, request }) => {
                if active.pending.len() >= MAX_PENDING {
                    effects.push(Effect::Reply { waiter, outcome: Err(ShardError::Busy) });
                    return;
                }
                let step = active.machine.handle(waiter, request, image, now);
                active.take(step, &mut self.next_append, now, effects);
            }
            (State::Active(active), Event::Tick) => {
                let step = active.machine.tick(image, now);
                active.take(step, &mut self.next_append, now, effects);
            }
            (State::Active(active), Event::Committed(id)) => active.committed(id, effects),
            (State::Active(active), Event::Failed(id)) if active.waits_for(id) => self.resign(effects),
            (State::Loading(machine), Event::Replayed(records)) => {
                records.iter().for_each(|record| machine.apply(record, now));
            }
            (State::Loading(_), Event::Loaded) => self.activate(image, now),
            (State::Loading(_), Event::Request { waiter, .. }) => {
                effects.push(Effect::Reply { waiter, outcome: Err(ShardError::LoadInProgress) });
            }
            (State::Resigned, Event::Request { waiter, .. }) => {
                effects.push(Effect::Reply { waiter, outcome: Err(ShardError::NotCoordinator) });
            }
            (_, Event::Resign) => self.resign(effects),
            (
                _,
                Event::Replayed(_) | Event::Loaded | Event::Committed(_) | Event::Failed(_) | Event::Tick,
            ) => {}
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Panics if the appends that wait are out of order: a defect of ours, never bad input.
    pub fn check_invariants(&self) {
        let State::Active(active) = &self.state else { return };
        assert!(active.pending.iter().is_sorted_by(|a, b| a.id < b.id), "appends wait out of order");
        assert!(active.pending.back().is_none_or(|last| last.id < self.next_append), "an append not made");
    }

    fn activate(&mut self, image: &Image, now: Now) {
        if let State::Loading(mut machine) = std::mem::replace(&mut self.state, State::Resigned) {
            machine.loaded(image, now);
            self.state = State::Active(Active { machine, pending: VecDeque::new() });
        }
    }

    /// Whoever waits is told so in the order of the decisions; those whom the machine keeps were not decided yet.
    fn resign(&mut self, effects: &mut Vec<Effect<M>>) {
        let (machine, pending) = match std::mem::replace(&mut self.state, State::Resigned) {
            State::Active(Active { machine, pending }) => (machine, pending),
            State::Loading(machine) => (machine, VecDeque::new()),
            State::Resigned => return,
        };
        let decided = pending.into_iter().flat_map(|append| append.replies).map(|(waiter, _)| waiter);
        let waiters = decided.chain(machine.dissolve());
        effects
            .extend(waiters.map(|waiter| Effect::Reply { waiter, outcome: Err(ShardError::NotCoordinator) }));
    }
}

impl<M: Machine> Active<M> {
    fn take(&mut self, step: Step<M>, next_append: &mut AppendId, now: Now, effects: &mut Vec<Effect<M>>) {
        let Step { records, replies } = step;
        if !records.is_empty() {
            records.iter().for_each(|record| self.machine.apply(record, now));
            let id = *next_append;
            *next_append = id.next();
            self.pending.push_back(Pending { id, committed: false, replies });
            effects.push(Effect::Append { id, records });
        } else if let Some(last) = self.pending.back_mut() {
            last.replies.extend(replies);
        } else {
            effects.extend(replies.into_iter().map(answer));
        }
    }

    fn committed(&mut self, id: AppendId, effects: &mut Vec<Effect<M>>) {
        if let Some(append) = self.pending.iter_mut().find(|append| append.id == id) {
            append.committed = true;
        }
        while let Some(append) = self.pending.pop_front_if(|append| append.committed) {
            effects.extend(append.replies.into_iter().map(answer));
        }
    }

    fn waits_for(&self, id: AppendId) -> bool {
        self.pending.iter().any(|append| append.id == id)
    }
}

impl<M: Machine> fmt::Debug for Shard<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, pending) = match &self.state {
            State::Loading(_) => ("loading", 0),
            State::Active(active) => ("active", active.pending.len()),
            State::Resigned => ("resigned", 0),
        };
        f.debug_struct("Shard").field("state", &state).field("pending", &pending).finish_non_exhaustive()
    }
}

fn answer<M: Machine>((waiter, response): (M::Waiter, M::Response)) -> Effect<M> {
    Effect::Reply { waiter, outcome: Ok(response) }
}

#[cfg(test)]
mod tests;
