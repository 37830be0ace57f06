//! The known key nearest to one that is not known.

use super::definition::Scope;
use super::{synonyms, table};

/// The key somebody probably meant, if one is near enough to be worth saying.
pub fn nearest(scope: Scope, unknown: &str) -> Option<&'static str> {
    if let Some(name) = synonyms::across(scope, unknown) {
        return Some(name);
    }
    // A third of the name may be wrong; past that a suggestion confuses more than it helps.
    let limit = unknown.chars().count() / 3;
    table::definitions(scope)
        .iter()
        .map(|definition| (distance(unknown, definition.name), definition.name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance: letters to insert, remove or replace.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (above, other) in row.iter().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(letter != *other);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
