//! Storage through its public surface: frozen files, random histories against a model, replayed fuzz inputs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod any_files;
mod bare_headers;
mod batches;
mod checkpoint_due;
mod compaction;
mod directory;
mod formats;
mod leftovers;
mod memory_disk;
mod model;
mod replay;
mod short_reads;
mod support;
mod wrapped_disk;
