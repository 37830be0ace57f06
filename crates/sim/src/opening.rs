//! Opening a log after whatever happened, and everything that must hold then.

use std::sync::Arc;

use ottla_record::{Monotonic, Now, Timestamp};
use ottla_storage::{DirectoryLimits, Log, LogConfig, LogDirectory, OpenError, TopicPartition};

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
    let directory = open_directory(disk, 0)?;
    let log = open_partition(&directory, &Cluster::partition(), config, now)?;
    Ok((directory, log))
}

/// Opens the log directory, with this much disk space kept in reserve.
///
/// # Errors
/// Why it cannot be opened.
pub fn open_directory(disk: &SimDisk, reserve_bytes: u64) -> Result<Arc<LogDirectory>, OpenError> {
    let limits = DirectoryLimits { open_files: 64, reserve_bytes: Some(reserve_bytes) };
    Ok(Arc::new(LogDirectory::open(disk.port(), BROKER, directory_id(), limits)?))
}

/// Opens one partition's log in it.
///
/// # Errors
/// Why it cannot be opened.
pub fn open_partition(
    directory: &Arc<LogDirectory>,
    name: &TopicPartition,
    config: &LogConfig,
    now: Now,
) -> Result<Log, OpenError> {
    let start = directory.log_start_of(name);
    let opened = Log::open(directory, name.directory(), Cluster::topic_id(), config.clone(), start, now)?;
    Ok(opened.0)
}

/// Reads an opened log and checks all that is promised of it.
///
/// # Errors
/// The first promise that is broken.
pub fn check_opened(disk: &SimDisk, log: &Log, oracle: &Oracle) -> Result<Observed, Violation> {
    let observed = check_found(log, oracle)?;
    invariants::indexes_are_consistent(&disk.image(), log.dir())?;
    Ok(observed)
}

/// The same without the bytes of the index files, of which some are known to be damaged.
///
/// # Errors
/// The first promise that is broken.
pub fn check_found(log: &Log, oracle: &Oracle) -> Result<Observed, Violation> {
    let observed = check_content(log, oracle)?;
    invariants::producer_state_is_true(log, &observed)?;
    invariants::epoch_history_is_true(log, &observed)?;
    invariants::every_offset_is_found(log, &observed)?;
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

/// Only what consumers see of it.
///
/// # Errors
/// The first promise that is broken.
pub fn check_content(log: &Log, oracle: &Oracle) -> Result<Observed, Violation> {
    let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
    invariants::check_log(oracle, &observed)?;
    invariants::everything_found_is_flushed(&observed)?;
    Ok(observed)
}
