//! Administration: topics, configs, offsets, log directories.

pub mod topics;
