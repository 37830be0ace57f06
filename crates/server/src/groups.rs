//! The service `Groups`: joining a group, and looking after groups.

mod assignment;
mod describe;
mod lags;
mod offsets;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_node::CoordinatorKey;
use ottla_node::coordination::group::request::{Delete, List};
use ottla_node::coordination::group::response::{GroupType, Listed};
use ottla_node::coordination::group::{GroupError, GroupId, Request as Asked, Response as Answered};
use ottla_node::record::BrokerId;
use ottla_rpc::v1::groups_client::GroupsClient;
use ottla_rpc::v1::groups_server::Groups;
use ottla_rpc::{KafkaError, v1};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::calls::Method;
use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::peers::{self, Way};
use crate::subscribe::{SubscribeAnswers, subscribe};

#[derive(Clone)]
pub(crate) struct GroupsService {
    front: Arc<Front>,
}

impl GroupsService {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front) }
    }
}

#[tonic::async_trait]
impl Groups for GroupsService {
    type SubscribeStream = SubscribeAnswers;

    async fn subscribe(
        &self,
        request: Request<Streaming<v1::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let client = match peers::client_of(request.metadata()) {
            Some(client) => client.to_owned(),
            None => peer.map_or_else(|| "/".to_owned(), |peer| format!("/{}", peer.address.ip())),
        };
        let handed_on = peers::is_handed_on(request.metadata());
        Ok(Response::new(subscribe(&self.front, client, handed_on, request.into_inner()).await?))
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        // Each broker knows the groups that it coordinates.
        let handed_on = peers::is_handed_on(request.metadata());
        let deadline = Deadline::of(&request);
        let request = request.into_inner();
        let elsewhere =
            if handed_on { Vec::new() } else { others_groups(&self.front, &request, deadline).await? };
        let Answered::List(listed) =
            ask(&self.front, Asked::List(List { states: request.states, types: Vec::new() })).await?
        else {
            return Err(errors::mismatch().into());
        };
        let here = listed.into_iter().map(|listed| {
            let Listed { group, protocol_type, state, group_type } = listed;
            v1::GroupListing {
                group: group.as_str().to_owned(),
                r#type: kind(group_type).into(),
                state: state.as_str().to_owned(),
                protocol_type: protocol_type.to_string(),
            }
        });
        // A group whose coordinator has just changed may be listed by both.
        let groups: BTreeMap<_, _> =
            elsewhere.into_iter().chain(here).map(|listing| (listing.group.clone(), listing)).collect();
        Ok(Response::new(v1::ListGroupsResponse { groups: groups.into_values().collect() }))
    }

    async fn describe_group(
        &self,
        request: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        if let Some(way) = elsewhere(&self.front, &request, &request.get_ref().group).await? {
            let (request, mut stub) = handed_on(request, way);
            return stub.describe_group(request).await;
        }
        let group = group_id(&request.into_inner().group)?;
        Ok(Response::new(describe::describe(&self.front, group).await?))
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        if let Some(way) = elsewhere(&self.front, &request, &request.get_ref().group).await? {
            let (request, mut stub) = handed_on(request, way);
            return stub.delete_group(request).await;
        }
        let group = group_id(&request.into_inner().group)?;
        let Answered::Delete(deleted) =
            ask(&self.front, Asked::Delete(Delete { groups: vec![group.clone()] })).await?
        else {
            return Err(errors::mismatch().into());
        };
        match deleted.into_iter().next() {
            Some((_, Ok(()))) => Ok(Response::new(v1::DeleteGroupResponse {})),
            Some((_, Err(error))) => Err(refusal(&group, &error).into()),
            None => Err(errors::mismatch().into()),
        }
    }

