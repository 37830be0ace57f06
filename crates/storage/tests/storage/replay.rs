//! The committed fuzz corpora, replayed on the stable compiler.

use std::fs;
use std::path::{Path, PathBuf};

use crate::any_files::{self, FILES};

pub(crate) fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn replay(target: &str, check: fn(&[u8])) {
    let mut inputs = 0;
    for entry in fs::read_dir(corpus(target)).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 5, "{target} has {inputs} inputs");
}

#[test]
fn index_recover() {
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        write_seeds();
    }
    replay("index_recover", any_files::open_and_use);
}

#[test]
fn checkpoint_parse() {
    replay("checkpoint_parse", any_files::parse);
}

/// Inputs to start from: the frozen log, whole, cut, flipped, and with files missing.
fn write_seeds() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clean");
    let input = |recovery_point: u8, flags: u8, change: &dyn Fn(&str, &mut Option<Vec<u8>>)| {
        let mut input = vec![recovery_point, flags];
        for name in FILES {
            let mut bytes = fs::read(frozen.join(name)).ok();
            change(name, &mut bytes);
            match bytes {
                Some(bytes) => {
                    input.extend((bytes.len() as u16).to_be_bytes());
                    input.extend(bytes);
                }
                None => input.extend(u16::MAX.to_be_bytes()),
            }
        }
        input
    };
    let dir = corpus("index_recover");
    fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.join(name), bytes).unwrap();
    write("whole", input(0, 0, &|_, _| {}));
    write("whole-flushed", input(39, 0, &|_, _| {}));
    write("whole-clean", input(39, 2, &|_, _| {}));
    write("log-start", input(20, 0xa1, &|_, _| {}));
    write("compacted", input(5, 4, &|_, _| {}));
    write(
        "torn",
        input(20, 0, &|name, bytes| {
            if name.ends_with("20.log") {
                bytes.as_mut().unwrap().truncate(500);
            }
        }),
    );
    write(
        "zero-tail",
        input(20, 0, &|name, bytes| {
            if name.ends_with("20.log") {
                bytes.as_mut().unwrap().extend([0; 300]);
            }
        }),
    );
    write(
        "flipped",
        input(10, 0, &|name, bytes| {
            if name.ends_with("00.log") {
                bytes.as_mut().unwrap()[600] ^= 4;
            }
        }),
    );
    write(
        "log-only",
        input(0, 0, &|name, bytes| {
            if !name.ends_with(".log") {
                *bytes = None;
            }
        }),
    );
    write(
        "damaged-indexes",
        input(20, 0, &|name, bytes| {
            if name.contains("index") {
                bytes.as_mut().unwrap()[3] ^= 0x70;
            }
        }),
    );
    let dir = corpus("checkpoint_parse");
    fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    for name in [
        "meta.properties",
        "recovery-point-offset-checkpoint",
        ".kafka_cleanshutdown",
        "t-0/leader-epoch-checkpoint",
        "t-0/00000000000000000039.snapshot",
    ] {
        let bytes = fs::read(frozen.join(name)).unwrap();
        write(name.rsplit('/').next().unwrap().trim_start_matches('.'), &bytes);
    }
    let snapshot = fs::read(frozen.join("t-0/00000000000000000039.snapshot")).unwrap();
    write("snapshot-unsealed", &snapshot[6..]);
    write("huge-count", b"0\n99999999999\n");
}
