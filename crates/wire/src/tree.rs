//! Messages that lie in files, as trees of named fields: for those who show them to people.
//!
//! Names and presence are those of Kafka's converters to JSON, which its `DumpLogSegments` prints: a field is there at the
//! versions that have it, a tagged one only where it differs from its default.

use bytes::Bytes;
use ottla_record::Uuid;

use crate::ErrorCode;

/// A value, or a message of named values.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Absent.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text, or an id as Kafka writes it.
    Text(String),
    /// Bytes of another format.
    Bytes(Bytes),
    /// Values one after the other.
    List(Vec<Tree>),
    /// Values by name, in the order of the schema.
    Fields(Vec<(&'static str, Tree)>),
}

impl Tree {
    /// The value of a field, if this has fields and one of that name.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Fields(fields) = self else { return None };
        fields.iter_mut().find(|(field, _)| *field == name).map(|(_, value)| value)
    }
}

/// What can be shown as a tree, at a version.
pub trait ToTree {
    /// The value with the fields of this version.
    fn tree(&self, v: i16) -> Tree;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl ToTree for $type {
            fn tree(&self, _: i16) -> Tree {
                Tree::Integer(i64::from(*self))
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 u16 u32);

impl ToTree for bool {
    fn tree(&self, _: i16) -> Tree {
        Tree::Bool(*self)
    }
}

impl ToTree for f64 {
    fn tree(&self, _: i16) -> Tree {
        Tree::Float(*self)
    }
}

impl ToTree for ErrorCode {
    fn tree(&self, _: i16) -> Tree {
        Tree::Integer(i64::from(self.0))
    }
}

impl ToTree for Uuid {
    fn tree(&self, _: i16) -> Tree {
        Tree::Text(self.to_string())
    }
}

impl ToTree for String {
    fn tree(&self, _: i16) -> Tree {
        Tree::Text(self.clone())
    }
}

impl ToTree for Bytes {
    fn tree(&self, _: i16) -> Tree {
        Tree::Bytes(self.clone())
    }
}

impl<T: ToTree> ToTree for Vec<T> {
    fn tree(&self, v: i16) -> Tree {
        Tree::List(self.iter().map(|element| element.tree(v)).collect())
    }
}

impl<T: ToTree> ToTree for Option<T> {
    fn tree(&self, v: i16) -> Tree {
        self.as_ref().map_or(Tree::Null, |value| value.tree(v))
    }
}
