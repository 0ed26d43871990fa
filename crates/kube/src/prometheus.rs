//! Where the agent of a federation has its members' metrics from: from themselves, from a Prometheus of its own beside it, or from one that is
//! there already. Pure, but for `reach`.
//!
//! One of its own asks the operator for the members, as the agent does: so it scrapes exactly these, the operator needs no right to write its
//! config anywhere, and a member that comes is known in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use larnax_http::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::inject::confined;

/// The annotation with the config of a Prometheus beside an agent.
pub(crate) const CONFIG: &str = "larnax.io/prometheus-config";
/// Where that one listens: only the agent beside it is to ask it.
const ADDRESS: &str = "127.0.0.1:9090";
/// Where it has what it brings to the operator,
const ACCESS: &str = "/etc/larnax-access";
/// and where the agent has what it brings to a Prometheus that is there already.
const LOGIN: &str = "/etc/larnax-prometheus";
/// The job of its config.
const JOB: &str = "pods";
/// How long a Prometheus may take to take a connection.
const SOON: Duration = Duration::from_secs(2);

/// Whether a Prometheus scrapes the members, and which.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSpec {
    /// `none`: the agent scrapes them. `managed`: a Prometheus beside the agent, which Larnax runs, scrapes exactly them. `existing`: the
    /// one at `url` scrapes them already. The agent asks either for what it has of each
    #[serde(default)]
    pub mode: Mode,
    /// Where the one that exists is, as `http://prometheus.monitoring.svc:9090`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The secret in the namespace of Larnax with which the agent may ask it: one that `federations.prometheus.logins` of the chart has for
    /// this URL
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Labels that it gives the members besides `instance`, where that alone is not enough, as `{job: kubernetes-pods}`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Who scrapes the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The agent
    #[default]
    None,
    /// A Prometheus beside it
    Managed,
    /// A Prometheus that is there
    Existing,
}

/// What the chart says of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hosting {
    /// The image of one beside an agent; none where it is empty.
    pub image: String,
    /// How long it keeps what it scraped, as `2h`.
    pub retention: String,
    /// What each may use, as in a container's `resources`.
    pub resources: Value,
    /// Secrets for those that exist.
    pub logins: Vec<Login>,
}

/// A secret in Larnax's namespace, and whom it may be shown: whoever may make federations must not choose that.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Its name. It has a `token`, or a `password` where there is a user name.
    pub secret: String,
    /// Where the URL of a federation's Prometheus has to begin.
    pub url: String,
    /// For basic auth.
    #[serde(default)]
    pub username: String,
    /// Whether the secret has a `ca.crt` too, which the certificate there is from.
    #[serde(default)]
    pub ca: bool,
}

