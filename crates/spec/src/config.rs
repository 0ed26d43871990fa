//! The config as a whole, and its smaller sections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::Action;
use crate::alerts::{Alerting, Alerts};
use crate::client;
use crate::host::{Host, HostConfig};
use crate::hub::Hub;
use crate::policies::Policy;
use crate::rule::MetricRule;
use crate::scrape::ScrapeConfig;
use crate::topology::Topology;
use crate::value::{AlertBudget, Bytes, Listen, Pattern, Period, Secret, SecretSource};

/// Everything that a person can say to an edge agent. Each field may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often metrics are collected where nothing else is said, at least `100ms`.
    pub interval: Period,
    /// The folder for models, evidence and the spool. Without it: `$STATE_DIRECTORY`, `$XDG_STATE_HOME/larnax` or
    /// `~/.local/state/larnax`; for root and where there is no home, `/var/lib/larnax`. Example: `/var/lib/larnax`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Where the agent's own server listens. `:5555` means `127.0.0.1:5555`. An address that other machines can reach
    /// needs `api.bearer_token_file` or `api.bearer_token`.
    pub listen: Listen,
    /// Who may use the agent's own server.
    pub api: Api,
    /// Labels that every alert carries. Example: `{site: ghent}`.
    pub external_labels: BTreeMap<String, String>,
    /// Whether this machine is watched, and how: `true`, `false`, or a map with settings. Without it, the machine is
    /// watched if there is nothing in `scrape_configs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Endpoints to scrape, as in a Prometheus config.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Defaults for `scrape_configs`, as in a Prometheus config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<Global>,
    /// Which metrics are looked at, and what is known of them.
    pub metrics: Metrics,
    /// What the agent may use.
    pub limits: Limits,
    /// How deviations are found.
    pub detect: Detect,
    /// Where alerts go.
    pub alerts: Alerts,
    /// The Alertmanagers of a Prometheus config; they are added to `alerts.alertmanagers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerting: Option<Alerting>,
    /// The rings of recent samples that anomalies are judged by.
    pub evidence: Evidence,
    /// The hub that this agent reports to; without it, to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<Hub>,
    /// Who depends on whom, where agents don't see it or see it wrongly.
    pub topology: Topology,
    /// What may be done to the components that this agent watches, and how. Nothing is done that no policy of the hub allows.
    pub actions: Vec<Action>,
    /// What the hub is allowed to do about incidents; without one that is about a component, it only says what it would do. Read by
    /// `larnax up` and `larnax hub`.
    pub policies: Vec<Policy>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Period::seconds(5),
            state: None,
            listen: Listen::default(),
            api: Api::default(),
            external_labels: BTreeMap::new(),
            host: None,
            scrape_configs: Vec::new(),
            global: None,
            metrics: Metrics::default(),
            limits: Limits::default(),
            detect: Detect::default(),
            alerts: Alerts::default(),
            alerting: None,
            evidence: Evidence::default(),
            hub: None,
            topology: Topology::default(),
            actions: Vec::new(),
            policies: Vec::new(),
        }
    }
}

/// The agent's own server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The token that requests must bring as `Authorization: Bearer TOKEN`, health probes excepted. Better:
    /// `bearer_token_file`, or `${NAME}` for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secret>,
    /// A file that holds the token. Example: `/etc/larnax/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
}

impl Api {
    /// Where the token is; none lets everybody in who reaches the server.
    pub fn token(&self) -> Option<SecretSource<'_>> {
        SecretSource::of(self.bearer_token.as_ref(), self.bearer_token_file.as_deref())
    }
}

/// Defaults for `scrape_configs`, as in a Prometheus config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Global {
    /// The same as `interval`; only one of them may be given. Example: `15s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Period>,
    /// For jobs without their own. Example: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<Period>,
    /// Added to the `external_labels` of the config, which win. Example: `{site: ghent}`.
    pub external_labels: BTreeMap<String, String>,
    /// For jobs without their own. Example: `4MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<Bytes>,
    /// For jobs without their own.
    pub sample_limit: u32,
}

