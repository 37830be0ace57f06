use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use expect_test::{Expect, expect};

use super::*;
use crate::Command;
use crate::commands::Ports;
use crate::commands::log::import::{ImportHost, ImportTarget};
use crate::output::Form;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// A dump needs none.
struct NoHost;

impl ImportHost for NoHost {
    fn open(&self, _: &Path, _: Option<ottla_record::BrokerId>) -> Result<Box<dyn ImportTarget>, String> {
        panic!("a dump opens no target")
    }

    fn is_topic_config(&self, _: &str) -> bool {
        panic!("a dump reads no configs")
    }
}

/// What storage's own tests froze.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/tests/fixtures")
}

/// Runs `ottla log dump` with these words; those after `/` are below `root`. Output, then the failure, if any.
fn dump(root: &Path, words: &str) -> String {
    let place = |word: &str| match word.strip_prefix('/') {
        Some(path) => root.join(path).display().to_string(),
        None => word.to_owned(),
    };
    let words =
        ["ottla", "log", "dump"].map(str::to_owned).into_iter().chain(words.split_whitespace().map(place));
    let cli = Cli::try_parse_from(words).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ports = Ports { import: &NoHost, command_line: Cli::command };
    let result = cli.command.execute(&ports, &mut Output::new(&mut out, &mut err, Form::Text));
    let mut said = String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap();
    if let Err(failure) = result {
        said.push_str(&format!("exit {}: {failure}\n", failure.exit_code()));
    }
    said.replace(&format!("{}/", root.display()), "")
}

fn check(words: &str, expected: Expect) {
    expected.assert_eq(&dump(&fixtures(), words));
}

/// A copy of the clean directory with one file changed.
fn check_damaged(file: &str, change: impl FnOnce(&mut Vec<u8>), words: &str, expected: Expect) {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures().join("clean/t-0")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    expected.assert_eq(&dump(copy.path(), words));
}