/// Whom the agent asks, as far as that can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked<'a> {
    /// The members.
    Members,
    /// The Prometheus beside it.
    Beside(&'a Hosting),
    /// One that exists.
    Existing { url: &'a str, labels: &'a BTreeMap<String, String>, login: Option<&'a Login> },
}

impl PrometheusSpec {
    /// Whom the agent asks.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(crate) fn asked<'a>(&'a self, hosting: &'a Hosting) -> Result<Asked<'a>, String> {
        match self.mode {
            Mode::None => Ok(Asked::Members),
            Mode::Managed if hosting.image.is_empty() => Err(
                "prometheus.mode is `managed`, and federations.prometheus.image of the chart names no image"
                    .to_owned(),
            ),
            Mode::Managed => Ok(Asked::Beside(hosting)),
            Mode::Existing => {
                let url = self.url.as_deref().unwrap_or_default();
                check_url(url)?;
                if let Some(name) = self.labels.keys().find(|name| !is_label(name)) {
                    return Err(format!(
                        "prometheus.labels: `{name}` is no label; expected letters, digits and `_`, no digit first"
                    ));
                }
                let login = self.secret.as_deref().map(|secret| login(&hosting.logins, secret, url));
                Ok(Asked::Existing { url, labels: &self.labels, login: login.transpose()? })
            }
        }
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let expected = "expected a URL such as `http://prometheus.monitoring.svc:9090`";
    if url.is_empty() {
        return Err(format!("prometheus.url is missing, {expected}"));
    }
    // What stands before `@` may be a password: it is not repeated.
    let odd = |c: char| !c.is_ascii_graphic() || "\"<>\\^`{|}?#@".contains(c);
    if url.contains(odd) {
        return Err(format!("prometheus.url has a user, a query, a fragment or odd characters, {expected}"));
    }
    Url::parse(url).map(drop).map_err(|error| format!("prometheus.url: {error}, {expected}"))
}

/// As in Prometheus' data model; those with two underscores are its own.
fn is_label(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
        && !name.starts_with("__")
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn login<'a>(logins: &'a [Login], secret: &str, url: &str) -> Result<&'a Login, String> {
    let begins = |with: &str| {
        let rest = url.strip_prefix(with.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let found = logins.iter().find(|login| login.secret == secret && begins(&login.url));
    found.ok_or_else(|| {
        format!("prometheus.secret: federations.prometheus.logins of the chart has no `{secret}` for {url}")
    })
}

impl Asked<'_> {
    /// The agent's scrape job, out of one that has the members.
    pub(crate) fn job(&self, mut job: Value, namespace: &str, federation: &str) -> Value {
        match self {
            Self::Members => {}
            Self::Beside(_) => {
                job["prometheus"] = json!({
                    "url": format!("http://{ADDRESS}"),
                    "by": "pod",
                    "labels": {"job": JOB},
                    // Its address is the same in every pod.
                    "component": format!("service/{namespace}/prometheus-of-{federation}"),
                });
            }
            Self::Existing { url, labels, login } => {
                job["prometheus"] = json!({"url": url, "labels": labels});
                if let Some(login) = login {
                    if login.username.is_empty() {
                        job["authorization"] = json!({"credentials_file": format!("{LOGIN}/token")});
                    } else {
                        let password = format!("{LOGIN}/password");
                        job["basic_auth"] = json!({"username": login.username, "password_file": password});
                    }
                    if login.ca {
                        job["tls_config"] = json!({"ca_file": format!("{LOGIN}/ca.crt")});
                    }
                }
            }
        }
        job
    }

    /// The annotation that the pod has for it.
    pub(crate) fn annotation(&self, targets: &str, interval: &str) -> Option<(&'static str, String)> {
        let Self::Beside(_) = self else { return None };
        let config = json!({
            "global": {"scrape_interval": interval},
            "scrape_configs": [{"job_name": JOB, "http_sd_configs": [{
                "url": targets,
                "refresh_interval": "5s",
                "authorization": {"credentials_file": format!("{ACCESS}/token")},
                "tls_config": {"ca_file": format!("{ACCESS}/ca.crt")},
            }]}],
        });
        Some((CONFIG, config.to_string()))
    }

    /// Adds to the pod of an agent, its container first, what it takes. `secret` has what is brought to the operator.
    pub(crate) fn join(&self, pod: &mut Value, secret: &str, pull_policy: &str) {
        let mut volumes = Vec::new();
        match self {
            Self::Members | Self::Existing { login: None, .. } => {}
            Self::Existing { login: Some(login), .. } => {
                volumes.push(
                    json!({"name": "login", "secret": {"secretName": login.secret, "defaultMode": 0o440}}),
                );
                push(&mut pod["containers"][0]["volumeMounts"], mount("login", LOGIN, true));
            }
            Self::Beside(hosting) => {
                push(&mut pod["containers"], container(hosting, pull_policy));
                // Not the key of Larnax's certificate.
                let files = ["token", "ca.crt"].map(|file| json!({"key": file, "path": file}));
                let config = json!({"path": "prometheus.yml", "fieldRef": {"fieldPath": format!("metadata.annotations['{CONFIG}']")}});
                volumes.extend([
                    json!({"name": "prometheus-access", "secret": {"secretName": secret, "items": files, "defaultMode": 0o440}}),
                    json!({"name": "prometheus-config", "downwardAPI": {"items": [config]}}),
                    json!({"name": "prometheus-data", "emptyDir": {}}),
                ]);
            }
        }
        volumes.into_iter().for_each(|volume| push(&mut pod["volumes"], volume));
    }
}

/// No probe reaches what listens on loopback only; one that hangs is told of by the agent.
fn container(hosting: &Hosting, pull_policy: &str) -> Value {
    json!({
        "name": "prometheus",
        "image": hosting.image,
        "imagePullPolicy": pull_policy,
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            format!("--storage.tsdb.retention.time={}", hosting.retention),
            format!("--web.listen-address={ADDRESS}"),
        ],
        "resources": hosting.resources,
        "securityContext": confined(),
        "volumeMounts": [
            mount("prometheus-access", ACCESS, true),
            mount("prometheus-config", "/etc/prometheus", true),
            mount("prometheus-data", "/prometheus", false),
        ],
    })
}

