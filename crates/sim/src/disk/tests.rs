use std::fmt::Write as _;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use expect_test::{Expect, expect};
use ottla_storage::{Disk, File, OpenMode};

use super::{Fault, Image, OpKind, Planned, SimDisk, Survival};
use crate::rng::Rng;

fn write(file: &Arc<dyn File>, bytes: &[u8], position: u64) -> std::io::Result<()> {
    file.write_at(&[IoSlice::new(bytes)], position)
}

/// Every file with its first bytes and its size.
fn show(image: &Image) -> String {
    image.files().iter().fold(String::new(), |mut out, (path, content)| {
        let mut head = vec![0; 12];
        let n = content.read(&mut head, 0);
        let head = String::from_utf8_lossy(&head[..n]).replace('\0', ".");
        writeln!(out, "{} {head:?} {}", path.display(), content.len()).unwrap();
        out
    })
}

/// A log file of which "old" is durable, "new" is not; a file that was never synced; a rename over a durable file.
fn story(disk: &SimDisk) {
    disk.create_dir(Path::new("t-0")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    let log = disk.open(Path::new("t-0/log"), OpenMode::CreateNew).unwrap();
    write(&log, b"old", 0).unwrap();
    log.sync().unwrap();
    let point = disk.open(Path::new("point"), OpenMode::CreateNew).unwrap();
    write(&point, b"1", 0).unwrap();
    point.sync().unwrap();
    disk.sync_dir(Path::new("t-0")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    log.reserve(64).unwrap();
    write(&log, b"new", 3).unwrap();
    let next = disk.open(Path::new("t-0/next"), OpenMode::CreateNew).unwrap();
    write(&next, b"fresh", 0).unwrap();
    let temporary = disk.open(Path::new("point.tmp"), OpenMode::Truncate).unwrap();
    write(&temporary, b"2", 0).unwrap();
    disk.rename(Path::new("point.tmp"), Path::new("point")).unwrap();
}

fn check(survival: Survival, seed: u64, expected: Expect) {
    let disk = SimDisk::new(Image::empty(), 0);
    story(&disk);
    expected.assert_eq(&show(&disk.image().power_cut(survival, &mut Rng::new(seed))));
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_what_it_likes_of_the_rest() {
    check(
        Survival::Nothing,
        0,
        expect![[r#"
            point "1" 1
            t-0/log "old" 3
        "#]],
    );
    check(
        Survival::Everything,
        0,
        expect![[r#"
            point "2" 1
            t-0/log "oldnew......" 64
            t-0/next "fresh" 5
        "#]],
    );
    check(
        Survival::Sizes,
        0,
        expect![[r#"
            point "." 1
            t-0/log "old........." 64
            t-0/next "....." 5
        "#]],
    );
    check(
        Survival::Contents,
        0,
        expect![[r#"
            point "1" 1
            t-0/log "oldnew......" 64
        "#]],
    );
    // The classic: a rename without a sync of the file before it leaves an empty file under the good name.
    check(
        Survival::Names,
        0,
        expect![[r#"
            point "" 0
            t-0/log "old" 3
            t-0/next "" 0
        "#]],
    );
}

#[test]
fn prefixes_and_subsets_reach_many_different_images() {
    let disk = SimDisk::new(Image::empty(), 0);
    story(&disk);
    let mut rng = Rng::new(7);
    for (survival, at_least) in [(Survival::Prefix, 8), (Survival::Subset, 60)] {
        let mut hashes: Vec<u64> =
            (0..500).map(|_| disk.image().power_cut(survival, &mut rng).durable_hash()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() >= at_least, "{survival:?} reached {}", hashes.len());
    }
}

#[test]
fn a_process_death_keeps_everything_and_everything_stays_unsynced() {
    let disk = SimDisk::new(Image::empty(), 0);
    story(&disk);
    let after = disk.image().process_death();
    assert_eq!(after.written_hash(), disk.image().written_hash());
    assert_eq!(after.durable_hash(), disk.image().durable_hash());
    assert!(after.is_dirty());
    let cut = after.power_cut(Survival::Nothing, &mut Rng::new(0));
    assert_eq!(
        cut.durable_hash(),
        disk.image().power_cut(Survival::Nothing, &mut Rng::new(9)).durable_hash()
    );
    assert!(!cut.is_dirty());
}

#[test]
fn a_failed_sync_loses_the_bytes_and_the_next_one_hides_it() {
    let disk = SimDisk::new(Image::empty(), 3);
    let log = disk.open(Path::new("log"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk.plan(Planned { kind: OpKind::Sync, at: 1, fault: Fault::Io });
    write(&log, &[b'x'; 9000], 0).unwrap();
    assert_eq!(log.sync().unwrap_err().raw_os_error(), Some(5));
    write(&log, b"later", 9000).unwrap();
    log.sync().unwrap();
    // Readers still see it, the device never had all of it.
    let seen = disk.image();
    let cut = seen.power_cut(Survival::Everything, &mut Rng::new(0));
    assert_ne!(cut.durable_hash(), seen.written_hash());
    let mut evicted = seen.process_death();
    evicted.evict((1, 1), &mut Rng::new(0));
    assert_eq!(evicted.written_hash(), cut.written_hash());
    // Page by page, and nothing that is still to be written.
    write(&log, &[b'y'; 10], 0).unwrap();
    let mut evicted = disk.image();
    evicted.evict((1, 1), &mut Rng::new(0));
    assert!(show(&evicted).starts_with("log \"yyyyyyyyyyxx\""), "{}", show(&evicted));
    assert_ne!(evicted.written_hash(), disk.image().written_hash());
    // Written again, it is durable.
    write(&log, &[b'x'; 9000], 0).unwrap();
    log.sync().unwrap();
    let cut = disk.image().power_cut(Survival::Nothing, &mut Rng::new(0));
    assert_eq!(cut.durable_hash(), disk.image().written_hash());
}

#[test]
fn a_failed_sync_leaves_names_and_sizes_to_the_next_one() {
    let disk = SimDisk::new(Image::empty(), 3);
    disk.plan(Planned { kind: OpKind::Sync, at: 0, fault: Fault::Io });
    disk.plan(Planned { kind: OpKind::Sync, at: 1, fault: Fault::Io });
    let log = disk.open(Path::new("log"), OpenMode::CreateNew).unwrap();
    write(&log, &[b'x'; 9000], 0).unwrap();
    log.sync().unwrap_err();
    disk.sync_dir(Path::new("")).unwrap_err();
    assert_eq!(show(&disk.image().power_cut(Survival::Nothing, &mut Rng::new(0))), "");
    log.sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    let cut = show(&disk.image().power_cut(Survival::Nothing, &mut Rng::new(0)));
    assert!(cut.starts_with("log ") && cut.ends_with(" 9000\n"), "{cut}");
}

#[test]
fn faults_come_as_planned_and_a_full_disk_refuses_growth() {
    let disk = SimDisk::new(Image::empty(), 0);
    let log = disk.open(Path::new("log"), OpenMode::CreateNew).unwrap();
    disk.plan(Planned { kind: OpKind::Write, at: 1, fault: Fault::NoSpace });
    disk.plan(Planned { kind: OpKind::Read, at: 0, fault: Fault::Io });
    disk.plan(Planned { kind: OpKind::Write, at: 2, fault: Fault::Slow });
    write(&log, b"0123456789", 0).unwrap();
    assert_eq!(write(&log, b"0123456789", 10).unwrap_err().raw_os_error(), Some(28));
    assert!(log.len().unwrap() <= 20);
    write(&log, b"abc", 0).unwrap();
    assert_eq!(disk.take_elapsed().as_millis(), 100);
    assert_eq!(log.read_at(&mut [0; 3], 0).unwrap_err().raw_os_error(), Some(5));
    log.set_len(10).unwrap();
    disk.set_capacity(12);
    assert_eq!(log.reserve(13).unwrap_err().raw_os_error(), Some(28));
    log.reserve(12).unwrap();
    assert_eq!(disk.space().unwrap().free, 0);
    write(&log, b"within the size", 0).unwrap_err();
    write(&log, b"in the size", 0).unwrap();
}

#[test]
fn after_the_cut_nothing_works_and_the_image_stands() {
    let disk = SimDisk::new(Image::empty(), 0);
    let before = {
        let clean = SimDisk::new(Image::empty(), 0);
        story(&clean);
        clean.image().written_hash()
    };
    story(&disk);
    let log = disk.open(Path::new("t-0/log"), OpenMode::Write).unwrap();
    assert_eq!(disk.syncs(), 5);
    assert!(!disk.is_off());
    disk.cut_at(5);
    log.sync().unwrap_err();
    assert!(disk.is_off());
    write(&log, b"never", 0).unwrap_err();
    disk.list(Path::new("")).unwrap_err();
    assert_eq!(disk.image().written_hash(), before);
}

#[test]
fn a_crash_point_stands_before_every_operation_and_a_kill_may_tear_the_write() {
    let disk = SimDisk::new(Image::empty(), 0);
    disk.record_crash_points();
    story(&disk);
    let points = disk.take_crash_points();
    let story: String = points.iter().map(|p| format!("{} {}\n", p.syncs, p.before)).collect();
    expect![[r#"
        0 mkdir t-0 [0+0]
        0 sync_dir  [0+0]
        1 create t-0/log [0+0]
        1 write t-0/log [0+3]
        1 sync t-0/log [0+0]
        2 create point [0+0]
        2 write point [0+1]
        2 sync point [0+0]
        3 sync_dir t-0 [0+0]
        4 sync_dir  [0+0]
        5 reserve t-0/log [0+64]
        5 write t-0/log [3+3]
        5 create t-0/next [0+0]
        5 write t-0/next [0+5]
        5 create point.tmp [0+0]
        5 write point.tmp [0+1]
        5 rename point.tmp [0+0]
    "#]]
    .assert_eq(&story);
    let write = &points[3];
    let torn: Vec<String> = (0..40).map(|seed| show(&write.in_mid_write(&mut Rng::new(seed)))).collect();
    for n in 0..=3 {
        let part = format!("t-0/log {:?} {n}\n", &"old"[..n]);
        assert!(torn.contains(&part), "{part} is not among {torn:?}");
    }
}

#[test]
fn a_flipped_bit_is_on_the_platter_and_in_the_cache() {
    let disk = SimDisk::new(Image::empty(), 0);
    story(&disk);
    assert!(disk.flip(Path::new("t-0/log"), 1, 0));
    assert!(!disk.flip(Path::new("t-0/log"), 64, 0));
    assert!(show(&disk.image()).contains("t-0/log \"omdnew......\" 64"));
    let cut = disk.image().power_cut(Survival::Nothing, &mut Rng::new(0));
    assert!(show(&cut).contains("t-0/log \"omd\" 3"));
}

#[test]
fn equal_seeds_leave_equal_traces() {
    let run = |seed| {
        let disk = SimDisk::new(Image::empty(), seed);
        disk.plan(Planned { kind: OpKind::Write, at: 3, fault: Fault::Slow });
        story(&disk);
        (disk.trace(), disk.image().written_hash())
    };
    assert_eq!(run(1), run(1));
    let other = SimDisk::new(Image::empty(), 1);
    story(&other);
    assert_ne!(run(1).0, other.trace(), "a fault is part of the trace");
}
