//! Frozen files: what this version writes, byte for byte, and that files of every kind stay readable, damaged ones
//! included. After a deliberate change of a format: `UPDATE_FIXTURES=1 cargo test -p ottla-storage --test storage`, and
//! let Kafka's `DumpLogSegments` judge the new ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ottla_record::{Codec, ControlType, Offset};
use ottla_storage::{Log, OpenError, ProducerStates};

use crate::batches::*;
use crate::support::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Two producers with transactions, epochs, timestamps out of order, several segments.
fn write_log(log: &mut Log) {
    let mut sequence = 0;
    for number in 0..24 {
        let timestamp = 1_600_000_000_000 + (number * 7919) % 1000 * 60_000;
        let values = [format!("value {number}"), "x".repeat(number as usize)];
        let plain = builder(Codec::None, timestamp, &values);
        let batch = match number % 6 {
            0 => plain,
            1 | 2 => plain.producer(stamp(11, 0, number as i32 / 6 * 4 + (number as i32 % 6 - 1) * 2)),
            4 => {
                let control = if number < 12 { ControlType::Abort } else { ControlType::Commit };
                log.append_as_leader(&marker(12, control, timestamp), epoch(number as i32 / 8), now())
                    .unwrap();
                continue;
            }
            _ => {
                sequence += 2;
                plain.producer(stamp(12, 0, sequence - 2)).transactional()
            }
        };
        let batch = validated(batch.build().unwrap());
        log.append_as_leader(&batch, epoch(number as i32 / 8), now()).unwrap();
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            for (inner, bytes) in self::files(&entry.path()) {
                files.insert(format!("{name}/{inner}"), bytes);
            }
        } else if name != ".lock" {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn write_files(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn what_is_written_is_what_was_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = open(&root, config());
    write_log(&mut log);
    log.close().unwrap();
    root.note_high_watermark(&name(), Offset::new(40));
    root.store_checkpoints().unwrap();
    root.mark_clean(None).unwrap();
    drop(root);
    let written = files(dir.path());
    let frozen = fixtures().join("clean");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let _ = fs::remove_dir_all(&frozen);
        write_files(&frozen, &written);
    }
    let frozen = files(&frozen);
    assert_eq!(written.keys().collect::<Vec<_>>(), frozen.keys().collect::<Vec<_>>());
    for (name, bytes) in &written {
        assert_eq!(bytes, &frozen[name], "{name}");
    }
}

/// The frozen directory in a place of its own, with one file changed.
fn damaged(file: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(&fixtures().join("clean"));
    change(files.get_mut(file).unwrap_or(&mut Vec::new()));
    write_files(dir.path(), &files);
    dir
}

struct Expected {
    contents: Vec<(i64, String)>,
    producers: ProducerStates,
}

fn expected() -> Expected {
    let dir = damaged("", |_| {});
    let (log, recovery) = open(&root(dir.path()), config());
    assert_eq!((recovery.truncated_bytes, recovery.rebuilt_indexes, recovery.scanned_bytes), (0, 0, 0));
    assert_eq!(log.log_end(), Offset::new(44));
    Expected { contents: contents(&log), producers: log.producers().clone() }
}

#[test]
fn a_flipped_bit_in_any_derived_file_is_repaired_or_told() {
    let expected = expected();
    let frozen = files(&fixtures().join("clean"));
    let derived = |name: &str| {
        [".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
    };
    let mut tried = 0;
    for (name, bytes) in frozen.iter().filter(|(name, bytes)| derived(name) && !bytes.is_empty()) {
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(12)) {
            let dir = damaged(name, |bytes| bytes[at] ^= 0x10);
            let root = root(dir.path());
            let (log, recovery) = open(&root, config());
            assert_eq!(recovery.truncated_bytes, 0, "{name} byte {at}");
            assert_eq!(contents(&log), expected.contents, "{name} byte {at}");
            let producers: Vec<_> = log.producers().iter().collect();
            assert_eq!(producers, expected.producers.iter().collect::<Vec<_>>(), "{name} byte {at}");
            for (offset, _) in &expected.contents {
                let slice = log.view().read(Offset::new(*offset), 1, log.log_end(), true).unwrap().unwrap();
                assert!(slice.base_offset.get() <= *offset, "{name} byte {at}: offset {offset} was skipped");
            }
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_corrupt_segment_stays_an_error() {
    // Frozen: a batch in the last segment with one flipped bit, below the recovery point.
    let corrupt = fixtures().join("corrupt");
    let file = "t-0/00000000000000000039.log";
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let _ = fs::remove_dir_all(&corrupt);
        let dir = damaged(file, |bytes| {
            let last = bytes.len() - 5;
            bytes[last] ^= 1;
        });
        write_files(&corrupt, &files(dir.path()));
    }
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), &files(&corrupt));
    let root = root(dir.path());
    let before = fs::read(dir.path().join(file)).unwrap();
    let error = open_from(&root, config(), root.log_start_of(&name())).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000039.log is damaged at byte"), "{error}");
    assert_eq!(fs::read(dir.path().join(file)).unwrap(), before, "nothing is cut");
}

#[test]
fn files_are_read_where_they_lie() {
    use ottla_storage::scan::{Check, Scanned};
    let dir = fixtures().join("clean/t-0");
    let (mut batches, mut entries) = (0, 0);
    for base in [0, 20, 39] {
        let path = |extension: &str| dir.join(format!("{base:020}.{extension}"));
        let reader = ottla_storage::SegmentReader::open(&path("log")).unwrap();
        assert_eq!(reader.base(), Offset::new(base));
        let mut positions = BTreeMap::new();
        let mut scan = reader.batches();
        while let Scanned::Batch { position, header } = scan.next(Check::Crc).unwrap() {
            assert_eq!(reader.read(position, header.len()).unwrap().len(), header.len());
            positions.insert(header.last_offset(), (position, header.max_timestamp().unwrap()));
            batches += 1;
        }
        assert_eq!(scan.position(), reader.size());
        // What Kafka's dump tool checks: every entry names the last offset, and its timestamp, of the batch there.
        for entry in ottla_storage::offline::offset_index(&path("index")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(positions[&entry.last_offset].0, u64::from(entry.position));
            entries += 1;
        }
        for entry in ottla_storage::offline::time_index(&path("timeindex")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(positions[&entry.last_offset].1, entry.timestamp);
            entries += 1;
        }
    }
    assert!(batches > 20 && entries > 8, "{batches} {entries}");
    let aborted =
        ottla_storage::offline::transaction_index(&dir.join("00000000000000000000.txnindex")).unwrap();
    assert_eq!(aborted.map(Result::unwrap).count(), 2);
    let producers = ottla_storage::offline::snapshot(&dir.join("00000000000000000044.snapshot")).unwrap();
    assert_eq!(producers.iter().len(), 2);
    assert!(ottla_storage::offline::snapshot(&dir.join("00000000000000000020.log")).is_err());
    assert!(ottla_storage::SegmentReader::open(&dir.join("partition.metadata")).is_err());
}