fn mount(name: &str, path: &str, read_only: bool) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": read_only})
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// Whether a Prometheus takes connections. Nothing is asked of it, and nothing shown to it.
///
/// # Errors
/// Why not, for a person.
pub(crate) async fn reach(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let connected = timeout(SOON, TcpStream::connect((url.host(), url.port()))).await;
    let problem = match connected {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", SOON.as_secs()),
    };
    Err(format!("the operator can't connect to {url}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosting() -> Hosting {
        serde_json::from_value(json!({
            "image": "prometheus:1", "retention": "2h", "resources": {},
            "logins": [{"secret": "key", "url": "https://p.example:9090/prom"}, {"secret": "user", "url": "http://q", "username": "u", "ca": true}],
        }))
        .unwrap()
    }

    fn spec(spec: Value) -> PrometheusSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn existing(url: &str, secret: &str) -> PrometheusSpec {
        spec(json!({"mode": "existing", "url": url, "secret": secret, "labels": {"job": "j"}}))
    }

    #[test]
    fn what_cannot_be_is_said_with_what_to_do() {
        for (wrong, why) in [
            (spec(json!({"mode": "existing"})), "prometheus.url is missing"),
            (spec(json!({"mode": "existing", "url": "prometheus:9090"})), "no scheme"),
            (spec(json!({"mode": "existing", "url": "http://u:hush@p"})), "has a user"),
            (spec(json!({"mode": "existing", "url": "http://p?x=1"})), "a query"),
            (
                spec(json!({"mode": "existing", "url": "http://p", "labels": {"a-b": "c"}})),
                "`a-b` is no label",
            ),
        ] {
            let hosting = hosting();
            let problem = wrong.asked(&hosting).unwrap_err();
            assert!(problem.contains(why) && !problem.contains("hush"), "{problem}");
        }
        let problem = spec(json!({"mode": "managed"})).asked(&Hosting::default()).unwrap_err();
        assert!(problem.contains("federations.prometheus.image"), "{problem}");
    }

    #[test]
    fn a_secret_is_shown_to_nobody_but_whom_the_chart_says() {
        let hosting = hosting();
        for good in ["https://p.example:9090/prom", "https://p.example:9090/prom/x"] {
            assert!(existing(good, "key").asked(&hosting).is_ok(), "{good}");
        }
        for bad in [
            "https://p.example:9090/promise",
            "https://p.example:9090",
            "http://p.example:9090/prom",
            "http://q",
        ] {
            let problem = existing(bad, "key").asked(&hosting).unwrap_err();
            assert!(problem.contains("has no `key` for"), "{problem}");
        }
        assert!(existing("https://p.example:9090/prom", "larnax").asked(&hosting).is_err());
    }

    #[test]
    fn one_that_exists_is_asked_by_the_agent_with_the_secret_that_is_mounted() {
        let (hosting, spec) = (hosting(), existing("http://q", "user"));
        let asked = spec.asked(&hosting).unwrap();
        let job = asked.job(json!({"job_name": "pods"}), "shop", "tills");
        assert_eq!(job["prometheus"], json!({"url": "http://q", "labels": {"job": "j"}}));
        assert_eq!(
            job["basic_auth"],
            json!({"username": "u", "password_file": "/etc/larnax-prometheus/password"})
        );
        assert_eq!(job["tls_config"]["ca_file"], "/etc/larnax-prometheus/ca.crt");
        let mut pod = json!({"containers": [{"volumeMounts": []}], "volumes": []});
        asked.join(&mut pod, "larnax", "Never");
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], "user");
        assert_eq!(pod["containers"][0]["volumeMounts"][0]["mountPath"], LOGIN);
        assert_eq!(asked.annotation("https://operator/targets", "5s"), None);
    }

    #[test]
    fn one_of_its_own_asks_the_operator_for_the_members_and_nobody_but_the_agent_asks_it() {
        let (hosting, spec) = (hosting(), spec(json!({"mode": "managed"})));
        let asked = spec.asked(&hosting).unwrap();
        let mut pod = json!({"containers": [{"volumeMounts": []}], "volumes": []});
        asked.join(&mut pod, "larnax", "Never");
        let container = &pod["containers"][1];
        assert!(container["args"].to_string().contains("--web.listen-address=127.0.0.1:9090"), "{container}");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let files = pod["volumes"][0]["secret"]["items"].to_string();
        assert!(files.contains("token") && !files.contains("tls.key"), "{files}");
        let (_, config) = asked.annotation("https://operator/targets?federation=shop/tills", "1s").unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["global"]["scrape_interval"], "1s");
        let found = &config["scrape_configs"][0]["http_sd_configs"][0];
        assert_eq!(found["url"], "https://operator/targets?federation=shop/tills");
        let job = asked.job(json!({}), "shop", "tills");
        assert_eq!(
            (&job["prometheus"]["by"], &job["prometheus"]["labels"]["job"]),
            (&json!("pod"), &config["scrape_configs"][0]["job_name"])
        );
    }

    #[tokio::test]
    async fn one_that_takes_no_connection_is_said_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(reach(&url).await, Ok(()));
        drop(listener);
        let problem = reach(&url).await.unwrap_err();
        assert!(problem.contains("can't connect") && problem.contains("127.0.0.1"), "{problem}");
    }
}
