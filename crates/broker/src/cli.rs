//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A durable log for streams of records that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `ottla` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a broker until it is asked to stop (SIGTERM or Ctrl-C; a second one ends it at once).
    ///
    /// One node needs no configuration: it listens on 127.0.0.1:9092 and keeps its data in ./ottla-data. SIGHUP reads
    /// ottla.log.level anew from the file.
    Serve(Serve),
    /// Everything else: it needs no broker in this process.
    #[command(flatten)]
    Tool(ottla_cli::Command),
}

/// How to run a broker.
#[derive(Debug, Default, Args)]
pub struct Serve {
    /// Settings in the format and with the names of Kafka's server.properties.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data is; the same as `--set log.dirs=DIR`.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One setting, which counts more than the file. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub settings: Vec<(String, String)>,
    /// Prints the settings that are not the defaults, and every default that is not Kafka's, and ends.
    #[arg(long)]
    pub explain: bool,
    /// How log lines are written to the standard error.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// What is logged: `warn`, `debug`, or per part as in `info,ottla_kafka=debug`. Without it, ottla.log.level counts,
    /// then $RUST_LOG.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
