//! `cargo xtask interop`: the tests with foreign clients alone, against Ottla or against Apache Kafka itself.

use clap::Args;
use it::project::cargo;

use crate::{process, tools};

/// The modules of `tests/tests/it` in which a foreign program is the client or the judge.
const SUITES: [&str; 5] =
    ["assigned_consumers", "debian_corpus", "kafka_tools", "dump_log", "advertised_versions"];

/// Whom the clients talk to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// `kafka` shows that the tests ask for Kafka's behaviour.
    #[arg(long, default_value = "ottla", value_parser = ["ottla", "kafka"])]
    broker: String,
}

/// Installs the clients and runs their suites; a client that could not be installed fails its suite.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    tools::install()?;
    let mut command = cargo();
    command.env("OTTLA_IT_BROKER", &options.broker).env("CI", "1");
    process::run(command.args(["test", "--package", "it", "--test", "it", "--"]).args(SUITES))
}
