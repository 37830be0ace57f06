//! `docs/commands.md` is what `--help` says: of every command, at a fixed width.

use std::fmt::Write as _;
use std::process::Command as Process;

use clap::{Command, CommandFactory};
use expect_test::expect_file;
use ottla_broker::cli::Cli;

/// Columns of the document, and of a terminal that many people have.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Commands

What `ottla COMMAND --help` prints, of every command. `UPDATE_EXPECT=1 cargo test -p ottla-broker help` writes this file from
the definitions of the arguments; a test compares it.
";

#[test]
fn the_document_is_what_help_says() {
    let mut ottla = Cli::command().term_width(WIDTH);
    ottla.build();
    let mut document = HEAD.to_owned();
    describe(&mut ottla, &mut document);
    expect_file!["../../../../docs/commands.md"].assert_eq(&document);
}

/// A command, then those below it.
fn describe(command: &mut Command, document: &mut String) {
    let help = command.render_long_help().to_string();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    // Lines without a word have blanks in a terminal, which no document needs.
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write!(document, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    for subcommand in command.get_subcommands_mut() {
        describe(subcommand, document);
    }
}

#[test]
fn the_binary_says_the_same() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md")).unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for name in ["ottla", "ottla serve", "ottla topic create", "ottla log import"] {
        let (_, section) = document.split_once(&format!("\n## {name}\n\n```text\n")).unwrap();
        let (expected, _) = section.split_once("\n```").unwrap();
        let arguments = name.split(' ').skip(1).chain(["--help"]);
        let output = Process::new(env!("CARGO_BIN_EXE_ottla")).args(arguments).output().unwrap();
        assert!(output.status.success());
        // Words alone: a pipe has no width.
        assert_eq!(words(&String::from_utf8(output.stdout).unwrap()), words(expected), "{name}");
    }
}
