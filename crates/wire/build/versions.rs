//! Version ranges: `3`, `3-13`, `3+`, `none`.

use std::fmt;

/// A range of versions, both ends included; empty when `first > last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub const NONE: Self = Self { first: 0, last: -1 };

    pub fn parse(text: &str) -> Self {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("'{text}' is not a version"));
        if text == "none" {
            Self::NONE
        } else if let Some(first) = text.strip_suffix('+') {
            Self { first: number(first), last: i16::MAX }
        } else if let Some((first, last)) = text.split_once('-') {
            Self { first: number(first), last: number(last) }
        } else {
            Self { first: number(text), last: number(text) }
        }
    }

    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    pub fn intersect(self, other: Self) -> Self {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// The smallest range around both. A hole between them costs a test too many, never one too few.
    pub fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { first: self.first.min(other.first), last: self.last.max(other.last) },
        }
    }

    /// For people: `version 3`, `versions 3-13`.
    pub fn described(self) -> String {
        if self.first == self.last { format!("version {self}") } else { format!("versions {self}") }
    }

    /// The Rust condition for `v` to be in `self` when it is known to be in `known`: `true` and `false` where that is decided.
    pub fn condition(self, known: Self) -> String {
        let both = self.intersect(known);
        if both.is_empty() {
            return "false".to_owned();
        }
        match (both.first > known.first, both.last < known.last) {
            (false, false) => "true".to_owned(),
            (true, false) => format!("v >= {}", both.first),
            (false, true) => format!("v <= {}", both.last),
            (true, true) if both.first == both.last => format!("v == {}", both.first),
            (true, true) => format!("({}..={}).contains(&v)", both.first, both.last),
        }
    }

    /// The opposite of [`condition`](Self::condition).
    pub fn outside(self, known: Self) -> String {
        let both = self.intersect(known);
        if both.is_empty() {
            return "true".to_owned();
        }
        match (both.first > known.first, both.last < known.last) {
            (false, false) => "false".to_owned(),
            (true, false) => format!("v < {}", both.first),
            (false, true) => format!("v > {}", both.last),
            (true, true) => format!("v < {} || v > {}", both.first, both.last),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            write!(f, "none")
        } else if self.last == i16::MAX {
            write!(f, "{}+", self.first)
        } else if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
