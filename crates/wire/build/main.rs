//! Turns `schema/` into Rust: one module per message, the table of APIs, the error codes, and what the tests compare by.
//!
//! | file | what it does |
//! |---|---|
//! | `schema.rs` | parses the schema's lines |
//! | `versions.rs` | version ranges and the conditions that test them |
//! | `shape.rs` | what follows from a schema: effective ranges, smallest sizes, defaults, names |
//! | `emit_struct.rs` | structs, their documentation and defaults |
//! | `emit_decode.rs`, `emit_encode.rs` | their readers and writers |
//! | `emit_tables.rs` | API keys and error codes |
//! | `emit_tree.rs` | what lies in files, as trees of named fields |
//! | `emit_oracle.rs` | JSON and random values of each message, for this crate's tests only |
//!
//! A file is written only if it changed and the script runs only when `schema/` or itself did, so an edit elsewhere
//! in the crate generates nothing anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a build script reports a bad schema by stopping"
)]
#![allow(unreachable_pub, reason = "nothing is reachable from outside a build script")]

mod emit_decode;
mod emit_encode;
mod emit_oracle;
mod emit_struct;
mod emit_tables;
mod emit_tree;
mod schema;
mod shape;
mod versions;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use schema::Message;
use shape::snake_case;

fn main() {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=build");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    let messages = read_schema(Path::new("schema"));

    let mut modules = String::new();
    for message in &messages {
        let module = snake_case(&message.name);
        write_if_changed(&out.join(format!("{module}.rs")), &emit_message(message));
        writeln!(
            modules,
            "#[doc = \"[`{name}`], {versions}.\"]\npub mod {module} {{\n    \
             include!(concat!(env!(\"OUT_DIR\"), \"/{module}.rs\"));\n}}\npub use {module}::{name};\n",
            name = message.name,
            versions = message.versions.described(),
        )
        .unwrap();
    }
    write_if_changed(&out.join("messages.rs"), &modules);
    write_if_changed(&out.join("api_key.rs"), &emit_tables::api_keys(&messages));
    let codes = fs::read_to_string("schema/error-codes.tsv").expect("schema/error-codes.tsv");
    write_if_changed(&out.join("error_code.rs"), &emit_tables::error_codes(&codes));
    write_if_changed(&out.join("oracle.rs"), &emit_oracle::all(&messages));
}

fn read_schema(folder: &Path) -> Vec<Message> {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("schema/").map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "schema"));
    files.sort();
    let parse = |path| schema::parse(&fs::read_to_string(path).unwrap());
    let mut messages: Vec<Message> = files.iter().flat_map(parse).collect();
    messages.iter_mut().for_each(shape::settle_ranges);
    messages
}

fn emit_message(message: &Message) -> String {
    let mut out = String::from(
        "#[allow(unused_imports, reason = \"one list for all generated modules\")]\n\
         use crate::codec::{Bytes, Error, ErrorCode, Message, Reader, Records, Request, Uuid, Writer};\n\n",
    );
    if emit_tree::is_shown(message) {
        out.push_str("use crate::tree::{ToTree, Tree};\n\n");
    }
    for part in &message.structs {
        emit_struct::definition(message, part, &mut out);
        writeln!(out, "impl {} {{", part.name).unwrap();
        emit_decode::function(message, part, &mut out);
        emit_encode::function(message, part, &mut out);
        out.push_str("}\n\n");
        if emit_tree::is_shown(message) {
            emit_tree::function(part, &mut out);
        }
    }
    emit_struct::message_impl(message, &mut out);
    out
}

fn write_if_changed(path: &Path, content: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return;
    }
    fs::write(path, content).unwrap();
}
