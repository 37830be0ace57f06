//! The bound survives any damage to one slot, and never rises by it.

use super::*;

fn bound(n: u64) -> Bound {
    Bound { vote: (n, 1), last: Some((n, 10 * n)) }
}

#[test]
fn the_newest_intact_slot_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut witness = Witness::create(&path).unwrap();
    assert_eq!(Witness::open(&path).unwrap().bound(), Bound::default());
    for n in 1..5 {
        witness.set(bound(n)).unwrap();
        assert_eq!(Witness::open(&path).unwrap().bound(), bound(n));
    }
    let intact = std::fs::read(&path).unwrap();
    for byte in 0..intact.len() {
        let mut damaged = intact.clone();
        damaged[byte] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let read = Witness::open(&path).unwrap().bound();
        assert!(read == bound(4) || read == bound(3), "byte {byte}: {read:?}");
    }
    for length in 0..intact.len() {
        std::fs::write(&path, &intact[..length]).unwrap();
        match Witness::open(&path) {
            Ok(witness) => assert!(witness.bound() == bound(4) || witness.bound() == bound(3)),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::InvalidData),
        }
    }
}

#[test]
fn a_lowered_bound_stays_lowered_when_its_newest_slot_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness");
    let mut witness = Witness::create(&path).unwrap();
    witness.set(bound(9)).unwrap();
    witness.lower(bound(2)).unwrap();
    for slot in [0, SLOT_DISTANCE] {
        witness.file.write_all_at(&[0; 8], slot).unwrap();
        if slot == 0 {
            assert_eq!(Witness::open(&path).unwrap().bound(), bound(2));
        }
    }
    assert_eq!(Witness::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
