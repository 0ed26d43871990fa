//! JSON lines: one CloudEvent per line, in a file or on standard output.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use larnax_core::CloudEvent;

use crate::sinks::{DeliveryError, LocalFuture, Sink};
use crate::told::Told;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Appended to a file, which is opened again when somebody rotated it away. The file only grows: rotate it.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// How lines are written.
#[derive(Clone, Debug)]
pub struct JsonLinesOptions {
    /// The sink's name.
    pub name: String,
    /// Where to.
    pub output: Output,
    /// Also anomalies that were only recorded.
    pub recorded: bool,
}

impl JsonLinesOptions {
    /// Everything, recorded anomalies included.
    pub fn new(name: &str, output: Output) -> Self {
        Self { name: name.to_owned(), output, recorded: true }
    }
}

/// The sink.
#[derive(Debug)]
pub struct JsonLines {
    options: JsonLinesOptions,
    file: Option<File>,
    lines: Vec<u8>,
    /// The last write broke off, perhaps within a line.
    torn: bool,
}

impl JsonLines {
    /// Opens nothing yet.
    pub fn new(options: JsonLinesOptions) -> Self {
        Self { options, file: None, lines: Vec::new(), torn: false }
    }

    fn write<D: Told>(&mut self, events: &[CloudEvent<D>]) -> io::Result<()> {
        let recorded = self.options.recorded;
        let mut wanted = events.iter().filter(|event| recorded || event.data.is_alerted()).peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        self.open()?;
        self.lines.clear();
        if self.torn {
            self.lines.push(b'\n');
        }
        for event in wanted {
            serde_json::to_writer(&mut self.lines, event)?;
            self.lines.push(b'\n');
        }
        self.torn = true;
        match &mut self.file {
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.lines)?;
                stdout.flush()?;
            }
            Some(file) => {
                file.write_all(&self.lines)?;
                // Afterwards the outbox forgets them. Pipes and terminals can't be synced.
                if file.metadata()?.is_file() {
                    file.sync_data()?;
                }
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Opens the file if it isn't open or is no longer where it was.
    fn open(&mut self) -> io::Result<()> {
        let Output::File(path) = &self.options.output else { return Ok(()) };
        if self.file.as_ref().is_none_or(|file| !is_still_at(file, path)) {
            let file = File::options().create(true).append(true).open(path)?;
            self.torn = ends_within_a_line(&file, path)?;
            self.file = Some(file);
        }
        Ok(())
    }
}

/// Whether a crash left half a line at the end of a file.
fn ends_within_a_line(file: &File, path: &Path) -> io::Result<bool> {
    let about = file.metadata()?;
    if !about.is_file() || about.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    File::open(path)?.read_exact_at(&mut last, about.len() - 1)?;
    Ok(last != *b"\n")
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

impl<D: Told> Sink<D> for JsonLines {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn deliver<'a>(&'a mut self, events: &'a [CloudEvent<D>]) -> LocalFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            self.write(events).map_err(|error| {
                self.file = None;
                let place = match &self.options.output {
                    Output::File(path) => path.display().to_string(),
                    Output::Stdout => "standard output".to_owned(),
                };
                DeliveryError::retryable(format!("{place}: {error}; expected a file that can be appended to"))
            })
        })
    }
}
