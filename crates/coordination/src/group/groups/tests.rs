//! Stories of groups: one line an event, what is answered and written indented below it.

mod classic;
mod offsets;
mod story;
