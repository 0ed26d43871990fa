//! Every environment variable, in one place.
//!
//! Variables override the file; flags of the command line override variables. A variable set to nothing counts as not
//! set. Lists are separated by commas. Apart from these, `${NAME}` in any value of the file stands for a variable
//! (capitals, digits and `_`); it is an error if that is not set, and `$${NAME}` is the text `${NAME}` itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::alerts::Receiver;
use crate::config::Config;
use crate::host::{Host, HostConfig};
use crate::report::{Problem, Warning};
use crate::scrape::ScrapeConfig;
use crate::suggest;
use crate::value::{Secret, Url, ValueError};

/// A variable that Larnax reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The field that it overrides; none where it is read by the programs themselves.
    pub field: Option<&'static str>,
    /// What it says, with an example.
    pub doc: &'static str,
}

const fn variable(name: &'static str, field: &'static str, doc: &'static str) -> Variable {
    Variable { name, field: Some(field), doc }
}

/// The path of the config file, for the programs.
pub const CONFIG: &str = "LARNAX_CONFIG";
/// What is logged, for the programs.
pub const LOG: &str = "LARNAX_LOG";

/// All variables, in the order of the reference.
pub static VARIABLES: [Variable; 18] = [
    Variable {
        name: CONFIG,
        field: None,
        doc: "The config file, as `--config`. Example: `/etc/larnax/larnax.yaml`.",
    },
    Variable {
        name: LOG,
        field: None,
        doc: "What is logged: `error`, `warn`, `info`, `debug` or `trace`. Example: `warn`.",
    },
    variable("LARNAX_INTERVAL", "interval", "How often metrics are collected. Example: `1s`."),
    variable("LARNAX_STATE", "state", "The state directory. Example: `/var/lib/larnax`."),
    variable("LARNAX_LISTEN", "listen", "Where the agent's own server listens. Example: `:7676`."),
    variable("LARNAX_API_TOKEN", "api.bearer_token", "The token of the agent's own server. Secret."),
    variable(
        "LARNAX_API_TOKEN_FILE",
        "api.bearer_token_file",
        "A file that holds that token. Example: `/run/secrets/token`.",
    ),
    variable(
        "LARNAX_EXTERNAL_LABELS",
        "external_labels",
        "Labels, added to those of the file. Example: `site=ghent,rack=r1`.",
    ),
    variable("LARNAX_HOST", "host", "Whether this machine is watched: `true` or `false`."),
    variable(
        "LARNAX_SCRAPE",
        "scrape_configs",
        "URLs to scrape, added to the file's jobs. Example: `http://127.0.0.1:9100/metrics`.",
    ),
    variable("LARNAX_ALERT_BUDGET", "detect.alert_budget", "The alert budget. Example: `1/week`."),
    variable(
        "LARNAX_ALERTMANAGER_URL",
        "alerts.alertmanagers",
        "Alertmanagers, instead of the file's. Example: `http://127.0.0.1:9093`.",
    ),
    variable(
        "LARNAX_WEBHOOK_URL",
        "alerts.webhooks",
        "Webhooks, instead of the file's. Example: `https://example.org/hook`.",
    ),
    variable(
        "LARNAX_JSONL",
        "alerts.jsonl",
        "A file for events, or `-`. Example: `/var/log/larnax/events.jsonl`.",
    ),
    variable("LARNAX_WARM_UP", "detect.warm_up", "How long a component is learnt first. Example: `150s`."),
    variable(
        "LARNAX_HUB_URL",
        "hub.url",
        "The hub that this agent reports to. Example: `https://hub.example.org:7677`.",
    ),
    variable("LARNAX_HUB_TOKEN", "hub.bearer_token", "The token that it brings to the hub. Secret."),
    variable(
        "LARNAX_HUB_TOKEN_FILE",
        "hub.bearer_token_file",
        "A file that holds that token. Example: `/run/secrets/hub-token`.",
    ),
];

/// Variables by name, taken once, so that reading a config depends on nothing else. No `Debug`: it may hold secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process; variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where state is kept if nothing is said: what systemd gives, the user's own state folder, or `/var/lib/larnax` for
    /// root and where there is no home.
    pub fn state_dir(&self) -> PathBuf {
        // systemd separates several by colons.
        if let Some(given) = self.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()) {
            return PathBuf::from(given);
        }
        let own = self.get("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
            let home = self.get("HOME").filter(|home| !matches!(*home, "/" | "/root"))?;
            Some(PathBuf::from(home).join(".local/state"))
        });
        own.map_or_else(|| PathBuf::from("/var/lib/larnax"), |folder| folder.join("larnax"))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Reads variables and collects what is wrong with them.
struct Overrides<'a> {
    environment: &'a Environment,
    problems: &'a mut Vec<Problem>,
}

