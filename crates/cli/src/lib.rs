//! The operator's commands, as a library called by the `ottla` binary.
//!
//! | module | what it holds |
//! |---|---|
//! | [`commands`] | the commands: one file each, with its arguments and what it does |
//! | [`online`] | what commands share that ask a broker |
//! | [`place`] | `--from`: places in a log as people name them |
//! | [`record_format`] | `--format`: how records are printed |
//! | [`output`] | how an answer is written: lines, tables, JSON |
//! | [`failure`] | why a command ended without success, and with which exit code |
//!
//! A command is parsed by clap, gets an [`Output`] and returns `Result<(), Failure>`; [`run`] turns that into the exit
//! code: 0 done, 1 failed, 2 usage.
//!
//! ```
//! use clap::{CommandFactory, Parser};
//! use ottla_cli::{Command, Form, ImportHost, ImportTarget, Output, Ports};
//!
//! // The binary lends what this crate may not use; here it is nothing.
//! struct NoHost;
//! impl ImportHost for NoHost {
//!     # fn is_topic_config(&self, _: &str) -> bool { false }
//!     fn open(
//!         &self,
//!         _: &std::path::Path,
//!         _: Option<ottla_record::BrokerId>,
//!     ) -> Result<Box<dyn ImportTarget>, String> {
//!         Err("there is no broker in this program".to_owned())
//!     }
//! }
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(subcommand)]
//!     command: Command,
//! }
//!
//! let cli = Cli::parse_from(["ottla", "log", "dump", "--json", "no-such-file"]);
//! let (mut out, mut err) = (Vec::new(), Vec::new());
//! let ports = Ports { import: &NoHost, command_line: Cli::command };
//! let failure = cli.command.execute(&ports, &mut Output::new(&mut out, &mut err, Form::Text)).unwrap_err();
//! assert_eq!(failure.exit_code(), 1);
//! assert_eq!(failure.to_string(), "no-such-file: No such file or directory (os error 2)");
//! ```

pub mod commands;
pub mod failure;
pub mod online;
pub mod output;
pub mod place;
pub mod record_format;

pub use commands::log::import::{ImportHost, ImportTarget, Journal as ImportJournal, NewTopic};
pub use commands::{Command, Ports, run};
pub use failure::Failure;
pub use output::{Form, Output};
