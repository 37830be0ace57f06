//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the classic protocol of groups.

use std::sync::Arc;

use ottla_node::CoordinatorError;
use ottla_node::coordination::group::request::{Heartbeat, Join, Leave, Leaver, Protocol, Sync};
use ottla_node::coordination::group::response::{Joined, Left, Synced};
use ottla_node::coordination::group::{
    Generation, GroupError, GroupId, InstanceId, MemberId, Request, Response,
};
use ottla_record::Uuid;
use ottla_wire::ErrorCode;
use ottla_wire::messages::heartbeat_request::HeartbeatRequest;
use ottla_wire::messages::heartbeat_response::HeartbeatResponse;
use ottla_wire::messages::join_group_request::JoinGroupRequest;
use ottla_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_wire::messages::leave_group_request::LeaveGroupRequest;
use ottla_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use ottla_wire::messages::sync_group_request::SyncGroupRequest;
use ottla_wire::messages::sync_group_response::SyncGroupResponse;

use crate::apis::group::{client_facts, text};
use crate::dispatch::Call;
use crate::errors;

/// A new member learns its id before it joins (KIP-394); static members need none.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// The answer says which kind of group this is, and may lack a strategy (KIP-559).
const PROTOCOL_TYPE_FROM: i16 = 7;
/// A leader can be told to leave the assignment as it is (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;
/// The member says what it understood of the group's kind and strategy (KIP-559).
const SYNC_PROTOCOL_FROM: i16 = 5;
/// Several members leave at once (KIP-345).
const BATCHED_LEAVE_FROM: i16 = 3;

pub(crate) async fn join_group(call: Arc<Call>, request: JoinGroupRequest) -> JoinGroupResponse {
    let version = call.version;
    let asked_as = request.member_id.clone();
    let instance = request.group_instance_id.map(InstanceId::new);
    let member = MemberId::from_wire(&request.member_id);
    let join = Join {
        group: GroupId::new(request.group_id),
        fresh: if member.is_none() { call.front.node.random_uuid() } else { Uuid::ZERO },
        member,
        require_known_member: version >= MEMBER_ID_REQUIRED_FROM && instance.is_none(),
        instance,
        client: client_facts(&call),
        protocol_type: request.protocol_type.into(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol { name: protocol.name.into(), metadata: protocol.metadata })
            .collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms >= 0),
        can_skip_assignment: version >= SKIP_ASSIGNMENT_FROM,
        reason: request.reason.map(Into::into),
    };
    match call.front.node.group(Request::Join(join)).await {
        Ok(Response::Join(Ok(joined))) => joined_response(joined, version),
        Ok(Response::Join(Err(error))) => {
            let member = match &error {
                GroupError::MemberIdRequired { member } => member.to_string(),
                _ => asked_as,
            };
            join_refused(errors::group(&error), member, version)
        }
        Ok(_) => join_refused(ErrorCode::UNKNOWN_SERVER_ERROR, asked_as, version),
        Err(error) => join_refused(errors::coordinator(error), asked_as, version),
    }
}

fn joined_response(joined: Joined, version: i16) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.member.to_string(),
        group_instance_id: member.instance.map(|name| name.to_string()),
        metadata: member.metadata,
    });
    JoinGroupResponse {
        generation_id: joined.generation.get(),
        protocol_type: joined.protocol_type.as_deref().map(str::to_owned),
        protocol_name: protocol_name(joined.protocol_name.as_deref(), version),
        leader: joined.leader.to_string(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member.to_string(),
        members: members.collect(),
        ..Default::default()
    }
}

fn join_refused(error_code: ErrorCode, member_id: String, version: i16) -> JoinGroupResponse {
    let protocol_name = protocol_name(None, version);
    JoinGroupResponse { error_code, member_id, protocol_name, generation_id: -1, ..Default::default() }
}

/// Older versions have no way to say that there is none.
fn protocol_name(name: Option<&str>, version: i16) -> Option<String> {
    match name {
        None if version < PROTOCOL_TYPE_FROM => Some(String::new()),
        name => name.map(str::to_owned),
    }
}

