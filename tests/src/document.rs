//! The code blocks of a document: which are run, what they should print, and which only claim.
//!
//! A block whose info string is `sh runnable` or `python runnable` is run by [`walkthrough`](crate::walkthrough). One of
//! `rust example=NAME` is a verbatim copy of that example of the Rust client, which is run in its place. A block of
//! `text output` right behind one of these is what it must print; `…` stands for any text within a line, and a line of
//! nothing but `…` for any lines. A plain `sh` block is not run, and the paragraph above it has to say `untested`.

use std::path::Path;

use anyhow::{Context, bail};

#[cfg(test)]
mod tests;

/// A document's code blocks in order.
#[derive(Debug)]
pub struct Document {
    /// Its path from the root of the workspace.
    pub name: String,
    /// What is run.
    pub blocks: Vec<Block>,
}

/// A block that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the document on which its first line stands, from 1.
    pub line: usize,
    /// Who runs it.
    pub language: Language,
    /// Its lines, each with its end.
    pub text: String,
    /// What it must print.
    pub output: Option<String>,
}

/// Who runs a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Language {
    /// The document's one shell: directories and background jobs last until the document ends.
    Shell,
    /// A Python with the clients that `cargo xtask tools` installs.
    Python,
    /// The example of that name of the Rust client.
    Rust(String),
}

impl Document {
    /// Reads a document below the workspace's root.
    pub fn read(root: &Path, name: &str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"))?;
        let document = Self::parse(name, &text)?;
        for block in &document.blocks {
            if let Language::Rust(example) = &block.language {
                check_example(root, example, &block.text)
                    .with_context(|| format!("{name}:{}", block.line))?;
            }
        }
        Ok(document)
    }

    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut blocks: Vec<Block> = Vec::new();
        // The last runnable block, as long as nothing but blank lines came after it.
        let mut open_for_output = false;
        let mut paragraph = String::new();
        let mut ended = false;
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                if !line.trim().is_empty() {
                    open_for_output = false;
                    if std::mem::take(&mut ended) {
                        paragraph.clear();
                    }
                    paragraph.push_str(line);
                    paragraph.push('\n');
                } else {
                    ended = true;
                }
                continue;
            };
            let mut body = String::new();
            loop {
                let (_, line) =
                    lines.next().with_context(|| format!("{name}:{}: never closed", index + 1))?;
                if line == "```" {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let here = || format!("{name}:{}", index + 1);
            if info == "text output" {
                match blocks.last_mut().filter(|_| open_for_output) {
                    Some(block) => block.output = Some(body),
                    None => {
                        bail!("{}: output of nothing: no block that is run stands right before it", here())
                    }
                }
                open_for_output = false;
                continue;
            }
            let language = match info {
                "sh runnable" => Some(Language::Shell),
                "python runnable" => Some(Language::Python),
                "sh" if !paragraph.to_lowercase().contains("untested") => {
                    bail!("{}: neither `runnable`, nor called untested in the paragraph above it", here())
                }
                _ => info.strip_prefix("rust example=").map(|example| Language::Rust(example.to_owned())),
            };
            open_for_output = language.is_some();
            if let Some(language) = language {
                blocks.push(Block { line: index + 2, language, text: body, output: None });
            }
        }
        Ok(Self { name: name.to_owned(), blocks })
    }
}

/// Whether what a block printed is what the document says it prints.
pub fn is_as_expected(expected: &str, printed: &str) -> bool {
    let expected: Vec<&str> = expected.trim_end().lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
    lines_match(&expected, &printed)
}

fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len())
            .any(|skipped| printed.get(skipped..).is_some_and(|left| lines_match(rest, left))),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else { return expected == printed };
    let Some(printed) = printed.strip_prefix(before) else { return false };
    // The shortest stretch that lets the rest match.
    let ends = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    ends.into_iter().any(|at| line_matches(after, &printed[at..]))
}

/// A document shows an example of the client without the `//!` lines at its head, and otherwise to the letter.
fn check_example(root: &Path, example: &str, shown: &str) -> anyhow::Result<()> {
    let path = root.join(format!("crates/client/examples/{example}.rs"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let code: Vec<&str> =
        text.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).collect();
    if code.join("\n").trim_end() != shown.trim_end() {
        bail!("this is not what stands in {}", path.display());
    }
    Ok(())
}
