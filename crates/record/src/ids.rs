//! Newtypes for the numbers of the protocol. Absence is `Option`; -1 exists only in the wire code.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Zero, the smallest value the protocol uses.
            pub const ZERO: Self = Self(0);

            /// Wraps a raw number.
            pub const fn new(raw: $inner) -> Self {
                Self(raw)
            }

            /// The raw number, as it stands in files and on the wire.
            pub const fn get(self) -> $inner {
                self.0
            }

            /// Reads the protocol's spelling, in which a negative number means "none".
            pub const fn from_wire(raw: $inner) -> Option<Self> {
                if raw < 0 { None } else { Some(Self(raw)) }
            }

            /// Writes the protocol's spelling: -1 for `None`.
            pub fn to_wire(value: Option<Self>) -> $inner {
                value.map_or(-1, |v| v.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// Position of a record in a partition; the first record of a partition has offset 0.
    Offset(i64)
}
number! {
    /// Term of one leader of one partition. It rises with every change of leader and with every restart of it (KIP-101).
    LeaderEpoch(i32)
}
number! {
    /// Identity of a broker within its cluster (`node.id`).
    BrokerId(i32)
}
number! {
    /// Term of one registration of one broker; rises with every process start (KIP-497, KIP-903).
    BrokerEpoch(i64)
}
number! {
    /// Version of one partition's metadata: rises with every change of its replicas, in-sync replicas or leader (KIP-497).
    PartitionEpoch(i32)
}
number! {
    /// Number of a partition within its topic, from 0.
    PartitionIndex(i32)
}
number! {
    /// Identity of an idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// Term of one producer id; a higher one fences the lower (KIP-98).
    ProducerEpoch(i16)
}
number! {
    /// Sequence number of a record within one producer id and epoch and one partition; wraps from `i32::MAX` to 0.
    Sequence(i32)
}

impl Offset {
    /// The offset after this one, saturating at the largest.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The offset before this one; `None` at 0.
    pub fn prev(self) -> Option<Self> {
        Self::from_wire(self.0 - 1)
    }
}

impl Add<i64> for Offset {
    type Output = Self;

    fn add(self, records: i64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

impl Sub for Offset {
    type Output = i64;

    fn sub(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl LeaderEpoch {
    /// The epoch after this one, saturating at the largest.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl PartitionEpoch {
    /// The epoch after this one, saturating at the largest.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Sequence {
    /// The sequence `n` records later, wrapping from `i32::MAX` to 0 as producers do.
    pub const fn advance(self, n: i32) -> Self {
        Self(((self.0 as i64 + n as i64) & i32::MAX as i64) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_wraps_to_zero_after_the_largest() {
        assert_eq!(Sequence::new(i32::MAX).advance(1), Sequence::ZERO);
        assert_eq!(Sequence::new(i32::MAX - 1).advance(3), Sequence::new(1));
    }

    #[test]
    fn minus_one_is_none_on_the_wire_only() {
        assert_eq!(Offset::from_wire(-1), None);
        assert_eq!(Offset::to_wire(None), -1);
        assert_eq!(Offset::from_wire(0), Some(Offset::ZERO));
    }
}