impl Overrides<'_> {
    fn read<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, ValueError>) -> Option<T> {
        match read(self.environment.get(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(Problem::unplaced("environment", name, error.to_string()));
                None
            }
        }
    }

    fn set<T: FromStr<Err = ValueError>>(&mut self, name: &str, field: &mut T) {
        if let Some(value) = self.read(name, T::from_str) {
            *field = value;
        }
    }

    fn set_some<T: From<String>>(&mut self, name: &str, field: &mut Option<T>) {
        if let Some(value) = self.environment.get(name) {
            *field = Some(T::from(value.to_owned()));
        }
    }

    fn receivers(&mut self, name: &str, field: &mut Vec<Receiver>) {
        if let Some(urls) =
            self.read(name, |text| parts(text).map(Url::from_str).collect::<Result<Vec<_>, _>>())
        {
            *field = urls.into_iter().map(Receiver::at).collect();
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn label(text: &str) -> Result<(String, String), ValueError> {
    let (name, value) = text.split_once('=').ok_or_else(|| ValueError::new(text, "`name=value`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn switch(text: &str) -> Result<bool, ValueError> {
    text.parse().map_err(|_| ValueError::new(text, "`true` or `false`"))
}

impl Config {
    /// Overrides fields by the `LARNAX_*` variables of [`VARIABLES`].
    pub(crate) fn override_from(
        &mut self,
        environment: &Environment,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Warning>,
    ) {
        let mut overrides = Overrides { environment, problems };
        overrides.set("LARNAX_INTERVAL", &mut self.interval);
        overrides.set_some("LARNAX_STATE", &mut self.state);
        overrides.set("LARNAX_LISTEN", &mut self.listen);
        if let Some(token) = environment.get("LARNAX_API_TOKEN") {
            self.api.bearer_token = Some(Secret::new(token));
            self.api.bearer_token_file = None;
        }
        if let Some(file) = environment.get("LARNAX_API_TOKEN_FILE") {
            self.api.bearer_token_file = Some(PathBuf::from(file));
            if environment.get("LARNAX_API_TOKEN").is_none() {
                self.api.bearer_token = None;
            }
        }
        let labels = overrides
            .read("LARNAX_EXTERNAL_LABELS", |text| parts(text).map(label).collect::<Result<Vec<_>, _>>());
        self.external_labels.extend(labels.unwrap_or_default());
        match overrides.read("LARNAX_HOST", switch) {
            Some(false) => self.host = Some(Host::Off),
            Some(true) if !matches!(self.host, Some(Host::On(_))) => {
                self.host = Some(Host::On(HostConfig::default()))
            }
            _ => {}
        }
        let jobs = overrides.read("LARNAX_SCRAPE", |text| {
            parts(text).map(ScrapeConfig::from_url).collect::<Result<Vec<_>, _>>()
        });
        self.scrape_configs.extend(jobs.unwrap_or_default());
        overrides.set("LARNAX_ALERT_BUDGET", &mut self.detect.alert_budget);
        overrides.receivers("LARNAX_ALERTMANAGER_URL", &mut self.alerts.alertmanagers);
        overrides.receivers("LARNAX_WEBHOOK_URL", &mut self.alerts.webhooks);
        overrides.set_some("LARNAX_JSONL", &mut self.alerts.jsonl);
        overrides.set("LARNAX_WARM_UP", &mut self.detect.warm_up);
        self.override_hub(environment, problems);
        warnings.extend(unknown(environment));
    }

    fn override_hub(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        let mut overrides = Overrides { environment, problems };
        if let Some(url) = overrides.read("LARNAX_HUB_URL", Url::from_str) {
            self.hub.get_or_insert_default().url = Some(url);
        }
        // The token of a hub that is nowhere named is nobody's: a machine may have it in its environment beforehand.
        let Some(hub) = &mut self.hub else { return };
        if let Some(token) = environment.get("LARNAX_HUB_TOKEN") {
            hub.bearer_token = Some(Secret::new(token));
            hub.bearer_token_file = None;
        }
        if let Some(file) = environment.get("LARNAX_HUB_TOKEN_FILE") {
            hub.bearer_token_file = Some(PathBuf::from(file));
            if environment.get("LARNAX_HUB_TOKEN").is_none() {
                hub.bearer_token = None;
            }
        }
    }
}

/// `LARNAX_*` variables that mean nothing. Those that Kubernetes sets for a service of that name are not a person's.
fn unknown(environment: &Environment) -> impl Iterator<Item = Warning> {
    let known = || VARIABLES.iter().map(|variable| variable.name);
    let foreign = move |name: &str| {
        name.strip_prefix("LARNAX_").is_some_and(|rest| {
            !(rest == "PORT" || rest.starts_with("PORT_") || rest.contains("SERVICE_"))
                && known().all(|n| n != name)
        })
    };
    environment.0.keys().filter(move |name| foreign(name)).map(move |name| {
        let hint = suggest::hint(name, known());
        Problem::unplaced("environment", name, format!("has no effect: no such variable{hint}"))
    })
}
