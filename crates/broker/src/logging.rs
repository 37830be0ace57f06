//! Where log lines go, and what a panic does.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// openraft and sled tell at level info what only their authors want to know; and that a caller did not wait for its answer
/// is no fault of the broker's.
const QUIET: &str = ",openraft=warn,openraft::raft::responder=error,sled=warn";

/// Sends log lines to the standard error, and makes a panic end the process.
pub fn start(format: LogFormat, level: Option<&str>) -> anyhow::Result<()> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    let filter = match (level, from_environment) {
        (Some(level), _) => {
            // A bare level is about us; the libraries beneath stay quiet unless they are named.
            let quiet = if level.contains(['=', ',']) { "" } else { QUIET };
            EnvFilter::try_new(format!("{level}{quiet}"))
                .map_err(|error| anyhow!("--log-level {level}: {error}"))?
        }
        (None, Some(filter)) => EnvFilter::try_new(&filter)
            .map_err(|error| anyhow!("{}={filter}: {error}", EnvFilter::DEFAULT_ENV))?,
        (None, None) => EnvFilter::try_new(format!("info{QUIET}"))?,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
    abort_on_panic();
    Ok(())
}

/// After a panic some part of the broker is in a state nobody thought of. What was acknowledged is safe, so the process
/// ends and recovers, rather than go on with a partition that nobody drives.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("a bug in ottla ends this process: {panic}");
        report(panic);
        std::process::abort();
    }));
}
