//! Prometheus' `scrape_configs`: which endpoints are scraped, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{Auth, Authorization, BasicAuth, TlsConfig};
use crate::discovery::{FileSdConfig, HttpSdConfig, is_special};
use crate::rule::MetricRule;
use crate::value::{Bytes, ComponentName, Period, Url, ValueError};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// Through TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One scrape job, as Prometheus writes it. A job's components share one alert budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScrapeConfig {
    /// The job's name, once in a config; also the label `job` of its alerts. Example: `node`.
    pub job_name: String,
    /// How often, at least `100ms`; without it, the `interval` of the config. Example: `15s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Period>,
    /// How long a scrape may take, at most its interval; without it, `10s` or the interval, whichever is shorter.
    /// Example: `3s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<Period>,
    /// Where the metrics are.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Query parameters, each with its values. Example: `{module: [http_2xx]}`.
    pub params: BTreeMap<String, Vec<String>>,
    /// What is scraped. Example: `[{targets: ["127.0.0.1:9100"], labels: {rack: r1}}]`.
    pub static_configs: Vec<StaticConfig>,
    /// Files in which more of that is found. Example: `[{files: ["targets/*.json"]}]`.
    pub file_sd_configs: Vec<FileSdConfig>,
    /// URLs that say more of that. Example: `[{url: "https://inventory.example/targets"}]`.
    pub http_sd_configs: Vec<HttpSdConfig>,
    /// User name and password for the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token or other credentials for the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// TLS settings for the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// Whether HTTP redirects are followed; credentials don't go along to another host.
    pub follow_redirects: bool,
    /// Whether targets on other machines are asked to compress.
    pub enable_compression: bool,
    /// The largest body in bytes, after decompression; without it, `limits.body_size`. Example: `4MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<Bytes>,
    /// The most series of a target; those above it are refused and counted, the others are taken. 0 means no limit of its
    /// own.
    pub sample_limit: u32,
    /// A Prometheus that scrapes these targets already: it is asked for what it has of each, and the targets are left alone. How it is
    /// reached is what `basic_auth`, `authorization` and `tls_config` of this job say. Not in Prometheus. Example:
    /// `{url: "http://127.0.0.1:9090"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<AskPrometheus>,
    /// What is known beforehand of some metrics of this job; these come before `metrics.rules`. Not in Prometheus. Example:
    /// `[{match: "http_errors_total", detection_direction: above_expected, min_dev_from_expected: 1}]`.
    pub metric_rules: Vec<MetricRule>,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            scrape_interval: None,
            scrape_timeout: None,
            metrics_path: "/metrics".to_owned(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            http_sd_configs: Vec::new(),
            basic_auth: None,
            authorization: None,
            tls_config: None,
            follow_redirects: true,
            enable_compression: true,
            body_size_limit: None,
            sample_limit: 0,
            prometheus: None,
            metric_rules: Vec::new(),
        }
    }
}

/// A Prometheus that is asked for the metrics of targets which it scrapes, at its `/federate`. It is watched as well, at its
/// `/metrics`: while it is away, nothing is known of its targets, and that is told once and not for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AskPrometheus {
    /// Where it is, with the path that its own pages begin with, if any. Example: `http://127.0.0.1:9090`.
    pub url: Option<Url>,
    /// The label by which it tells these targets apart: `instance`, or one that they have here too. Example: `pod`.
    pub by: String,
    /// Labels that their series have besides, where the one alone is not enough. Example: `{job: node}`.
    pub labels: BTreeMap<String, String>,
    /// The component that the Prometheus itself is; without it, `service/prometheus/HOST:PORT`. Example:
    /// `service/shop/prometheus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
}

impl Default for AskPrometheus {
    fn default() -> Self {
        Self { url: None, by: "instance".to_owned(), labels: BTreeMap::new(), component: None }
    }
}

impl AskPrometheus {
    /// One of its pages, such as `/metrics`.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_ref().map_or("", Url::as_str).trim_end_matches('/'))
    }

    /// The label by which it knows a target, if that has it.
    fn name_of<'a>(&self, instance: &'a str, labels: &'a BTreeMap<String, String>) -> Option<&'a str> {
        match self.by.as_str() {
            "instance" => Some(instance),
            by => labels.get(by).map(String::as_str),
        }
    }

    /// Where it says what it has of that target.
    fn federate(&self, name: &str) -> String {
        let mut selector = String::from("{");
        let labels = self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        for (label, value) in labels.chain([(self.by.as_str(), name)]) {
            let separator = if selector.len() == 1 { "" } else { "," };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            selector.push_str(&format!("{separator}{label}=\"{value}\""));
        }
        selector.push('}');
        let mut url = self.page("/federate?match%5B%5D=");
        encode(&selector, &mut url);
        url
    }
}

/// Targets that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// `host:port` of each target; without a port, that of the scheme. Example: `["127.0.0.1:9100", "[::1]:9100"]`.
    pub targets: Vec<String>,
    /// Labels of each target. `component` names what the target belongs to, as `service/shop/orders`: targets with the same
    /// one are watched together. `__scheme__`, `__metrics_path__` and `__param_NAME` are how these targets are scraped, in place
    /// of what the job says. Example: `{rack: r1}`.
    pub labels: BTreeMap<String, String>,
}

/// A target of a job, ready to be scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeTarget<'a> {
    /// `host:port`, the label `instance`.
    pub instance: &'a str,
    /// Where its metrics are, with the query parameters. Where a Prometheus is asked for them, that is where it says what it has of this
    /// target; empty if the target lacks the label by which it is known there.
    pub url: String,
    /// Its labels, without `job` and `instance`; those that say how it is scraped are among them.
    labels: &'a BTreeMap<String, String>,
}

