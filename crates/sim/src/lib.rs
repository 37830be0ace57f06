//! Ottla's deterministic simulator: the state machines that run in production, on a disk that cuts power.
//!
//! | module | what it holds |
//! |---|---|
//! | [`disk`] | [`SimDisk`]: written and synced images, torn and lost writes, planned faults, crash points |
//! | [`rng`] | the seeded generator every choice is drawn from |

pub mod disk;
pub mod rng;

pub use disk::{CrashPoint, Image, SimDisk, Survival};
pub use rng::Rng;
