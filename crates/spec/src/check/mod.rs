//! What types can't say: values that don't fit together. Pure; what touches the disk is in [`crate::files`].

mod actions;
mod policies;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::client::{Authorization, BasicAuth, TlsConfig};
use crate::config::{Config, Detector};
use crate::discovery::is_special;
use crate::host::Host;
use crate::path::Path;
use crate::rule::MetricRule;
use crate::scrape::{ScrapeConfig, StaticConfig};
use crate::value::{Bytes, Period};
use crate::yaml::shorten;

/// Faster than this, collecting costs more than it shows: the kernel's own counters tick every 10 ms.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Slower than this, an agent would learn next to nothing in its warm-up.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// The smallest file that holds a few anomalies or samples.
const MIN_FILE: Bytes = Bytes(64 << 10);

/// The collector keeps a process' groups in the bits of a number.
const MAX_PROCESS_GROUPS: usize = 64;

/// Something at a path of the types.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) warning: bool,
}

/// Collects findings.
pub(crate) struct Findings<'a>(&'a mut Vec<Finding>);

impl<'a> Findings<'a> {
    /// Into this list.
    pub(crate) fn of(all: &'a mut Vec<Finding>) -> Self {
        Self(all)
    }

    pub(crate) fn error(&mut self, path: Path, message: impl Into<String>) {
        self.0.push(Finding { path, message: message.into(), warning: false });
    }

    pub(crate) fn warning(&mut self, path: Path, message: impl Into<String>) {
        self.0.push(Finding { path, message: message.into(), warning: true });
    }
}

/// Checks that need Prometheus' own blocks, before they are folded away.
pub(crate) fn before_folding(config: &Config) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut findings = Findings(&mut all);
    if let Some(global) = &config.global {
        let path = Path::root().key("global");
        let default = Config::default().interval;
        if global
            .scrape_interval
            .is_some_and(|interval| config.interval != default && interval != config.interval)
        {
            let message = format!("`interval` says {} already: keep one of them", config.interval);
            findings.error(path.key("scrape_interval"), message);
        }
    }
    let groups = config.alerting.iter().flat_map(|alerting| &alerting.alertmanagers);
    for (index, group) in groups.enumerate() {
        let path = Path::root().key("alerting").key("alertmanagers").index(index);
        for (group, index, url) in group.urls() {
            if let Err(error) = url {
                let path = path.key("static_configs").index(group).key("targets").index(index);
                findings.error(path, error.to_string());
            }
        }
        client(&group.basic_auth, &group.authorization, &group.tls_config, &path, &mut findings);
        positive(group.timeout, &path.key("timeout"), &mut findings);
    }
    all
}

/// Checks a config whose Prometheus blocks are folded.
pub(crate) fn check(config: &Config, all: &mut Vec<Finding>) {
    let mut findings = Findings(all);
    let root = Path::root();
    interval(config.interval, &root.key("interval"), &mut findings);
    if !config.listen.is_loopback() && config.api.token().is_none() {
        let message = format!(
            "{} can be reached from other machines, so api.bearer_token_file or api.bearer_token is needed; or listen \
             on loopback, as in `:{}`",
            config.listen,
            config.listen.0.port()
        );
        findings.error(root.key("listen"), message);
    }
    if config.api.bearer_token.is_some() && config.api.bearer_token_file.is_some() {
        findings.error(root.key("api"), "found bearer_token and bearer_token_file, expected one of them");
    }
    if config.api.bearer_token.as_ref().is_some_and(|token| token.expose().is_empty()) {
        findings.error(root.key("api").key("bearer_token"), "found an empty text, expected a token");
    }
    labels(config.external_labels.keys(), &root.key("external_labels"), &mut findings);
    rules(&config.metrics.rules, &root.key("metrics").key("rules"), &mut findings);
    host(config, &mut findings);
    jobs(config, &mut findings);
    limits(config, &mut findings);
    alerts(config, &mut findings);
    if let Some(hub) = &config.hub {
        hub.check(&mut findings);
    }
    config.topology.check(&mut findings);
    actions::check(&config.actions, &mut findings);
    policies::check(config, &mut findings);
    let detect = root.key("detect");
    positive(config.detect.warm_up, &detect.key("warm_up"), &mut findings);
    positive(config.detect.adopt_after, &detect.key("adopt_after"), &mut findings);
    if let Some(budget) = config.detect.cpu_budget {
        positive(budget, &detect.key("cpu_budget"), &mut findings);
        if config.detect.detector != Detector::Auto {
            let message = format!(
                "only the detector `auto` keeps to it; `{}` takes what it needs",
                config.detect.detector.as_str()
            );
            findings.warning(detect.key("cpu_budget"), message);
        }
    }
    if config.detect.adopt_after.0 <= config.detect.open_after.0 {
        let message = format!(
            "found {}, expected longer than open_after ({}): a change would be taken as normal before it is seen",
            config.detect.adopt_after, config.detect.open_after
        );
        findings.error(detect.key("adopt_after"), message);
    }
    if config.evidence.max_bytes < MIN_FILE {
        too_small(config.evidence.max_bytes, &root.key("evidence").key("max_bytes"), &mut findings);
    }
}

