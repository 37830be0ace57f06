//! Waiting on a condition with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Asks `condition` until it yields a value; its last error explains a missed deadline.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let outcome = condition();
        if let Ok(Some(value)) = outcome {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            let missed = format!("waited {deadline:?} for {what}");
            match outcome {
                Err(error) => return Err(error).context(missed),
                Ok(_) => bail!(missed),
            }
        }
        // A poll of another process: there is nothing to be woken by.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
