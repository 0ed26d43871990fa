//! Sets limits of cgroups (version 2).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use larnax_spec::CgroupAction;
use serde_json::{Map, json};

use crate::text::{fill, shorten};
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// Where the system has its cgroups (cgroups(7)).
const ROOT: &str = "/sys/fs/cgroup";

/// A control file isn't longer: the kernel gives a page at a time.
const MAX_FILE: u64 = 4 << 10;

/// Files of a cgroup. The values before are held, and are written back by undo, and where only some could be written.
#[derive(Debug)]
pub struct Cgroup {
    spec: CgroupAction,
    root: PathBuf,
}

/// A file, what it held, and what is written to it.
struct Setting {
    file: String,
    old: String,
    /// What the kernel shows after `new` was written, which it may write differently: `512M` becomes `536870912`. Known only by then.
    new: String,
}

impl Cgroup {
    /// As the config says, below the system's root of all cgroups.
    pub fn new(spec: CgroupAction) -> Self {
        Self { spec, root: ROOT.into() }
    }

    /// Below another root.
    pub fn with_root(self, root: &Path) -> Self {
        Self { root: root.to_owned(), ..self }
    }

    fn folder(&self, task: &Task) -> Result<PathBuf, ActError> {
        let path = fill(&self.spec.path, &task.component)?;
        let inside = Path::new(path.trim_start_matches('/'));
        let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || inside.as_os_str().is_empty() {
            return Err(ActError::cannot(format!(
                "`{path}` is not the path of a cgroup below the root of all cgroups"
            )));
        }
        let folder = self.root.join(inside);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(ActError::cannot(format!("there is no cgroup {}", folder.display())))
    }

    /// What is to be written, with what was held where something is.
    fn settings(&self, task: &Task, held: &Held) -> Result<Vec<Setting>, ActError> {
        let settings = self.spec.set.iter().map(|(file, value)| {
            let old = held.get("old").and_then(|old| old.get(file)).and_then(Held::as_str);
            let new = fill(&bytes(value), &task.component)?;
            Ok(Setting { file: file.clone(), old: old.unwrap_or_default().to_owned(), new })
        });
        settings.collect()
    }

    fn write_all(&self, task: &Task, held: &Held) -> Result<String, Failed> {
        let folder = self.folder(task)?;
        let settings = self.settings(task, held)?;
        let mut written: Vec<&Setting> = Vec::new();
        for setting in &settings {
            let path = folder.join(&setting.file);
            if let Err(problem) = write(&path, &setting.new) {
                let message = format!("{} can't be set to `{}`: {problem}", path.display(), setting.new);
                // Half of it is nothing anybody asked for.
                let back: Result<(), io::Error> =
                    written.iter().try_for_each(|setting| write(&folder.join(&setting.file), &setting.old));
                return Err(match back {
                    Ok(()) => Failed::not_done(format!("{message}; the others are as they were")),
                    Err(problem) => {
                        Failed::unsure(format!("{message}; the others can't be set back: {problem}"))
                    }
                });
            }
            written.push(setting);
        }
        let set: Vec<String> = settings
            .iter()
            .map(|Setting { file, old, new }| format!("{file} from `{old}` to `{new}`"))
            .collect();
        Ok(format!("set {} of {}", set.join(", "), folder.display()))
    }

    fn write_back(&self, task: &Task, held: &Held) -> Result<String, Failed> {
        let folder = self.folder(task)?;
        let mut settings = self.settings(task, held)?;
        for setting in &settings {
            let now = read(&folder.join(&setting.file)).unwrap_or_default();
            if !same(&now, &setting.new) && now != setting.old {
                return Err(Failed::not_done(format!(
                    "{} is `{now}`: somebody has changed it since, so it is left alone",
                    setting.file
                )));
            }
        }
        settings.reverse();
        for setting in &settings {
            let path = folder.join(&setting.file);
            write(&path, &setting.old).map_err(|problem| {
                Failed::unsure(format!("{} can't be set back: {problem}", path.display()))
            })?;
        }
        let set: Vec<String> =
            settings.iter().map(|Setting { file, old, .. }| format!("{file} to `{old}`")).collect();
        Ok(format!("set {} of {} back", set.join(", "), folder.display()))
    }

