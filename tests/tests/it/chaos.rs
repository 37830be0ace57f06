//! Three minutes of every kind of fault on three brokers; `cargo xtask chaos` runs longer, from any seed. It has to be asked for: faults are random,
//! and so far now and then one makes a broker say a line that nobody has expected yet.

use std::time::Duration;

use it::broker::Kind as BrokerKind;
use it::chaos::{self, Options, plan::Kind};
use it::project::Profile;
use it::tools::{self, Tool};

#[test]
#[ignore = "three minutes of random faults: `cargo test -p it --test it -- --ignored chaos`"]
fn three_minutes_of_faults_lose_double_and_reorder_nothing() {
    if !tools::require(&[Tool::Python, Tool::Kafka]) {
        return;
    }
    let options = Options {
        broker: BrokerKind::under_test(),
        profile: Profile::Dev,
        seed: 20,
        lasts: Duration::from_secs(180),
        kinds: Kind::ALL.into(),
    };
    match chaos::run(&options) {
        Ok(report) => eprintln!("{report}"),
        Err(error) => panic!("{error:#}"),
    }
}
