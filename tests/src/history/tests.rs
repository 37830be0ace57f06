use std::time::{Duration, Instant};

use super::{Acknowledged, Stored, Violation, Writes, check};

/// A writer of two partitions to whom all of these were acknowledged, each at the next offset of its partition.
fn writer(name: &str, sent: u64) -> Writes {
    let acknowledged = (0..sent).map(|number| Acknowledged {
        number,
        partition: i32::try_from(number % 2).expect("0 or 1"),
        offset: i64::try_from(number / 2).ok(),
        at: Instant::now(),
    });
    Writes { name: name.to_owned(), sent, acknowledged: acknowledged.collect(), ..Writes::default() }
}

fn stored(partitions: [&[&str]; 2]) -> Stored {
    let dense = |values: &[&str]| (0..).zip(values.iter().map(|value| (*value).to_owned())).collect();
    Stored([0, 1].into_iter().zip(partitions.map(dense)).collect())
}

fn violations(writer: &Writes, partitions: [&[&str]; 2]) -> Vec<String> {
    let found = check(std::slice::from_ref(writer), &stored(partitions), 2);
    found.iter().map(Violation::to_string).collect()
}

#[test]
fn a_clean_history_is_clean() {
    assert!(violations(&writer("a", 5), [&["a-0", "a-2", "a-4"], &["a-1", "a-3"]]).is_empty());
}

#[test]
fn writers_may_be_interleaved() {
    let mut writers = [writer("a", 3), writer("b", 3)];
    for told in writers.iter_mut().flat_map(|writer| &mut writer.acknowledged) {
        told.offset = None;
    }
    let stored = stored([&["a-0", "b-0", "b-2", "a-2"], &["b-1", "a-1"]]);
    assert_eq!(check(&writers, &stored, 2), []);
}

#[test]
fn a_lost_record_is_found() {
    assert_eq!(
        violations(&writer("a", 5), [&["a-0", "a-2"], &["a-1", "a-3"]]),
        ["lost: a-4, acknowledged at partition 0, offset 2"]
    );
}

#[test]
fn a_doubled_record_is_found_beside_and_behind_others() {
    assert_eq!(
        violations(&writer("a", 3), [&["a-0", "a-2", "a-2"], &["a-1"]]),
        ["doubled: a-2 at [(0, 1), (0, 2)]"]
    );
    // One double, not a wrong order as well.
    assert_eq!(
        violations(&writer("a", 3), [&["a-0", "a-2", "a-0"], &["a-1"]]),
        ["doubled: a-0 at [(0, 0), (0, 2)]"]
    );
}

#[test]
fn a_reordered_record_is_found() {
    let mut writer = writer("a", 5);
    writer.acknowledged.iter_mut().for_each(|told| told.offset = None);
    assert_eq!(
        violations(&writer, [&["a-0", "a-4", "a-2"], &["a-1", "a-3"]]),
        ["reordered: a-2 at offset 2 of partition 0, behind 4"]
    );
}

#[test]
fn a_record_that_stands_elsewhere_than_was_said_is_found() {
    let found = violations(&writer("a", 3), [&["a-2", "a-0"], &["a-1"]]);
    assert_eq!(
        found,
        [
            "reordered: a-0 at offset 1 of partition 0, behind 2",
            "moved: a-0 in partition 0, acknowledged at 0, stored at 1",
            "moved: a-2 in partition 0, acknowledged at 1, stored at 0",
        ]
    );
}

#[test]
fn what_nobody_sent_is_found() {
    let found = violations(&writer("a", 2), [&["a-0", "a-2", "b-0"], &["a-1", "a-0"]]);
    assert_eq!(
        found,
        [
            "never sent there: a-2 at offset 1 of partition 0",
            "never sent there: b-0 at offset 2 of partition 0",
            "never sent there: a-0 at offset 1 of partition 1",
        ]
    );
}

#[test]
fn an_unknown_record_may_stand_there_once() {
    let mut writer = writer("a", 4);
    writer.acknowledged.truncate(2);
    writer.unknown = [2, 3].into();
    assert!(violations(&writer, [&["a-0"], &["a-1"]]).is_empty());
    assert!(violations(&writer, [&["a-0", "a-2"], &["a-1", "a-3"]]).is_empty());
    assert_eq!(violations(&writer, [&["a-0", "a-2", "a-2"], &["a-1"]]), ["doubled: a-2 at [(0, 1), (0, 2)]"]);
}

#[test]
fn an_outage_is_that_of_one_partition_and_of_this_fault() {
    let start = Instant::now().checked_sub(Duration::from_secs(60)).expect("the machine is up longer");
    let ms = |ms| start + Duration::from_millis(ms);
    let told = |number, partition, at| Acknowledged { number, partition, offset: None, at: ms(at) };
    // Partition 0 is silent from 1.0 to 3.5 s, an older fault, and from 50.0 to 50.7 s; partition 1 goes on.
    let mut acknowledged = vec![told(0, 0, 1_000), told(1, 1, 1_010), told(2, 0, 3_500)];
    acknowledged.extend((0..465).map(|step| told(3 + 2 * step, 1, 3_510 + step * 100)));
    acknowledged.extend((0..465).map(|step| told(4 + 2 * step, 0, 3_520 + step * 100)));
    acknowledged.extend([told(2000, 0, 50_000), told(2001, 1, 50_010), told(2002, 1, 50_300)]);
    acknowledged.extend([told(2004, 0, 50_700), told(2003, 1, 50_710)]);
    let (mut zero, mut one) = (50_700, 50_710);
    while zero < 60_000 {
        (zero, one) = (zero + 100, one + 100);
        acknowledged.extend([told(3000, 0, zero), told(3001, 1, one)]);
    }
    acknowledged.sort_by_key(|told| told.at);
    let writes = Writes { acknowledged, ..Writes::default() };
    let gap = writes.longest_gap(ms(50_100));
    assert!(gap >= Duration::from_millis(700), "{gap:?}");
    assert!(gap < Duration::from_millis(2_400), "{gap:?}: of another fault");
}
