//! `ottla log`: the files of a log, without a broker.

pub mod dump;
pub mod import;

use clap::Subcommand;

use super::Ports;
use crate::failure::Failure;
use crate::output::Output;

/// What can be done with files.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Prints what stands in the files of a data directory, Ottla's or Kafka's, and says where they are damaged.
    Dump(dump::Dump),
    /// Takes over the topics of a data directory written by Apache Kafka 4 (KRaft).
    Import(Box<import::Import>),
}

impl LogCommand {
    pub(super) fn execute(&self, ports: &Ports<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Self::Dump(dump) => dump.execute(output),
            Self::Import(import) => import.execute(ports.import, output),
        }
    }
}
