//! Why a command ended without success.

use std::io;

/// Exit code of a command that was carried out.
pub const DONE: u8 = 0;
/// Exit code of a command that failed.
pub const FAILED: u8 = 1;
/// Exit code of a command line that cannot be used; clap's own.
pub const USAGE: u8 = 2;

/// Why a command ended without success. The text is what a person reads: what failed, on what, why, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the answer has gone (`ottla log dump … | head`): nothing to tell, and nobody to tell it to.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// The answer cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl Failure {
    /// A failure with something, usually a file.
    pub fn with(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Failed(_) | Self::Interrupted | Self::Output(_) => FAILED,
            Self::ReaderGone => DONE,
        }
    }
}

/// Errors of writing the output. Errors of anything else are given a name first: see [`Failure::with`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(error),
        }
    }
}