/// Which metrics are looked at, by regular expressions that match the whole name, with its labels or without, and what is
/// known of them beforehand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Metrics to keep; an empty list keeps all. Example: `["node_(cpu|memory)_.*"]`.
    pub include: Vec<Pattern>,
    /// Metrics to leave out, even if `include` names them. Example: `["go_.*", "process_.*"]`.
    pub exclude: Vec<Pattern>,
    /// What is known beforehand of some metrics; the rules of a job and of the host come before these. Example:
    /// `[{match: ".*_latency_seconds", detection_direction: above_expected}]`.
    pub rules: Vec<MetricRule>,
    /// The interval that samples are brought to before they are judged, by their mean; without it, they are judged as they
    /// come. Example: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resample: Option<Period>,
}

/// What the agent may use. What is refused is counted in its own metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most metrics of one component, at least 1; the first ones are kept.
    pub max_metrics_per_component: usize,
    /// The most components, at least 1.
    pub max_components: usize,
    /// The largest body of a scrape, after decompression, at least `1KiB`.
    pub body_size: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_metrics_per_component: 5_000, max_components: 1_000, body_size: Bytes::mebibytes(16) }
    }
}

/// How deviations are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Detect {
    /// The detector that learns what is normal.
    pub detector: Detector,
    /// How it judges how unusual all metrics of a component are together.
    pub threshold: Threshold,
    /// How many alerts each group of components (a scrape job, the host) may raise; the thresholds follow from it.
    pub alert_budget: AlertBudget,
    /// How long a component is learnt before it can have an anomaly.
    pub warm_up: Period,
    /// How long most values must be anomalous before an anomaly opens.
    pub open_after: Period,
    /// How long values must be normal before it closes.
    pub close_after: Period,
    /// How long a change must last before it is taken as the new normal.
    pub adopt_after: Period,
    /// CPU that the detector may take for a sample, on average over samples, by a model measured on one machine; without it,
    /// as much as it needs. Only `auto` can do with less: it no longer compares metrics with each other, then judges fewer
    /// samples. Example: `50us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_budget: Option<Period>,
}

impl Default for Detect {
    fn default() -> Self {
        Self {
            detector: Detector::Auto,
            threshold: Threshold::Moving,
            alert_budget: AlertBudget::default(),
            // 300 samples at the 2 Hz of ZerOps4E's experiments.
            warm_up: Period::seconds(150),
            open_after: Period::seconds(5),
            close_after: Period::seconds(15),
            adopt_after: Period::seconds(12 * 3600),
            cpu_budget: None,
        }
    }
}

/// A detector by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Clusters of a growing and ageing tree, with robust bands for each metric.
    Birch,
    /// What all metrics do together, with robust bands for each metric. Needs no choice.
    #[default]
    Auto,
    /// Forecasts of each metric from its own past, learnt by recursive least squares.
    Arima,
    /// Forecasts with the same coefficients for all metrics, learnt by gradient descent.
    ArimaOgd,
    /// The same, learnt by the online Newton step.
    ArimaOns,
    /// Each metric as it should be given the others, by principal components.
    Pca,
    /// A recurrent network that forecasts all metrics together; the dearest.
    Lstm,
}

impl Detector {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Birch => "birch",
            Self::Auto => "auto",
            Self::Arima => "arima",
            Self::ArimaOgd => "arima_ogd",
            Self::ArimaOns => "arima_ons",
            Self::Pca => "pca",
            Self::Lstm => "lstm",
        }
    }
}

/// A threshold model by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// Mean and deviation of the errors, the past fading, and the largest of about the last day.
    #[default]
    Moving,
    /// The same, of the last hour alone.
    Window,
    /// A tail fitted to the largest errors (SPOT).
    Spot,
    /// The rank among past errors.
    Conformal,
}

