//! Consumer groups: stories, the table of the module's doc, every order of events, and what a heartbeat costs.

mod cost;
mod digest;
mod exploration;
mod stories;
mod table;
mod world;
