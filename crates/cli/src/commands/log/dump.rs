//! `ottla log dump`: what stands in the files of a data directory, Ottla's or Kafka's.
//!
//! Every file is read where it lies, a piece at a time. Damage is told with its place and the rest of the file is still
//! shown as far as it can be trusted; the command then ends with 1.

mod checkpoint;
mod decode;
mod files;
mod index;
mod item;
mod segment;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::files::Kind;
use self::item::{Item, Line};
use crate::failure::Failure;
use crate::output::{Output, OutputArguments};

/// Prints what stands in the files of a data directory.
#[derive(Debug, Args)]
pub struct Dump {
    /// Files, or directories of them: a partition's, or a whole data directory.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub paths: Vec<PathBuf>,
    /// Prints every record with its key, value and headers, decompressed.
    #[arg(long)]
    pub records: bool,
    /// Reads the records as those of an internal topic. Implies --records.
    #[arg(long, value_enum, value_name = "TOPIC")]
    pub decode: Option<Decode>,
    /// Compares indexes with the log beside them: every entry must name a batch that is there.
    #[arg(long)]
    pub verify: bool,
    /// Bytes of a key, value or header that are shown.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub max_value_bytes: usize,
    /// The largest batch that is decompressed, in bytes when decompressed.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub max_batch_bytes: usize,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its fields are documented")]
    pub output: OutputArguments,
}

/// Topics whose records have a format of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decode {
    /// `__consumer_offsets`: consumer groups and their offsets.
    Offsets,
    /// `__transaction_state`: transactional producers.
    Transactions,
}

impl Dump {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.output.form());
        let mut found = Vec::new();
        for path in &self.paths {
            found.extend(files::find(path)?);
        }
        if found.is_empty() {
            return Err(Failure::Failed("there is no file of a log in what was named".to_owned()));
        }
        let mut damaged = 0;
        for (path, kind) in &found {
            let mut report = Report::new(path, output);
            self.dump(path, *kind, &mut report)?;
            damaged += usize::from(report.is_damaged);
        }
        match damaged {
            0 => Ok(()),
            _ => Err(Failure::Failed(format!("{damaged} of {} files are damaged", found.len()))),
        }
    }

    fn dump(&self, path: &Path, kind: Kind, report: &mut Report<'_, '_>) -> Result<(), Failure> {
        report.output.text(path.display())?;
        let read = match kind {
            Kind::Batches => segment::dump(path, self, report),
            Kind::OffsetIndex => index::offsets(path, self.verify, report),
            Kind::TimeIndex => index::times(path, self.verify, report),
            Kind::TransactionIndex => index::transactions(path, self.verify, report),
            Kind::Producers => checkpoint::producers(path, report),
            Kind::Offsets => checkpoint::offsets(path, report),
            Kind::LeaderEpochs => checkpoint::leader_epochs(path, report),
            Kind::Directory => checkpoint::meta_properties(path, report),
            Kind::Partition => checkpoint::partition_metadata(path, report),
            Kind::CleanShutdown => checkpoint::clean_shutdown(path, report),
        };
        match read {
            Ok(()) => Ok(()),
            // Reading failed, so the file is what is wrong.
            Err(Trouble::Read(error)) => report.damage(None, error),
            Err(Trouble::Failure(failure)) => Err(failure),
        }
    }
}

/// What ends the dump of one file, or of all.
enum Trouble {
    /// The file cannot be read (further); the others can.
    Read(std::io::Error),
    /// The output cannot be written.
    Failure(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// What is told of one file.
struct Report<'r, 'w> {
    output: &'r mut Output<'w>,
    file: String,
    is_damaged: bool,
}

impl<'r, 'w> Report<'r, 'w> {
    fn new(path: &Path, output: &'r mut Output<'w>) -> Self {
        Self { output, file: path.display().to_string(), is_damaged: false }
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), Failure> {
        self.output.item(&Line { file: &self.file, item })
    }

    fn damage(&mut self, position: Option<u64>, reason: impl std::fmt::Display) -> Result<(), Failure> {
        self.is_damaged = true;
        let reason = reason.to_string();
        // An error of reading names its file already.
        let reason = reason.strip_prefix(&format!("{}: ", self.file)).unwrap_or(&reason);
        self.item(Item::Damage { position, reason })
    }
}

#[cfg(test)]
mod tests;
