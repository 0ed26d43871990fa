//! Targets that are found while the agent runs: in files that something else writes, or from a URL.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::{Findings, check_group};
use crate::client::{Auth, Authorization, BasicAuth, TlsConfig};
use crate::path::Path;
use crate::report::Problem;
use crate::scrape::StaticConfig;
use crate::value::{Period, Url};
use crate::yaml::Document;

/// Files of targets, as Prometheus' `file_sd_configs`: each holds a list like `static_configs`, as YAML or JSON. A file that
/// changes is read at once; one that can't be read leaves its targets as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FileSdConfig {
    /// Paths that end in `.json`, `.yml` or `.yaml`; the name of the file may have one `*`. Example: `["targets/*.json"]`.
    pub files: Vec<PathBuf>,
    /// How often they are looked at even if nothing seems to have changed.
    pub refresh_interval: Period,
}

impl Default for FileSdConfig {
    fn default() -> Self {
        Self { files: Vec::new(), refresh_interval: Period::seconds(300) }
    }
}

/// A URL that gives targets, as Prometheus' `http_sd_configs`: a JSON list like `static_configs`. What it said last holds
/// while it can't be reached, also over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HttpSdConfig {
    /// Where to ask. Example: `https://inventory.example/targets?site=ghent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// How often it is asked, at least `1s`.
    pub refresh_interval: Period,
    /// User name and password for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token or other credentials for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// TLS settings for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// Whether HTTP redirects are followed; credentials don't go along to another host.
    pub follow_redirects: bool,
}

impl Default for HttpSdConfig {
    fn default() -> Self {
        Self {
            url: None,
            refresh_interval: Period::seconds(60),
            basic_auth: None,
            authorization: None,
            tls_config: None,
            follow_redirects: true,
        }
    }
}

impl HttpSdConfig {
    /// How requests prove who they are.
    pub fn auth(&self) -> Auth<'_> {
        Auth::of(self.basic_auth.as_ref(), self.authorization.as_ref())
    }
}

impl StaticConfig {
    /// Reads a list of targets that something else wrote, in YAML or JSON. `source` is only for messages. What can't be used
    /// is left out and reported.
    ///
    /// # Errors
    /// When the whole can't be used: then nothing is known, where an empty list says that there are no targets.
    pub fn found(text: &str, source: &str) -> Result<(Vec<Self>, Vec<Problem>), Problem> {
        let mut located = Vec::new();
        let Some(mut document) = Document::parse(text, &mut located) else {
            let first = located.into_iter().next().map(|problem| Problem::located(source, problem));
            return Err(first.unwrap_or_else(|| Problem::unplaced(source, "", "expected a list of targets")));
        };
        if !document.is_list() {
            let message = "expected a list such as `[{\"targets\": [\"10.0.0.7:9100\"], \"labels\": {}}]`";
            return Err(Problem::unplaced(source, "", message));
        }
        let mut groups: Vec<Self> = document.read(&mut located);
        let mut problems: Vec<Problem> =
            located.into_iter().map(|problem| Problem::located(source, problem)).collect();
        for (index, group) in groups.iter_mut().enumerate() {
            // Prometheus' own discoveries, and many others, say more than anybody needs.
            group.labels.retain(|name, _| !name.starts_with("__") || is_special(name));
            let mut findings = Vec::new();
            check_group(group, &Path::root().index(index), &mut Findings::of(&mut findings));
            for finding in findings {
                problems.push(Problem::unplaced(source, finding.path, finding.message));
            }
            group.targets.retain(|target| crate::check::check_target(target).is_ok());
            group.labels.retain(|name, _| crate::check::check_label(name).is_ok());
        }
        groups.retain(|group| !group.targets.is_empty());
        Ok((groups, problems))
    }
}

/// Labels that say how a target is scraped, as in Prometheus.
pub(crate) fn is_special(name: &str) -> bool {
    matches!(name, "__scheme__" | "__metrics_path__") || name.starts_with("__param_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_json_or_yaml_gives_its_targets() {
        for text in [
            r#"[{"targets": ["10.0.0.7:9100", "b"], "labels": {"zone": "eu", "__meta_kubernetes_x": "y"}}]"#,
            "- targets: ['10.0.0.7:9100', b]\n  labels: {zone: eu}\n",
        ] {
            let (groups, problems) = StaticConfig::found(text, "t").unwrap();
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].targets, ["10.0.0.7:9100", "b"]);
            assert_eq!(groups[0].labels.keys().collect::<Vec<_>>(), ["zone"]);
            assert!(problems.is_empty(), "{problems:?}");
        }
        assert!(StaticConfig::found("[]", "t").unwrap().0.is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_reported_and_the_rest_is_taken() {
        let text = r#"[{"targets": ["http://a:1", "b:1"], "labels": {"1x": "y"}}, {"targets": 7}, {"targets": ["c:1"], "label": {}}]"#;
        let (groups, problems) = StaticConfig::found(text, "t.json").unwrap();
        let targets: Vec<_> = groups.iter().flat_map(|group| &group.targets).collect();
        assert_eq!(targets, ["b:1", "c:1"]);
        assert!(groups.iter().all(|group| group.labels.is_empty()));
        let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for what in ["scheme and path are fields", "begins with no digit", "[1].targets", "label"] {
            assert!(said.contains(what), "{what}: {said}");
        }
    }

    #[test]
    fn what_is_no_list_is_no_empty_list() {
        for text in ["", "{}", "oops", "[{]", "<html></html>", "null"] {
            assert!(StaticConfig::found(text, "t").is_err(), "{text}");
        }
    }
}
