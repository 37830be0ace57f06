//! What the tools of this package and those of `lab` share.

pub mod kafka_jars;
pub mod process;
