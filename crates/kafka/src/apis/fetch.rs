//! Fetch: ranges of files go into the holes of the answer; nothing is copied here.

mod answer;
mod near;
mod replica;
pub(crate) mod replica_session;

use std::sync::Arc;
use std::time::Duration;

use ottla_node::storage::ReadSlice;
use ottla_node::{FetchError, FetchItem, FetchOptions, FetchOutcomes, Fetched, Isolation};
use ottla_record::{BrokerId, LeaderEpoch, ProducerId};
use ottla_wire::messages::fetch_request::FetchRequest;
use ottla_wire::messages::fetch_response::{AbortedTransaction, FetchResponse, PartitionData};

use crate::apis::fetch::answer::Answer;
use crate::dispatch::Call;
use crate::errors;
use crate::fetch_session::{Fetch, SessionHandle, Told, Want};
use crate::leaders::Leaders;
use crate::outbox::Frame;
use crate::reply::{Refusal, Reply};

/// Longest time a fetch waits, whatever the client asks for: it keeps its connection's place all that time.
const MAX_WAIT: Duration = Duration::from_secs(300);

pub(crate) fn handle(mut call: Call) -> Result<Reply, Refusal> {
    let mut request = call.decode::<FetchRequest>()?;
    if let Some(replica) = replica::Replica::of(&request, call.version) {
        return Ok(replica::handle(call, request, replica));
    }
    let asking = Asking::new(&call, &request);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let rack = std::mem::take(&mut request.rack_id);
    let fetch = match call.front.sessions.resolve(request, call.version) {
        Ok(fetch) => fetch,
        Err(error) => {
            let response = FetchResponse { error_code: error, ..Default::default() };
            return Ok(Reply::Ready(call.answer(&response)?));
        }
    };
    let wants = fetch.wants();
    let node = &call.front.node;
    let near = near::replicas(&call, &rack, wants);
    // Who is sent elsewhere need not wait here.
    let outcomes = if max_wait.is_zero() || wants.is_empty() || near.is_some() {
        Some(node.fetch(asking.options, items(wants, near.as_deref())))
    } else {
        node.fetch_if_enough(asking.options, items(wants, None), asking.min_bytes)
    };
    if let Some(outcomes) = outcomes {
        return Ok(Reply::Ready(answer(&call, &fetch, outcomes, near.as_deref())?));
    }
    Ok(Reply::LongPoll(Box::pin(async move {
        let node = Arc::clone(&call.front.node);
        let deadline = node.clock().now().monotonic + max_wait;
        let items: Vec<FetchItem<'_>> = items(fetch.wants(), None).collect();
        let outcomes = node.fetch_wait(asking.options, &items, asking.min_bytes, deadline).await;
        answer(&call, &fetch, outcomes, None)
    })))
}

/// The request's bounds.
struct Asking {
    options: FetchOptions,
    min_bytes: usize,
}

impl Asking {
    fn new(call: &Call, request: &FetchRequest) -> Self {
        let max_bytes =
            usize::try_from(request.max_bytes).unwrap_or(0).min(call.front.limits.max_fetch_bytes);
        let isolation =
            if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        Self {
            // Whoever can be sent to a replica may come to one (KIP-392).
            options: FetchOptions { max_bytes, isolation, from_followers: call.version >= near::FROM },
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
        }
    }
}

impl Fetch {
    fn wants(&self) -> &[Want] {
        match self {
            Self::Full { wants, .. } | Self::Incremental { wants, .. } => wants,
        }
    }

    fn session(&self) -> Option<&Arc<SessionHandle>> {
        match self {
            Self::Full { session, .. } => session.as_ref(),
            Self::Incremental { session, .. } => Some(session),
        }
    }
}

/// What is to be read: of partitions whose reader is sent to another replica, nothing.
fn items<'a>(
    wants: &'a [Want],
    near: Option<&'a [Option<BrokerId>]>,
) -> impl Iterator<Item = FetchItem<'a>> + Clone {
    wants.iter().enumerate().map(move |(at, want)| FetchItem {
        topic: want.topic.key(),
        partition: want.partition,
        offset: want.offset,
        max_bytes: usize::try_from(want.max_bytes).unwrap_or(0),
        current_leader_epoch: LeaderEpoch::from_wire(want.current_leader_epoch),
        is_read: sent_to(near, at).is_none(),
    })
}

/// The replica that a reader of the partition at this place is sent to.
fn sent_to(near: Option<&[Option<BrokerId>]>, at: usize) -> Option<BrokerId> {
    near.and_then(|near| near.get(at).copied()).flatten()
}

fn answer(
    call: &Call,
    fetch: &Fetch,
    outcomes: FetchOutcomes,
    near: Option<&[Option<BrokerId>]>,
) -> Result<Frame, Refusal> {
    let mut answer = Answer::default();
    let mut leaders = None;
    let mut tellings = Vec::with_capacity(outcomes.len());
    let mut answered = Vec::with_capacity(outcomes.len());
    for (at, (want, outcome)) in fetch.wants().iter().zip(outcomes).enumerate() {
        let (mut data, slice) = partition(want.partition, outcome);
        let sent_to = sent_to(near, at);
        if let Some(replica) = sent_to.filter(|_| !data.error_code.is_error()) {
            data.preferred_read_replica = replica.get();
        }
        if answer::wants_leader(call, data.error_code) {
            let leaders = leaders.get_or_insert_with(|| Leaders::new(&call.front));
            answer::note_leader(leaders, &mut data, want.topic.key());
        }
        let told = Told { high_watermark: data.high_watermark, log_start: data.log_start_offset };
        let must = slice.is_some() || data.error_code.is_error() || sent_to.is_some();
        tellings.push((want.clone(), told, must));
        answered.push((want, data, slice));
    }
    let new = fetch.session().map(|session| {
        answer.response.session_id = session.id;
        session.tell(&tellings)
    });
    let incremental = matches!(fetch, Fetch::Incremental { .. });
    for (at, (want, data, slice)) in answered.into_iter().enumerate() {
        let is_new = new.as_ref().and_then(|new| new.get(at).copied()).unwrap_or(true);
        if !incremental || is_new {
            answer.push(&want.topic, data, slice);
        }
    }
    answer.response.node_endpoints = leaders.map(Leaders::into_fetch_endpoints).unwrap_or_default();
    answer.encode(call)
}

fn partition(index: i32, outcome: Result<Fetched, FetchError>) -> (PartitionData, Option<ReadSlice>) {
    let empty = answer::nothing(index);
    match outcome {
        Ok(fetched) => {
            let aborted = fetched.aborted.iter().map(|aborted| AbortedTransaction {
                producer_id: ProducerId::to_wire(Some(aborted.producer)),
                first_offset: aborted.first_offset.get(),
            });
            let data = PartitionData {
                high_watermark: fetched.high_watermark.get(),
                last_stable_offset: fetched.last_stable.get(),
                log_start_offset: fetched.log_start.get(),
                aborted_transactions: (!fetched.aborted.is_empty()).then(|| aborted.collect()),
                ..empty
            };
            (data, fetched.slice)
        }
        Err(error) => {
            let mut data = PartitionData { error_code: errors::fetch(error), ..empty };
            if let FetchError::OffsetOutOfRange { log_start, high_watermark } = error {
                data.log_start_offset = log_start.get();
                data.high_watermark = high_watermark.get();
            }
            (data, None)
        }
    }
}
