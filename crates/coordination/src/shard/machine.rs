//! What a coordinator's shard drives: a state machine whose durable state is the records of one partition.

use ottla_record::{Monotonic, Now};

use crate::metadata::Image;

/// One partition's worth of a coordinator: it decides records and answers, and is rebuilt from those records.
///
/// Durable state changes in [`apply`](Self::apply) alone, which is also what replays the log. [`handle`](Self::handle) and
/// [`tick`](Self::tick) decide records and may change *volatile* state: timers, waiters they keep, a rebalance under way.
/// If an append fails the whole machine is dissolved and loaded again, so volatile state never needs to be taken back.
pub trait Machine: Sized {
    /// Whoever waits for an answer; the machine only keeps it and hands it back.
    type Waiter;
    /// What can be asked.
    type Request;
    /// What is answered.
    type Response;
    /// What is written to the partition.
    type Record;

    /// Decides one request. The answer may come later, from another call: then the machine keeps the waiter.
    fn handle(&mut self, waiter: Self::Waiter, request: Self::Request, image: &Image, now: Now)
    -> Step<Self>;

    /// Makes one record true: at once after it was decided, and when the log is replayed. Idempotent for what
    /// [`handle`](Self::handle) or [`tick`](Self::tick) decided.
    fn apply(&mut self, record: &Self::Record, now: Now);

    /// The log has been replayed to its end: the sessions of members that came back start now.
    fn loaded(&mut self, image: &Image, now: Now);

    /// Decides what time or a new image brings: sessions and rebalances that ran out, offsets that expired, topics that
    /// were deleted or grew.
    fn tick(&mut self, image: &Image, now: Now) -> Step<Self>;

    /// When [`tick`](Self::tick) has something to do next; `None` if time alone changes nothing.
    fn next_deadline(&self) -> Option<Monotonic>;

    /// Everyone it still keeps waiting: this broker is no longer the coordinator.
    fn dissolve(self) -> Vec<Self::Waiter>;
}

/// What a machine decided: records, to be appended as one batch and applied at once, and answers, which wait until those
/// records are committed.
#[derive(Debug)]
#[must_use]
pub struct Step<M: Machine> {
    /// To be appended in this order, all or none.
    pub records: Vec<M::Record>,
    /// Who gets which answer.
    pub replies: Vec<(M::Waiter, M::Response)>,
}

impl<M: Machine> Step<M> {
    /// Nothing to write, nobody to answer.
    pub fn none() -> Self {
        Self { records: Vec::new(), replies: Vec::new() }
    }

    /// An answer that changes nothing.
    pub fn reply(waiter: M::Waiter, response: M::Response) -> Self {
        Self { records: Vec::new(), replies: vec![(waiter, response)] }
    }
}

impl<M: Machine> Default for Step<M> {
    fn default() -> Self {
        Self::none()
    }
}
