//! SIGHUP: reading the configuration file anew.
//!
//! The log level follows it. Every other setting of a broker is either taken at its start, or changed while it runs through
//! the cluster's metadata, where it is durable and every broker sees it; a file that changed is told what waits.

use crate::cli::Serve;
use crate::logging::LogLevel;
use crate::settings::{self, Settings};

/// What a reload needs to know of the start.
#[derive(Debug)]
pub struct Reload {
    arguments: Serve,
    in_force: Settings,
    log_level: LogLevel,
}

impl Reload {
    /// For a process started with these arguments, which came to these settings.
    pub fn new(arguments: Serve, in_force: Settings, log_level: LogLevel) -> Self {
        Self { arguments, in_force, log_level }
    }

    /// Reads the file and takes over what can be taken over. A file that a start would refuse changes nothing.
    pub fn run(&mut self) {
        let Some(file) = &self.arguments.config else {
            tracing::info!("SIGHUP: nothing to read anew, this broker was started without --config");
            return;
        };
        let file = file.display();
        tracing::info!("SIGHUP: reading {file} anew");
        let changed = settings::load(&self.arguments).and_then(|loaded| {
            self.log_level.change(loaded.broker.config.log_level.as_deref())?;
            Ok(loaded.broker.file)
        });
        match changed {
            Ok(settings) => self.name_what_waits(&settings),
            Err(error) => {
                tracing::warn!("nothing is changed: {error:#}; correct {file} and send SIGHUP again");
            }
        }
    }

    fn name_what_waits(&self, settings: &Settings) {
        let differs = |key: &&String| self.in_force.get(*key) != settings.get(*key);
        let mut keys: Vec<&str> =
            settings.keys().chain(self.in_force.keys()).filter(differs).map(String::as_str).collect();
        keys.retain(|key| *key != "ottla.log.level");
        keys.sort_unstable();
        keys.dedup();
        if !keys.is_empty() {
            tracing::info!("changed, and taken at the next start: {}", keys.join(", "));
        }
    }
}
