//! Any bytes as record batches: walked, decompressed, validated and stored. The property lies beside the crate's tests.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/record/tests/record/any_bytes.rs"]
mod any_bytes;

fuzz_target!(|data: &[u8]| any_bytes::check(data));
