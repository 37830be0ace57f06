//! Any bytes as a checkpoint, an epoch file, a producer snapshot, meta.properties. The property lies beside the crate's tests.

#![no_main]
#![allow(dead_code, reason = "each target uses one of the two properties")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/storage/tests/storage/any_files.rs"]
mod any_files;
#[path = "../../crates/storage/tests/storage/memory_disk.rs"]
mod memory_disk;

fuzz_target!(|data: &[u8]| any_files::parse(data));
