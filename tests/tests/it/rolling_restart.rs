//! Clients' checks against three brokers of which one after the other is restarted, some in a minute. All of them, once in each minute, are
//! asked for by `OTTLA_IT_BROKERS=3`.

use std::time::Duration;

use it::broker::Spec;
use it::front::Rolling;
use it::interop;
use it::interop::client::{Client, Protocol};
use it::tools::{self, Tool};

use crate::{assigned_consumers, consumer_groups};

/// A restart is over by then, and there is one in every part of a story.
const OFTEN: Duration = Duration::from_secs(4);

fn rolling(spec: Spec) -> Spec {
    Spec { rolling: Some(Rolling { brokers: 3, every: OFTEN }), ..spec }
}

#[test]
fn groups_share_a_topic_while_brokers_are_restarted() {
    if !tools::require(&[Tool::Kafka, Tool::Python]) {
        return;
    }
    let broker = rolling(interop::spec()).start();
    consumer_groups::share_on(
        &broker,
        &[(Client::Java, Protocol::Cooperative), (Client::ConfluentKafka, Protocol::Consumer)],
    );
}

#[test]
fn assigned_consumers_read_everything_while_brokers_are_restarted() {
    if !tools::require(&[Tool::Kcat, Tool::Python]) {
        return;
    }
    let broker = rolling(Spec::under_test()).start();
    assigned_consumers::kcat_reads(&broker);
    assigned_consumers::python_reads(&rolling(Spec::under_test()).start(), "confluent_assigned.py");
}
