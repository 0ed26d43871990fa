//! Targets that are found while the agent runs, as Prometheus' `file_sd_configs` and `http_sd_configs` say.
//!
//! What was found last is kept in a file: an agent that starts while whoever knows the targets can't be reached goes on
//! with those, and their open anomalies stay open.

mod files;
mod http;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use larnax_spec::{Config, StaticConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::files::Files;
use self::http::Inventory;
use crate::agent::Agent;

/// The targets of one place in the config, by the job and the place.
type Places = BTreeMap<String, BTreeMap<String, Vec<StaticConfig>>>;

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    places: Places,
    file: Option<PathBuf>,
}

/// As it is written down.
#[derive(Deserialize, Serialize)]
struct Saved {
    jobs: Places,
}

impl Found {
    /// What was found before the last end, kept in `state`; and what a person should know about it.
    pub(crate) fn load(state: &Path) -> (Self, Option<String>) {
        let file = state.join("targets.json");
        let (places, notice) = match std::fs::read(&file) {
            Ok(bytes) => match serde_json::from_slice::<Saved>(&bytes) {
                Ok(saved) => (saved.jobs, None),
                Err(error) => (Places::new(), Some(format!("{} is passed over: {error}", file.display()))),
            },
            Err(_) => (Places::new(), None),
        };
        (Self { places, file: Some(file) }, notice)
    }

    /// The targets that were found for a job.
    pub(crate) fn of_job(&self, job: &str) -> impl Iterator<Item = &StaticConfig> {
        self.places.get(job).into_iter().flatten().flat_map(|(_, groups)| groups)
    }

    /// Takes in what a place says now; whether that is something else.
    fn set(&mut self, job: &str, place: &str, groups: Vec<StaticConfig>) -> bool {
        let places = self.places.entry(job.to_owned()).or_default();
        if places.get(place) == Some(&groups) {
            return false;
        }
        places.insert(place.to_owned(), groups);
        true
    }

    /// Forgets the places that the config has no more, and reads the files that it has.
    pub(crate) fn begin(&mut self, config: &Config) -> Vec<String> {
        let mut notices = Vec::new();
        let mut known = Places::new();
        for job in &config.scrape_configs {
            let names =
                job.file_sd_configs.iter().map(files::name).chain(job.http_sd_configs.iter().map(http::name));
            for name in names {
                let before = self.places.get(&job.job_name).and_then(|places| places.get(&name));
                known
                    .entry(job.job_name.clone())
                    .or_default()
                    .insert(name, before.cloned().unwrap_or_default());
            }
        }
        self.places = known;
        for job in &config.scrape_configs {
            for place in &job.file_sd_configs {
                let (groups, said) = Files::new(place).look();
                if let Some(groups) = groups {
                    self.set(&job.job_name, &files::name(place), groups);
                }
                notices.extend(said);
            }
        }
        notices
    }

    /// Writes down what was found. The error is a sentence for a person.
    fn save(&self) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let saved = serde_json::json!({ "jobs": self.places });
        larnax_alert::replace(file, |writer| writer.write_all(saved.to_string().as_bytes()))
            .map(drop)
            .map_err(|error| {
                format!("the targets that were found will not survive a restart: {}: {error}", file.display())
            })
    }
}

/// Where what was found goes.
#[derive(Clone)]
pub(crate) struct Finds {
    pub(crate) found: Rc<RefCell<Found>>,
    pub(crate) changed: Rc<Notify>,
    pub(crate) agent: Rc<RefCell<Agent>>,
}

impl Finds {
    fn tell(&self, job: &str, place: &str, groups: Option<Vec<StaticConfig>>, notices: Vec<String>) {
        let mut notices = notices;
        if let Some(groups) = groups {
            let mut found = self.found.borrow_mut();
            if found.set(job, place, groups) {
                notices.extend(found.save().err());
                self.changed.notify_one();
            }
        }
        self.agent.borrow_mut().notices(notices);
    }
}

/// Looks for targets until it is dropped.
pub(crate) struct Search(Vec<JoinHandle<()>>);

impl Drop for Search {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Search {
    /// Starts one loop per place of the config.
    pub(crate) fn start(config: &Config, finds: &Finds) -> Self {
        let mut tasks = Vec::new();
        for job in &config.scrape_configs {
            let files =
                job.file_sd_configs.iter().map(|place| (files::name(place), Place::Files(Files::new(place))));
            let most = config.limits.body_size.as_usize();
            let urls = job.http_sd_configs.iter();
            let urls =
                urls.map(|place| (http::name(place), Place::Url(Box::new(Inventory::new(place, most)))));
            for (name, place) in files.chain(urls) {
                tasks.push(tokio::task::spawn_local(search(
                    job.job_name.clone(),
                    name,
                    place,
                    finds.clone(),
                )));
            }
        }
        Self(tasks)
    }
}

/// Where targets are found.
enum Place {
    Files(Files),
    Url(Box<Inventory>),
}

/// Looks until the task is aborted.
async fn search(job: String, name: String, mut place: Place, finds: Finds) {
    loop {
        let (groups, notices, every) = match &mut place {
            Place::Files(files) => {
                let (groups, notices) = files.look();
                (groups, notices, files.every())
            }
            Place::Url(inventory) => match inventory.ask().await {
                Ok((groups, notices)) => (groups, notices, inventory.every()),
                Err(problem) => {
                    (None, vec![format!("{problem}: its targets stay as they were")], inventory.every())
                }
            },
        };
        finds.tell(&job, &name, groups, notices);
        sleep(every).await;
    }
}

/// Reads what a place says; also what was left out of it.
fn found(text: &str, source: &str) -> Result<(Vec<StaticConfig>, Vec<String>), String> {
    let (groups, problems) = StaticConfig::found(text, source).map_err(|problem| problem.to_string())?;
    Ok((groups, problems.iter().map(|problem| format!("{problem}: left out")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        Config::from_yaml(yaml, "test").unwrap().0
    }

    #[test]
    fn what_was_found_survives_a_restart_as_far_as_the_config_still_asks_for_it() {
        let state = tempfile::tempdir().unwrap();
        let config = config(
            "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://x/one'}, {url: 'http://x/two'}]}]",
        );
        let (mut found, notice) = Found::load(state.path());
        assert_eq!(notice, None);
        assert!(found.begin(&config).is_empty());
        let group =
            |target: &str| StaticConfig { targets: vec![target.to_owned()], ..StaticConfig::default() };
        assert!(found.set("a", "http://x/one", vec![group("h:1")]));
        assert!(!found.set("a", "http://x/one", vec![group("h:1")]));
        found.set("a", "http://x/gone", vec![group("h:2")]);
        found.save().unwrap();
        let (mut found, notice) = Found::load(state.path());
        found.begin(&config);
        assert_eq!((notice, found.of_job("a").count(), found.of_job("b").count()), (None, 1, 0));
        std::fs::write(state.path().join("targets.json"), "{").unwrap();
        assert!(Found::load(state.path()).1.unwrap().contains("passed over"));
    }
}
