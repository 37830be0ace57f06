//! ListGroups, DescribeGroups, DeleteGroups: groups as an administrator sees them.

use std::sync::Arc;

use ottla_node::coordination::group::request::{Delete, Describe, List};
use ottla_node::coordination::group::response::{ClassicDescription, GroupState};
use ottla_node::coordination::group::{GroupError, GroupId, Request, Response};
use ottla_wire::ErrorCode;
use ottla_wire::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use ottla_wire::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_wire::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use ottla_wire::messages::list_groups_request::ListGroupsRequest;
use ottla_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use crate::authorized_operations;
use crate::dispatch::Call;
use crate::errors;

/// A group that is not there is an error (KIP-1043); before, it is a dead group.
const NOT_FOUND_FROM: i16 = 6;

pub(crate) async fn list_groups(call: Arc<Call>, request: ListGroupsRequest) -> ListGroupsResponse {
    let list = List { states: request.states_filter, types: request.types_filter };
    let groups = match call.front.node.group(Request::List(list)).await {
        Ok(Response::List(groups)) => groups,
        Ok(_) => {
            return ListGroupsResponse { error_code: ErrorCode::UNKNOWN_SERVER_ERROR, ..Default::default() };
        }
        Err(error) => {
            return ListGroupsResponse { error_code: errors::coordinator(error), ..Default::default() };
        }
    };
    let groups = groups.into_iter().map(|group| ListedGroup {
        group_id: group.group.to_string(),
        protocol_type: group.protocol_type.as_ref().to_owned(),
        group_state: group.state.as_str().to_owned(),
        group_type: group.group_type.as_str().to_owned(),
    });
    ListGroupsResponse { groups: groups.collect(), ..Default::default() }
}

pub(crate) async fn describe_groups(
    call: Arc<Call>,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let mut group = describe(&call, group_id).await;
        if request.include_authorized_operations {
            group.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(group);
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

async fn describe(call: &Call, group_id: String) -> DescribedGroup {
    let request = Describe { groups: vec![GroupId::new(group_id.as_str())] };
    let (error_code, error_message) = match call.front.node.group(Request::Describe(request)).await {
        Ok(Response::Describe(described)) => match described.into_iter().next() {
            Some((_, Ok(description))) => return described_group(group_id, description),
            Some((_, Err(GroupError::GroupIdNotFound(_)))) if call.version < NOT_FOUND_FROM => {
                (ErrorCode::NONE, None)
            }
            Some((_, Err(error))) => (errors::group(&error), Some(error.to_string())),
            None => (ErrorCode::UNKNOWN_SERVER_ERROR, None),
        },
        Ok(_) => (ErrorCode::UNKNOWN_SERVER_ERROR, None),
        Err(error) => (errors::coordinator(error), Some(error.to_string())),
    };
    // Only what is not there is dead.
    let is_gone = matches!(error_code, ErrorCode::NONE | ErrorCode::GROUP_ID_NOT_FOUND);
    let group_state = if is_gone { GroupState::Dead.as_str().to_owned() } else { String::new() };
    let error_message = error_message.filter(|_| call.version >= NOT_FOUND_FROM);
    DescribedGroup { error_code, error_message, group_id, group_state, ..Default::default() }
}

fn described_group(group_id: String, description: ClassicDescription) -> DescribedGroup {
    let members = description.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.member.to_string(),
        group_instance_id: member.instance.map(|name| name.to_string()),
        client_id: member.client_id.as_ref().to_owned(),
        client_host: member.client_host.as_ref().to_owned(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        group_id,
        group_state: description.state.as_str().to_owned(),
        protocol_type: description.protocol_type.as_ref().to_owned(),
        protocol_data: description.protocol.as_deref().unwrap_or_default().to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

pub(crate) async fn delete_groups(call: Arc<Call>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let delete = Delete { groups: vec![GroupId::new(group_id.as_str())] };
        let error_code = match call.front.node.group(Request::Delete(delete)).await {
            Ok(Response::Delete(deleted)) => match deleted.into_iter().next() {
                Some((_, Ok(()))) => ErrorCode::NONE,
                Some((_, Err(error))) => errors::group(&error),
                None => ErrorCode::UNKNOWN_SERVER_ERROR,
            },
            Ok(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
            Err(error) => errors::coordinator(error),
        };
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..Default::default() }
}
