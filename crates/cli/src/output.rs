//! How an answer is written: lines, tables, or one JSON object a line.

mod bytes;
mod progress;
mod table;
mod time;

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;

pub use bytes::{Bytes, Shown};
pub use progress::Progress;
pub use table::{Align, Table};
pub use time::{Duration, Instant};

use crate::failure::Failure;

/// What `--json` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments of every command that answers with data.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct OutputArguments {
    /// One JSON object a line, for other programs.
    #[arg(long)]
    pub json: bool,
}

impl OutputArguments {
    /// The form they ask for.
    pub fn form(self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

/// Where a command's answer goes, and in which form. Warnings go beside it, so that the answer can be piped.
pub struct Output<'w> {
    out: &'w mut dyn Write,
    err: &'w mut dyn Write,
    form: Form,
    columns: Option<usize>,
}

impl<'w> Output<'w> {
    /// An answer to `out`, warnings to `err`.
    pub fn new(out: &'w mut dyn Write, err: &'w mut dyn Write, form: Form) -> Self {
        Self { out, err, form, columns: None }
    }

    /// The same on a terminal of so many columns, which tables shall fit.
    #[must_use]
    pub fn columns(mut self, columns: Option<usize>) -> Self {
        self.columns = columns;
        self
    }

    /// Chooses the form.
    pub fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// True if the answer is for programs.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// One thing on one line, in either form.
    pub fn item(&mut self, item: &(impl Serialize + Display)) -> Result<(), Failure> {
        match self.form {
            Form::Text => writeln!(self.out, "{item}")?,
            Form::Json => self.json(item)?,
        }
        Ok(())
    }

    /// One JSON object on a line of its own.
    pub fn json(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut *self.out, item).map_err(std::io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Text that is only for people: programs do not get it.
    pub fn text(&mut self, text: impl Display) -> Result<(), Failure> {
        if self.form == Form::Text {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// A table for people.
    pub fn table(&mut self, table: &Table) -> Result<(), Failure> {
        if self.form == Form::Text {
            self.out.write_all(table.render(self.columns).as_bytes())?;
        }
        Ok(())
    }

    /// Something that should be known, and does not stop the command. A warning that cannot be written stops nothing either.
    pub fn warn(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "ottla: warning: {text}");
    }

    /// Something a person may want to know beside the answer.
    pub fn note(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{text}");
    }

    /// For answers that are bytes.
    pub fn writer(&mut self) -> &mut (dyn Write + 'w) {
        self.out
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests;
