//! What was measured, kept in the target directory: a file a part, one line a figure.

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

/// What a part was found to be when it was measured last.
pub(super) fn of(part: Part) -> anyhow::Result<Measured> {
    let path = path(part);
    let missing = || format!("{part:?} was not measured here yet ({})", path.display());
    let text = std::fs::read_to_string(&path).with_context(missing)?;
    parse(&text).with_context(|| format!("{} is not what was kept", path.display()))
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
