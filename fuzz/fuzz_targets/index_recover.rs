//! Any bytes as the files of a partition: opened, read, appended to, cut. The property lies beside the crate's tests.

#![no_main]
#![allow(dead_code, reason = "each target uses one of the two properties")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/storage/tests/storage/any_files.rs"]
mod any_files;
#[path = "../../crates/storage/tests/storage/memory_disk.rs"]
mod memory_disk;

fuzz_target!(|data: &[u8]| any_files::open_and_use(data));
