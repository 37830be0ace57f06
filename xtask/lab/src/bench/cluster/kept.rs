//! What was measured, kept in the target directory: a file a part, one line a figure. Where that is gone, the document has what it had.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use it::broker::Kind;
use it::project;

use super::{Measured, Part};
use crate::bench::machine::Machine;
use crate::bench::report::Sample;

fn path(part: Part) -> PathBuf {
    project::target().join("bench").join(format!("cluster-{part:?}.tsv").to_lowercase())
}

pub(super) fn keep(part: Part, measured: &Measured) -> anyhow::Result<()> {
    let Measured { machine: Machine { day, commit, hardware }, rounds, samples } = measured;
    let mut text = format!("{day}\t{commit}\t{hardware}\t{rounds}\n");
    for Sample { kind, metric, unit, value } in samples {
        let _ = writeln!(text, "{kind:?}\t{metric}\t{unit}\t{value}");
    }
    let path = path(part);
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// What a part was found to be when it was measured last in this target directory.
pub(super) fn of(part: Part) -> anyhow::Result<Option<Measured>> {
    let path = path(part);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    parse(&text).map(Some).with_context(|| format!("{} is not what was kept", path.display()))
}

/// What stands under a heading of a document.
pub(super) fn section_of<'text>(document: &'text str, heading: &str) -> Option<&'text str> {
    let (_, section) = document.split_once(&format!("\n## {heading}\n\n"))?;
    let end = section.find("\n## ").unwrap_or(section.len());
    section.get(..end)
}

fn parse(text: &str) -> Option<Measured> {
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let [day, commit, hardware, rounds] = lines.next()?[..] else { return None };
    let machine = Machine { day: day.to_owned(), commit: commit.to_owned(), hardware: hardware.to_owned() };
    let sample = |words: Vec<&str>| {
        let [kind, metric, unit, value] = words[..] else { return None };
        let kind = [Kind::Kafka, Kind::Ottla].into_iter().find(|known| format!("{known:?}") == kind)?;
        // A few bytes, for as long as the command runs.
        let unit = unit.to_owned().leak();
        Some(Sample { kind, metric: metric.to_owned(), unit, value: value.parse().ok()? })
    };
    Some(Measured {
        machine,
        rounds: rounds.parse().ok()?,
        samples: lines.map(sample).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::section_of;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let document = "# Three\n\n## One\n\nfirst\n| a |\n\n## Two\n\nsecond\n";
        assert_eq!(section_of(document, "One"), Some("first\n| a |\n"));
        assert_eq!(section_of(document, "Two"), Some("second\n"));
        assert_eq!(section_of(document, "Three"), None);
    }
}
