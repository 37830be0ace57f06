//! docs/TESTING.md lists the mutants as the directory has them.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;

use super::{Mutant, read_all};

/// After a change: `UPDATE_EXPECT=1 cargo test -p xtask`.
#[test]
fn the_document_lists_every_mutant() {
    let root = it::project::root();
    let document = root.join("docs/TESTING.md");
    let text = fs::read_to_string(&document).unwrap();
    let (before, rest) = text.split_once("<!-- mutants -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /mutants -->").unwrap();
    let table = table(&read_all(root).unwrap());
    let expected = format!("{before}<!-- mutants -->\n{table}<!-- /mutants -->{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(document, &expected).unwrap();
    } else {
        assert_eq!(text, expected, "UPDATE_EXPECT=1 cargo test -p xtask writes the list anew");
    }
}

fn table(mutants: &[Mutant]) -> String {
    let mut table = "| mutant | rule | what it does | caught by |\n|---|---|---|---|\n".to_owned();
    for mutant in mutants {
        let (name, rule, does) = (&mutant.name, &mutant.rule, &mutant.does);
        let searches: Vec<String> = mutant.searches.iter().map(ToString::to_string).collect();
        table += &format!("| `{name}` | {rule} | {does} | {} |\n", searches.join("; "));
    }
    table
}
