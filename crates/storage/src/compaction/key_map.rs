//! The last offset of every key in a stretch of the log, in memory of a fixed size (Kafka's `SkimpyOffsetMap`).
//!
//! Keys themselves would not fit, so a hash of 128 bits stands for each. Two keys with the same hash would cost the older
//! one its last value, so the hash must be one for which nobody can look for such a pair: SipHash with a secret that the
//! caller draws anew for every pass.

use std::hint::black_box;

use memmap2::{Advice, MmapMut};
use ottla_record::Offset;
use siphasher::sip128::SipHasher24;

/// What an entry takes: two halves of a hash, and the offset plus one. All zeros is a free place.
type Slot = [[u8; 8]; 3];

/// Bytes of an entry.
pub const ENTRY_BYTES: u64 = size_of::<Slot>() as u64;

/// The offset of a free place.
const FREE: [u8; 8] = [0; 8];

/// Entries that are fetched together. They find place in the nearest cache.
const BLOCK: usize = 64;

/// A key, to the map: two halves of a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHash([[u8; 8]; 2]);

impl KeyHash {
    /// Where it belongs among so many places.
    #[inline]
    fn home(self, places: usize) -> usize {
        // The high half of a product spreads evenly over any count, without the division that a remainder takes.
        ((u128::from(u64::from_ne_bytes(self.0[0])) * places as u128) >> 64) as usize
    }
}

/// The map is full: what is in it stays, and no further key fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Last offsets by hash of the key: open addressing in one allocation, made when the map is.
#[derive(Debug)]
pub struct KeyMap {
    /// Places for entries; none if the system refused the memory. A mapping of its own, so that huge pages can be asked for: entries
    /// lie all over it, and looking up the page of each took longer than anything else of a pass.
    memory: Option<MmapMut>,
    /// Keys that may be in it.
    capacity: usize,
    len: usize,
    hasher: SipHasher24,
}

impl KeyMap {
    /// A map that takes at most `bytes` and is filled to the share `load_factor` (above 0, at most 1). Where no more than
    /// `keys` are to be expected, it takes only what those need.
    pub fn new(bytes: u64, load_factor: f64, keys: u64, secret: &[u8; 16]) -> Self {
        let load_factor = if load_factor > 0.0 && load_factor <= 1.0 { load_factor } else { 1.0 };
        let allowed = usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX);
        // One place more than the share says, so that a place is free for every key that fits.
        let wanted = (keys as f64 / load_factor).min(allowed as f64) as usize + 1;
        let wanted = wanted.min(allowed);
        // Zeroed pages come from the system untouched: what is never filled never takes memory.
        let size = wanted.saturating_mul(size_of::<Slot>());
        let memory = match MmapMut::map_anon(size) {
            Ok(memory) => {
                // Only a hint: a kernel without huge pages refuses it.
                let _ = memory.advise(Advice::HugePage);
                Some(memory)
            }
            Err(error) => {
                tracing::warn!(%error, size, "there is no memory for the keys of a log to compact");
                None
            }
        };
        let slots = memory.as_ref().map_or(0, |_| wanted);
        // A search ends at a free place: one must be left.
        let capacity = ((slots as f64 * load_factor) as usize).min(slots.saturating_sub(1));
        Self { memory, capacity, len: 0, hasher: SipHasher24::new_with_key(secret) }
    }

    /// What stands for a key in this map.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let (first, second) = self.hasher.hash(key).as_u64();
        KeyHash([first.to_ne_bytes(), second.to_ne_bytes()])
    }

    /// Notes that keys have records at these offsets, which must come in order.
    ///
    /// # Errors
    /// [`Full`] for a key that is not in the map and does not fit; those before it are noted.
    pub fn put_all(&mut self, records: &[(KeyHash, Offset)]) -> Result<(), Full> {
        for block in records.chunks(BLOCK) {
            self.fetch(block.iter().map(|(hash, _)| hash));
            block.iter().try_for_each(|(hash, offset)| self.put(*hash, *offset))?;
        }
        Ok(())
    }

    /// Appends the last offset noted for each of these keys.
    pub fn last_of_all(&self, keys: &[KeyHash], found: &mut Vec<Option<Offset>>) {
        for block in keys.chunks(BLOCK) {
            self.fetch(block.iter());
            found.extend(block.iter().map(|hash| self.last(*hash)));
        }
    }

    /// Reads where keys belong, for nothing but to have it near. An entry is somewhere in a hundred megabytes, and one that is looked
    /// for by itself is waited for by itself; of these reads none depends on another, and the processor waits for all at once.
    fn fetch<'a>(&self, keys: impl Iterator<Item = &'a KeyHash>) {
        let slots = self.slots();
        let near = |hash: &KeyHash| slots.get(hash.home(slots.len())).map_or(0, |slot| slot[2][0]);
        black_box(keys.fold(0, |seen, hash| seen ^ near(hash)));
    }

    #[inline]
    fn put(&mut self, key: KeyHash, offset: Offset) -> Result<(), Full> {
        let at = self.place(key).ok_or(Full)?;
        let is_new = self.slots().get(at).is_some_and(|slot| slot[2] == FREE);
        if is_new && self.len >= self.capacity {
            return Err(Full);
        }
        self.len += usize::from(is_new);
        let memory = self.memory.as_deref_mut().unwrap_or_default();
        if let Some(slot) = slots_mut(memory).get_mut(at) {
            let KeyHash([first, second]) = key;
            *slot = [first, second, offset.get().unsigned_abs().saturating_add(1).to_ne_bytes()];
        }
        Ok(())
    }

    #[inline]
    fn last(&self, key: KeyHash) -> Option<Offset> {
        let offset = u64::from_ne_bytes(self.slots().get(self.place(key)?)?[2]).checked_sub(1)?;
        i64::try_from(offset).ok().map(Offset::new)
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    fn slots(&self) -> &[Slot] {
        self.memory.as_deref().unwrap_or_default().as_chunks().0.as_chunks().0
    }

    /// Where a key stands, or would: the next free place from where it belongs. `None` without any places.
    #[inline]
    fn place(&self, key: KeyHash) -> Option<usize> {
        let slots = self.slots();
        let mut at = key.home(slots.len());
        loop {
            let slot = slots.get(at)?;
            if slot[2] == FREE || slot[..2] == key.0 {
                return Some(at);
            }
            at += 1;
            if at == slots.len() {
                at = 0;
            }
        }
    }
}

fn slots_mut(memory: &mut [u8]) -> &mut [Slot] {
    memory.as_chunks_mut().0.as_chunks_mut().0
}

#[cfg(test)]
mod tests;