fn limits(config: &Config, findings: &mut Findings<'_>) {
    let path = Path::root().key("limits");
    for (name, value) in [
        ("max_metrics_per_component", config.limits.max_metrics_per_component),
        ("max_components", config.limits.max_components),
    ] {
        if value == 0 {
            findings.error(path.key(name), "found `0`, expected at least 1");
        }
    }
    if config.limits.body_size < Bytes(1024) {
        let message = format!("found `{}`, expected at least `1KiB`", config.limits.body_size);
        findings.error(path.key("body_size"), message);
    }
}

fn alerts(config: &Config, findings: &mut Findings<'_>) {
    let path = Path::root().key("alerts");
    if config.alerts.resend.0 < Duration::from_secs(1) {
        let message = format!("found `{}`, expected at least `1s`", config.alerts.resend);
        findings.error(path.key("resend"), message);
    }
    if config.alerts.spool.max_bytes < MIN_FILE {
        too_small(config.alerts.spool.max_bytes, &path.key("spool").key("max_bytes"), findings);
    }
    for (name, receivers) in
        [("alertmanagers", &config.alerts.alertmanagers), ("webhooks", &config.alerts.webhooks)]
    {
        let mut seen = HashMap::new();
        for (index, receiver) in receivers.iter().enumerate() {
            let path = path.key(name).index(index);
            client(&receiver.basic_auth, &receiver.authorization, &receiver.tls_config, &path, findings);
            positive(receiver.timeout, &path.key("timeout"), findings);
            match &receiver.url {
                None => {
                    findings.error(path.key("url"), "missing, expected a URL such as `http://127.0.0.1:9093`")
                }
                Some(url) => {
                    if let Some(first) = seen.insert(url, index) {
                        let message = format!("the same URL as {name}[{first}]: keep one of them");
                        findings.error(path, message);
                    }
                }
            }
        }
    }
}

fn host(config: &Config, findings: &mut Findings<'_>) {
    let Some(Host::On(host)) = &config.host else { return };
    let path = Path::root().key("host");
    if let Some(own) = host.interval {
        interval(own, &path.key("interval"), findings);
    }
    rules(&host.metric_rules, &path.key("metric_rules"), findings);
    if host.processes.len() > MAX_PROCESS_GROUPS {
        let message = format!("found {} groups, expected at most {MAX_PROCESS_GROUPS}", host.processes.len());
        findings.error(path.key("processes"), message);
    }
    for name in host.processes.keys() {
        let odd = |c: char| !(c.is_alphanumeric() || "_-.:".contains(c));
        if name.is_empty() || name.contains(odd) {
            let message = "a group's name has letters, digits, `_`, `-`, `.` and `:` only";
            findings.error(path.key("processes").key(name), message);
        }
    }
}

