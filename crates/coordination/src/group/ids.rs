//! The names and terms of groups. Names are shared text: a clone is a counter.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a text as it stands.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Reads the protocol's spelling, in which the empty text means "none".
            pub fn from_wire(text: &str) -> Option<Self> {
                (!text.is_empty()).then(|| Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn text(&self) -> &Arc<str> {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A group's name (`group.id`). Kafka refuses the empty one in everything but reads and commits of simple consumers.
    GroupId
}
name! {
    /// One member of a group: drawn by the coordinator, or by the member itself (KIP-1082).
    MemberId
}
name! {
    /// What a static member calls itself (`group.instance.id`, KIP-345): it keeps its partitions over a restart.
    InstanceId
}

macro_rules! term {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i32);

        impl $name {
            /// Wraps a raw number.
            pub const fn new(raw: i32) -> Self {
                Self(raw)
            }

            /// The raw number, as it stands in records and on the wire.
            pub const fn get(self) -> i32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

term! {
    /// Term of one assignment of a classic group: every completed rebalance starts the next.
    Generation
}
term! {
    /// Term of a member of a consumer-protocol group (KIP-848): it rises as the member takes over newer assignments.
    MemberEpoch
}
term! {
    /// Term of a consumer-protocol group, or of its target assignment: it rises when members or topics change.
    GroupEpoch
}

impl Generation {
    /// The generation after this one. After the largest comes 1, not a negative one, which would mean "none" on the wire;
    /// a group with one rebalance a second gets there in 68 years.
    pub const fn next(self) -> Self {
        if self.0 == i32::MAX { Self(1) } else { Self(self.0 + 1) }
    }
}

impl MemberEpoch {
    /// A member that joins.
    pub const JOIN: Self = Self(0);
    /// A member that leaves for good.
    pub const LEAVE: Self = Self(-1);
    /// A static member that will be back: its partitions wait for it.
    pub const LEAVE_STATIC: Self = Self(-2);
}

impl GroupEpoch {
    /// The epoch after this one, saturating at the largest.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
