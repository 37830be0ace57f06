//! Telling the service manager how far we are: systemd's protocol of `sd_notify(3)`, one datagram a state.
//!
//! With it `systemctl start` returns when clients are served, and what depends on this unit starts after that.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the service manager listens; it sets this for the processes it starts.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Clients are served.
pub(crate) const READY: &str = "READY=1";
/// The clean stop has begun.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Says it, if somebody listens.
pub(crate) fn notify(state: &str) {
    let Some(name) = std::env::var_os(SOCKET).filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(
            socket = ?name, %error,
            "the service manager was not told {state}; a unit of Type=notify will be taken for one that hangs: use Type=exec"
        );
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
