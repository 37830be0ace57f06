//! Damaged files: an error that says so, or everything intact; never a panic, never a silent loss.

use std::fs;
use std::path::PathBuf;

use expect_test::expect;

use super::*;

/// A stopped node that acknowledged 60 values, and its files.
async fn stopped() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    let mut quorum = start(&original).await;
    for n in 0..60 {
        if n == 30 {
            // A store that was opened before has its page table in a file, too.
            quorum.shutdown().await.unwrap();
            quorum = start(&original).await;
        }
        ok(&quorum, set(&format!("g{}", n % 7), 45_000 + n)).await;
    }
    quorum.shutdown().await.unwrap();
    (dir, original)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// True if the node starts and has all; an error is fine too, anything else is not.
async fn whole_or_refused(dir: &Path, what: &str) -> bool {
    match Quorum::start(config(dir)).await {
        Ok(quorum) => {
            for n in 53..60 {
                assert_eq!(value(&quorum, &format!("g{}", n % 7)), Some(45_000 + n), "{what}");
            }
            // And it is no trap: it goes on working.
            ok(&quorum, set("after", 45_000)).await;
            quorum.shutdown().await.unwrap();
            true
        }
        Err(QuorumError::Damaged { .. } | QuorumError::Io { .. } | QuorumError::Missing { .. }) => false,
        Err(other) => panic!("{what}: {other}"),
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_store_is_refused_or_harmless() {
    let (dir, original) = stopped().await;
    let (mut whole, mut refused) = (0, 0);
    let files: Vec<PathBuf> = fs::read_dir(original.join("state"))
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.file_type().unwrap().is_file())
        .map(|e| e.path())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // Every byte that holds something is as good as another: about 100 of them, at a stride that is no power of two.
        let used: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
        for position in used.iter().copied().step_by(used.len() / 100 + 1) {
            let tampered = dir.path().join("tampered");
            copy(&original, &tampered);
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (position % 8);
            let name = file.file_name().unwrap();
            fs::write(tampered.join("state").join(name), damaged).unwrap();
            let what = format!("{} byte {position}", name.display());
            if whole_or_refused(&tampered, &what).await {
                whole += 1;
            } else {
                refused += 1;
                // Opening may have changed the store; it must not have made the damage look right.
                assert!(!whole_or_refused(&tampered, &format!("{what}, again")).await, "{what}");
            }
            fs::remove_dir_all(&tampered).unwrap();
        }
    }
    println!("{whole} harmless, {refused} refused");
    assert!(whole > 0 && refused > 0, "{whole} harmless, {refused} refused: the positions test nothing");
}

#[tokio::test]
async fn a_store_cut_anywhere_is_refused_or_harmless() {
    let (dir, original) = stopped().await;
    let bytes = fs::read(original.join("state/db")).unwrap();
    let mut refused = 0;
    for length in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
        let tampered = dir.path().join("tampered");
        copy(&original, &tampered);
        fs::write(tampered.join("state/db"), &bytes[..length]).unwrap();
        refused += u32::from(!whole_or_refused(&tampered, &format!("cut at {length}")).await);
        fs::remove_dir_all(&tampered).unwrap();
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn missing_files_are_named() {
    let (dir, original) = stopped().await;
    let mut text = String::new();
    for missing in ["identity", "witness", "state", "state/db", "state/conf", "snapshots"] {
        let tampered = dir.path().join("tampered");
        copy(&original, &tampered);
        let path = tampered.join(missing);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let outcome = match Quorum::start(config(&tampered)).await {
            Ok(quorum) => {
                assert_eq!(value(&quorum, "g3"), Some(45_059));
                quorum.shutdown().await.unwrap();
                "whole".to_owned()
            }
            Err(e) => e.to_string(),
        };
        text += &format!("{missing}: {outcome}\n").replace(dir.path().to_str().unwrap(), "DIR");
        fs::remove_dir_all(&tampered).unwrap();
    }
    expect![[r#"
        identity: DIR/tampered: there is a log, but the file that tells whose it is is missing
        witness: DIR/tampered/witness: the witness of the hard state is missing or damaged, so nothing tells whether the hard state is whole
        state: DIR/tampered/state: the hard state is missing
        state/db: DIR/tampered/state: Read corrupted data at file offset Some(Inline(71)) backtrace ()
        state/conf: whole
        snapshots: whole
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn an_older_copy_of_the_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    let quorum = start(&node).await;
    ok(&quorum, set("g", 45_000)).await;
    quorum.shutdown().await.unwrap();
    copy(&node.join("state"), &dir.path().join("copy"));
    let quorum = start(&node).await;
    ok(&quorum, set("g", 45_001)).await;
    quorum.shutdown().await.unwrap();
    fs::remove_dir_all(node.join("state")).unwrap();
    copy(&dir.path().join("copy"), &node.join("state"));
    assert!(matches!(refusal(config(&node)).await, QuorumError::Damaged { .. }));
}
