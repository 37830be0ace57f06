//! A reader over a record's bytes, and Kafka's zigzag varints (KIP-98; the encoding is Protocol Buffers' `sint`).

/// Reads from the front of a byte slice; `None` where the bytes end or a number does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const EMPTY: Cursor<'static> = Cursor { rest: &[] };

    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// At most 5 bytes; what a fifth byte holds above 32 bits is lost, as in Kafka's reader.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<i32> {
        Some(unzigzag32(self.unsigned(5)? as u32))
    }

    /// At most 10 bytes; what the tenth byte holds above 64 bits is lost.
    #[inline(always)]
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        self.unsigned(10).map(unzigzag64)
    }

    /// One and two bytes are nearly all there is (lengths and deltas below 8,192), and are read without a loop: a broker
    /// reads seven numbers for every record that passes.
    #[inline(always)]
    fn unsigned(&mut self, max_len: u32) -> Option<u64> {
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Some(u64::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Some(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => {
                let (value, rest) = long_unsigned(self.rest, max_len)?;
                self.rest = rest;
                Some(value)
            }
        }
    }

    /// Bytes behind their length, of which any negative one means null (Kafka writes -1, and reads them all as null).
    /// The outer `None` is a length that reaches past the end.
    #[inline(always)]
    pub(crate) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.varint()?) {
            Ok(len) => self.take(len).map(Some),
            Err(_negative) => Some(None),
        }
    }
}

/// Takes and returns the bytes by value: behind a reference, the cursor would have to live in memory.
#[cold]
fn long_unsigned(mut rest: &[u8], max_len: u32) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for i in 0..max_len {
        let (byte, behind) = rest.split_first()?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        rest = behind;
        if *byte < 0x80 {
            return Some((value, rest));
        }
    }
    None
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
}

pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Bytes that [`put_varint`] writes.
pub(crate) fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()))
}

/// Bytes that [`put_varlong`] writes.
pub(crate) fn varlong_len(value: i64) -> usize {
    unsigned_len(((value << 1) ^ (value >> 63)).cast_unsigned())
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unsigned_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn unzigzag32(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn unzigzag64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_protocol_buffers() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(varint_len(value), bytes.len());
            assert_eq!(Cursor::new(bytes).varint(), Some(value));
            assert_eq!(Cursor::new(bytes).varlong(), Some(i64::from(value)));
        }
    }

    #[test]
    fn the_ends_of_a_long() {
        for value in [i64::MIN, i64::MAX, 1 << 40, -(1 << 62)] {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_len(value));
            assert_eq!(Cursor::new(&out).varlong(), Some(value));
        }
    }

    #[test]
    fn a_number_without_end_or_cut_short_is_refused() {
        assert_eq!(Cursor::new(&[0x80; 5]).varint(), None);
        assert_eq!(Cursor::new(&[0x80; 10]).varlong(), None);
        assert_eq!(Cursor::new(&[0x80]).varint(), None);
        assert_eq!(Cursor::new(&[]).varlong(), None);
    }

    #[test]
    fn null_is_any_negative_length() {
        assert_eq!(Cursor::new(&[0x01]).nullable_bytes(), Some(None));
        assert_eq!(Cursor::new(&[0x03]).nullable_bytes(), Some(None));
        assert_eq!(Cursor::new(&[0x00]).nullable_bytes(), Some(Some(&[][..])));
        assert_eq!(Cursor::new(&[0x04, 7]).nullable_bytes(), None);
    }
}