    /// Whether the files hold the new values, and whether they hold the old ones.
    fn sides(&self, task: &Task, held: &Held) -> Result<(bool, bool), ActError> {
        let folder = self.folder(task)?;
        let (mut new, mut old) = (true, true);
        for setting in self.settings(task, held)? {
            let path = folder.join(&setting.file);
            let now = read(&path).map_err(ActError::file(&path, "read"))?;
            new &= same(&now, &setting.new);
            old &= now == setting.old;
        }
        Ok((new, old))
    }
}

/// Bytes as the kernel reads and shows them: `512M` is `536870912`. Anything else stays as it is.
fn bytes(value: &str) -> String {
    let value = value.trim();
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('k', 10), ('m', 20), ('g', 30)];
    let scaled = units.iter().find_map(|(unit, shift)| {
        let number: u64 = value.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    scaled.map_or_else(|| value.to_owned(), |scaled| scaled.to_string())
}

/// Whether a file shows what was written: the kernel rounds bytes down to whole pages, and fills in what is left out (`max` of `cpu.max`
/// is shown as `max 100000`).
fn same(shown: &str, written: &str) -> bool {
    if shown == written || shown.strip_prefix(written).is_some_and(|rest| rest.starts_with(' ')) {
        return true;
    }
    match (shown.parse::<u64>(), written.parse::<u64>()) {
        (Ok(shown), Ok(written)) => shown <= written && written - shown < rustix::param::page_size() as u64,
        _ => false,
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// One write, which the kernel takes as a whole or refuses.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(value.as_bytes())
}

impl Actuator for Cgroup {
    fn can_undo(&self) -> bool {
        true
    }

    fn describe(&self, task: &Task, held: &Held) -> String {
        let settings = self.settings(task, held).unwrap_or_default();
        let set: Vec<String> = settings
            .iter()
            .map(|Setting { file, old, new }| format!("{file} from `{old}` to `{new}`"))
            .collect();
        format!("would set {}", set.join(", "))
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            let folder = self.folder(task)?;
            if self.spec.set.is_empty() {
                return Err(ActError::cannot("nothing is to be set"));
            }
            let mut old = Map::new();
            for file in self.spec.set.keys() {
                let name = Path::new(file).components().collect::<Vec<_>>();
                if !matches!(name.as_slice(), [Component::Normal(_)]) {
                    return Err(ActError::cannot(format!(
                        "`{}` is not the name of a file",
                        shorten(file, 80)
                    )));
                }
                let path = folder.join(file);
                let value = read(&path).map_err(ActError::file(&path, "read"))?;
                // Files of several lines, such as `io.max`, can't be set back by writing what was read.
                if value.contains('\n') {
                    return Err(ActError::cannot(format!(
                        "{} has several lines, and can't be set as a whole",
                        path.display()
                    )));
                }
                File::options().write(true).open(&path).map_err(ActError::file(&path, "written"))?;
                old.insert(file.clone(), value.into());
            }
            Ok(json!({ "old": old }))
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move { self.write_all(task, held) })
    }

    fn undo<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move { self.write_back(task, held) })
    }

    fn settle<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            match self.sides(task, held) {
                Err(problem) => Settled::unknown(problem.to_string()),
                Ok((true, _)) => Settled::after("all values are set"),
                Ok((_, true)) => Settled::before("all values are as they were"),
                // Some were written: back to what was.
                Ok((false, false)) => match self.write_back(task, held) {
                    Ok(done) => Settled::before(format!("only some values were set; {done}")),
                    Err(failed) => Settled::unknown(format!("only some values were set; {}", failed.message)),
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_the_kernel_shows_them() {
        assert_eq!(bytes("512M"), "536870912");
        assert_eq!((bytes("max"), bytes("50000 100000")), ("max".to_owned(), "50000 100000".to_owned()));
        assert!(same("max 100000", "max") && same("4096", "5000") && same("50000 100000", "50000 100000"));
        assert!(!same("max 100000", "50000") && !same("8192", "4096") && !same("maximum", "max"));
    }
}
