use std::collections::BTreeMap;

use super::*;

const SECRET: [u8; 16] = [7; 16];

impl KeyMap {
    fn put_key(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        self.put_all(&[(self.hash(key), offset)])
    }

    fn last_of(&self, key: &[u8]) -> Option<Offset> {
        let mut found = Vec::new();
        self.last_of_all(&[self.hash(key)], &mut found);
        found[0]
    }
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

#[test]
fn the_last_offset_of_a_key_counts() {
    let mut map = KeyMap::new(1 << 16, 0.9, u64::MAX, &SECRET);
    assert_eq!(map.last_of(b"a"), None);
    map.put_key(b"a", Offset::ZERO).unwrap();
    map.put_key(b"", Offset::new(1)).unwrap();
    map.put_key(b"b", Offset::new(2)).unwrap();
    map.put_key(b"a", Offset::new(3)).unwrap();
    let last = [&b"a"[..], b"", b"b", b"c"].map(|key| map.last_of(key).map(Offset::get));
    assert_eq!(last, [Some(3), Some(1), Some(2), None]);
    assert_eq!((map.len(), map.is_empty()), (3, false));
}

#[test]
fn a_full_map_keeps_what_it_has_and_still_takes_keys_it_knows() {
    let mut map = KeyMap::new(100 * ENTRY_BYTES, 0.9, u64::MAX, &SECRET);
    assert_eq!(map.capacity(), 90);
    for number in 0..90 {
        map.put_key(&key(number), Offset::new(number as i64)).unwrap();
    }
    assert_eq!(map.put_key(&key(90), Offset::new(90)), Err(Full));
    assert_eq!(map.put_key(&key(17), Offset::new(91)), Ok(()));
    assert_eq!(map.last_of(&key(90)), None);
    assert_eq!(map.last_of(&key(17)), Some(Offset::new(91)));
    assert_eq!(map.last_of(&key(89)), Some(Offset::new(89)));
    assert_eq!(map.len(), 90);
}

#[test]
fn it_takes_no_more_memory_than_the_keys_need() {
    let small = KeyMap::new(128 << 20, 0.9, 10, &SECRET);
    assert!(small.slots().len() <= 13, "{}", small.slots().len());
    assert!(small.capacity() >= 10);
    for (bytes, factor) in [(0, 0.9), (23, 0.9), (24, 0.9), (48, 1.0), (1 << 10, 0.0), (1 << 10, f64::NAN)] {
        let mut map = KeyMap::new(bytes, factor, u64::MAX, &SECRET);
        assert!(map.slots().len() as u64 * ENTRY_BYTES <= bytes);
        // No free place, no end of a search.
        for number in 0..100 {
            let _full = map.put_key(&key(number), Offset::new(number as i64));
            map.last_of(&key(number + 1));
        }
        assert_eq!(map.len(), map.capacity());
    }
}

#[test]
fn it_answers_as_a_map_of_whole_keys() {
    let mut map = KeyMap::new(1 << 20, 0.9, 20_000, &SECRET);
    let mut model = BTreeMap::new();
    let mut draw = 1u64;
    for offset in 0..60_000 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (draw >> 33) % 20_000;
        map.put_key(&key(number), Offset::new(offset)).unwrap();
        model.insert(number, offset);
    }
    assert_eq!(map.len(), model.len());
    for number in 0..21_000 {
        assert_eq!(map.last_of(&key(number)).map(Offset::get), model.get(&number).copied());
    }
}
