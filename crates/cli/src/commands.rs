//! The commands: one file each, with its arguments and what it does.

mod bench;
mod cluster;
mod completions;
mod config;
mod consume;
mod group;
pub mod log;
mod produce;
mod topic;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::{Form, Output};

/// Every command but `serve`, which is the binary's own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates, lists, describes, alters and deletes topics.
    Topic(topic::Topic),
    /// Publishes lines.
    Produce(produce::Produce),
    /// Prints records, and goes on as they come.
    Consume(consume::Consume),
    /// Shows groups and how far behind they are, and says where they go on.
    Group(group::Group),
    /// Shows the cluster.
    Cluster(cluster::Cluster),
    /// Shows and changes the configs of topics, brokers and groups.
    Config(config::Config),
    /// Measures what a client gets from this cluster.
    Bench(bench::Bench),
    /// Works on the files of a log, without a broker.
    #[command(subcommand, disable_help_subcommand = true)]
    Log(log::LogCommand),
    /// Prints what a shell needs to complete this command line.
    Completions(completions::Completions),
}

/// What the binary lends to commands that need more than this crate may use.
pub struct Ports<'a> {
    /// Opens data directories for `ottla log import`.
    pub import: &'a dyn log::import::ImportHost,
    /// The whole command line, for completions.
    pub command_line: fn() -> clap::Command,
}

impl Command {
    /// Carries the command out.
    pub fn execute(&self, ports: &Ports<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Self::Topic(command) => command.execute(output),
            Self::Produce(command) => command.execute(output),
            Self::Consume(command) => command.execute(output),
            Self::Group(command) => command.execute(output),
            Self::Cluster(command) => command.execute(output),
            Self::Config(command) => command.execute(output),
            Self::Bench(command) => command.execute(output),
            Self::Completions(command) => command.execute(ports, output),
            Self::Log(command) => command.execute(ports, output),
        }
    }
}

/// Carries a command out on the process's standard output and error, and says what the process shall end with.
pub fn run(command: &Command, ports: &Ports) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let columns = io::stdout().is_terminal().then(terminal_columns).flatten();
    let mut err = io::stderr();
    let mut output = Output::new(&mut out, &mut err, Form::Text).columns(columns);
    let result = command.execute(ports, &mut output).and_then(|()| output.flush());
    // What was found before a failure is part of the answer.
    let result = result.or_else(|failure| output.flush().and(Err(failure)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone) {
                let _ = writeln!(io::stderr(), "ottla: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
