//! Looks whether the process behind an address is the one that was there.

use std::io;
use std::time::Duration;

use ottla_coordination::metadata::liveness::DialOutcome;
use ottla_record::{BrokerId, Incarnation};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bootstrap;
use crate::peers::Peers;

/// Time for a connection. A host that is there answers within its round trip.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A process that is being torn down still has its listener for a moment, and whoever connects then is reset, or even answered: look again.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(20);
/// Only a process that answers again after a pause is there.
const TWICE: u32 = 2;

/// Looks for this process of a broker.
pub(crate) async fn dial(
    peers: &Peers,
    address: &str,
    broker: BrokerId,
    incarnation: Option<Incarnation>,
) -> DialOutcome {
    let mut answered = 0;
    for _ in 0..TRIES {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return DialOutcome::Refused;
            }
            Ok(Err(_)) | Err(_) => return DialOutcome::Unknown,
            Ok(Ok(_)) => {}
        }
        if let Ok(found) = bootstrap::describe(peers, address).await {
            // Another node at its address means as well that it is not there: a process gives its port back at its end only.
            let is_it = found.party.node == broker
                && incarnation.is_none_or(|incarnation| found.incarnation == incarnation);
            answered += 1;
            match is_it {
                false => return DialOutcome::OtherIncarnation,
                true if answered == TWICE => return DialOutcome::SameIncarnation,
                true => {}
            }
        }
        sleep(PAUSE).await;
    }
    DialOutcome::Unknown
}
