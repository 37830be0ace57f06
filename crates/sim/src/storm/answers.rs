//! What writers are told, and what each answer proves.

use ottla_record::Offset;
use ottla_replication::{Acks, ProduceError, Produced, View};
use ottla_storage::AppendError;

use super::broker::{Defect, Waiting};
use super::world::{Clients, Tally, Transaction};
use crate::invariants::{Invariant, Violation, broken};
use crate::oracle::Promise;

/// P6. A writer takes an answer.
///
/// # Errors
/// A broken promise.
pub fn take(
    waiting: Waiting,
    outcome: Result<Produced, ProduceError>,
    view: &View,
    clients: &mut Clients,
    tally: &mut Tally,
) -> Result<(), Violation> {
    let Some(first) = waiting.ids.first().copied() else { return Ok(()) };
    match outcome {
        _ if waiting.refused_for.is_some() && outcome.is_err() => Ok(()),
        Ok(_) if waiting.refused_for == Some(Defect::Gap) => {
            Err(broken(Invariant::ProducerOrder, "a batch was taken, and the one before it is missing"))
        }
        Ok(_) if waiting.refused_for == Some(Defect::FencedEpoch) => {
            Err(broken(Invariant::Fencing, "a batch was taken after one of a newer epoch of its producer"))
        }
        Ok(produced) => {
            tally.acknowledged += 1;
            check(&waiting, &produced, view, clients)?;
            let Some(client) = clients.writers.get_mut(waiting.writer) else { return Ok(()) };
            if !waiting.is_marker
                && client.producer.unanswered.iter().any(|sent| sent.ids.first() == Some(&first))
            {
                client.heard = Some((produced.base_offset, first));
            }
            client.producer.settled(first, true);
            if !waiting.is_marker {
                client.newest = client.newest.max(Some(produced.base_offset));
            }
            if waiting.is_marker {
                tally.markers += 1;
                client.transaction = Transaction::Idle;
            }
            Ok(())
        }
        Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. })) if clients.gaps_allowed => {
            clients.bump(waiting.writer);
            Ok(())
        }
        // It was written, and then deleted: with its records, the memory of it went.
        Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. }))
            if clients.oracle.offset_of(first).is_some_and(|at| at < view.log_start) =>
        {
            if let Some(client) = clients.writers.get_mut(waiting.writer) {
                client.producer.settled(first, false);
            }
            Ok(())
        }
        // All its records were deleted, a marker is left: as in Kafka, it has to start over (KIP-360).
        Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. }))
            if clients
                .writers
                .get(waiting.writer)
                .is_some_and(|client| client.newest < Some(view.log_start)) =>
        {
            clients.bump(waiting.writer);
            Ok(())
        }
        // Unknown: an idempotent client sends it again, a coordinator tries another marker.
        Err(
            ProduceError::TimedOut
            | ProduceError::Offline
            | ProduceError::NotLeader
            | ProduceError::Deserted
            | ProduceError::Append(AppendError::NoSpace { .. } | AppendError::Io(_) | AppendError::Poisoned),
        ) => {
            if let Some(client) = clients.writers.get_mut(waiting.writer) {
                client.producer.reconnect();
            }
            Ok(())
        }
        Err(other) => Err(broken(Invariant::AnswerIsTrue, format!("a sound request was refused: {other}"))),
    }
}

/// What was answered is in the log, at the offset that was answered, below the mark that was waited for.
fn check(
    waiting: &Waiting,
    produced: &Produced,
    view: &View,
    clients: &mut Clients,
) -> Result<(), Violation> {
    let lie = |found: String| Err(broken(Invariant::AnswerIsTrue, found));
    let (base, ids) = (produced.base_offset, &waiting.ids);
    let stands = ids.iter().zip(0..).all(|(id, n)| clients.oracle.current().get(&(base + n)) == Some(id));
    // Deleted meanwhile is no lie.
    if !stands && base >= view.log_start {
        return lie(format!("records {ids:?} were answered with offset {base}, where they are not"));
    }
    let end: Offset = base + i64::try_from(ids.len()).unwrap_or(0);
    if waiting.acks == Acks::All && view.high_watermark < end {
        return lie(format!(
            "answered up to {end} with acks=all, the high watermark is {}",
            view.high_watermark
        ));
    }
    if waiting.acks == Acks::None {
        return Ok(());
    }
    if clients.is_durable() && view.flushed_end < end {
        return lie(format!("answered up to {end} with fsync, flushed is {}", view.flushed_end));
    }
    let promise = if clients.is_durable() { Promise::Durable } else { Promise::Cached };
    clients.oracle.acknowledged(base, ids, promise);
    Ok(())
}
