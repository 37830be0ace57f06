//! The bytes of one file at one moment: cheap to copy, and zeros at the end cost nothing, so that a file extended ahead
//! by megabytes does not slow a run down.

use std::sync::Arc;

use crate::rng::mix;

/// Bytes of a file. A clone shares them until one side writes.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The bytes up to the last one that was ever written; `len` may lie beyond.
    head: Arc<Vec<u8>>,
    len: u64,
}

impl Content {
    /// Size in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// True if there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies what lies at `position` into `buf`; returns how much there was.
    pub fn read(&self, buf: &mut [u8], position: u64) -> usize {
        let n = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX).min(buf.len());
        let (out, _) = buf.split_at_mut(n);
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(self.head.len());
        let there = self.head.get(from..self.head.len().min(from.saturating_add(n))).unwrap_or(&[]);
        let (data, zeros) = out.split_at_mut(there.len());
        data.copy_from_slice(there);
        zeros.fill(0);
        n
    }

    /// Puts bytes at `position`, extending the file with zeros up to there if it is shorter.
    pub fn write(&mut self, bytes: &[u8], position: u64) {
        if bytes.is_empty() {
            return;
        }
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let to = from.saturating_add(bytes.len());
        let head = Arc::make_mut(&mut self.head);
        if head.len() < to {
            head.resize(to, 0);
        }
        if let Some(place) = head.get_mut(from..to) {
            place.copy_from_slice(bytes);
        }
        self.len = self.len.max(to as u64);
    }

    /// Cuts the file, or extends it with zeros.
    pub fn set_len(&mut self, len: u64) {
        if (self.head.len() as u64) > len {
            Arc::make_mut(&mut self.head).truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        self.len = len;
    }

    /// Turns one bit over. Returns false if the file does not reach so far.
    pub fn flip(&mut self, byte: u64, bit: u8) -> bool {
        let mut there = [0];
        if self.read(&mut there, byte) == 0 {
            return false;
        }
        self.write(&[there[0] ^ (1 << (bit & 7))], byte);
        true
    }

    /// A hash of the bytes and the size; zeros at the end hash alike however they came about.
    pub fn hash(&self) -> u64 {
        let data = self.head.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let mut hash = mix(self.len ^ 0x6f74_746c_6100_0000);
        let (words, rest) = self.head.split_at(data).0.as_chunks::<8>();
        for word in words {
            hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        for &byte in rest {
            hash = (hash.rotate_left(23) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        mix(hash)
    }
}
