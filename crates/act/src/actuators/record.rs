//! Writes down what would have been done.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use larnax_spec::RecordAction;
use serde_json::json;

use crate::text::fill_path;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// A change that was made is looked for in the last part of the file, this many bytes.
const LOOKED_AT: u64 = 1 << 20;

/// A line of JSON for each change: `key`, `plan`, `wanted`, `action`, `component`. Taking back is a line too.
#[derive(Debug)]
pub struct Record {
    spec: RecordAction,
}

impl Record {
    /// As the config says.
    pub fn new(spec: RecordAction) -> Self {
        Self { spec }
    }

    fn file(&self, task: &Task) -> Result<PathBuf, ActError> {
        fill_path(&self.spec.file, &task.component)
    }

    fn write(&self, task: &Task) -> Result<String, Failed> {
        let path = self.file(task)?;
        let line = line(task);
        let there = has(&path, &line).map_err(ActError::file(&path, "read"))?;
        if !there {
            append(&path, &line).map_err(|problem| {
                Failed::unsure(format!("{} can't be written: {problem}", path.display()))
            })?;
        }
        Ok(format!("wrote a line to {}", path.display()))
    }
}

fn line(task: &Task) -> String {
    let Task { key, plan, wanted, action, component, .. } = task;
    json!({"key": key, "plan": plan, "wanted": wanted, "action": action, "component": component}).to_string()
}

/// Whether a line stands whole in the file.
fn has(path: &Path, line: &str) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))?;
    let mut end = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut end)?;
    Ok(end.split(|byte| *byte == b'\n').any(|found| found == line.as_bytes()))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).read(true).open(path)?;
    let mut text = String::with_capacity(line.len() + 2);
    let length = file.metadata()?.len();
    if length > 0 {
        // The machine may have stopped in the middle of the last line.
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

impl Actuator for Record {
    fn can_undo(&self) -> bool {
        true
    }

    fn describe(&self, task: &Task, _held: &Held) -> String {
        format!("would write down that `{}` was to be done to {}", task.action, task.component)
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            let path = self.file(task)?;
            match path.parent() {
                Some(folder) if path.is_absolute() && folder.is_dir() && !path.is_dir() => Ok(json!({})),
                _ => Err(ActError::cannot(format!(
                    "{} can't be written to: expected an absolute path of a file in a folder that is there",
                    path.display()
                ))),
            }
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move { self.write(task) })
    }

    fn undo<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move {
            if !self.file(task)?.exists() {
                return Err(Failed::not_done("the file that it was written to is gone"));
            }
            self.write(task)
        })
    }

    fn settle<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            let undoing = task.wanted == larnax_core::Wanted::Undo;
            let found = self.file(task).map_err(|problem| problem.to_string()).and_then(|path| {
                has(&path, &line(task))
                    .map_err(|problem| format!("{} can't be read: {problem}", path.display()))
            });
            match found {
                Err(problem) => Settled::unknown(problem),
                Ok(written) if written != undoing => Settled::after("the file says that it was done"),
                Ok(_) => Settled::before("the file doesn't say that it is done"),
            }
        })
    }
}