impl<'a> ScrapeTarget<'a> {
    /// Its labels, without `job` and `instance`.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.labels.iter().filter(|(name, _)| !is_special(name));
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One of them.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.labels().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl ScrapeConfig {
    /// The job of a bare URL, as in `--scrape http://127.0.0.1:9100/metrics`; without a path, `/metrics`. `host:port`
    /// is short for `http://host:port/metrics`. The job's name is `host:port`, followed by the path if it isn't
    /// `/metrics`, so that different URLs have different names.
    pub fn from_url(text: &str) -> Result<Self, ValueError> {
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url: Url = full.parse()?;
        let path_and_query = url.path_and_query();
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let path = if path == "/" { "/metrics" } else { path };
        let mut params: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.entry(decode(name)).or_default().push(decode(value));
        }
        let mut job_name = url.authority().to_owned();
        if path != "/metrics" {
            job_name.push_str(path);
        }
        if !query.is_empty() {
            job_name.push('?');
            job_name.push_str(query);
        }
        Ok(Self {
            job_name,
            scheme: if url.scheme() == "https" { Scheme::Https } else { Scheme::Http },
            metrics_path: path.to_owned(),
            params,
            static_configs: vec![StaticConfig {
                targets: vec![url.authority().to_owned()],
                labels: BTreeMap::new(),
            }],
            ..Self::default()
        })
    }

    /// The targets that the config names, in its order.
    pub fn targets(&self) -> impl Iterator<Item = ScrapeTarget<'_>> {
        self.static_configs.iter().flat_map(|group| self.targets_of(group))
    }

    /// The targets of one group, which may have been found.
    pub fn targets_of<'a>(
        &self,
        group: &'a StaticConfig,
    ) -> impl Iterator<Item = ScrapeTarget<'a>> + use<'a, '_> {
        let scheme = group.labels.get("__scheme__").map_or(self.scheme.as_str(), String::as_str);
        let tail = self.path_and_query(&group.labels);
        group.targets.iter().map(move |target| ScrapeTarget {
            instance: target,
            url: match &self.prometheus {
                None => format!("{scheme}://{target}{tail}"),
                Some(asked) => {
                    asked.name_of(target, &group.labels).map_or_else(String::new, |name| asked.federate(name))
                }
            },
            labels: &group.labels,
        })
    }

    /// Whether targets are found while the agent runs.
    pub fn discovers(&self) -> bool {
        !(self.file_sd_configs.is_empty() && self.http_sd_configs.is_empty())
    }

    /// How requests of this job prove who they are.
    pub fn auth(&self) -> Auth<'_> {
        Auth::of(self.basic_auth.as_ref(), self.authorization.as_ref())
    }

    fn path_and_query(&self, labels: &BTreeMap<String, String>) -> String {
        let mut text = labels.get("__metrics_path__").unwrap_or(&self.metrics_path).clone();
        if !text.starts_with('/') {
            text.insert(0, '/');
        }
        let own: BTreeMap<&str, &str> = labels
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("__param_")?, value.as_str())))
            .collect();
        let theirs = self.params.iter().filter(|(name, _)| !own.contains_key(name.as_str()));
        let theirs =
            theirs.flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())));
        let mut separator = if text.contains('?') { '&' } else { '?' };
        for (name, value) in theirs.chain(own.iter().map(|(name, value)| (*name, *value))) {
            text.push(separator);
            encode(name, &mut text);
            text.push('=');
            encode(value, &mut text);
            separator = '&';
        }
        text
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// The inverse of [`encode`]; `+` is a space, and a `%` that begins no code stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .filter(|code| *first == b'%' && code.iter().all(u8::is_ascii_hexdigit))
            .and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prometheus_is_asked_for_one_target_by_its_label() {
        let group = StaticConfig {
            targets: vec!["10.0.0.7:80".to_owned()],
            labels: [("pod".to_owned(), "a\"b\\".to_owned())].into(),
        };
        let url = |asked: AskPrometheus| {
            let job = ScrapeConfig { prometheus: Some(asked), ..ScrapeConfig::default() };
            let url = job.targets_of(&group).next().unwrap().url;
            decode(&url)
        };
        let asked = AskPrometheus { url: "http://p:9090/x/".parse().ok(), ..AskPrometheus::default() };
        assert_eq!(url(asked.clone()), "http://p:9090/x/federate?match[]={instance=\"10.0.0.7:80\"}");
        let by = |by: &str| AskPrometheus {
            by: by.to_owned(),
            labels: [("job".to_owned(), "n".to_owned())].into(),
            ..asked.clone()
        };
        assert_eq!(url(by("pod")), "http://p:9090/x/federate?match[]={job=\"n\",pod=\"a\\\"b\\\\\"}");
        assert_eq!(url(by("node")), "");
    }

    #[test]
    fn a_bare_url_becomes_a_job() {
        for (text, job, url) in [
            ("http://127.0.0.1:9100", "127.0.0.1:9100", "http://127.0.0.1:9100/metrics"),
            ("127.0.0.1:9100", "127.0.0.1:9100", "http://127.0.0.1:9100/metrics"),
            ("https://a/probe?x=1%202&y", "a/probe?x=1%202&y", "https://a/probe?x=1%202&y="),
        ] {
            let config = ScrapeConfig::from_url(text).unwrap();
            assert_eq!(config.job_name, job);
            let urls: Vec<String> = config.targets().map(|target| target.url).collect();
            assert_eq!(urls, [url]);
        }
        assert!(ScrapeConfig::from_url("ftp://a").is_err());
        assert!(ScrapeConfig::from_url("").is_err());
    }
}
