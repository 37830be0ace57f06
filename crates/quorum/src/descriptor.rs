//! Sockets that close first when this process dies.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Resource, getrlimit};

/// Descriptors from here on are for what is to be closed first, or from three quarters of the limit on if that is lower. The kernel's table grows to
/// the next power of two: 128 KiB.
const FLOOR: u64 = 12_288;

/// The same socket under a high number.
///
/// Linux closes the descriptors of a process that is killed from the highest number to the lowest (`fput` leaves the work to `task_work`, which
/// runs last in, first out). Between clients' sockets and those of other brokers, which are older, a broker with many open files takes milliseconds:
/// enough for a client to ask another broker who leads before that one can know that the leader is gone.
pub(crate) fn high(socket: impl AsFd) -> io::Result<OwnedFd> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let floor = i32::try_from((limit / 4 * 3).min(FLOOR)).unwrap_or(0);
    Ok(rustix::io::fcntl_dupfd_cloexec(socket, floor)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_socket_goes_on_under_a_high_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let low = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let mut moved = TcpStream::from(high(&low).unwrap());
        assert!(moved.as_raw_fd() > low.as_raw_fd() + 100, "{moved:?}");
        drop(low);
        accepted.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        moved.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }
}
