//! Opening a log after whatever happened, and everything that must hold then.

use std::sync::Arc;

use ottla_record::{Monotonic, Now, Timestamp};
use ottla_storage::{DirectoryLimits, Log, LogConfig, LogDirectory, OpenError};

use crate::cluster::{BROKER, Cluster, directory_id};
use crate::disk::{SimDisk, Survival};
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// Opens the partition's log as a broker does at its start.
///
/// # Errors
/// Why it cannot be opened.
pub fn open_log(disk: &SimDisk, config: &LogConfig, now: Now) -> Result<(Arc<LogDirectory>, Log), OpenError> {
    let limits = DirectoryLimits { open_files: 64, reserve_bytes: Some(0) };
    let directory = Arc::new(LogDirectory::open(disk.port(), BROKER, directory_id(), limits)?);
    let name = Cluster::partition();
    let start = directory.log_start_of(&name);
    let (log, _) = Log::open(&directory, name.directory(), Cluster::topic_id(), config.clone(), start, now)?;
    Ok((directory, log))
}

/// Reads an opened log and checks all that is promised of it.
///
/// # Errors
/// The first promise that is broken.
pub fn check_opened(disk: &SimDisk, log: &Log, oracle: &Oracle) -> Result<Observed, Violation> {
    let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
    invariants::check_log(oracle, &observed)?;
    invariants::everything_found_is_flushed(&observed)?;
    invariants::producer_state_is_true(log, &observed)?;
    invariants::epoch_history_is_true(log, &observed)?;
    invariants::every_offset_is_found(log, &observed)?;
    invariants::indexes_are_consistent(&disk.image(), &Cluster::partition().directory())?;
    Ok(observed)
}

/// Opens twice more what recovery left: as it stands, and as a power cut right now would leave it.
///
/// # Errors
/// [`Invariant::RecoveryIsIdempotent`] if the three do not agree, or what else a log that opens may break.
pub fn recover_again(
    disk: &SimDisk,
    config: &LogConfig,
    oracle: &Oracle,
    wall: Timestamp,
) -> Result<(), Violation> {
    let found = |disk: &SimDisk| {
        let now = Now { monotonic: Monotonic::ZERO, wall };
        let (_, log) = open_log(disk, config, now)
            .map_err(|error| broken(Invariant::RecoveryIsIdempotent, error.to_string()))?;
        check_opened(disk, &log, oracle)
    };
    let image = disk.image();
    let killed = found(&SimDisk::new(image.process_death(), 0))?;
    let cut = found(&SimDisk::new(image.power_cut(Survival::Nothing, &mut Rng::new(0)), 0))?;
    if killed != cut {
        let found = format!("after a kill {killed:?}, after a power cut {cut:?}");
        return Err(broken(Invariant::RecoveryIsIdempotent, found));
    }
    Ok(())
}
