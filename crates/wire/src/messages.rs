//! One module per message of Kafka's protocol, generated from `schema/`.
//!
//! A struct has the fields of all versions; the version given to `decode` and `encode` says which of them are on the
//! wire. A field absent there keeps its default when decoded, and when encoded is dropped if Kafka calls it ignorable, else an
//! error. Numbers are as Kafka sends them: -1 and its kin become `Option` at the edge that converts, not here.

#![allow(
    unused_variables,
    reason = "generated: a struct that is the same at every version does not look at `v` and `flex`"
)]
#![allow(clippy::derivable_impls, reason = "generated: which defaults could be derived is decided per field")]

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
