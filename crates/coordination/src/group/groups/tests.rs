//! Stories of groups: one line an event, what is answered and written indented below it.

mod batches;
mod classic;
mod exploration;
mod memory;
mod migration;
mod offsets;
mod story;
mod table;
