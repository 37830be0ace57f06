//! A real node of the quorum on a real disk: restarts, kills, damage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what went wrong by panicking"
)]

mod cluster;
mod damage;
mod kill;
mod lifecycle;

use std::path::Path;

use ottla_coordination::metadata::{
    Command, ConfigChange, ConfigEdit, ConfigOp, ConfigResource, Endpoint, RegisterBroker, Response,
    SecurityProtocol,
};
use ottla_quorum::{IfMissing, Quorum, QuorumConfig, QuorumError};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, Uuid};

const NODE: BrokerId = BrokerId::new(1);

fn config(dir: &Path) -> QuorumConfig {
    QuorumConfig {
        dir: dir.to_owned(),
        node: NODE,
        directory: DirectoryId(Uuid::from_bytes(*b"directory.......")),
        cluster: ClusterId(Uuid::from_bytes(*b"cluster.........")),
        incarnation: Incarnation(Uuid::from_bytes(*b"incarnation.....")),
        if_missing: IfMissing::Form,
        control: None,
    }
}

async fn start(dir: &Path) -> Quorum {
    Quorum::start(config(dir)).await.unwrap()
}

/// What `start` says where it must not start.
async fn refusal(config: QuorumConfig) -> QuorumError {
    match Quorum::start(config).await {
        Ok(_) => panic!("it started"),
        Err(e) => e,
    }
}

/// A command whose effect can be looked up: group `group` has session timeout `value`.
fn set(group: &str, value: u64) -> Command {
    let name = "consumer.session.timeout.ms".to_owned();
    let edit = ConfigEdit::Incremental(vec![(name, ConfigOp::Set(value.to_string()))]);
    Command::AlterConfigs(ottla_coordination::metadata::AlterConfigs {
        changes: vec![ConfigChange { resource: ConfigResource::Group(group.to_owned()), edit }],
    })
}

/// What [`set`] left.
fn value(quorum: &Quorum, group: &str) -> Option<u64> {
    let image = quorum.images().borrow().clone();
    image.group_configs(group)?.get("consumer.session.timeout.ms")?.parse().ok()
}

fn register(run: u8) -> Command {
    Command::RegisterBroker(RegisterBroker {
        broker: NODE,
        incarnation: Incarnation(Uuid::from_bytes([run; 16])),
        cluster: config(Path::new("")).cluster,
        directory: config(Path::new("")).directory,
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            protocol: SecurityProtocol::Plaintext,
            host: "127.0.0.1".to_owned(),
            port: 9092,
        }],
        rack: None,
        replaces: None,
    })
}

async fn ok(quorum: &Quorum, command: Command) {
    match quorum.propose(command).await.unwrap() {
        Response::AlterConfigs(results) => assert_eq!(results, [Ok(())]),
        Response::RegisterBroker(result) => drop(result.unwrap()),
        other => panic!("{other:?}"),
    }
}