fn rules(rules: &[MetricRule], path: &Path, findings: &mut Findings<'_>) {
    let mut seen = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        if let Some(least) = rule.min_dev_from_expected.filter(|least| !(least.is_finite() && *least >= 0.0))
        {
            let message = format!("found `{least}`, expected a number that is not negative");
            findings.error(path.key("min_dev_from_expected"), message);
        }
        let says = (rule.min_dev_from_expected, rule.detection_direction, rule.data_range);
        if says == (None, None, None) {
            let message = "it says nothing but still keeps later rules from these metrics; expected \
                           min_dev_from_expected, detection_direction or data_range";
            findings.warning(path.key("match"), message);
        }
        let Some(pattern) = &rule.pattern else {
            findings.error(
                path.key("match"),
                "missing, expected a regular expression such as `.*_latency_seconds`",
            );
            continue;
        };
        match seen.entry(pattern.as_str()) {
            Entry::Vacant(place) => drop(place.insert(index)),
            Entry::Occupied(first) => {
                let first = first.get();
                let message =
                    format!("the same pattern as rule [{first}], which comes first: it has no effect");
                findings.warning(path.key("match"), message);
            }
        }
    }
}

fn jobs(config: &Config, findings: &mut Findings<'_>) {
    let root = Path::root().key("scrape_configs");
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut urls: HashMap<String, String> = HashMap::new();
    for (index, job) in config.scrape_configs.iter().enumerate() {
        let path = root.index(index);
        if job.job_name.is_empty() {
            findings.error(path.key("job_name"), "missing, expected a name that no other job has");
        } else if let Some(first) = names.insert(&job.job_name, index) {
            let message = format!(
                "`{}` is the name of scrape_configs[{first}] too, expected a name that no other job has",
                shorten(&job.job_name)
            );
            findings.error(path.key("job_name"), message);
        }
        times(config, job, &path, findings);
        if !job.metrics_path.starts_with('/') {
            let message =
                format!("found `{}`, expected a path that begins with `/`", shorten(&job.metrics_path));
            findings.error(path.key("metrics_path"), message);
        }
        client(&job.basic_auth, &job.authorization, &job.tls_config, &path, findings);
        rules(&job.metric_rules, &path.key("metric_rules"), findings);
        prometheus(job, &path.key("prometheus"), findings);
        targets(job, &path, &mut urls, findings);
    }
}

fn prometheus(job: &ScrapeConfig, path: &Path, findings: &mut Findings<'_>) {
    let Some(asked) = &job.prometheus else { return };
    match &asked.url {
        None => findings.error(path.key("url"), "missing, expected a URL such as `http://127.0.0.1:9090`"),
        Some(url) if url.as_str().contains('?') => {
            findings.error(path.key("url"), "found a URL with a query, expected one without");
        }
        Some(_) => {}
    }
    if let Err(message) = check_label(&asked.by) {
        findings.error(path.key("by"), message);
    }
    labels(asked.labels.keys(), &path.key("labels"), findings);
}

fn times(config: &Config, job: &ScrapeConfig, path: &Path, findings: &mut Findings<'_>) {
    let every = config.scrape_interval(job);
    if let Some(own) = job.scrape_interval {
        interval(own, &path.key("scrape_interval"), findings);
    }
    match job.scrape_timeout {
        Some(timeout) if timeout.0 > every => {
            let message = format!(
                "found `{timeout}`, expected at most the interval of this job, which is {}",
                Period(every)
            );
            findings.error(path.key("scrape_timeout"), message);
        }
        Some(timeout) => positive(timeout, &path.key("scrape_timeout"), findings),
        None => {}
    }
}

