//! Sizes with their unit in the name.

use std::fmt;

/// A number of bytes.
///
/// ```
/// use ottla_client::ByteSize;
///
/// assert_eq!(ByteSize::kib(64), ByteSize::bytes(65_536));
/// assert_eq!(ByteSize::mib(1).to_string(), "1 MiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(usize);

impl ByteSize {
    /// So many bytes.
    ///
    /// ```
    /// use ottla_client::ByteSize;
    ///
    /// assert_eq!(ByteSize::bytes(1_500).to_string(), "1500 bytes");
    /// ```
    pub const fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// So many times 1,024 bytes; saturates.
    ///
    /// ```
    /// use ottla_client::ByteSize;
    ///
    /// assert_eq!(ByteSize::kib(2).get(), 2_048);
    /// ```
    pub const fn kib(kib: usize) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// So many times 1,048,576 bytes; saturates.
    ///
    /// ```
    /// use ottla_client::ByteSize;
    ///
    /// assert!(ByteSize::mib(1) > ByteSize::kib(1_023));
    /// ```
    pub const fn mib(mib: usize) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    ///
    /// ```
    /// use ottla_client::ByteSize;
    ///
    /// let buffer = Vec::<u8>::with_capacity(ByteSize::kib(4).get());
    /// assert!(buffer.capacity() >= 4_096);
    /// ```
    pub const fn get(self) -> usize {
        self.0
    }

    /// The number of bytes for a 32-bit field; saturates.
    pub(crate) fn to_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}
