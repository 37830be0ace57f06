//! Kafka's command-line tools, by the dozen in one JVM.

use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use anyhow::ensure;

use crate::{project, tools};

/// How one run of a tool ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to its output.
    pub out: Vec<u8>,
    /// What it wrote to its error.
    pub err: String,
}

impl Run {
    /// The output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// The output of a run that must have gone well.
    pub fn success(self) -> String {
        assert_eq!(self.status, 0, "a tool failed: {}\n{}", self.text(), self.err);
        self.text()
    }

    /// What a run that must have failed said, on either stream.
    pub fn failure(self) -> String {
        assert_ne!(self.status, 0, "a tool should have failed: {}\n{}", self.text(), self.err);
        format!("{}\n{}", self.text(), self.err)
    }
}

/// A JVM that runs tools one after another.
#[derive(Debug)]
pub struct Toolbox {
    child: Child,
    commands: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
}

impl Toolbox {
    /// Starts the JVM.
    pub fn start() -> Self {
        let mut child =
            java().arg("Toolbox").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java starts");
        let commands = Some(BufWriter::new(child.stdin.take().expect("piped")));
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, commands, answers }
    }

    /// Runs the main method of a class.
    pub fn run(&mut self, class: &str, args: &[&str]) -> Run {
        self.run_with_input(class, args, &[])
    }

    /// Runs the main method of a class with bytes on its standard input.
    pub fn run_with_input(&mut self, class: &str, args: &[&str], input: &[u8]) -> Run {
        self.exchange(class, args, input).unwrap_or_else(|error| panic!("{class} {args:?}: {error:#}"))
    }

    fn exchange(&mut self, class: &str, args: &[&str], input: &[u8]) -> anyhow::Result<Run> {
        let commands = self.commands.as_mut().expect("open until dropped");
        commands.write_all(&u32::try_from(args.len() + 1)?.to_be_bytes())?;
        for word in std::iter::once(&class).chain(args).map(|word| word.as_bytes()).chain([input]) {
            commands.write_all(&u32::try_from(word.len())?.to_be_bytes())?;
            commands.write_all(word)?;
        }
        commands.flush()?;
        let status = self.number()?;
        let out = self.block()?;
        let err = String::from_utf8_lossy(&self.block()?).into_owned();
        Ok(Run { status, out, err })
    }

    fn number(&mut self) -> anyhow::Result<i32> {
        let mut bytes = [0; 4];
        self.answers.read_exact(&mut bytes)?;
        Ok(i32::from_be_bytes(bytes))
    }

    fn block(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.number()?)?];
        self.answers.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Toolbox {
    fn drop(&mut self) {
        // The end of its input is its order to stop.
        self.commands.take();
        let _ = self.child.wait();
    }
}

/// A `java` with Kafka's jars and this package's Java classes on the class path; the class to run comes next.
pub fn java() -> Command {
    let mut command = Command::new("java");
    let path = format!("{}:{}", classes().display(), tools::kafka_jars().join("*").display());
    // One-shot tools: a small heap and the collector and compiler that start fastest.
    command.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &path]);
    command
}

fn classes() -> PathBuf {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| compile().expect("our Java programs compile")).clone()
}

fn compile() -> anyhow::Result<PathBuf> {
    let folder = project::target().join("it/classes");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new("javac");
    command.arg("-proc:none").arg("-cp").arg(tools::kafka_jars().join("*")).arg("-d").arg(&folder);
    command.args(
        [
            "Toolbox.java",
            "HistoryWriter.java",
            "Mbeans.java",
            "StanzaReader.java",
            "TransactionalWriter.java",
            "Records.java",
            "ValidatedPosition.java",
        ]
        .map(project::client),
    );
    command.arg(project::root().join("tests/interop/java/Member.java"));
    let output = command.output()?;
    ensure!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    Ok(folder)
}
