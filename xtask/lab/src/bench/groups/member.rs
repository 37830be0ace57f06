//! Members of groups that cost a client nothing: one connection each, requests encoded ahead where they repeat.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use it::broker::Broker;
use it::cluster::coordinator;
use it::raw::{self, Connection};
use it::wait;
use ottla_record::Uuid;
use ottla_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use ottla_wire::messages::join_group_request::JoinGroupRequestProtocol;
use ottla_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use ottla_wire::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, ListGroupsRequest,
    SyncGroupRequest,
};
use ottla_wire::{ErrorCode, Message, Reader, Request, Writer, frame};

const COORDINATORS_WITHIN: Duration = Duration::from_secs(60);
/// Long enough for a group to be set up on a busy machine, within the broker's limits.
const SESSION_TIMEOUT_MS: i32 = 300_000;
/// JoinGroup without the round trip that asks for a member id first; the versions of the others that belong to it.
const JOIN: i16 = 3;
const SYNC: i16 = 2;
const HEARTBEAT: i16 = 3;
const CONSUMER: i16 = 1;
/// So many heartbeats take longer than the leader's join on its way.
const MAX_HEARTBEATS: usize = 10_000;

/// A request's whole frame.
pub(super) fn framed<R: Request>(request: &R, version: i16) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::new();
    frame::write_request(&mut writer, 7, Some("bench"), request, version)?;
    Ok(writer.into_parts().0.to_vec())
}

/// Sends a request.
pub(super) fn send<R: Request>(connection: &mut Connection, request: &R, version: i16) -> anyhow::Result<()> {
    Ok(connection.stream.write_all(&framed(request, version)?)?)
}

/// Reads the answer to the oldest request that has none.
pub(super) fn receive<R: Request>(connection: &mut Connection, version: i16) -> anyhow::Result<R::Response> {
    let mut reader = Reader::new(Bytes::from(connection.receive()?));
    frame::read_response_header(&mut reader, R::API, version)?;
    Ok(R::Response::decode(&mut reader, version)?)
}

/// Sends a request and reads its answer.
pub(super) fn ask<R: Request>(
    connection: &mut Connection,
    request: &R,
    version: i16,
) -> anyhow::Result<R::Response> {
    send(connection, request, version)?;
    receive::<R>(connection, version)
}

/// Lets the broker create the topic that groups live in, and waits until all its partitions are served.
pub(super) fn await_coordinators(broker: &Broker, topic: &str) -> anyhow::Result<()> {
    // Kafka creates it when it is asked for a coordinator, and at no other request.
    let address = broker.address();
    wait::until("a coordinator", COORDINATORS_WITHIN, || coordinator(&address, "first").map(Some))?;
    let mut connection = broker.connect();
    connection.committed("first", topic, 1)?;
    wait::until("all coordinators", COORDINATORS_WITHIN, || {
        let listed = ask(&mut connection, &ListGroupsRequest::default(), 4)?;
        Ok((!listed.error_code.is_error()).then_some(()))
    })
}

/// The id of a topic.
pub(super) fn topic_id(broker: &Broker, topic: &str) -> anyhow::Result<Uuid> {
    use ottla_wire::messages::MetadataRequest;
    use ottla_wire::messages::metadata_request::MetadataRequestTopic;
    let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
    let answer = ask(&mut broker.connect(), &request, 12)?;
    Ok(answer.topics.first().context("one topic")?.topic_id)
}

/// A member of a group of the classic protocol.
#[derive(Debug)]
pub(super) struct ClassicMember {
    pub(super) connection: Connection,
    group: String,
    subscription: Bytes,
    id: String,
    generation: i32,
    pub(super) leads: bool,
}

impl ClassicMember {
    pub(super) fn new(broker: &Broker, group: &str, topic: &str) -> Self {
        // ConsumerProtocolSubscription 1: topics, user data, owned partitions.
        let subscription = raw::Writer::default().i16(1).i32(1).string(topic).i32(-1).i32(0).0;
        Self {
            connection: broker.connect(),
            group: group.to_owned(),
            subscription: subscription.into(),
            id: String::new(),
            generation: -1,
            leads: false,
        }
    }

    pub(super) fn send_join(&mut self) -> anyhow::Result<()> {
        let protocol =
            JoinGroupRequestProtocol { name: "range".to_owned(), metadata: self.subscription.clone() };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: SESSION_TIMEOUT_MS,
            member_id: self.id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        send(&mut self.connection, &request, JOIN)
    }

    /// Reads the answer and asks for the assignment at once, as a client does; the leader gives each member one partition.
    pub(super) fn joined_then_send_sync(&mut self, topic: &str) -> anyhow::Result<i32> {
        let joined = receive::<JoinGroupRequest>(&mut self.connection, JOIN)?;
        ensure!(joined.error_code == ErrorCode::NONE, "joining {}: {}", self.group, joined.error_code);
        self.leads = joined.leader == joined.member_id;
        let assignments = if self.leads { assignments(&joined, topic) } else { vec![] };
        self.id = joined.member_id;
        self.generation = joined.generation_id;
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            assignments,
            ..Default::default()
        };
        send(&mut self.connection, &request, SYNC)?;
        Ok(self.generation)
    }

    pub(super) fn synced(&mut self) -> anyhow::Result<()> {
        let synced = receive::<SyncGroupRequest>(&mut self.connection, SYNC)?;
        ensure!(synced.error_code == ErrorCode::NONE, "syncing {}: {}", self.group, synced.error_code);
        ensure!(!synced.assignment.is_empty(), "{} has nothing", self.id);
        Ok(())
    }

    /// Waits until its heartbeats are answered with the order to join again.
    pub(super) fn await_rebalance(&mut self) -> anyhow::Result<()> {
        let beat = self.beat();
        for _ in 0..MAX_HEARTBEATS {
            let answer = ask(&mut self.connection, &beat, HEARTBEAT)?;
            if answer.error_code == ErrorCode::REBALANCE_IN_PROGRESS {
                return Ok(());
            }
            ensure!(answer.error_code == ErrorCode::NONE, "a heartbeat: {}", answer.error_code);
        }
        bail!("{} has not begun to rebalance", self.group)
    }

    /// Its heartbeat, over and over the same.
    pub(super) fn heartbeat(&self) -> anyhow::Result<Vec<u8>> {
        framed(&self.beat(), HEARTBEAT)
    }

    fn beat(&self) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: None,
        }
    }
}