/// The ring of recent samples of each component, compressed files in the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// How large the ring of one component may grow, at least `64KiB`; then the oldest samples give way.
    pub max_bytes: Bytes,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { max_bytes: Bytes::mebibytes(8) }
    }
}

/// Prometheus' own default for `scrape_timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    /// How this machine is watched, or none: see [`Config::host`].
    pub fn watched_host(&self) -> Option<HostConfig> {
        match &self.host {
            Some(Host::On(config)) => Some(config.clone()),
            Some(Host::Off) => None,
            None => self.scrape_configs.is_empty().then(HostConfig::default),
        }
    }

    /// How often a job is scraped.
    pub fn scrape_interval(&self, job: &ScrapeConfig) -> Duration {
        job.scrape_interval.unwrap_or(self.interval).0
    }

    /// How long a scrape of a job may take.
    pub fn scrape_timeout(&self, job: &ScrapeConfig) -> Duration {
        job.scrape_timeout.map_or_else(|| DEFAULT_TIMEOUT.min(self.scrape_interval(job)), |timeout| timeout.0)
    }

    /// The largest body that a scrape of a job may have, in bytes after decompression.
    pub fn body_size(&self, job: &ScrapeConfig) -> usize {
        match job.body_size_limit {
            // As in Prometheus, 0 sets no limit of its own.
            Some(limit) if limit.0 > 0 => limit.min(self.limits.body_size).as_usize(),
            _ => self.limits.body_size.as_usize(),
        }
    }

    /// Moves what Prometheus' blocks `global` and `alerting` say to where Larnax keeps it.
    pub(crate) fn fold_prometheus(&mut self) {
        if let Some(global) = self.global.take() {
            if let Some(interval) = global.scrape_interval {
                self.interval = interval;
            }
            for (name, value) in global.external_labels {
                self.external_labels.entry(name).or_insert(value);
            }
            for job in &mut self.scrape_configs {
                if job.scrape_timeout.is_none() {
                    // Prometheus shortens the default to the job's interval.
                    let interval = job.scrape_interval.unwrap_or(self.interval);
                    job.scrape_timeout = global.scrape_timeout.map(|timeout| timeout.min(interval));
                }
                job.body_size_limit = job.body_size_limit.or(global.body_size_limit);
                if job.sample_limit == 0 {
                    job.sample_limit = global.sample_limit;
                }
            }
        }
        for group in self.alerting.take().into_iter().flat_map(|alerting| alerting.alertmanagers) {
            self.alerts.alertmanagers.extend(group.receivers());
        }
    }

    /// Makes relative paths relative to `base`, the folder of the config file, as Prometheus does.
    pub(crate) fn join_paths(&mut self, base: &Path) {
        client::join(base, &mut self.state);
        client::join(base, &mut self.api.bearer_token_file);
        for job in &mut self.scrape_configs {
            client::join_client(base, &mut job.basic_auth, &mut job.authorization, &mut job.tls_config);
            for file in job.file_sd_configs.iter_mut().flat_map(|found| &mut found.files) {
                *file = base.join(&*file);
            }
            for http in &mut job.http_sd_configs {
                client::join_client(
                    base,
                    &mut http.basic_auth,
                    &mut http.authorization,
                    &mut http.tls_config,
                );
            }
        }
        for to in self.alerts.alertmanagers.iter_mut().chain(&mut self.alerts.webhooks) {
            client::join_client(base, &mut to.basic_auth, &mut to.authorization, &mut to.tls_config);
        }
        if let Some(hub) = &mut self.hub {
            client::join(base, &mut hub.bearer_token_file);
            client::join_client(base, &mut None, &mut None, &mut hub.tls_config);
        }
        for action in &mut self.actions {
            action.join_paths(base);
        }
        if self.alerts.jsonl.as_deref() != Some(Path::new("-")) {
            client::join(base, &mut self.alerts.jsonl);
        }
    }
}
