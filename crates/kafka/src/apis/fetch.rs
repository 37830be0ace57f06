//! Fetch: ranges of files go into the holes of the answer; nothing is copied here.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::storage::ReadSlice;
use ottla_node::{FetchError, FetchItem, FetchOptions, FetchOutcomes, Fetched, Isolation, TopicKey};
use ottla_record::Uuid;
use ottla_record::{LeaderEpoch, ProducerId};
use ottla_wire::frame::write_response;
use ottla_wire::messages::fetch_request::FetchRequest;
use ottla_wire::messages::fetch_response::{
    AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData,
};
use ottla_wire::{ErrorCode, Records, Writer};

use crate::dispatch::Call;
use crate::errors;
use crate::fetch_session::{Fetch, SessionHandle, Told, Topic, Want};
use crate::outbox::Frame;
use crate::reply::{Refusal, Reply};

/// Longest time a fetch waits, whatever the client asks for: it keeps its connection's place all that time.
const MAX_WAIT: Duration = Duration::from_secs(300);

pub(crate) fn handle(mut call: Call) -> Result<Reply, Refusal> {
    let request = call.decode::<FetchRequest>()?;
    let asking = Asking::new(&call, &request);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let fetch = match call.front.sessions.resolve(request, call.version) {
        Ok(fetch) => fetch,
        Err(error) => {
            let response = FetchResponse { error_code: error, ..Default::default() };
            return Ok(Reply::Ready(call.answer(&response)?));
        }
    };
    let wants = fetch.wants();
    let node = &call.front.node;
    let outcomes = if asking.as_replica {
        // Only a replica of the partition, with its registered epoch, may count as one (KIP-903).
        Some(wants.iter().map(|_| Err(FetchError::NotLeader)).collect())
    } else if max_wait.is_zero() || wants.is_empty() {
        Some(node.fetch(asking.options, items(wants)))
    } else {
        node.fetch_if_enough(asking.options, items(wants), asking.min_bytes)
    };
    if let Some(outcomes) = outcomes {
        return Ok(Reply::Ready(answer(&call, &fetch, outcomes)?));
    }
    Ok(Reply::LongPoll(Box::pin(async move {
        let node = Arc::clone(&call.front.node);
        let deadline = node.clock().now().monotonic + max_wait;
        let items: Vec<FetchItem<'_>> = items(fetch.wants()).collect();
        let outcomes = node.fetch_wait(asking.options, &items, asking.min_bytes, deadline).await;
        answer(&call, &fetch, outcomes)
    })))
}

/// The request's bounds.
struct Asking {
    options: FetchOptions,
    min_bytes: usize,
    as_replica: bool,
}

impl Asking {
    fn new(call: &Call, request: &FetchRequest) -> Self {
        let max_bytes =
            usize::try_from(request.max_bytes).unwrap_or(0).min(call.front.limits.max_fetch_bytes);
        let isolation =
            if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let replica = if call.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
        Self {
            options: FetchOptions { max_bytes, isolation },
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
            as_replica: replica >= 0,
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

fn items(wants: &[Want]) -> impl Iterator<Item = FetchItem<'_>> + Clone {
    wants.iter().map(|want| FetchItem {
        topic: match &want.topic {
            Topic::Name(name) => TopicKey::Name(name),
            Topic::Id(id) => TopicKey::Id(*id),
        },
        partition: want.partition,
        offset: want.offset,
        max_bytes: usize::try_from(want.max_bytes).unwrap_or(0),
        current_leader_epoch: LeaderEpoch::from_wire(want.current_leader_epoch),
    })
}

fn answer(call: &Call, fetch: &Fetch, outcomes: FetchOutcomes) -> Result<Frame, Refusal> {
    let mut response = FetchResponse::default();
    let mut ranges = Vec::new();
    let mut tellings = Vec::with_capacity(outcomes.len());
    let mut answered = Vec::with_capacity(outcomes.len());
    for (want, outcome) in fetch.wants().iter().zip(outcomes) {
        let (data, slice) = partition(want.partition, outcome);
        let told = Told { high_watermark: data.high_watermark, log_start: data.log_start_offset };
        tellings.push((want.clone(), told, slice.is_some() || data.error_code != ErrorCode::NONE));
        answered.push((want, data, slice));
    }
    let new = fetch.session().map(|session| {
        response.session_id = session.id;
        session.tell(&tellings)
    });
    let incremental = matches!(fetch, Fetch::Incremental { .. });
    for (at, (want, mut data, slice)) in answered.into_iter().enumerate() {
        let is_new = new.as_ref().and_then(|new| new.get(at).copied()).unwrap_or(true);
        if incremental && !is_new {
            continue;
        }
        if let Some(slice) = slice {
            let len = u32::try_from(slice.len).unwrap_or(u32::MAX);
            data.records = Some(Records::Hole { key: u32::try_from(ranges.len()).unwrap_or(u32::MAX), len });
            ranges.push(slice);
        }
        topic(&mut response, &want.topic).partitions.push(data);
    }
    let mut message = Writer::new();
    write_response(&mut message, call.api, call.version, call.correlation_id, &response)
        .map_err(Refusal::Unencodable)?;
    Ok(Frame { message, ranges })
}

/// The answer's entry of a topic: the last one, as long as the partitions of a topic follow each other.
fn topic<'a>(response: &'a mut FetchResponse, topic: &Topic) -> &'a mut FetchableTopicResponse {
    let (name, id) = match topic {
        Topic::Name(name) => (&**name, Uuid::ZERO),
        Topic::Id(id) => ("", id.0),
    };
    let is_last = response.responses.last().is_some_and(|last| last.topic == name && last.topic_id == id);
    if !is_last {
        let entry = FetchableTopicResponse { topic: name.to_owned(), topic_id: id, ..Default::default() };
        response.responses.push(entry);
    }
    let last = response.responses.len() - 1;
    #[allow(clippy::indexing_slicing, reason = "an entry was pushed if there was none")]
    &mut response.responses[last]
}

fn partition(index: i32, outcome: Result<Fetched, FetchError>) -> (PartitionData, Option<ReadSlice>) {
    let empty = PartitionData {
        partition_index: index,
        records: Some(Records::EMPTY),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        preferred_read_replica: -1,
        ..Default::default()
    };
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
