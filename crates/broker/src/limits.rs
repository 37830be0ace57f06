//! What the system lets this process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything but segments and connections: sled, the metadata's snapshots, listeners, checkpoints.
const OTHER_FILES: usize = 128;

/// Segments kept open at most, however many descriptors there are.
const MAX_OPEN_SEGMENTS: usize = 16_384;

/// The least a broker can work with.
const MIN_DESCRIPTORS: usize = 512;

/// How the process's descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// For segment files.
    pub(crate) segments: usize,
    /// For connections.
    pub(crate) connections: usize,
}

/// Raises the limit of open files as far as the system allows, and shares it out.
pub(crate) fn raise_descriptors() -> Descriptors {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it was; raise it where this process is started (ulimit -n, LimitNOFILE= of a unit)");
    }
    let available = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    let available = available.unwrap_or(usize::MAX);
    if available < MIN_DESCRIPTORS {
        tracing::warn!(
            "only {available} files may be open at once; many partitions or clients need more: raise it (ulimit -n, LimitNOFILE= of a unit)"
        );
    }
    share_out(available)
}

fn share_out(available: usize) -> Descriptors {
    let free = available.saturating_sub(OTHER_FILES).max(2);
    let segments = (free / 2).min(MAX_OPEN_SEGMENTS);
    Descriptors { segments, connections: free - segments }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_connections_fit_into_the_limit() {
        for (available, segments, connections) in
            [(20_000, 9_936, 9_936), (1 << 20, 16_384, 1_032_064), (1_024, 448, 448), (10, 1, 1)]
        {
            assert_eq!(share_out(available), Descriptors { segments, connections });
        }
    }
}
