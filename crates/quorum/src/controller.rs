//! The controller's part: drives [`Liveness`], proposes what it asks for, and dials whom it asks about. From time to time it gives
//! leaderships back to the preferred leaders, as [`Checks`] says.
//!
//! It runs on every voter and notes what it hears; it acts while its node leads the quorum.

use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::metadata::imbalance::Checks;
use ottla_coordination::metadata::liveness::{DialOutcome, Effect, Event, Liveness, LivenessConfig};
use ottla_coordination::metadata::{
    Command, ElectLeaders, FenceBroker, FormCluster, Response, UnfenceBroker,
};
use ottla_record::{BrokerEpoch, BrokerId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::dial::dial;
use crate::member::{Core, leads};

/// Heartbeats and dials that wait for the machine, which takes microseconds for each.
pub(crate) const MAX_EVENTS: usize = 4_096;
/// A new leader that cannot take control tries again after this.
const TRY_AGAIN: Duration = Duration::from_millis(50);

enum Done {
    /// Everything that was committed before is applied here; or not.
    TookControl(bool),
    Dialled {
        broker: BrokerId,
        epoch: BrokerEpoch,
        outcome: DialOutcome,
    },
    Proposed,
    /// So many leaderships went back.
    Elected(usize),
}

/// Runs until it is aborted or openraft ends.
pub(crate) async fn drive(
    core: Arc<Core>,
    config: LivenessConfig,
    mut checks: Checks,
    mut events: mpsc::Receiver<Event>,
) {
    let mut liveness = Liveness::new(core.me.party.node, config);
    let (mut metrics, mut images) = (core.raft.metrics(), core.images.clone());
    let mut work: JoinSet<Done> = JoinSet::new();
    let (mut in_control, mut taking_control) = (false, false);
    loop {
        let is_leader = leads(&metrics.borrow_and_update());
        let event = if is_leader && !in_control {
            if !std::mem::replace(&mut taking_control, true) {
                work.spawn(take_control(Arc::clone(&core)));
            }
            None
        } else if !is_leader && in_control {
            in_control = false;
            checks.lost_control();
            tracing::info!("another node is the controller now, or none");
            Some(Event::LostControl)
        } else {
            None
        };
        let event = match event {
            Some(event) => event,
            None => {
                let due = core.instant(liveness.next_deadline().min(checks.next_deadline()));
                tokio::select! {
                    event = events.recv() => match event { Some(event) => event, None => return },
                    () = tokio::time::sleep_until(due) => Event::Tick,
                    changed = images.changed() => if changed.is_ok() { Event::Tick } else { return },
                    changed = metrics.changed() => if changed.is_ok() { continue } else { return },
                    Some(done) = work.join_next() => match done {
                        Ok(Done::TookControl(done)) => {
                            taking_control = false;
                            if !done || !leads(&core.metrics()) {
                                continue;
                            }
                            in_control = true;
                            checks.took_control(core.monotonic());
                            tracing::info!(term = core.metrics().current_term, "this node is the controller");
                            Event::BecameController
                        }
                        Ok(Done::Dialled { broker, epoch, outcome }) => Event::Dialled { broker, epoch, outcome },
                        Ok(Done::Elected(count)) => {
                            checks.decided(core.monotonic(), count);
                            continue;
                        }
                        Ok(Done::Proposed) | Err(_) => continue,
                    },
                }
            }
        };
        let image = images.borrow_and_update().clone();
        for effect in liveness.handle(event, core.now(), &image) {
            run(&core, effect, &mut work);
        }
        if let Some(command) = checks.check(core.monotonic(), &image) {
            work.spawn(elect(Arc::clone(&core), command));
        }
    }
}

/// Applies all that was committed before this node was elected, and gives a new cluster its id.
async fn take_control(core: Arc<Core>) -> Done {
    let taken = async {
        core.raft.ensure_linearizable().await.map_err(|e| e.to_string())?;
        if core.images.borrow().cluster_id().is_none() {
            let form = Command::FormCluster(FormCluster { cluster: core.cluster() });
            core.write(form).await.map_err(|e| e.to_string())?;
        }
        Ok::<(), String>(())
    };
    let done = match taken.await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(error, "the new leader cannot take control yet");
            tokio::time::sleep(TRY_AGAIN).await;
            false
        }
    };
    Done::TookControl(done)
}

fn run(core: &Arc<Core>, effect: Effect, work: &mut JoinSet<Done>) {
    let core = Arc::clone(core);
    match effect {
        Effect::Fence { broker, epoch, announced } => {
            match announced {
                true => tracing::info!(%broker, %epoch, "this broker has stopped, as it had said"),
                false => tracing::warn!(%broker, %epoch, "this broker is lost: its leaderships move"),
            }
            let command = Command::FenceBroker(FenceBroker { broker, epoch });
            work.spawn(propose(core, command));
        }
        Effect::Unfence { broker, epoch } => {
            tracing::info!(%broker, %epoch, "this broker is ready to lead");
            let command = Command::UnfenceBroker(UnfenceBroker { broker, epoch });
            work.spawn(propose(core, command));
        }
        Effect::Dial { broker, epoch } => {
            work.spawn(async move {
                let registered = core.images.borrow().broker(broker).filter(|b| b.epoch == epoch).cloned();
                let address = core.member(broker).and_then(|member| member.address);
                let outcome = match (registered, address) {
                    (Some(broker), Some(address)) => {
                        dial(&core.peers, &address, broker.id, Some(broker.incarnation)).await
                    }
                    _ => DialOutcome::Unknown,
                };
                Done::Dialled { broker, epoch, outcome }
            });
        }
    }
}

/// The machine looks at the image for what came of it, and asks again if nothing did.
async fn propose(core: Arc<Core>, command: Command) -> Done {
    if let Err(error) = core.write(command).await {
        tracing::debug!(%error, "the controller's command was not decided");
    }
    Done::Proposed
}

/// Gives leaderships back. What fails is looked at again at the next check.
async fn elect(core: Arc<Core>, command: ElectLeaders) -> Done {
    let results = match core.write(Command::ElectLeaders(command)).await {
        Ok(decided) => match decided.response {
            Response::ElectLeaders(results) => results,
            _ => Vec::new(),
        },
        Err(error) => {
            tracing::debug!(%error, "leaderships were not given back to the preferred leaders");
            Vec::new()
        }
    };
    let elected = results.iter().filter(|(.., outcome)| outcome.is_ok()).count();
    if elected > 0 {
        tracing::info!(partitions = elected, "leaderships went back to the preferred leaders");
    }
    Done::Elected(elected)
}
