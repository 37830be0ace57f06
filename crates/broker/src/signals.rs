//! What the process is asked to do by signals.

use std::io;

use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::reload::Reload;

/// SIGTERM, SIGINT and SIGHUP.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    told_of_terminal: bool,
    reload: Reload,
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
    pub(crate) fn listen(reload: Reload) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            told_of_terminal: false,
            reload,
        })
    }

    /// The name of the next one that asks for an end; the configuration is read anew meanwhile, as often as SIGHUP asks.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    // The kernel tells of a closed terminal twice: to the process that led it, and to its group.
                    if terminal_is_gone() && !self.told_of_terminal {
                        self.told_of_terminal = true;
                        return "SIGHUP of a closed terminal";
                    }
                    // A small file that somebody has just written: not worth a thread of its own.
                    self.reload.run();
                }
            }
        }
    }

    /// Ends the process at the next one, whatever it is doing: nothing that was acknowledged depends on what is left.
    pub(crate) fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            let name = self.stop().await;
            tracing::warn!("{name} again: ending at once; the next start recovers");
            std::process::exit(1);
        });
    }
}

/// Whether we ran in a terminal's window and it was closed: nobody would see this broker go on and hold its port.
fn terminal_is_gone() -> bool {
    rustix::termios::tcgetattr(rustix::stdio::stderr()).is_err_and(|error| error == Errno::IO)
}
