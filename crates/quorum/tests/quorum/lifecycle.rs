//! Start, propose, stop, start again.

use std::path::PathBuf;
use std::sync::Arc;

use expect_test::expect;
use ottla_coordination::metadata::Image;
use ottla_quorum::{Identity, MAX_COMMAND_BYTES, ProposeError};

use super::*;

fn hash(quorum: &Quorum) -> ottla_coordination::metadata::ImageHash {
    quorum.images().borrow().hash().unwrap()
}

#[tokio::test]
async fn a_restart_brings_back_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = start(dir.path()).await;
    assert_eq!(quorum.images().borrow().cluster_id(), Some(quorum.cluster_id()));
    ok(&quorum, register(1)).await;
    ok(&quorum, set("g", 50_000)).await;
    let before = hash(&quorum);
    quorum.shutdown().await.unwrap();

    let quorum = start(dir.path()).await;
    assert_eq!(hash(&quorum), before);
    quorum.shutdown().await.unwrap();
    // A copy that is only dropped leaves nothing locked or lost either.
    drop(start(dir.path()).await);
}

#[tokio::test]
async fn an_answer_comes_after_the_image_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = start(dir.path()).await;
    for n in 45_000..45_100 {
        ok(&quorum, set("g", n)).await;
        assert_eq!(value(&quorum, "g"), Some(n));
    }
    quorum.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_proposals_at_once_are_all_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = Arc::new(start(dir.path()).await);
    let before = quorum.images().borrow().version();
    let tasks: Vec<_> = (0..1_000)
        .map(|n| {
            let quorum = Arc::clone(&quorum);
            tokio::spawn(async move { ok(&quorum, set(&format!("g{n}"), 45_000 + n)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(quorum.images().borrow().version(), before + 1_000);
    for n in 0..1_000 {
        assert_eq!(value(&quorum, &format!("g{n}")), Some(45_000 + n));
    }
}

#[tokio::test]
async fn snapshots_bound_the_log_and_a_restart_uses_them() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = Arc::new(start(dir.path()).await);
    // Several snapshots, and some entries after the last one.
    for chunk in 0..45 {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let quorum = Arc::clone(&quorum);
                tokio::spawn(async move { ok(&quorum, set(&format!("g{n}"), 45_000 + chunk)).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    let before: Arc<Image> = quorum.images().borrow().clone();
    Arc::into_inner(quorum).unwrap().shutdown().await.unwrap();
    assert_eq!(snapshots(dir.path()).len(), 2);

    let quorum = start(dir.path()).await;
    let after: Arc<Image> = quorum.images().borrow().clone();
    assert_eq!((after.version(), after.hash().unwrap()), (before.version(), before.hash().unwrap()));
    quorum.shutdown().await.unwrap();

    // The newest snapshot is not needed as long as the one before it is whole.
    damage(snapshots(dir.path()).last().unwrap());
    let quorum = start(dir.path()).await;
    assert_eq!(hash(&quorum), before.hash().unwrap());
    quorum.shutdown().await.unwrap();

    // Without any, the log's beginning is missing.
    snapshots(dir.path()).iter().for_each(|path| damage(path));
    assert!(matches!(refusal(config(dir.path())).await, QuorumError::Damaged { .. }));
    snapshots(dir.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(matches!(refusal(config(dir.path())).await, QuorumError::Damaged { .. }));
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir.join("snapshots")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn damage(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[tokio::test]
async fn a_command_that_is_too_large_is_refused_before_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = start(dir.path()).await;
    let error = quorum.propose(set(&"g".repeat(MAX_COMMAND_BYTES), 45_000)).await.unwrap_err();
    assert!(matches!(error, ProposeError::TooLarge { .. }), "{error}");
    ok(&quorum, set("g", 45_000)).await;
    quorum.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_metadata_of_somebody_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    start(dir.path()).await.shutdown().await.unwrap();
    let other = || Uuid::from_bytes(*b"another.........");
    let cases = [
        QuorumConfig { node: BrokerId::new(2), ..config(dir.path()) },
        QuorumConfig { directory: DirectoryId(other()), ..config(dir.path()) },
        QuorumConfig { cluster: ClusterId(other()), ..config(dir.path()) },
        QuorumConfig { if_missing: IfMissing::Refuse, ..config(&dir.path().join("lost")) },
        QuorumConfig { node: BrokerId::new(-1), ..config(dir.path()) },
    ];
    let mut text = String::new();
    for case in cases {
        text += &format!("{}\n", refusal(case).await).replace(dir.path().to_str().unwrap(), "DIR");
    }
    expect![[r#"
        DIR: this is the metadata of node 1, not of node 2: check node.id
        DIR: this is the metadata of log directory ZGlyZWN0b3J5Li4uLi4uLg, not of YW5vdGhlci4uLi4uLi4uLg: one of them was exchanged
        DIR: this is the metadata of cluster Y2x1c3Rlci4uLi4uLi4uLg, not of YW5vdGhlci4uLi4uLi4uLg
        DIR/lost: there is no cluster metadata here, but this data directory belongs to a cluster. It was lost or the wrong directory is configured; starting would forget every topic
        node.id -1 is negative
    "#]].assert_eq(&text);
    assert!(!dir.path().join("lost").exists());

    let found = Identity::read(dir.path()).unwrap().unwrap();
    let expected = config(dir.path());
    assert_eq!((found.node, found.directory, found.cluster), (NODE, expected.directory, expected.cluster));
    assert_eq!(Identity::read(&dir.path().join("lost")).unwrap(), None);
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let quorum = start(dir.path()).await;
    let error = refusal(config(dir.path())).await;
    assert!(error.to_string().contains("lock"), "{error}");
    ok(&quorum, set("g", 45_000)).await;
    quorum.shutdown().await.unwrap();
}
