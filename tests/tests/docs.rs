//! The documents, followed to the letter: every block marked as runnable is run, and prints what they say it prints.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a surprise is a failed test")]

use it::document::Document;
use it::{project, tools, walkthrough};

/// Everything a user is told to type. Those with nothing to run are read for blocks that claim without being tried.
fn documents() -> Vec<Document> {
    let root = project::root();
    let mut names = vec!["README.md".to_owned(), "deploy/README.md".to_owned()];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    names.sort();
    names.retain(|name| root.join(name).exists());
    names.iter().map(|name| Document::read(root, name).unwrap_or_else(|error| panic!("{error:#}"))).collect()
}

#[test]
fn the_documents_do_what_they_say() {
    let only = std::env::var("OTTLA_DOCUMENT").ok();
    let mut failures = Vec::new();
    let mut run = 0;
    for document in documents().iter().filter(|document| !document.blocks.is_empty()) {
        if only.as_ref().is_some_and(|only| *only != document.name)
            || !tools::require(&walkthrough::needs(document))
        {
            continue;
        }
        run += document.blocks.len();
        if let Err(error) = walkthrough::run(document) {
            failures.push(format!("{error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    eprintln!("{run} blocks run");
}

#[test]
fn the_readme_is_among_them() {
    let readme = documents().into_iter().find(|document| document.name == "README.md").unwrap();
    assert!(readme.blocks.len() > 3, "the README shows what to type, and it is run: {readme:?}");
}

#[test]
fn a_document_that_lies_is_caught_and_told_where() {
    let scratch = tempfile::tempdir().unwrap();
    for (text, complaint) in [
        ("# T\n\n```sh runnable\ntrue\nls /nowhere\n```\n", "lie.md:5: status 2 of `ls /nowhere`"),
        ("# T\n\n```sh runnable\necho a\n```\n\n```text output\nb\n```\n", "lie.md:4: prints something else"),
        ("# T\n\n```sh runnable\ntrue | false | true\n```\n", "lie.md:4: status 1"),
        (
            "# T\n\n```sh runnable\ntrue\n```\n\n```sh runnable\nexit 0\n```\n\n```sh runnable\ntrue\n```\n",
            "lie.md:12: not reached",
        ),
    ] {
        std::fs::write(scratch.path().join("lie.md"), text).unwrap();
        let document = Document::read(scratch.path(), "lie.md").unwrap();
        let said = format!("{:#}", walkthrough::run(&document).expect_err(text));
        assert!(said.contains(complaint), "{said}");
    }
}