fn targets(job: &ScrapeConfig, path: &Path, urls: &mut HashMap<String, String>, findings: &mut Findings<'_>) {
    if job.static_configs.iter().all(|group| group.targets.is_empty()) && !job.discovers() {
        findings.warning(path.key("static_configs"), "the job has no targets, so it scrapes nothing");
    }
    for (group_index, group) in job.static_configs.iter().enumerate() {
        check_group(group, &path.key("static_configs").index(group_index), findings);
    }
    discovery(job, path, findings);
    let places = job
        .static_configs
        .iter()
        .enumerate()
        .flat_map(|(group, config)| (0..config.targets.len()).map(move |index| (group, index)));
    for (target, (group, index)) in job.targets().zip(places) {
        let path = path.key("static_configs").index(group).key("targets").index(index);
        if let Some(asked) = job.prometheus.as_ref().filter(|_| target.url.is_empty()) {
            let message = format!(
                "`{}` has no label `{}`, by which the Prometheus knows it",
                shorten(target.instance),
                shorten(&asked.by)
            );
            findings.error(path, message);
            continue;
        }
        if let Some(first) = urls.insert(target.url, path.to_string()) {
            let message = format!(
                "`{}` is scraped already by {first}: each endpoint is scraped once",
                shorten(target.instance)
            );
            findings.error(path, message);
        }
    }
}

/// Targets and labels, wherever they come from.
pub(crate) fn check_group(group: &StaticConfig, path: &Path, findings: &mut Findings<'_>) {
    labels(group.labels.keys().filter(|name| !is_special(name)), &path.key("labels"), findings);
    if let Some(scheme) =
        group.labels.get("__scheme__").filter(|scheme| !matches!(scheme.as_str(), "http" | "https"))
    {
        let message = format!("found `{}`, expected `http` or `https`", shorten(scheme));
        findings.error(path.key("labels").key("__scheme__"), message);
    }
    for (index, target) in group.targets.iter().enumerate() {
        if let Err(why) = check_target(target) {
            // What stands before `@` may be a password.
            let shown = target.rsplit('@').next().unwrap_or_default();
            let message =
                format!("found `{}`, expected `host:port`, such as `127.0.0.1:9100`: {why}", shorten(shown));
            findings.error(path.key("targets").index(index), message);
        }
    }
}

/// Files and URLs in which targets are found.
fn discovery(job: &ScrapeConfig, path: &Path, findings: &mut Findings<'_>) {
    for (index, found) in job.file_sd_configs.iter().enumerate() {
        let path = path.key("file_sd_configs").index(index);
        if found.files.is_empty() {
            findings.error(path.key("files"), "missing, expected a list of paths");
        }
        for (index, file) in found.files.iter().enumerate() {
            if let Err(why) = check_pattern(file) {
                let message = format!("found `{}`, {why}", shorten(&file.display().to_string()));
                findings.error(path.key("files").index(index), message);
            }
        }
        positive(found.refresh_interval, &path.key("refresh_interval"), findings);
    }
    for (index, http) in job.http_sd_configs.iter().enumerate() {
        let path = path.key("http_sd_configs").index(index);
        if http.url.is_none() {
            findings.error(
                path.key("url"),
                "missing, expected a URL such as `https://inventory.example/targets`",
            );
        }
        if http.refresh_interval.0 < Duration::from_secs(1) {
            let message = format!("found `{}`, expected at least `1s`", http.refresh_interval);
            findings.error(path.key("refresh_interval"), message);
        }
        client(&http.basic_auth, &http.authorization, &http.tls_config, &path, findings);
    }
}

/// As in Prometheus: the name of the file has an ending that says what it is, and perhaps one `*`.
fn check_pattern(file: &std::path::Path) -> Result<(), &'static str> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !matches!(ending, "json" | "yml" | "yaml") {
        return Err("expected a name that ends in `.json`, `.yml` or `.yaml`");
    }
    let stars = |text: &std::ffi::OsStr| text.to_string_lossy().matches('*').count();
    let name = file.file_name().map_or(0, stars);
    if name > 1 || stars(file.as_os_str()) > name {
        return Err("expected at most one `*`, in the name of the file");
    }
    Ok(())
}

