//! The log of a test through the public surface, opened in a present of its own.

use std::sync::Arc;

use ottla_record::Now;
use ottla_storage::{Log, LogConfig, LogDirectory, LogStart, OpenError, Recovery};

pub(crate) use crate::directory::*;

pub(crate) fn now() -> Now {
    at(1_700_000_000_000)
}

pub(crate) fn open(root: &Arc<LogDirectory>, config: LogConfig) -> (Log, Recovery) {
    open_from(root, config, root.log_start_of(&name())).unwrap()
}

pub(crate) fn open_from(
    root: &Arc<LogDirectory>,
    config: LogConfig,
    start: LogStart,
) -> Result<(Log, Recovery), OpenError> {
    open_at(root, config, start, now())
}
