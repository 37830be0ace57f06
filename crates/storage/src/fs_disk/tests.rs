use super::*;

fn disk() -> (tempfile::TempDir, FsDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = FsDisk::open(dir.path().join("data")).unwrap();
    (dir, disk)
}

#[test]
fn a_second_opener_is_told_who_holds_the_lock() {
    let (_dir, disk) = disk();
    let root = disk.root().unwrap();
    let error = FsDisk::open(&root).unwrap_err();
    let expected = format!(
        "{} is locked by process {}: stop it, or use another data directory",
        root.join(".lock").display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(disk);
    FsDisk::open(&root).unwrap();
}

#[test]
fn slices_are_written_one_after_the_other_and_read_back() {
    let (_dir, disk) = disk();
    let file = disk.open(Path::new("f"), OpenMode::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")], 1).unwrap();
    let many: Vec<[u8; 1]> = (0..3000u32).map(|i| [i as u8]).collect();
    let slices: Vec<IoSlice<'_>> = many.iter().map(|byte| IoSlice::new(byte)).collect();
    file.write_at(&slices, 6).unwrap();
    let mut buf = [9u8; 8];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8);
    assert_eq!(&buf, b"\0abcde\0\x01");
    assert_eq!(file.len().unwrap(), 3006);
    assert_eq!(file.read_at(&mut buf, 3004).unwrap(), 2);
}

#[test]
fn reserving_grows_the_size_and_never_cuts() {
    let (_dir, disk) = disk();
    let file = disk.open(Path::new("f"), OpenMode::CreateNew).unwrap();
    file.reserve(65536).unwrap();
    assert_eq!(file.len().unwrap(), 65536);
    file.reserve(10).unwrap();
    assert_eq!(file.len().unwrap(), 65536);
    file.set_len(3).unwrap();
    assert_eq!(file.len().unwrap(), 3);
}

#[test]
fn one_two_and_many_files_are_synced() {
    let (_dir, disk) = disk();
    for count in [0, 1, 2, 5] {
        let files: Vec<_> = (0..count)
            .map(|i| disk.open(Path::new(&format!("{count}-{i}")), OpenMode::Truncate).unwrap())
            .collect();
        for file in &files {
            file.write_at(&[IoSlice::new(b"x")], 0).unwrap();
        }
        let results = disk.sync_files(&files);
        assert_eq!(results.len(), count);
        assert!(results.iter().all(Result::is_ok));
        assert!(disk.pool.sync(&files).iter().all(Result::is_ok));
    }
}

#[test]
fn after_a_failed_syncfs_every_file_is_synced_by_itself() {
    let (dir, mut disk) = disk();
    // Calm, whatever the neighbours do; and a kernel whose `syncfs` would be believed.
    let meminfo = dir.path().join("meminfo");
    fs::write(&meminfo, "Dirty:        0 kB\nWriteback:        0 kB\n").unwrap();
    disk.meminfo = Some(fs::File::open(meminfo).unwrap());
    disk.syncfs_tells = AtomicBool::new(true);
    // A descriptor that only names a place: `syncfs` refuses it each time, `fdatasync` of the files does not mind.
    let place = rustix::fs::open(dir.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    disk.root_handle = place;
    let open = |number: usize| disk.open(Path::new(&format!("f{number}")), OpenMode::Truncate).unwrap();
    let files: Vec<_> = (0..SYNCFS_FROM_FILES).map(open).collect();
    let results = disk.sync_files(&files);
    assert_eq!(results.len(), files.len());
    assert!(results.iter().all(Result::is_err), "whose bytes were lost is not known: {results:?}");
    for _ in 0..2 {
        assert!(disk.is_calm());
        assert!(
            disk.sync_files(&files).iter().all(Result::is_ok),
            "the next syncfs would have failed as well"
        );
    }
}

#[test]
fn names_come_sorted_and_with_their_kind() {
    let (_dir, disk) = disk();
    disk.create_dir(Path::new("d")).unwrap();
    disk.create_dir(Path::new("d")).unwrap();
    disk.open(Path::new("d/b"), OpenMode::CreateNew).unwrap();
    disk.open(Path::new("d/a"), OpenMode::CreateNew).unwrap();
    disk.rename(Path::new("d/b"), Path::new("d/c")).unwrap();
    let names: Vec<_> = disk.list(Path::new("d")).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    assert_eq!(names, [("a".to_owned(), EntryKind::File), ("c".to_owned(), EntryKind::File)]);
    let error = disk.open(Path::new("d/a"), OpenMode::CreateNew).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(disk.space().unwrap().free <= disk.space().unwrap().total);
}

#[test]
fn syncfs_is_believed_from_linux_5_8_on() {
    for (release, believed) in [
        ("6.18.44-fc-v669\n", true),
        ("5.8.0", true),
        ("5.10", true),
        ("5.7.19-arch1", false),
        ("4.19.0", false),
    ] {
        assert_eq!(syncfs_tells(release), believed, "{release}");
    }
    for (release, believed) in [("", false), ("unknown", false)] {
        assert_eq!(syncfs_tells(release), believed, "{release}");
    }
}
