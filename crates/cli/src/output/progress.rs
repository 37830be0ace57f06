//! How far long work has come: a bar on a terminal, nothing in a pipe.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error. It is drawn only if that is a terminal.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
}

/// How often a bar without news is drawn, so that its rate and time stay true.
const REDRAW: Duration = Duration::from_millis(100);

impl Progress {
    /// Progress in bytes: with a known end, how much time is left, too.
    pub fn bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {percent}%  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {msg}",
            None => "{spinner} {bytes}  {bytes_per_sec}  {elapsed}  {msg}",
        };
        Self::new(total, template)
    }

    /// Progress in records: with a known end, how much time is left, too.
    pub fn records(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => {
                "{bar:30} {percent}%  {human_pos} of {human_len} records  {per_sec}  {eta} left  {msg}"
            }
            None => "{spinner} {human_pos} records  {per_sec}  {elapsed}  {msg}",
        };
        Self::new(total, template)
    }

    /// No progress.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        // The templates stand above; one that cannot be read falls back to indicatif's own.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(REDRAW);
        Self { bar }
    }

    /// So much more is done.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Says something beside the bar.
    pub fn say(&self, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(message);
    }

    /// Takes the bar away: what follows stands on a clean line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    /// A command that fails or is interrupted leaves no half bar behind.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