fn assignments(joined: &JoinGroupResponse, topic: &str) -> Vec<SyncGroupRequestAssignment> {
    let one =
        |(index, member): (usize, &ottla_wire::messages::join_group_response::JoinGroupResponseMember)| {
            // ConsumerProtocolAssignment 0: partitions by topic, user data.
            let owned = raw::Writer::default().i16(0).i32(1).string(topic).i32(1).i32(index as i32).i32(-1).0;
            SyncGroupRequestAssignment { member_id: member.member_id.clone(), assignment: owned.into() }
        };
    joined.members.iter().enumerate().map(one).collect()
}

/// A member of a group of the consumer protocol.
#[derive(Debug)]
pub(super) struct ConsumerMember {
    pub(super) connection: Connection,
    group: String,
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl ConsumerMember {
    pub(super) fn new(broker: &Broker, group: &str, id: &str) -> Self {
        Self {
            connection: broker.connect(),
            group: group.to_owned(),
            id: id.to_owned(),
            epoch: 0,
            owned: Vec::new(),
        }
    }

    pub(super) fn send_join(&mut self, topic: &str) -> anyhow::Result<()> {
        self.epoch = 0;
        self.owned.clear();
        let request = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: SESSION_TIMEOUT_MS,
            subscribed_topic_names: Some(vec![topic.to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..self.request(0)
        };
        send(&mut self.connection, &request, CONSUMER)
    }

    /// A heartbeat that says what it owns, as after a change.
    pub(super) fn send_owned(&mut self) -> anyhow::Result<()> {
        let request = ConsumerGroupHeartbeatRequest {
            topic_partitions: Some(self.owned.clone()),
            ..self.request(self.epoch)
        };
        send(&mut self.connection, &request, CONSUMER)
    }

    pub(super) fn leave(&mut self) -> anyhow::Result<()> {
        let request = self.request(-1);
        send(&mut self.connection, &request, CONSUMER)?;
        let left = receive::<ConsumerGroupHeartbeatRequest>(&mut self.connection, CONSUMER)?;
        ensure!(left.error_code == ErrorCode::NONE, "leaving {}: {}", self.group, left.error_code);
        Ok(())
    }

    /// Reads an answer, and takes and gives up partitions at once.
    pub(super) fn heard(&mut self) -> anyhow::Result<()> {
        let heard = receive::<ConsumerGroupHeartbeatRequest>(&mut self.connection, CONSUMER)?;
        ensure!(
            heard.error_code == ErrorCode::NONE,
            "a heartbeat of {}: {} {:?}",
            self.group,
            heard.error_code,
            heard.error_message
        );
        self.epoch = heard.member_epoch;
        if let Some(assignment) = heard.assignment {
            let to_owned =
                |part: ottla_wire::messages::consumer_group_heartbeat_response::TopicPartitions| {
                    TopicPartitions { topic_id: part.topic_id, partitions: part.partitions }
                };
            self.owned = assignment.topic_partitions.into_iter().map(to_owned).collect();
        }
        Ok(())
    }

    /// Its heartbeat while nothing changes, over and over the same.
    pub(super) fn heartbeat(&self) -> anyhow::Result<Vec<u8>> {
        framed(&self.request(self.epoch), CONSUMER)
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            ..Default::default()
        }
    }
}

/// Whether the members of a group are at one epoch, and own each of its partitions once and the same share of them.
pub(super) fn is_settled<'a>(
    members: impl IntoIterator<Item = &'a ConsumerMember>,
    topic: Uuid,
    partitions: i32,
) -> bool {
    let (mut epochs, mut owned, mut shares) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for member in members {
        let own = member.owned.iter().filter(|part| part.topic_id == topic).flat_map(|part| &part.partitions);
        epochs.insert(member.epoch);
        shares.push(own.clone().count());
        owned.extend(own.copied());
    }
    let (least, most) = (shares.iter().min().copied(), shares.iter().max().copied());
    epochs.len() == 1
        && shares.iter().sum::<usize>() == owned.len()
        && owned == (0..partitions).collect()
        && least.zip(most).is_some_and(|(least, most)| most - least <= 1)
}

/// One heartbeat round of many members: all are sent, then all answers are read.
pub(super) fn round<'a>(members: impl IntoIterator<Item = &'a mut ConsumerMember>) -> anyhow::Result<()> {
    let mut asked = Vec::new();
    for member in members {
        member.send_owned()?;
        asked.push(member);
    }
    asked.into_iter().try_for_each(ConsumerMember::heard)
}
