//! Where alerts go.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::client::{Auth, Authorization, BasicAuth, TlsConfig};
use crate::scrape::{Scheme, StaticConfig};
use crate::value::{Bytes, Period, Url};

/// Where alerts go, and what happens to them while the network is down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Alertmanagers (API v2); each gets every alert. A plain URL is enough. Example: `["http://127.0.0.1:9093"]`.
    #[serde(deserialize_with = "plain_or_full")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<UrlOr<Receiver>>"))]
    pub alertmanagers: Vec<Receiver>,
    /// URLs that get every event by POST, as a CloudEvent in JSON. A plain URL is enough.
    /// Example: `["https://example.org/hook"]`.
    #[serde(deserialize_with = "plain_or_full")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<UrlOr<Receiver>>"))]
    pub webhooks: Vec<Receiver>,
    /// A file that every event is appended to, one line of JSON each; `-` is the standard output.
    /// Example: `/var/log/larnax/events.jsonl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jsonl: Option<PathBuf>,
    /// How often an open alert is sent again to an Alertmanager, at least `1s`; Alertmanager takes an alert that is
    /// not repeated for ended.
    pub resend: Period,
    /// Whether the alert `LarnaxHeartbeat` fires at the Alertmanagers all the time, so that its end says that the agent is
    /// gone. Give it a route of its own first, or it pages.
    pub heartbeat: bool,
    /// The store for events that could not be sent yet.
    pub spool: Spool,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            alertmanagers: Vec::new(),
            webhooks: Vec::new(),
            jsonl: None,
            // As Prometheus resends: its --rules.alert.resend-delay is 1m.
            resend: Period::seconds(60),
            heartbeat: false,
            spool: Spool::default(),
        }
    }
}

/// The store for events that could not be sent yet, a file in the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// How large it may grow, at least `64KiB`; then the oldest closed anomaly gives way, and is counted.
    pub max_bytes: Bytes,
}

impl Default for Spool {
    fn default() -> Self {
        Self { max_bytes: Bytes::mebibytes(16) }
    }
}

/// An Alertmanager or a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Receiver {
    /// Its address. For an Alertmanager without `/api/v2/alerts`, but with its path prefix, if it has one.
    /// Example: `http://127.0.0.1:9093`.
    pub url: Option<Url>,
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token or other credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// TLS settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// How long a request may take.
    pub timeout: Period,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            url: None,
            basic_auth: None,
            authorization: None,
            tls_config: None,
            // As in Prometheus' alertmanager_config.
            timeout: Period::seconds(10),
        }
    }
}

impl Receiver {
    /// A receiver that needs nothing but its address.
    pub fn at(url: Url) -> Self {
        Self { url: Some(url), ..Self::default() }
    }

    /// How requests to it prove who they are.
    pub fn auth(&self) -> Auth<'_> {
        Auth::of(self.basic_auth.as_ref(), self.authorization.as_ref())
    }
}

/// The `alerting` block of a Prometheus config; its Alertmanagers are added to `alerts.alertmanagers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Alerting {
    /// As Prometheus writes them.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// Alertmanagers as Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Their addresses; labels have no meaning here. Example: `[{targets: ["127.0.0.1:9093"]}]`.
    pub static_configs: Vec<StaticConfig>,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// What stands before `/api/v2/alerts`. Example: `/alertmanager`.
    pub path_prefix: String,
    /// How long a request may take.
    pub timeout: Period,
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token or other credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// TLS settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            static_configs: Vec::new(),
            scheme: Scheme::Http,
            path_prefix: String::new(),
            timeout: Receiver::default().timeout,
            basic_auth: None,
            authorization: None,
            tls_config: None,
        }
    }
}

impl AlertmanagerConfig {
    /// The address of each target, or why it is none.
    pub(crate) fn urls(&self) -> impl Iterator<Item = (usize, usize, Result<Url, crate::ValueError>)> {
        let prefix = self.path_prefix.trim_matches('/');
        self.static_configs.iter().enumerate().flat_map(move |(group, config)| {
            config.targets.iter().enumerate().map(move |(index, target)| {
                let slash = if prefix.is_empty() { "" } else { "/" };
                (group, index, format!("{}://{target}{slash}{prefix}", self.scheme.as_str()).parse())
            })
        })
    }

    /// One receiver per target that has an address.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = Receiver> {
        self.urls().filter_map(|(_, _, url)| url.ok()).map(|url| Receiver {
            url: Some(url),
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            tls_config: self.tls_config.clone(),
            timeout: self.timeout,
        })
    }
}

/// A URL, or the map it is short for.
pub(crate) struct UrlOr<T>(T);

impl<'de> Deserialize<'de> for UrlOr<Receiver> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrMap<T>(PhantomData<T>);

        impl<'de> Visitor<'de> for UrlOrMap<Receiver> {
            type Value = Receiver;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a map with a `url`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Receiver, E> {
                text.parse().map(Receiver::at).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Receiver, A::Error> {
                Receiver::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(UrlOrMap(PhantomData)).map(UrlOr)
    }
}

/// One of them.
pub(crate) fn plain_or_full_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Receiver, D::Error> {
    UrlOr::<Receiver>::deserialize(deserializer).map(|one| one.0)
}

fn plain_or_full<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Receiver>, D::Error> {
    Vec::<UrlOr<Receiver>>::deserialize(deserializer).map(|all| all.into_iter().map(|one| one.0).collect())
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for UrlOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("UrlOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [generator.subschema_for::<Url>(), generator.subschema_for::<T>()] })
    }
}