pub(crate) async fn sync_group(call: Arc<Call>, request: SyncGroupRequest) -> SyncGroupResponse {
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= SYNC_PROTOCOL_FROM && !named {
        return sync_refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    let sync = Sync {
        group: GroupId::new(request.group_id),
        generation: Generation::new(request.generation_id),
        member: MemberId::new(request.member_id),
        instance: request.group_instance_id.map(InstanceId::new),
        protocol_type: request.protocol_type.map(Into::into),
        protocol_name: request.protocol_name.map(Into::into),
        assignments: request
            .assignments
            .into_iter()
            .map(|part| (MemberId::new(part.member_id), part.assignment))
            .collect(),
    };
    match call.front.node.group(Request::Sync(sync)).await {
        Ok(Response::Sync(Ok(Synced { protocol_type, protocol_name, assignment }))) => SyncGroupResponse {
            protocol_type: protocol_type.as_deref().map(str::to_owned),
            protocol_name: protocol_name.as_deref().map(str::to_owned),
            assignment,
            ..Default::default()
        },
        Ok(Response::Sync(Err(error))) => sync_refused(errors::group(&error)),
        Ok(_) => sync_refused(ErrorCode::UNKNOWN_SERVER_ERROR),
        // What was loading has forgotten the rebalance, and the member may as well begin another one.
        Err(CoordinatorError::LoadInProgress) => sync_refused(ErrorCode::REBALANCE_IN_PROGRESS),
        Err(error) => sync_refused(errors::coordinator(error)),
    }
}

fn sync_refused(error_code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code, ..Default::default() }
}

pub(crate) async fn heartbeat(call: Arc<Call>, request: HeartbeatRequest) -> HeartbeatResponse {
    let heartbeat = Heartbeat {
        group: GroupId::new(request.group_id),
        generation: Generation::new(request.generation_id),
        member: MemberId::new(request.member_id),
        instance: request.group_instance_id.map(InstanceId::new),
    };
    let error_code = match call.front.node.group(Request::Heartbeat(heartbeat)).await {
        Ok(Response::Heartbeat(Ok(()))) => ErrorCode::NONE,
        Ok(Response::Heartbeat(Err(error))) => errors::group(&error),
        Ok(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        // Its session begins anew when the group is loaded; until then it has nothing to do about it.
        Err(CoordinatorError::LoadInProgress) => ErrorCode::NONE,
        Err(error) => errors::coordinator(error),
    };
    HeartbeatResponse { error_code, ..Default::default() }
}

pub(crate) async fn leave_group(call: Arc<Call>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let batched = call.version >= BATCHED_LEAVE_FROM;
    let members = if batched {
        let members = request.members.into_iter().map(|member| Leaver {
            member: MemberId::from_wire(&member.member_id),
            instance: member.group_instance_id.map(InstanceId::new),
            reason: member.reason.map(Into::into),
        });
        members.collect()
    } else {
        vec![Leaver { member: MemberId::from_wire(&request.member_id), instance: None, reason: None }]
    };
    let leave = Leave { group: GroupId::new(request.group_id), members };
    let left = match call.front.node.group(Request::Leave(leave)).await {
        Ok(Response::Leave(Ok(left))) => left,
        Ok(Response::Leave(Err(error))) => return leave_refused(errors::group(&error)),
        Ok(_) => return leave_refused(ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(error) => return leave_refused(errors::coordinator(error)),
    };
    if !batched {
        let only = left.first().map_or(ErrorCode::NONE, |left| outcome(&left.result));
        return leave_refused(only);
    }
    let members = left.into_iter().map(|Left { member, instance, result }| MemberResponse {
        member_id: text(member.as_ref().map(MemberId::as_str)),
        group_instance_id: instance.map(|name| name.to_string()),
        error_code: outcome(&result),
    });
    LeaveGroupResponse { members: members.collect(), ..Default::default() }
}

fn leave_refused(error_code: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse { error_code, ..Default::default() }
}

fn outcome(result: &Result<(), GroupError>) -> ErrorCode {
    result.as_ref().map_or_else(errors::group, |()| ErrorCode::NONE)
}
