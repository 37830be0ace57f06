//! `ottla completions`: what a shell needs to complete our command line.

use clap::Args;
use clap_complete::Shell;

use crate::commands::Ports;
use crate::failure::Failure;
use crate::output::Output;

/// `ottla completions`, with what it asks.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell. Bash: `ottla completions bash > /etc/bash_completion.d/ottla`.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self, ports: &Ports<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut command = (ports.command_line)();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, output.writer());
        Ok(())
    }
}
