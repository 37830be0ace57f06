//! Subscribe: one stream is one member of a consumer-protocol group.
//!
//! | module | what it holds |
//! |---|---|
//! | `member` | the member's logic (pure) |
//! | `session` | the task that carries it out: the client's requests, the coordinator's answers, records, time |
//! | `streams` | which stream plays a member: the newest |
//! | `coordinator` | what the member asks of the node's coordinators, and in what words |
//!
//! A member needs a task of its own: it must go on while the client takes nothing, when HTTP/2 polls no body.

mod coordinator;
mod member;
mod session;
mod streams;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::FetchOptions;
use ottla_node::coordination::group::request::ClientFacts;
use ottla_node::coordination::group::{GroupId, InstanceId, MemberId};
use ottla_rpc::v1::groups_client::GroupsClient;
use ottla_rpc::{KafkaError, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

use crate::deadline::Deadline;
use crate::errors::{self, Failure, invalid};
use crate::fetch::{format, message_bytes};
use crate::front::Front;
use crate::groups::way_to_coordinator;
use crate::peers::{self, Way};
use crate::positions;
use crate::subscribe::coordinator::Coordinator;
use crate::subscribe::member::Plan;
use crate::subscribe::session::Session;

pub(crate) use crate::subscribe::streams::Streams;

/// Messages that lie ready for a client that has not taken them yet.
const READY_MESSAGES: usize = 1;
/// Kafka's max.poll.interval.ms, which its consumers send as their rebalance timeout.
const DEFAULT_REBALANCE_TIMEOUT_MS: i32 = 300_000;
/// What a member calls itself that does not say.
const DEFAULT_CLIENT_ID: &str = "ottla";
/// Bytes of the id that a member had before. Those that are given out have 36.
const MAX_MEMBER_ID: usize = 256;
/// Topics of one subscription.
const MAX_TOPICS: usize = 10_000;

/// The events of one Subscribe.
pub(crate) type SubscribeAnswers = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

/// Joins as the stream's first request says. If another broker coordinates the group the whole stream goes there: what ends
/// here ends there too, so that losing it is leaving the group.
pub(crate) async fn subscribe(
    front: &Arc<Front>,
    client: String,
    is_handed_on: bool,
    mut requests: Streaming<v1::SubscribeRequest>,
) -> Result<SubscribeAnswers, Status> {
    let first = requests.message().await.map_err(|status| {
        let status = errors::clarify_status(status, front.limits.max_request_bytes);
        invalid(status.message())
    })?;
    let join = match first.and_then(|first| first.request) {
        Some(v1::subscribe_request::Request::Join(join)) => join,
        _ => return Err(invalid("the first request of the stream is a `join`").into()),
    };
    if !is_handed_on
        && !join.group.is_empty()
        && let Some(way) = way_to_coordinator(front, &join.group).await?
    {
        return hand_on(way, &client, join, requests).await;
    }
    let options = FetchOptions {
        max_bytes: message_bytes(join.max_message_bytes)?.min(front.limits.max_fetch_bytes),
        isolation: positions::isolation(join.isolation)?,
        from_followers: false,
    };
    let format = format(join.format)?;
    let plan = plan(&join)?;
    let coordinator = coordinator(front, client, join, &plan)?;
    let (sender, receiver) = mpsc::channel(READY_MESSAGES);
    let session = Session::new(front, coordinator, plan, format, options, sender);
    tokio::spawn(session.run(requests));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// Passes requests and events between the client and the broker that coordinates its group.
async fn hand_on(
    way: Way,
    client: &str,
    join: v1::JoinGroup,
    requests: Streaming<v1::SubscribeRequest>,
) -> Result<SubscribeAnswers, Status> {
    let join = v1::SubscribeRequest { request: Some(v1::subscribe_request::Request::Join(join)) };
    // A client that broke off is one that has gone.
    let rest = requests.take_while(Result::is_ok).filter_map(Result::ok);
    let requests = tokio_stream::once(join).chain(rest);
    let mut stub = GroupsClient::new(way.channel.clone())
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let answered = stub.subscribe(peers::hand_on(requests, Some(client), Deadline::none())).await;
    let events = answered.map_err(|status| peers::refused(way.broker, &status))?.into_inner();
    let events = events.map(move |event| event.map_err(|status| peers::refused(way.broker, &status).into()));
    Ok(Box::pin(events))
}

fn plan(join: &v1::JoinGroup) -> Result<Plan, Failure> {
    let timeout_ms = join.rebalance_timeout_ms.unwrap_or(DEFAULT_REBALANCE_TIMEOUT_MS);
    let rebalance_timeout = match u64::try_from(timeout_ms) {
        Ok(millis) if millis > 0 => Duration::from_millis(millis),
        _ => return Err(invalid(format!("rebalance_timeout_ms {timeout_ms} is not positive"))),
    };
    positions::check(join.start.as_ref())?;
    if let Some(v1::position::At::Offset(_)) = join.start.and_then(|start| start.at) {
        return Err(invalid(
            "`start` is for all partitions, so it is a landmark or a time; `seek` goes to an offset",
        ));
    }
    Ok(Plan { rebalance_timeout, start: join.start, credit: join.credit_bytes })
}

fn coordinator(
    front: &Arc<Front>,
    client: String,
    join: v1::JoinGroup,
    plan: &Plan,
) -> Result<Coordinator, Failure> {
    let group = GroupId::from_wire(&join.group)
        .ok_or_else(|| Failure::new(KafkaError::INVALID_GROUP_ID, "the group has no name"))?;
    if join.topics.is_empty() && join.topic_regex.is_empty() {
        return Err(invalid("there is nothing to subscribe to: neither `topics` nor `topic_regex`"));
    }
    if join.topics.len() > MAX_TOPICS {
        return Err(invalid(format!(
            "one member subscribes to {MAX_TOPICS} topics at most; `topic_regex` names more"
        )));
    }
    if join.member_id.len() > MAX_MEMBER_ID {
        return Err(invalid(format!("a `member_id` has {MAX_MEMBER_ID} bytes at most")));
    }
    let named = |text: String| (!text.is_empty()).then(|| Arc::from(text));
    let fresh = front.node.random_uuid();
    let instance = InstanceId::from_wire(&join.instance_id);
    let former = (!join.member_id.is_empty()).then(|| MemberId::new(join.member_id));
    let (member, predecessor) = match former {
        Some(former) if instance.is_none() => (former, None),
        // Who has a name is known by it, once its predecessor lets go of it.
        former => (MemberId::new(fresh.to_string()), former),
    };
    Ok(Coordinator {
        front: Arc::clone(front),
        group,
        member,
        predecessor,
        instance,
        client: ClientFacts {
            client_id: named(join.client_id).unwrap_or_else(|| DEFAULT_CLIENT_ID.into()),
            host: client.into(),
        },
        rack: named(join.rack),
        rebalance_timeout_ms: i32::try_from(plan.rebalance_timeout.as_millis()).unwrap_or(i32::MAX),
        topics: join.topics.into_iter().map(Arc::from).collect(),
        regex: named(join.topic_regex),
        assignor: named(join.assignor),
        start: plan.start,
        fresh,
    })
}
