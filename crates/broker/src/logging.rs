//! Where log lines go, how much is said, and what a panic does.
//!
//! How much: `--log-level`, else `ottla.log.level`, else `$RUST_LOG`, else `info`. The second is read anew at SIGHUP.

use std::io::IsTerminal;

use anyhow::{anyhow, bail};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::cli::LogFormat;

/// openraft and sled tell at level info what only their authors want to know; that a caller did not wait for its answer
/// is no fault of the broker's; and that a member is not reached or that a vote came too late is told of once, by the quorum, not
/// at each attempt. A disk that fails ends the quorum, which says so itself. What is asked of a quorum that has just ended is an error to
/// whoever asked, and not one of the broker that stops.
const QUIET: &str = ",openraft=error,openraft::core::raft_core=off,openraft::raft::raft_inner=off,openraft::raft::responder=error,openraft::replication=off,openraft::engine=off,sled=warn";

/// The key of the setting.
const KEY: &str = "ottla.log.level";

/// Sends log lines to the standard error, and makes a panic end the process.
pub fn start(format: LogFormat, argument: Option<&str>, setting: Option<&str>) -> anyhow::Result<LogLevel> {
    let (said, filter) = choose(argument, setting)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    abort_on_panic();
    Ok(LogLevel { handle, argument: argument.map(str::to_owned), said })
}

/// How much is logged; it can change while the process runs.
#[derive(Debug)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    argument: Option<String>,
    said: String,
}

impl LogLevel {
    /// Takes over another value of `ottla.log.level`, and says so in the log.
    pub fn change(&mut self, setting: Option<&str>) -> anyhow::Result<()> {
        let (said, filter) = choose(self.argument.as_deref(), setting)?;
        if said == self.said {
            let reason =
                if self.argument.is_some() { ", as --log-level says, which counts more" } else { "" };
            tracing::info!("the log level stays {said}{reason}");
            return Ok(());
        }
        let line = format!("the log level was {} and is now {said}", self.said);
        // Heard at whichever of the two levels lets it through.
        let heard = tracing::enabled!(tracing::Level::INFO);
        if heard {
            tracing::info!("{line}");
        }
        self.handle.reload(filter)?;
        if !heard {
            tracing::info!("{line}");
        }
        self.said = said;
        Ok(())
    }
}

/// What somebody asked for, in their words, and as a filter.
fn choose(argument: Option<&str>, setting: Option<&str>) -> anyhow::Result<(String, EnvFilter)> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    match (argument, setting, from_environment) {
        (Some(level), _, _) => Ok((level.to_owned(), filter("--log-level ", level)?)),
        (None, Some(level), _) => Ok((level.to_owned(), filter(&format!("{KEY}="), level)?)),
        (None, None, Some(level)) => {
            let filter = EnvFilter::try_new(&level)
                .map_err(|error| anyhow!("{}={level}: {error}", EnvFilter::DEFAULT_ENV))?;
            Ok((level, filter))
        }
        (None, None, None) => Ok(("info".to_owned(), EnvFilter::try_new(format!("info{QUIET}"))?)),
    }
}

fn filter(origin: &str, level: &str) -> anyhow::Result<EnvFilter> {
    // The filter's own grammar takes a word that is no level for the name of a part, of which it would then log everything,
    // and of the rest nothing.
    for word in level.split(',').filter(|word| !word.contains('=')) {
        if word.trim().parse::<LevelFilter>().is_err() {
            bail!(
                "{origin}{level}: {word} is no level; error, warn, info, debug, trace and off are, or per part info,ottla_kafka=debug"
            );
        }
    }
    // A bare level is about us; the libraries beneath stay quiet unless they are named.
    let quiet = if level.contains(['=', ',']) { "" } else { QUIET };
    EnvFilter::try_new(format!("{level}{quiet}")).map_err(|error| anyhow!("{origin}{level}: {error}"))
}

/// After a panic some part of the broker is in a state nobody thought of. What was acknowledged is safe, so the process
/// ends and recovers, rather than go on with a partition that nobody drives.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(
            "a bug in ottla ends this process: {panic}; what was acknowledged is safe and the next start recovers it, but report this line"
        );
        report(panic);
        std::process::abort();
    }));
}