#[test]
fn a_segment_as_text() {
    check(
        "/clean/t-0/00000000000000000039.log",
        expect![[r#"
        clean/t-0/00000000000000000039.log
          @0 offsets 39..40, 2 records, 104 bytes, none, epoch 2, producer 12 epoch 0 sequence 12, CreateTime 2020-09-13T17:25:40.001Z, transactional, crc eaba71a2
          @104 offsets 41..41, 1 records, 78 bytes, none, epoch 2, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T16:04:40.000Z, transactional, control, crc 02e5eb56
          @182 offsets 42..43, 2 records, 106 bytes, none, epoch 2, producer 12 epoch 0 sequence 14, CreateTime 2020-09-13T14:43:40.001Z, transactional, crc c44607d0
    "#]],
    );
    check(
        "--records /clean/t-0/00000000000000000039.log",
        expect![[r#"
        clean/t-0/00000000000000000039.log
          @0 offsets 39..40, 2 records, 104 bytes, none, epoch 2, producer 12 epoch 0 sequence 12, CreateTime 2020-09-13T17:25:40.001Z, transactional, crc eaba71a2
            39 2020-09-13T17:25:40.000Z key null value "value 21"
            40 2020-09-13T17:25:40.001Z key null value "xxxxxxxxxxxxxxxxxxxxx"
          @104 offsets 41..41, 1 records, 78 bytes, none, epoch 2, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T16:04:40.000Z, transactional, control, crc 02e5eb56
            41 commit of producer 12, coordinator epoch 3
          @182 offsets 42..43, 2 records, 106 bytes, none, epoch 2, producer 12 epoch 0 sequence 14, CreateTime 2020-09-13T14:43:40.001Z, transactional, crc c44607d0
            42 2020-09-13T14:43:40.000Z key null value "value 23"
            43 2020-09-13T14:43:40.001Z key null value "xxxxxxxxxxxxxxxxxxxxxxx"
    "#]],
    );
}

#[test]
fn a_segment_as_json() {
    check(
        "--records --json /clean/t-0/00000000000000000039.log",
        expect![[r#"
        {"file":"clean/t-0/00000000000000000039.log","kind":"batch","position":0,"bytes":104,"base_offset":39,"last_offset":40,"records":2,"leader_epoch":2,"compression":"none","timestamp_type":"CreateTime","max_timestamp":1600017940001,"producer_id":12,"producer_epoch":0,"base_sequence":12,"transactional":true,"control":false,"delete_horizon":null,"crc":3938087330}
        {"file":"clean/t-0/00000000000000000039.log","kind":"record","offset":39,"timestamp":1600017940000,"key":null,"value":"value 21","headers":[]}
        {"file":"clean/t-0/00000000000000000039.log","kind":"record","offset":40,"timestamp":1600017940001,"key":null,"value":"xxxxxxxxxxxxxxxxxxxxx","headers":[]}
        {"file":"clean/t-0/00000000000000000039.log","kind":"batch","position":104,"bytes":78,"base_offset":41,"last_offset":41,"records":1,"leader_epoch":2,"compression":"none","timestamp_type":"CreateTime","max_timestamp":1600013080000,"producer_id":12,"producer_epoch":0,"base_sequence":null,"transactional":true,"control":true,"delete_horizon":null,"crc":48622422}
        {"file":"clean/t-0/00000000000000000039.log","kind":"marker","offset":41,"producer_id":12,"outcome":"commit","coordinator_epoch":3}
        {"file":"clean/t-0/00000000000000000039.log","kind":"batch","position":182,"bytes":106,"base_offset":42,"last_offset":43,"records":2,"leader_epoch":2,"compression":"none","timestamp_type":"CreateTime","max_timestamp":1600008220001,"producer_id":12,"producer_epoch":0,"base_sequence":14,"transactional":true,"control":false,"delete_horizon":null,"crc":3292923856}
        {"file":"clean/t-0/00000000000000000039.log","kind":"record","offset":42,"timestamp":1600008220000,"key":null,"value":"value 23","headers":[]}
        {"file":"clean/t-0/00000000000000000039.log","kind":"record","offset":43,"timestamp":1600008220001,"key":null,"value":"xxxxxxxxxxxxxxxxxxxxxxx","headers":[]}
    "#]],
    );
}

#[test]
fn indexes_and_small_files() {
    check(
        "--verify /clean/t-0/00000000000000000000.index /clean/t-0/00000000000000000000.timeindex \
         /clean/t-0/00000000000000000000.txnindex /clean/t-0/00000000000000000020.snapshot \
         /clean/t-0/leader-epoch-checkpoint /clean/t-0/partition.metadata /clean/meta.properties \
         /clean/recovery-point-offset-checkpoint /clean/replication-offset-checkpoint /clean/.kafka_cleanshutdown",
        expect![[r#"
            clean/t-0/00000000000000000000.index
              offset 7 at byte 249
              offset 12 at byte 499
              offset 18 at byte 766
            clean/t-0/00000000000000000000.timeindex
              2020-09-14T03:45:40.001Z up to offset 3
            clean/t-0/00000000000000000000.txnindex
              producer 12 aborted offsets 6..8, last stable offset 9
              producer 12 aborted offsets 9..19, last stable offset 20
            clean/t-0/00000000000000000020.snapshot
              producer 11 epoch 0, last 2020-09-13T18:18:40.001Z, offsets 2..3 up to sequence 1, offsets 4..5 up to sequence 3, offsets 13..14 up to sequence 5, offsets 15..16 up to sequence 7
              producer 12 epoch 0, coordinator epoch 3, last 2020-09-13T15:36:40.000Z, offsets 6..7 up to sequence 1, offsets 9..10 up to sequence 3, offsets 17..18 up to sequence 5
            clean/t-0/leader-epoch-checkpoint
              epoch 0 from offset 0
              epoch 1 from offset 15
              epoch 2 from offset 30
            clean/t-0/partition.metadata
              topic id BwcHBwcHRweHBwcHBwcHBw
            clean/meta.properties
              cluster none, node 1, directory AQEBAQEBQQGBAQEBAQEBAQ
            clean/recovery-point-offset-checkpoint
              t-0 44
            clean/replication-offset-checkpoint
              t-0 40
            clean/.kafka_cleanshutdown
              stopped cleanly, broker epoch none
        "#]],
    );
    check(
        "--json /clean/t-0/00000000000000000000.index /clean/t-0/00000000000000000000.timeindex \
         /clean/t-0/00000000000000000000.txnindex /clean/t-0/00000000000000000020.snapshot \
         /clean/t-0/leader-epoch-checkpoint /clean/t-0/partition.metadata /clean/meta.properties \
         /clean/recovery-point-offset-checkpoint /clean/.kafka_cleanshutdown",
        expect![[r#"
            {"file":"clean/t-0/00000000000000000000.index","kind":"offset-entry","last_offset":7,"position":249}
            {"file":"clean/t-0/00000000000000000000.index","kind":"offset-entry","last_offset":12,"position":499}
            {"file":"clean/t-0/00000000000000000000.index","kind":"offset-entry","last_offset":18,"position":766}
            {"file":"clean/t-0/00000000000000000000.timeindex","kind":"time-entry","timestamp":1600055140001,"last_offset":3}
            {"file":"clean/t-0/00000000000000000000.txnindex","kind":"aborted-transaction","producer_id":12,"first_offset":6,"last_offset":8,"last_stable_offset":9}
            {"file":"clean/t-0/00000000000000000000.txnindex","kind":"aborted-transaction","producer_id":12,"first_offset":9,"last_offset":19,"last_stable_offset":20}
            {"file":"clean/t-0/00000000000000000020.snapshot","kind":"producer","producer_id":11,"producer_epoch":0,"coordinator_epoch":null,"last_timestamp":1600021120001,"transaction_start":null,"recent_batches":[{"last_sequence":1,"first_offset":2,"last_offset":3,"timestamp":1600055140001},{"last_sequence":3,"first_offset":4,"last_offset":5,"timestamp":1600050280001},{"last_sequence":5,"first_offset":13,"last_offset":14,"timestamp":1600025980001},{"last_sequence":7,"first_offset":15,"last_offset":16,"timestamp":1600021120001}]}
            {"file":"clean/t-0/00000000000000000020.snapshot","kind":"producer","producer_id":12,"producer_epoch":0,"coordinator_epoch":3,"last_timestamp":1600011400000,"transaction_start":null,"recent_batches":[{"last_sequence":1,"first_offset":6,"last_offset":7,"timestamp":1600045420001},{"last_sequence":3,"first_offset":9,"last_offset":10,"timestamp":1600035700001},{"last_sequence":5,"first_offset":17,"last_offset":18,"timestamp":1600011400000}]}
            {"file":"clean/t-0/leader-epoch-checkpoint","kind":"leader-epoch","epoch":0,"start_offset":0}
            {"file":"clean/t-0/leader-epoch-checkpoint","kind":"leader-epoch","epoch":1,"start_offset":15}
            {"file":"clean/t-0/leader-epoch-checkpoint","kind":"leader-epoch","epoch":2,"start_offset":30}
            {"file":"clean/t-0/partition.metadata","kind":"partition","topic_id":"BwcHBwcHRweHBwcHBwcHBw"}
            {"file":"clean/meta.properties","kind":"directory","cluster_id":null,"node_id":1,"directory_id":"AQEBAQEBQQGBAQEBAQEBAQ"}
            {"file":"clean/recovery-point-offset-checkpoint","kind":"partition-offset","topic":"t","partition":0,"offset":44}
            {"file":"clean/.kafka_cleanshutdown","kind":"clean-shutdown","broker_epoch":null}
        "#]],
    );
}

#[test]
fn a_whole_directory_is_verified() {
    let said = dump(&fixtures(), "--verify --records /clean");
    assert!(!said.contains("DAMAGED") && !said.contains("exit"), "{said}");
    let files: Vec<&str> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    expect![[r#"
        clean/.kafka_cleanshutdown
        clean/meta.properties
        clean/recovery-point-offset-checkpoint
        clean/replication-offset-checkpoint
        clean/t-0/00000000000000000000.log
        clean/t-0/00000000000000000000.index
        clean/t-0/00000000000000000000.timeindex
        clean/t-0/00000000000000000000.txnindex
        clean/t-0/00000000000000000020.log
        clean/t-0/00000000000000000020.index
        clean/t-0/00000000000000000020.snapshot
        clean/t-0/00000000000000000020.timeindex
        clean/t-0/00000000000000000039.log
        clean/t-0/00000000000000000039.index
        clean/t-0/00000000000000000039.snapshot
        clean/t-0/00000000000000000039.timeindex
        clean/t-0/00000000000000000044.snapshot
        clean/t-0/leader-epoch-checkpoint
        clean/t-0/partition.metadata
    "#]]
    .assert_eq(&(files.join("\n") + "\n"));
}

#[test]
fn damage_is_told_with_its_place() {
    check(
        "--verify /corrupt/t-0/00000000000000000039.log",
        expect![[r#"
        corrupt/t-0/00000000000000000039.log
          @0 offsets 39..40, 2 records, 104 bytes, none, epoch 2, producer 12 epoch 0 sequence 12, CreateTime 2020-09-13T17:25:40.001Z, transactional, crc eaba71a2
          @104 offsets 41..41, 1 records, 78 bytes, none, epoch 2, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T16:04:40.000Z, transactional, control, crc 02e5eb56
          DAMAGED at byte 182: the batch is corrupt: its CRC is 0xc44607d0, its bytes have 0xfc57687c
          @182 offsets 42..43, 2 records, 106 bytes, none, epoch 2, producer 12 epoch 0 sequence 14, CreateTime 2020-09-13T14:43:40.001Z, transactional, crc c44607d0
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    let of = |kind: &str| format!("00000000000000000000.{kind}");
    // What follows a batch with a flipped bit is still shown.
    check_damaged(
        &of("log"),
        |log| log[100] ^= 4,
        &format!("/{}", of("log")),
        expect![[r#"
        00000000000000000000.log
          @0 offsets 0..1, 2 records, 82 bytes, none, epoch 0, CreateTime 2020-09-13T12:26:40.001Z, crc 2eb3dc6d
          DAMAGED at byte 82: the batch is corrupt: its CRC is 0x26ba1274, its bytes have 0x26be1274
          @82 offsets 2..3, 2 records, 83 bytes, none, epoch 0, producer 11 epoch 0 sequence 0, CreateTime 2020-09-14T03:45:40.001Z, crc 26ba1274
          @165 offsets 4..5, 2 records, 84 bytes, none, epoch 0, producer 11 epoch 0 sequence 2, CreateTime 2020-09-14T02:24:40.001Z, crc 36dbbf6b
          @249 offsets 6..7, 2 records, 85 bytes, none, epoch 0, producer 12 epoch 0 sequence 0, CreateTime 2020-09-14T01:03:40.001Z, transactional, crc e5b75459
          @334 offsets 8..8, 1 records, 78 bytes, none, epoch 0, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T23:42:40.000Z, transactional, control, crc f61c0e7c
          @412 offsets 9..10, 2 records, 87 bytes, none, epoch 0, producer 12 epoch 0 sequence 2, CreateTime 2020-09-13T22:21:40.001Z, transactional, crc e196258a
          @499 offsets 11..12, 2 records, 88 bytes, none, epoch 0, CreateTime 2020-09-13T21:00:40.001Z, crc 5aaa374e
          @587 offsets 13..14, 2 records, 89 bytes, none, epoch 0, producer 11 epoch 0 sequence 4, CreateTime 2020-09-13T19:39:40.001Z, crc ae5b0413
          @676 offsets 15..16, 2 records, 90 bytes, none, epoch 1, producer 11 epoch 0 sequence 6, CreateTime 2020-09-13T18:18:40.001Z, crc e5569123
          @766 offsets 17..18, 2 records, 91 bytes, none, epoch 1, producer 12 epoch 0 sequence 4, CreateTime 2020-09-13T16:57:40.001Z, transactional, crc b20923e7
          @857 offsets 19..19, 1 records, 78 bytes, none, epoch 1, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T15:36:40.000Z, transactional, control, crc 11f85324
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    // A length that reaches past the end: nothing behind it can be trusted.
    check_damaged(
        &of("log"),
        |log| log[9] = 1,
        &format!("/{}", of("log")),
        expect![[r#"
        00000000000000000000.log
          DAMAGED at byte 0: the batch is torn: 935 of 65618 bytes are there
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    check_damaged(
        &of("log"),
        |log| log.truncate(150),
        &format!("/{}", of("log")),
        expect![[r#"
        00000000000000000000.log
          @0 offsets 0..1, 2 records, 82 bytes, none, epoch 0, CreateTime 2020-09-13T12:26:40.001Z, crc 2eb3dc6d
          DAMAGED at byte 82: the batch is torn: 68 of 83 bytes are there
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    check_damaged(
        &of("log"),
        |log| log.extend([0; 80]),
        &format!("/{}", of("log")),
        expect![[r#"
        00000000000000000000.log
          @0 offsets 0..1, 2 records, 82 bytes, none, epoch 0, CreateTime 2020-09-13T12:26:40.001Z, crc 2eb3dc6d
          @82 offsets 2..3, 2 records, 83 bytes, none, epoch 0, producer 11 epoch 0 sequence 0, CreateTime 2020-09-14T03:45:40.001Z, crc 26be1274
          @165 offsets 4..5, 2 records, 84 bytes, none, epoch 0, producer 11 epoch 0 sequence 2, CreateTime 2020-09-14T02:24:40.001Z, crc 36dbbf6b
          @249 offsets 6..7, 2 records, 85 bytes, none, epoch 0, producer 12 epoch 0 sequence 0, CreateTime 2020-09-14T01:03:40.001Z, transactional, crc e5b75459
          @334 offsets 8..8, 1 records, 78 bytes, none, epoch 0, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T23:42:40.000Z, transactional, control, crc f61c0e7c
          @412 offsets 9..10, 2 records, 87 bytes, none, epoch 0, producer 12 epoch 0 sequence 2, CreateTime 2020-09-13T22:21:40.001Z, transactional, crc e196258a
          @499 offsets 11..12, 2 records, 88 bytes, none, epoch 0, CreateTime 2020-09-13T21:00:40.001Z, crc 5aaa374e
          @587 offsets 13..14, 2 records, 89 bytes, none, epoch 0, producer 11 epoch 0 sequence 4, CreateTime 2020-09-13T19:39:40.001Z, crc ae5b0413
          @676 offsets 15..16, 2 records, 90 bytes, none, epoch 1, producer 11 epoch 0 sequence 6, CreateTime 2020-09-13T18:18:40.001Z, crc e5569123
          @766 offsets 17..18, 2 records, 91 bytes, none, epoch 1, producer 12 epoch 0 sequence 4, CreateTime 2020-09-13T16:57:40.001Z, transactional, crc b20923e7
          @857 offsets 19..19, 1 records, 78 bytes, none, epoch 1, producer 12 epoch 0 sequence none, CreateTime 2020-09-13T15:36:40.000Z, transactional, control, crc 11f85324
          80 bytes from byte 935 on are reserved and not written
    "#]],
    );
    check_damaged(
        &of("index"),
        |index| index[7] ^= 3,
        &format!("--verify /{}", of("index")),
        expect![[r#"
        00000000000000000000.index
          offset 7 at byte 250
          DAMAGED at byte 0: no batch starts at byte 250 of the log
          offset 12 at byte 499
          offset 18 at byte 766
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    check_damaged(
        &of("index"),
        |index| index.push(1),
        &format!("--json /{}", of("index")),
        expect![[r#"
        {"file":"00000000000000000000.index","kind":"offset-entry","last_offset":7,"position":249}
        {"file":"00000000000000000000.index","kind":"offset-entry","last_offset":12,"position":499}
        {"file":"00000000000000000000.index","kind":"offset-entry","last_offset":18,"position":766}
        {"file":"00000000000000000000.index","kind":"damage","position":null,"reason":"byte 24: the file ends inside an entry"}
        exit 1: 1 of 1 files are damaged
    "#]],
    );
    check_damaged(
        &of("index"),
        |index| index.extend([0; 64]),
        &format!("--verify /{}", of("index")),
        expect![[r#"
            00000000000000000000.index
              offset 7 at byte 249
              offset 12 at byte 499
              offset 18 at byte 766
              64 bytes from byte 24 on are reserved and not written
        "#]],
    );
    check_damaged(
        &of("timeindex"),
        |times| times[6] ^= 1,
        &format!("--verify /{}", of("timeindex")),
        expect![[r#"
            00000000000000000000.timeindex
              2020-09-14T03:45:40.257Z up to offset 3
              DAMAGED at byte 0: the latest timestamp of the batch with offset 3 is another
            exit 1: 1 of 1 files are damaged
        "#]],
    );
    check_damaged(
        &of("txnindex"),
        |aborted| aborted[9] ^= 1,
        &format!("--verify /{}", of("txnindex")),
        expect![[r#"
            00000000000000000000.txnindex
              producer 13 aborted offsets 6..8, last stable offset 9
              DAMAGED at byte 0: the log has no abort marker of producer 13 at offset 8
              producer 12 aborted offsets 9..19, last stable offset 20
            exit 1: 1 of 1 files are damaged
        "#]],
    );
    check_damaged(
        "00000000000000000020.snapshot",
        |snapshot| snapshot[20] ^= 1,
        "/00000000000000000020.snapshot",
        expect![[r#"
            00000000000000000020.snapshot
              DAMAGED: its CRC is 0xa718917e, its bytes have 0x8c20a6b0
            exit 1: 1 of 1 files are damaged
        "#]],
    );
    check_damaged(
        "leader-epoch-checkpoint",
        |text| text[0] = b'9',
        "/leader-epoch-checkpoint",
        expect![[r#"
        leader-epoch-checkpoint
          DAMAGED: line 1: the version is not 0
        exit 1: 1 of 1 files are damaged
    "#]],
    );
}

#[test]
fn what_is_no_file_of_a_log_is_refused() {
    check(
        "/clean/nothing.log",
        expect![[r#"
        exit 1: clean/nothing.log: No such file or directory (os error 2)
    "#]],
    );
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("notes.txt"), "x").unwrap();
    expect![[r#"
        exit 1: notes.txt: its name is none that a log's files have: <20 digits>.log, .index, .timeindex, .txnindex or .snapshot, a checkpoint, partition.metadata or meta.properties
    "#]].assert_eq(&dump(empty.path(), "/notes.txt"));
    expect![[r#"
        exit 1: there is no file of a log in what was named
    "#]]
    .assert_eq(&dump(empty.path(), "/."));
}

/// A segment with these records and tombstones.
fn internal_topic(records: &[(bytes::Bytes, Option<bytes::Bytes>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut batch = ottla_record::BatchBuilder::new(ottla_record::Codec::None);
    for (key, value) in records {
        let time = ottla_record::Timestamp::from_millis(1_600_000_000_000);
        batch.push(Some(time), Some(key), value.as_deref(), &[]);
    }
    fs::write(dir.path().join("00000000000000000000.log"), batch.build().unwrap()).unwrap();
    dir
}

#[test]
fn internal_topics_are_decoded_field_by_field() {
    use ottla_wire::messages::*;
    use ottla_wire::records::{GroupRecord, TransactionRecord, encode_versioned};

    let commit = |value| {
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 1 };
        GroupRecord::OffsetCommit(key, value)
    };
    let value = OffsetCommitValue {
        offset: 42,
        leader_epoch: 3,
        metadata: "a \"note\"".into(),
        commit_timestamp: 1_600_000_000_001,
        ..Default::default()
    };
    let committed = commit(Some(value));
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        user_data: Some(bytes::Bytes::from_static(b"\x00\xff\x10\x20")),
        ..Default::default()
    };
    let member = group_metadata_value::MemberMetadata {
        member_id: "m-1".into(),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: 45_000,
        subscription: encode_versioned(&subscription, 1).unwrap(),
        assignment: bytes::Bytes::from_static(b"\xff"),
        ..Default::default()
    };
    let group = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 7,
        members: vec![member],
        ..Default::default()
    };
    let group = GroupRecord::GroupMetadata(GroupMetadataKey { group: "g".into() }, Some(group));
    let dir = internal_topic(&[
        (committed.encode_key().unwrap(), committed.encode_value(3).unwrap()),
        (commit(None).encode_key().unwrap(), None),
        (group.encode_key().unwrap(), group.encode_value(3).unwrap()),
        (bytes::Bytes::from_static(&[0, 99]), None),
    ]);
    expect![[r#"
        00000000000000000000.log
          @0 offsets 0..3, 4 records, 246 bytes, none, epoch none, CreateTime 2020-09-13T12:26:40.000Z, crc 81c497b1
            0 2020-09-13T12:26:40.000Z OffsetCommit {"group":"g","topic":"t","partition":1} = version 3 {"offset":42,"leaderEpoch":3,"metadata":"a \"note\"","commitTimestamp":1600000000001}
            1 2020-09-13T12:26:40.000Z OffsetCommit {"group":"g","topic":"t","partition":1} deleted
            2 2020-09-13T12:26:40.000Z GroupMetadata {"group":"g"} = version 3 {"protocolType":"consumer","generation":7,"protocol":"","leader":"","currentStateTimestamp":-1,"members":[{"memberId":"m-1","groupInstanceId":null,"clientId":"c","clientHost":"/127.0.0.1","rebalanceTimeout":-1,"sessionTimeout":45000,"subscription":{"topics":["t"],"userData":"AP8QIA==","ownedPartitions":[]},"assignment":"/w=="}]}
          DAMAGED: the record at offset 3: record type 99 is unknown to this version
            3 2020-09-13T12:26:40.000Z key "\u{0}c" value null
        exit 1: 1 of 1 files are damaged
    "#]].assert_eq(&dump(dir.path(), "--decode offsets /00000000000000000000.log"));
    expect![[r#"
        {"file":"00000000000000000000.log","kind":"batch","position":0,"bytes":246,"base_offset":0,"last_offset":3,"records":4,"leader_epoch":null,"compression":"none","timestamp_type":"CreateTime","max_timestamp":1600000000000,"producer_id":null,"producer_epoch":null,"base_sequence":null,"transactional":false,"control":false,"delete_horizon":null,"crc":2177144753}
        {"file":"00000000000000000000.log","kind":"record","offset":0,"timestamp":1600000000000,"headers":[],"decoded":{"record":"OffsetCommit","key":{"type":"1","data":{"group":"g","topic":"t","partition":1}},"value":{"version":"3","data":{"offset":42,"leaderEpoch":3,"metadata":"a \"note\"","commitTimestamp":1600000000001}}}}
        {"file":"00000000000000000000.log","kind":"record","offset":1,"timestamp":1600000000000,"headers":[],"decoded":{"record":"OffsetCommit","key":{"type":"1","data":{"group":"g","topic":"t","partition":1}},"value":null}}
        {"file":"00000000000000000000.log","kind":"record","offset":2,"timestamp":1600000000000,"headers":[],"decoded":{"record":"GroupMetadata","key":{"type":"2","data":{"group":"g"}},"value":{"version":"3","data":{"protocolType":"consumer","generation":7,"protocol":"","leader":"","currentStateTimestamp":-1,"members":[{"memberId":"m-1","groupInstanceId":null,"clientId":"c","clientHost":"/127.0.0.1","rebalanceTimeout":-1,"sessionTimeout":45000,"subscription":{"topics":["t"],"userData":"AP8QIA==","ownedPartitions":[]},"assignment":"/w=="}]}}}}
        {"file":"00000000000000000000.log","kind":"damage","position":null,"reason":"the record at offset 3: record type 99 is unknown to this version"}
        {"file":"00000000000000000000.log","kind":"record","offset":3,"timestamp":1600000000000,"key":"\u0000c","value":null,"headers":[]}
        exit 1: 1 of 1 files are damaged
    "#]].assert_eq(&dump(dir.path(), "--decode offsets --json /00000000000000000000.log"));

    let state = TransactionLogValue {
        producer_id: 12,
        producer_epoch: 4,
        transaction_timeout_ms: 60_000,
        transaction_status: 1,
        transaction_partitions: Some(vec![transaction_log_value::PartitionsSchema {
            topic: "t".into(),
            partition_ids: vec![0, 2],
        }]),
        ..Default::default()
    };
    let key = TransactionLogKey { transactional_id: "writer".into() };
    let state = TransactionRecord::TransactionLog(key, Some(state));
    let dir = internal_topic(&[(state.encode_key().unwrap(), state.encode_value(0).unwrap())]);
    expect![[r#"
        {"file":"00000000000000000000.log","kind":"batch","position":0,"bytes":131,"base_offset":0,"last_offset":0,"records":1,"leader_epoch":null,"compression":"none","timestamp_type":"CreateTime","max_timestamp":1600000000000,"producer_id":null,"producer_epoch":null,"base_sequence":null,"transactional":false,"control":false,"delete_horizon":null,"crc":992729152}
        {"file":"00000000000000000000.log","kind":"record","offset":0,"timestamp":1600000000000,"headers":[],"decoded":{"record":"TransactionLog","key":{"type":"0","data":{"transactionalId":"writer"}},"value":{"version":"0","data":{"producerId":12,"producerEpoch":4,"transactionTimeoutMs":60000,"transactionStatus":1,"transactionPartitions":[{"topic":"t","partitionIds":[0,2]}],"transactionLastUpdateTimestampMs":0,"transactionStartTimestampMs":0}}}}
    "#]].assert_eq(&dump(dir.path(), "--decode transactions --json /00000000000000000000.log"));
}
