//! The last offset of every key in a stretch of the log, in memory of a fixed size (Kafka's `SkimpyOffsetMap`).
//!
//! Keys themselves would not fit, so a hash of 128 bits stands for each. Two keys with the same hash would cost the older
//! one its last value, so the hash must be one for which nobody can look for such a pair: SipHash with a secret that the
//! caller draws anew for every pass.

use ottla_record::Offset;
use siphasher::sip128::SipHasher24;

/// What an entry takes: two halves of a hash, and the offset plus one. All zeros is a free place.
type Slot = [u64; 3];

/// Bytes of an entry.
pub const ENTRY_BYTES: u64 = size_of::<Slot>() as u64;

/// The map is full: what is in it stays, and no further key fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Last offsets by hash of the key: open addressing in one allocation, made when the map is.
#[derive(Debug)]
pub struct KeyMap {
    slots: Vec<Slot>,
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
        let slots = wanted.min(allowed);
        // A search ends at a free place: one must be left.
        let capacity = ((slots as f64 * load_factor) as usize).min(slots.saturating_sub(1));
        // Zeroed pages come from the system untouched: what is never filled never takes memory.
        Self { slots: vec![[0; 3]; slots], capacity, len: 0, hasher: SipHasher24::new_with_key(secret) }
    }

    /// Notes that `key` has a record at `offset`. Offsets must come in order.
    ///
    /// # Errors
    /// [`Full`] for a key that is not in the map and does not fit.
    #[inline]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hash = self.hash(key);
        let at = self.place(hash).ok_or(Full)?;
        let is_new = self.slots.get(at).is_some_and(|slot| slot[2] == 0);
        if is_new && self.len >= self.capacity {
            return Err(Full);
        }
        self.len += usize::from(is_new);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = [hash.0, hash.1, offset.get().unsigned_abs().saturating_add(1)];
        }
        Ok(())
    }

    /// The last offset noted for `key`.
    #[inline]
    pub fn last(&self, key: &[u8]) -> Option<Offset> {
        let at = self.place(self.hash(key))?;
        let offset = self.slots.get(at)?[2].checked_sub(1)?;
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
    fn hash(&self, key: &[u8]) -> (u64, u64) {
        self.hasher.hash(key).as_u64()
    }

    /// Where a hash stands, or would: the next free place from where it belongs. `None` without any places.
    #[inline]
    fn place(&self, hash: (u64, u64)) -> Option<usize> {
        let count = self.slots.len();
        // The high half of a product spreads evenly over any count, without the division that a remainder takes.
        let mut at = ((u128::from(hash.0) * count as u128) >> 64) as usize;
        loop {
            let slot = self.slots.get(at)?;
            if slot[2] == 0 || (slot[0], slot[1]) == hash {
                return Some(at);
            }
            at += 1;
            if at == count {
                at = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
