//! Targets from files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use larnax_spec::{FileSdConfig, StaticConfig};

use super::found;

/// How often it is looked whether a file has changed: a look costs some system calls. Being told by the kernel was rejected:
/// it says nothing about folders of other machines, nor about the links by which Kubernetes changes what it mounts.
const LOOK: Duration = Duration::from_secs(5);
/// A file of targets is not larger.
const MAX_BYTES: u64 = 8 << 20;

/// The name of the place.
pub(super) fn name(place: &FileSdConfig) -> String {
    place.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// By what a change is noticed.
type Stamp = (u64, Option<SystemTime>);

/// The files of a place, as they were read last.
pub(super) struct Files {
    patterns: Vec<PathBuf>,
    read: BTreeMap<PathBuf, (Stamp, Vec<StaticConfig>)>,
    /// How often all are read again, whatever they look like.
    refresh: Duration,
    /// When they were; none before the first look.
    refreshed: Option<Instant>,
}

impl Files {
    pub(super) fn new(place: &FileSdConfig) -> Self {
        let refresh = place.refresh_interval.0;
        Self { patterns: place.files.clone(), read: BTreeMap::new(), refresh, refreshed: None }
    }

    /// How long to wait between looks.
    pub(super) fn every(&self) -> Duration {
        LOOK.min(self.refresh)
    }

    /// All targets, where they may have changed; and what a person should know. A file that can't be used stays as it was,
    /// one that is gone has none any more.
    pub(super) fn look(&mut self) -> (Option<Vec<StaticConfig>>, Vec<String>) {
        let mut notices = Vec::new();
        let first = self.refreshed.is_none();
        if self.refreshed.is_none_or(|at| at.elapsed() >= self.refresh) {
            self.refreshed = Some(Instant::now());
            self.read.values_mut().for_each(|(stamp, _)| *stamp = (u64::MAX, None));
        }
        let there: Vec<PathBuf> = self.patterns.iter().flat_map(|pattern| matching(pattern)).collect();
        let before = self.read.len();
        self.read.retain(|file, _| there.contains(file));
        let mut changed = first || self.read.len() != before;
        for file in there {
            let stamp = match fs::metadata(&file) {
                Ok(about) => (about.len(), about.modified().ok()),
                Err(_) => continue,
            };
            let known = self.read.get(&file);
            if known.is_some_and(|(known, _)| *known == stamp) {
                continue;
            }
            match read(&file) {
                Ok((groups, said)) => {
                    notices.extend(said);
                    self.read.insert(file, (stamp, groups));
                    changed = true;
                }
                Err(problem) => {
                    notices.push(format!("{problem}: its targets stay as they were"));
                    let groups = known.map(|(_, groups)| groups.clone()).unwrap_or_default();
                    self.read.insert(file, (stamp, groups));
                }
            }
        }
        let groups = changed.then(|| self.read.values().flat_map(|(_, groups)| groups.clone()).collect());
        (groups, notices)
    }
}

/// The files that a pattern means, by name.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((begin, end)) = name.split_once('*') else {
        return if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let folder = match pattern.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= begin.len() + end.len()
            && name.starts_with(begin)
            && name.ends_with(end)
            && path.is_file()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(fits).collect();
    found.sort();
    found
}

fn read(file: &Path) -> Result<(Vec<StaticConfig>, Vec<String>), String> {
    let shown = file.display();
    let mut text = String::new();
    let opened = File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_string(&mut text));
    opened.map_err(|error| format!("{shown} can't be read: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{shown} has more than {MAX_BYTES} bytes"));
    }
    found(&text, &shown.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, pattern: &str) -> Files {
        Files::new(&FileSdConfig { files: vec![folder.join(pattern)], ..FileSdConfig::default() })
    }

    fn targets(found: Option<Vec<StaticConfig>>) -> Option<Vec<String>> {
        found.map(|groups| groups.into_iter().flat_map(|group| group.targets).collect())
    }

    #[test]
    fn files_that_come_change_and_go_say_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let mut files = place(folder.path(), "t*.json");
        assert_eq!(targets(files.look().0), Some(vec![]));
        assert_eq!(targets(files.look().0), None);
        write("t1.json", r#"[{"targets": ["a:1"]}]"#);
        write("t2.json", r#"[{"targets": ["b:1", "b:22"]}]"#);
        write("other.json", r#"[{"targets": ["c:1"]}]"#);
        assert_eq!(targets(files.look().0).unwrap(), ["a:1", "b:1", "b:22"]);
        assert_eq!(targets(files.look().0), None);
        write("t1.json", r#"[{"targets": ["a:333"]}]"#);
        assert_eq!(targets(files.look().0).unwrap(), ["a:333", "b:1", "b:22"]);
        fs::remove_file(folder.path().join("t2.json")).unwrap();
        assert_eq!(targets(files.look().0).unwrap(), ["a:333"]);
    }

    #[test]
    fn a_file_that_is_broken_leaves_its_targets_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.yml");
        fs::write(&file, "- targets: ['a:1']").unwrap();
        let mut files = place(folder.path(), "t.yml");
        assert_eq!(targets(files.look().0).unwrap(), ["a:1"]);
        fs::write(&file, "- targets: ['a:1', 'b").unwrap();
        let (found, notices) = files.look();
        assert_eq!(targets(found), None);
        assert!(notices[0].contains("t.yml:1:") && notices[0].contains("as they were"), "{notices:?}");
        fs::write(&file, "- targets: ['a:1', 'x/y']").unwrap();
        let (found, notices) = files.look();
        assert_eq!(targets(found).unwrap(), ["a:1"]);
        assert!(notices[0].contains("metrics_path"), "{notices:?}");
    }
}
