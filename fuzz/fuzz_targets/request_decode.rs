//! A request's header and body at any version: see `crates/wire/tests/oracle/request_decode.rs`.

#![no_main]

#[path = "../../crates/wire/tests/oracle/request_decode.rs"]
mod request_decode;

libfuzzer_sys::fuzz_target!(|frame: &[u8]| request_decode::check(frame));
