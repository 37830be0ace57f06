//! Tables for a terminal: a header line, columns as wide as what stands in them, and no line longer than the terminal.

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under named columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: &str = "  ";
/// A column of words is not cut below this.
const MIN_COLUMN: usize = 8;

impl Table {
    /// A table without rows.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (name.to_uppercase(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; a cell that is missing is empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines. Where a terminal of `width` columns is too narrow, the widest columns of words are cut.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let header = self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let mut out = String::new();
        self.line(&widths, &header, &mut out);
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.line(&widths, &cells, &mut out);
        }
        out
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(0, |cell| cell.chars().count());
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (name, _))| {
                self.rows.iter().map(|row| cell(row, at)).chain([name.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let Some(limit) = limit else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        loop {
            let total = widths.iter().sum::<usize>() + gaps;
            let words = self.columns.iter().zip(&mut widths).filter(|((_, align), _)| *align == Align::Left);
            let widest = words.map(|(_, width)| width).max_by_key(|width| **width);
            match widest.filter(|width| total > limit && **width > MIN_COLUMN) {
                Some(widest) => {
                    *widest -= (total - limit).min(*widest - MIN_COLUMN).min((*widest).div_ceil(8))
                }
                None => return widths,
            }
        }
    }

    fn line(&self, widths: &[usize], cells: &[&str], out: &mut String) {
        let mut line = String::new();
        for (at, (width, (_, align))) in widths.iter().zip(&self.columns).enumerate() {
            let cell = fit(cells.get(at).copied().unwrap_or_default(), *width);
            let pad = " ".repeat(width - cell.chars().count());
            line.push_str(if at == 0 { "" } else { GAP });
            match align {
                Align::Left => line.extend([cell.as_str(), &pad]),
                Align::Right => line.extend([pad.as_str(), &cell]),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// The text, or as much of it as fits with a mark that there is more.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
