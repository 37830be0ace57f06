//! The binary's command line: what it prints, and how it ends.

use std::process::{Command, Output};

use expect_test::{Expect, expect};

fn ottla(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ottla")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

fn check(arguments: &[&str], code: i32, expected: Expect) {
    let output = ottla(arguments);
    let said =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
    expected.assert_eq(&said);
    assert_eq!(output.status.code(), Some(code), "{said}");
}

#[test]
fn unusable_arguments_end_with_2() {
    check(
        &["serve", "--set", "num.partitions=many"],
        2,
        expect![[r#"
            ottla: command line: Invalid value many for configuration num.partitions: Not a number of type INT; allowed: [1,...]
        "#]],
    );
    check(
        &["serve", "--set", "listeners=SSL://:9093"],
        2,
        expect![[r#"
            ottla: SSL://:9093 asks for SSL, which this version does not serve yet; PLAINTEXT is what it serves
        "#]],
    );
    check(
        &["serve", "--config", "/nowhere/server.properties"],
        2,
        expect![[r#"
            ottla: cannot read /nowhere/server.properties: No such file or directory (os error 2)
        "#]],
    );
    check(
        &["serve", "--set", "novalue"],
        2,
        expect![[r#"
            error: invalid value 'novalue' for '--set <KEY=VALUE>': expected KEY=VALUE

            For more information, try '--help'.
        "#]],
    );
    check(
        &["serve", "--log-level", "ottla=loud"],
        2,
        expect![[r#"
            ottla: --log-level ottla=loud: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
        "#]],
    );
}

#[test]
fn explain_prints_and_ends() {
    let output = ottla(&[
        "serve",
        "--explain",
        "--set",
        "num.partition=3",
        "--data-dir",
        "d",
        "--set",
        "num.io.threads=2",
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    let head: String =
        said.lines().take_while(|line| !line.starts_with("Defaults that")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        command line: unknown configuration num.partition; did you mean num.partitions?
        accepted, but without effect in this version: num.io.threads

        Not the default:
          log.dirs = d   (default: not set)

        Not the default, and without effect in this version:
          num.io.threads = 2   (default: 8)
    "#]]
    .assert_eq(&head);
    assert!(said.contains("listeners") && said.contains("(Kafka: PLAINTEXT://:9092;"), "{said}");
    assert_eq!(output.status.code(), Some(0));
    assert!(!std::path::Path::new("d").exists(), "nothing was started");
}

#[test]
fn a_data_directory_that_cannot_be_used_ends_with_1() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let output = ottla(&["serve", "--data-dir", file.to_str().unwrap(), "--log-format", "json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with('{') && last.contains("ERROR") && last.contains("a-file"),
        "one JSON object a line: {said}"
    );
}