    async fn reset_offsets(
        &self,
        request: Request<v1::ResetOffsetsRequest>,
    ) -> Result<Response<v1::ResetOffsetsResponse>, Status> {
        if let Some(way) = elsewhere(&self.front, &request, &request.get_ref().group).await? {
            let (request, mut stub) = handed_on(request, way);
            return stub.reset_offsets(request).await;
        }
        let method = Method::of(&request);
        Ok(Response::new(offsets::reset(&self.front, &method, request.into_inner()).await?))
    }

    async fn delete_offsets(
        &self,
        request: Request<v1::DeleteOffsetsRequest>,
    ) -> Result<Response<v1::DeleteOffsetsResponse>, Status> {
        if let Some(way) = elsewhere(&self.front, &request, &request.get_ref().group).await? {
            let (request, mut stub) = handed_on(request, way);
            return stub.delete_offsets(request).await;
        }
        let method = Method::of(&request);
        Ok(Response::new(offsets::delete(&self.front, &method, request.into_inner()).await?))
    }
}

/// The way to the coordinator of a group, if that is another broker.
async fn elsewhere<T>(front: &Front, request: &Request<T>, group: &str) -> Result<Option<Way>, Failure> {
    if peers::is_handed_on(request.metadata()) {
        return Ok(None);
    }
    way_to_coordinator(front, group).await
}

/// The same, of a request that comes from a client.
pub(crate) async fn way_to_coordinator(front: &Front, group: &str) -> Result<Option<Way>, Failure> {
    let coordinator = front.node.coordinator(CoordinatorKey::Group(group)).await;
    match coordinator.map_err(|error| errors::coordinator(&error))? {
        own if own == front.node.id() => Ok(None),
        other => front.peers.way(&front.node.image(), other).map(Some),
    }
}

/// A request and the stub of the broker that it is handed on to.
fn handed_on<T>(request: Request<T>, way: Way) -> (Request<T>, GroupsClient<Channel>) {
    let deadline = Deadline::of(&request);
    let stub = GroupsClient::new(way.channel.clone()).max_decoding_message_size(usize::MAX);
    (peers::hand_on(request.into_inner(), None, deadline), stub)
}

/// What the other brokers coordinate. One that cannot be asked makes the list a wrong one, and so there is none.
async fn others_groups(
    front: &Arc<Front>,
    request: &v1::ListGroupsRequest,
    deadline: Deadline,
) -> Result<Vec<v1::GroupListing>, Status> {
    let image = front.node.image();
    let others: Vec<BrokerId> = image
        .brokers()
        .filter(|broker| broker.id != front.node.id() && broker.is_active())
        .map(|broker| broker.id)
        .collect();
    let mut asking = JoinSet::new();
    for broker in others {
        let way = front.peers.way(&image, broker)?;
        let (request, mut stub) =
            (peers::hand_on(request.clone(), None, deadline), GroupsClient::new(way.channel.clone()));
        asking.spawn(async move {
            let listed = stub.list_groups(request).await;
            listed.map(|listed| listed.into_inner().groups).map_err(|status| peers::refused(broker, &status))
        });
    }
    let mut listed = Vec::new();
    while let Some(one) = asking.join_next().await {
        listed.extend(one.map_err(|_| errors::mismatch())??);
    }
    Ok(listed)
}

async fn ask(front: &Front, request: Asked) -> Result<Answered, Failure> {
    front.node.group(request).await.map_err(|error| errors::coordinator(&error))
}

fn group_id(name: &str) -> Result<GroupId, Failure> {
    GroupId::from_wire(name)
        .ok_or_else(|| Failure::new(KafkaError::INVALID_GROUP_ID, "the group has no name"))
}

/// What a coordinator refuses, with the group's name in it.
fn refusal(group: &GroupId, error: &GroupError) -> Failure {
    let mut failure = errors::group(error);
    failure.message = format!("{group}: {}", failure.message);
    failure
}

fn kind(group_type: GroupType) -> v1::GroupType {
    match group_type {
        GroupType::Classic => v1::GroupType::Classic,
        GroupType::Consumer => v1::GroupType::Consumer,
    }
}
