//! Consumer groups of foreign clients: the same story for each, told by one driver.
//!
//! Three members share a topic, one is killed with `kill -9`, one joins, one leaves, all stop, one comes back. A client is a small
//! program in its own language under `tests/interop`, one process a member, that says what it sees ([`member`]); the
//! driver ([`scenario`]) starts, kills and stops them while records flow, and judges by what they and the broker say
//! ([`ledger`]). The same story against Apache Kafka shows that a program is right.
//!
//! | module | what it is for |
//! |---|---|
//! | [`client`] | the clients: their programs, versions and the protocols each can speak |
//! | [`member`] | one process, and the lines it writes |
//! | [`ledger`] | what was delivered, committed and owned, and what must never happen |
//! | [`scenario`] | the story |
//! | [`stories`] | Kafka's own command-line tools for groups |

pub mod client;
pub mod ledger;
pub mod member;
pub mod scenario;
pub mod stories;

use crate::broker::Spec;

/// The broker under test, with timeouts for groups short enough for a test and those of Kafka's defaults otherwise.
pub fn spec() -> Spec {
    let few_partitions = Spec::under_test().set("offsets.topic.num.partitions", 5);
    settings().into_iter().fold(few_partitions, |spec, (key, value)| spec.set(key, value))
}

/// What members need that want to be noticed within seconds.
pub(crate) fn settings() -> [(&'static str, u32); 6] {
    [
        ("group.initial.rebalance.delay.ms", 500),
        ("group.min.session.timeout.ms", 1_000),
        ("group.consumer.min.session.timeout.ms", 1_000),
        ("group.consumer.session.timeout.ms", 4_000),
        ("group.consumer.min.heartbeat.interval.ms", 100),
        ("group.consumer.heartbeat.interval.ms", 500),
    ]
}
