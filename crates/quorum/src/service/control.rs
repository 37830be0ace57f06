//! Control's calls: who a node is, joining, proposals, heartbeats.

use std::time::Duration;

use ottla_coordination::metadata::Command;
use ottla_coordination::metadata::liveness::{Event, Heartbeat};
use ottla_coordination::metadata::voters::VoterChange;
use ottla_record::BrokerEpoch;
use ottla_rpc::control::v1;
use ottla_rpc::control::v1::control_server::Control;
use ottla_rpc::control::v1::{
    change_voter_response, describe_quorum_response, join_response, propose_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Node, Running};
use crate::error::{MembershipError, ProposeError};
use crate::joining;
use crate::member::leads;
use crate::quorum::MAX_COMMAND_BYTES;
use crate::voters;

/// Answers to heartbeats that wait for their broker. One that does not read them has its stream ended.
const MAX_ANSWERS: usize = 16;
/// How long a stream may bring nothing. Longer than any session: the machine decides about those.
const SILENCE: Duration = Duration::from_secs(60);

/// The Control service of one node.
pub(crate) struct ControlService(pub(super) Node);

#[tonic::async_trait]
impl Control for ControlService {
    type HeartbeatStream = ReceiverStream<Result<v1::HeartbeatResponse, Status>>;

    async fn describe(
        &self,
        _request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(self.0.describe()))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let v1::JoinRequest { envelope, address, wants_to_vote } = request.into_inner();
        let (running, call) = self.0.admit(envelope)?;
        // Who takes part in the votes is decided by what the voters were told, not by whoever comes along.
        let may_vote = wants_to_vote && self.0.listed.contains(&call.from.node);
        let wish = joining::Wish { party: call.from, address, votes: may_vote };
        let outcome = match joining::admit(&running.core, wish).await {
            joining::Outcome::Member(member) => join_response::Outcome::Member(member),
            joining::Outcome::NotLeader(leader) => join_response::Outcome::NotLeader(not_leader(leader)),
            joining::Outcome::Later(why) => join_response::Outcome::Later(why),
        };
        Ok(Response::new(v1::JoinResponse { outcome: Some(outcome) }))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let v1::ProposeRequest { envelope, command } = request.into_inner();
        let (running, _) = self.0.admit(envelope)?;
        if command.len() > MAX_COMMAND_BYTES {
            return Err(Status::invalid_argument("field command is too large"));
        }
        let command: Command = serde_json::from_slice(&command)
            .map_err(|e| Status::invalid_argument(format!("field command: {e}")))?;
        let outcome = match running.core.write(command).await {
            Ok(decided) => {
                let response =
                    serde_json::to_vec(&decided.response).map_err(|e| Status::internal(e.to_string()))?;
                let applied = v1::Applied { response: response.into(), index: decided.index };
                propose_response::Outcome::Applied(applied)
            }
            Err(ProposeError::NotLeader { leader }) => {
                propose_response::Outcome::NotLeader(not_leader(leader))
            }
            Err(e) => return Err(Status::unknown(e.to_string())),
        };
        Ok(Response::new(v1::ProposeResponse { outcome: Some(outcome) }))
    }

    async fn describe_quorum(
        &self,
        request: Request<v1::DescribeQuorumRequest>,
    ) -> Result<Response<v1::DescribeQuorumResponse>, Status> {
        let (running, _) = self.0.admit(request.into_inner().envelope)?;
        let outcome = match voters::describe(&running.core) {
            Ok(quorum) => describe_quorum_response::Outcome::Quorum(voters::told(quorum)),
            Err(MembershipError::NotLeader { leader }) => {
                describe_quorum_response::Outcome::NotLeader(not_leader(leader))
            }
            Err(error) => return Err(Status::unknown(error.to_string())),
        };
        Ok(Response::new(v1::DescribeQuorumResponse { outcome: Some(outcome) }))
    }

    async fn change_voter(
        &self,
        request: Request<v1::ChangeVoterRequest>,
    ) -> Result<Response<v1::ChangeVoterResponse>, Status> {
        let v1::ChangeVoterRequest { envelope, change } = request.into_inner();
        let (running, _) = self.0.admit(envelope)?;
        let change: VoterChange = serde_json::from_slice(&change)
            .map_err(|e| Status::invalid_argument(format!("field change: {e}")))?;
        let outcome = match voters::change(&running.core, change, &self.0.listed).await {
            Ok(()) => change_voter_response::Outcome::Changed(v1::VoterChanged {}),
            Err(MembershipError::NotLeader { leader }) => {
                change_voter_response::Outcome::NotLeader(not_leader(leader))
            }
            Err(MembershipError::Refused(refusal)) => {
                let json = serde_json::to_vec(&refusal).map_err(|e| Status::internal(e.to_string()))?;
                change_voter_response::Outcome::Refused(json.into())
            }
            Err(error) => return Err(Status::unknown(error.to_string())),
        };
        Ok(Response::new(v1::ChangeVoterResponse { outcome: Some(outcome) }))
    }

    async fn heartbeat(
        &self,
        request: Request<Streaming<v1::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let mut beats = request.into_inner();
        let first = next(&mut beats).await?.ok_or_else(|| Status::cancelled("no heartbeat came"))?;
        let (running, call) = self.0.admit(first.envelope.clone())?;
        let (answers, stream) = mpsc::channel(MAX_ANSWERS);
        let running = running.clone();
        tokio::spawn(async move {
            let mut beat = first;
            let epoch = loop {
                let heartbeat = heartbeat(call.from.node, &beat);
                if running.liveness.send(Event::Heartbeat(heartbeat)).await.is_err() {
                    return;
                }
                // Nobody waits here for a broker that sends and does not read.
                if answers.try_send(Ok(answer(&running))).is_err() {
                    break heartbeat.epoch;
                }
                beat = tokio::select! {
                    () = answers.closed() => break heartbeat.epoch,
                    next = next(&mut beats) => match next {
                        Ok(Some(beat)) => beat,
                        Ok(None) | Err(_) => break heartbeat.epoch,
                    },
                };
            };
            let ended = Event::StreamEnded { broker: call.from.node, epoch };
            // The machine ends with the node.
            let _ = running.liveness.send(ended).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn not_leader(leader: Option<ottla_record::BrokerId>) -> v1::NotLeader {
    v1::NotLeader { leader: leader.map(|leader| leader.get()) }
}

async fn next(beats: &mut Streaming<v1::HeartbeatRequest>) -> Result<Option<v1::HeartbeatRequest>, Status> {
    match tokio::time::timeout(SILENCE, beats.message()).await {
        Ok(next) => next,
        Err(_) => Err(Status::deadline_exceeded("no heartbeat came")),
    }
}

fn answer(running: &Running) -> v1::HeartbeatResponse {
    v1::HeartbeatResponse { renewed: leads(&running.core.metrics()) }
}

fn heartbeat(broker: ottla_record::BrokerId, beat: &v1::HeartbeatRequest) -> Heartbeat {
    Heartbeat {
        broker,
        epoch: BrokerEpoch::new(beat.broker_epoch),
        image_version: beat.image_version,
        oldest_flush_age: beat.oldest_flush_age_ms.map(Duration::from_millis),
        ready: beat.ready,
        wants_to_stop: beat.wants_to_stop,
    }
}
