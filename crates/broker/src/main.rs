//! `ottla`: a durable log for streams of records that speaks Kafka's protocol.

use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, Parser};
use ottla_broker::cli::{Cli, Command, LogFormat};
use ottla_broker::import::LocalDirectories;
use ottla_broker::reload::Reload;
use ottla_broker::{logging, serve, settings};
use ottla_cli::Ports;

/// Exit code of a command line or a configuration that cannot be used; clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = match Cli::parse().command {
        Command::Serve(arguments) => arguments,
        Command::Tool(command) => return run_tool(&command),
    };
    let settings = match settings::load(&arguments) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ottla: {error:#}");
            return ExitCode::from(USAGE);
        }
    };
    if arguments.explain {
        print!("{}", settings.explain());
        return ExitCode::SUCCESS;
    }
    let (argument, setting) = (arguments.log_level.as_deref(), settings.broker.config.log_level.as_deref());
    let log_level = match logging::start(arguments.log_format, argument, setting) {
        Ok(log_level) => log_level,
        Err(error) => {
            eprintln!("ottla: {error:#}");
            return ExitCode::from(USAGE);
        }
    };
    let reload = Reload::new(arguments, settings.broker.file.clone(), log_level);
    match serve::run(settings, reload, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_tool(command: &ottla_cli::Command) -> ExitCode {
    // What a tool has to say it says itself; of the parts it uses, only warnings are worth a person's attention.
    if let Err(error) = logging::start(LogFormat::Text, Some("warn"), None) {
        eprintln!("ottla: {error:#}");
        return ExitCode::from(USAGE);
    }
    ottla_cli::run(command, &Ports { import: &LocalDirectories, command_line: Cli::command })
}
