//! How a command reaches the leader, and its outcome comes back.
//!
//! A command is sent again only where it was certainly not taken: the node that was asked does not lead, or was never reached. A
//! lost answer is reported as what it is, an unknown outcome.

use std::time::Duration;

use ottla_coordination::metadata::{Command, Response};
use ottla_record::BrokerId;
use ottla_rpc::control::v1::propose_response::Outcome;
use ottla_rpc::control::{Party, v1};
use tokio::time::{Instant, timeout};

use crate::error::ProposeError;
use crate::member::{Core, Decided, leads};
use crate::peers::CallError;
use crate::raft::broker_id;

/// How long a command waits for somebody who takes it. Longer than any election.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one who took it may need. A majority must write it.
const DECIDE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long its outcome may need to come here.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before it is offered again, unless the leader changes before.
const TRY_AGAIN: Duration = Duration::from_millis(20);

enum Attempt {
    Decided(Decided),
    /// Certainly not taken.
    NotTaken {
        leader: Option<BrokerId>,
    },
}

/// Has a command decided wherever the leader is. Once it returns, the image here shows the outcome.
pub(crate) async fn propose(core: &Core, command: Command, json: Vec<u8>) -> Result<Response, ProposeError> {
    let deadline = Instant::now() + LEADER_TIMEOUT;
    let json = bytes::Bytes::from(json);
    loop {
        let mut metrics = core.raft.metrics();
        metrics.borrow_and_update();
        match offer(core, &command, &json).await? {
            Attempt::Decided(decided) => {
                seen(core, decided.index).await?;
                return Ok(decided.response);
            }
            Attempt::NotTaken { leader } if Instant::now() >= deadline => {
                return Err(ProposeError::NotLeader { leader });
            }
            Attempt::NotTaken { .. } => {
                if let Ok(Err(_)) = timeout(TRY_AGAIN, metrics.changed()).await {
                    return Err(ProposeError::Stopped("it was shut down".to_owned()));
                }
            }
        }
    }
}

async fn offer(core: &Core, command: &Command, json: &bytes::Bytes) -> Result<Attempt, ProposeError> {
    let metrics = core.metrics();
    if leads(&metrics) {
        return match timeout(DECIDE_TIMEOUT, core.write(command.clone())).await {
            Ok(Ok(decided)) => Ok(Attempt::Decided(decided)),
            Ok(Err(ProposeError::NotLeader { leader })) => Ok(Attempt::NotTaken { leader }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProposeError::Unknown(format!("no majority has it after {DECIDE_TIMEOUT:?}"))),
        };
    }
    let not_taken = Attempt::NotTaken { leader: metrics.current_leader.and_then(broker_id) };
    match core.leader() {
        Some((to, address)) if to != core.me.party => send(core, to, &address, json).await,
        _ => Ok(not_taken),
    }
}

async fn send(core: &Core, to: Party, address: &str, json: &bytes::Bytes) -> Result<Attempt, ProposeError> {
    let not_taken = Attempt::NotTaken { leader: None };
    let Ok(mut client) = core.peers.control(address) else { return Ok(not_taken) };
    let envelope = Some(core.me.envelope(to).into());
    let request = v1::ProposeRequest { envelope, command: json.clone() };
    let unknown = |why: String| Err(ProposeError::Unknown(why));
    let outcome = match timeout(DECIDE_TIMEOUT, client.propose(request)).await {
        Ok(Ok(answer)) => answer.into_inner().outcome,
        Ok(Err(status)) => match CallError::from_status(&status) {
            CallError::WithoutEffect(_) => return Ok(not_taken),
            CallError::Unknown(why) => return unknown(why),
        },
        Err(_) => return unknown(format!("{to} took it and has not answered after {DECIDE_TIMEOUT:?}")),
    };
    match outcome {
        Some(Outcome::NotLeader(v1::NotLeader { leader })) => {
            Ok(Attempt::NotTaken { leader: leader.map(BrokerId::new) })
        }
        Some(Outcome::Applied(applied)) => match serde_json::from_slice(&applied.response) {
            Ok(response) => Ok(Attempt::Decided(Decided { response, index: applied.index })),
            Err(error) => unknown(format!("{to} decided it, and its answer cannot be read: {error}")),
        },
        None => unknown(format!("{to} gave no answer")),
    }
}

/// Waits until this node has applied an entry, and so shows it.
async fn seen(core: &Core, index: u64) -> Result<(), ProposeError> {
    let mut metrics = core.raft.metrics();
    let applied = metrics.wait_for(|metrics| {
        metrics.last_applied.is_some_and(|last| last.index >= index) || metrics.running_state.is_err()
    });
    match timeout(SEEN_TIMEOUT, applied).await {
        Ok(Ok(metrics)) => match &metrics.running_state {
            Ok(()) => Ok(()),
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        },
        Ok(Err(_)) => Err(ProposeError::Stopped("it was shut down".to_owned())),
        Err(_) => Err(ProposeError::Unknown(format!(
            "it was decided and did not come here within {SEEN_TIMEOUT:?}"
        ))),
    }
}