pub(crate) fn check_target(target: &str) -> Result<(), String> {
    if target.contains("://") {
        return Err("scheme and path are fields of the job".to_owned());
    }
    if target.contains('@') {
        return Err("a user name belongs into basic_auth".to_owned());
    }
    if target.contains(['/', '?', '#']) {
        return Err("a path belongs into metrics_path, a query into params".to_owned());
    }
    crate::value::check_authority(target)
}

pub(crate) fn client(
    basic: &Option<BasicAuth>,
    authorization: &Option<Authorization>,
    tls: &Option<TlsConfig>,
    path: &Path,
    findings: &mut Findings<'_>,
) {
    if basic.is_some() && authorization.is_some() {
        findings.error(path.key("authorization"), "found basic_auth and authorization, expected one of them");
    }
    if let Some(basic) = basic {
        let path = path.key("basic_auth");
        if basic.username.is_empty() {
            findings.error(path.key("username"), "missing, expected a user name");
        }
        if basic.password.is_some() && basic.password_file.is_some() {
            findings
                .error(path.key("password_file"), "found password and password_file, expected one of them");
        }
    }
    if let Some(authorization) = authorization {
        let path = path.key("authorization");
        if authorization.kind.trim().is_empty() || authorization.kind.contains(char::is_whitespace) {
            findings.error(path.key("type"), "expected one word, such as `Bearer`");
        } else if authorization.kind.eq_ignore_ascii_case("basic") {
            findings.error(
                path.key("type"),
                "found `Basic`; write basic_auth with username and password instead",
            );
        }
        match (&authorization.credentials, &authorization.credentials_file) {
            (Some(_), Some(_)) => {
                let message = "found credentials and credentials_file, expected one of them";
                findings.error(path.key("credentials_file"), message);
            }
            (None, None) => {
                findings
                    .error(path.key("credentials_file"), "missing, expected credentials_file or credentials");
            }
            _ => {}
        }
    }
    if let Some(tls) = tls {
        let path = path.key("tls_config");
        match (&tls.cert_file, &tls.key_file) {
            (Some(_), None) => findings.error(path.key("key_file"), "missing: cert_file needs its key"),
            (None, Some(_)) => {
                findings.error(path.key("cert_file"), "missing: key_file needs its certificate")
            }
            _ => {}
        }
        if tls.insecure_skip_verify {
            let message = "any certificate is accepted: anybody on the way can read and change what is sent";
            findings.warning(path.key("insecure_skip_verify"), message);
        }
    }
}

/// Label names as in Prometheus' data model; values are free.
pub(crate) fn labels<'a>(
    names: impl IntoIterator<Item = &'a String>,
    path: &Path,
    findings: &mut Findings<'_>,
) {
    for name in names {
        let ours = if name.starts_with("__") {
            Err("a label's name that begins with `__` is for relabelling, which is not supported yet")
        } else {
            Ok(())
        };
        if let Err(message) = check_label(name).and(ours) {
            findings.error(path.key(name), message);
        }
    }
}

pub(crate) fn check_label(name: &str) -> Result<(), &'static str> {
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if good {
        Ok(())
    } else {
        Err("a label's name has letters, digits and `_` only and begins with no digit")
    }
}

fn interval(period: Period, path: &Path, findings: &mut Findings<'_>) {
    if period.0 < MIN_INTERVAL || period.0 > MAX_INTERVAL {
        let message =
            format!("found `{period}`, expected from {} to {}", Period(MIN_INTERVAL), Period(MAX_INTERVAL));
        findings.error(path.clone(), message);
    }
}

fn positive(period: Period, path: &Path, findings: &mut Findings<'_>) {
    if period.is_zero() {
        findings.error(path.clone(), "found `0s`, expected a longer time");
    }
}

fn too_small(found: Bytes, path: &Path, findings: &mut Findings<'_>) {
    findings.error(path.clone(), format!("found `{found}`, expected at least `{MIN_FILE}`"));
}
