//! What the connections of all front doors may take together: places, and memory for their requests.
//!
//! | module | what it holds |
//! |---|---|
//! | [`admission`] | who may connect: at once, from one address, in a second |
//! | [`request_memory`] | a bound on the bytes of all requests in memory |
//! | [`pace`] | which client is too slow to be waited for when that memory is spent |

pub mod admission;
pub mod pace;
pub mod request_memory;

use std::sync::Arc;

pub use admission::{Admission, AdmissionLimits, Place, TooMany};
pub use pace::Pace;
pub use request_memory::{Account, RequestMemory, SMALL};

/// What the listeners of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// What requests may take.
    pub memory: Arc<RequestMemory>,
}
