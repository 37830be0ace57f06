//! A full disk: appends are refused, everything else goes on, and appends resume when space returns.

use std::time::Duration;

use it::batch::{Batch, records};
use it::broker::{Kind, Spec};
use it::raw::error;
use it::small_disk::SmallDisk;
use it::{tools, wait};

const DISK: u64 = 96 << 20;
const BALLAST: usize = 32 << 20;

#[test]
fn a_full_disk_refuses_records_and_serves_again_when_space_returns() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka takes the directory offline and ends");
    }
    let Some(disk) = SmallDisk::mount(DISK) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST]).unwrap();
    let mut broker = Spec::under_test().data_dir(disk.path().join("data")).start();
    // Said once when it begins, and once when it is over.
    broker.expect_log("disk");
    broker.expect_log("space");
    let mut connection = broker.connect();
    connection.create_topic("t", 1, &[]).unwrap();
    let batch = Batch::of_size(500_000, 1_000);
    let (records_each, batch) = (batch.records.len() as i64, batch.bytes());

    let mut stored = 0;
    let refusal = loop {
        let (code, offset) = connection.produce("t", 0, -1, &batch).unwrap();
        if code != error::NONE {
            break code;
        }
        stored = offset + records_each;
        assert!((stored / records_each) as u64 * 500_000 < DISK, "more was stored than fits");
    };
    assert_eq!(refusal, error::KAFKA_STORAGE_ERROR);
    assert!(stored > 0, "the disk was not full from the start");
    for _ in 0..5 {
        assert_eq!(connection.produce("t", 0, -1, &batch).unwrap().0, error::KAFKA_STORAGE_ERROR);
    }

    // Reads and metadata go on.
    assert_eq!(connection.list_offset("t", 0, -1).unwrap(), (error::NONE, stored));
    let last = connection.fetch("t", 0, stored - 1).unwrap();
    assert_eq!((last.error, last.high_watermark), (error::NONE, stored));
    assert_eq!(records(&last.records).last().unwrap().offset, stored - 1);
    connection.create_topic("while-full", 1, &[]).unwrap();

    std::fs::remove_file(&ballast).unwrap();
    let offset = wait::until("appends to resume", Duration::from_secs(20), || {
        let (code, offset) = connection.produce("t", 0, -1, &batch)?;
        Ok((code == error::NONE).then_some(offset))
    });
    assert_eq!(offset.unwrap(), stored, "nothing of the refused records is there");
    assert_eq!(connection.produce("while-full", 0, -1, &batch).unwrap(), (error::NONE, 0));
    assert!(broker.terminate().success());
    broker.restart();
    let mut connection = broker.connect();
    connection.wait_led("t", 0).unwrap();
    assert!(connection.list_offset("t", 0, -1).unwrap().1 > stored);
}
