//! The service `Groups`: joining a group, and looking after groups.

mod assignment;
mod describe;
mod offsets;

use std::sync::Arc;

use ottla_node::coordination::group::request::{Delete, List};
use ottla_node::coordination::group::response::{GroupType, Listed};
use ottla_node::coordination::group::{GroupError, GroupId, Request as Asked, Response as Answered};
use ottla_rpc::v1::groups_server::Groups;
use ottla_rpc::{KafkaError, v1};
use tonic::{Request, Response, Status, Streaming};

use crate::calls::Method;
use crate::connection::Peer;
use crate::errors::{self, Failure};
use crate::front::Front;
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
        Ok(Response::new(subscribe(&self.front, peer.as_ref(), request.into_inner()).await?))
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        let states = request.into_inner().states;
        let Answered::List(mut listed) =
            ask(&self.front, Asked::List(List { states, types: Vec::new() })).await?
        else {
            return Err(errors::mismatch().into());
        };
        listed.sort_by(|one, other| one.group.cmp(&other.group));
        let groups = listed.into_iter().map(|listed| {
            let Listed { group, protocol_type, state, group_type } = listed;
            v1::GroupListing {
                group: group.as_str().to_owned(),
                r#type: kind(group_type).into(),
                state: state.as_str().to_owned(),
                protocol_type: protocol_type.to_string(),
            }
        });
        Ok(Response::new(v1::ListGroupsResponse { groups: groups.collect() }))
    }

    async fn describe_group(
        &self,
        request: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        let group = group_id(&request.into_inner().group)?;
        Ok(Response::new(describe::describe(&self.front, group).await?))
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
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
        let method = Method::of(&request);
        Ok(Response::new(offsets::reset(&self.front, &method, request.into_inner()).await?))
    }

    async fn delete_offsets(
        &self,
        request: Request<v1::DeleteOffsetsRequest>,
    ) -> Result<Response<v1::DeleteOffsetsResponse>, Status> {
        let method = Method::of(&request);
        Ok(Response::new(offsets::delete(&self.front, &method, request.into_inner()).await?))
    }
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
