//! The hub that this agent reports to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Findings;
use crate::client::TlsConfig;
use crate::path::Path;
use crate::value::{Secret, SecretSource, Url};

/// The hub that this agent reports to: anomalies, its part of the topology, and evidence when the hub asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Hub {
    /// Its address. Example: `https://hub.example.org:7677`.
    pub url: Option<Url>,
    /// What this agent is called there, instead of the machine's name. Agents of one machine need different names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The token that the agent brings. Better: `bearer_token_file`, or `${NAME}` for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secret>,
    /// A file that holds the token, read again for each session. Example: `/etc/larnax/hub-token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// An HTTP proxy that connections to the hub go through. Example: `http://proxy.example.org:3128`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Url>,
    /// Send the token to another machine even over `http://`: then anybody on the way can read it, and speak for this agent.
    pub allow_plain_token: bool,
}

impl Hub {
    /// Where the token is; none sends none.
    pub fn token(&self) -> Option<SecretSource<'_>> {
        SecretSource::of(self.bearer_token.as_ref(), self.bearer_token_file.as_deref())
    }

    pub(crate) fn check(&self, findings: &mut Findings<'_>) {
        let path = Path::root().key("hub");
        if self.bearer_token.is_some() && self.bearer_token_file.is_some() {
            findings.error(path.clone(), "found bearer_token and bearer_token_file, expected one of them");
        }
        if self.bearer_token.as_ref().is_some_and(|token| token.expose().is_empty()) {
            findings.error(path.key("bearer_token"), "found an empty text, expected a token");
        }
        let named = |name: &String| (1..=253).contains(&name.len()) && !name.chars().any(char::is_control);
        if self.name.as_ref().is_some_and(|name| !named(name)) {
            findings.error(path.key("name"), "expected 1 to 253 characters that can be printed");
        }
        crate::check::client(&None, &None, &self.tls_config, &path, findings);
        if let Some(proxy) = self.proxy_url.as_ref().filter(|proxy| proxy.path_and_query() != "/") {
            let message = format!("found `{}/…`, expected no path: a proxy has none", proxy.origin());
            findings.error(path.key("proxy_url"), message);
        }
        let Some(url) = &self.url else {
            findings.error(path.key("url"), "missing, expected a URL such as `https://hub.example.org:7677`");
            return;
        };
        if url.as_str().contains('?') {
            let message = format!("found `{}/…`, expected an address without `?…`", url.origin());
            findings.error(path.key("url"), message);
        }
        if url.scheme() == "https" {
            return;
        }
        if self.tls_config.is_some() {
            findings.warning(path.key("tls_config"), "has no effect: the hub's URL begins with http://");
        }
        if self.token().is_some() && !url.is_loopback() {
            if self.allow_plain_token {
                let message =
                    "the token is sent unencrypted: anybody on the way can read it, and speak for this agent";
                findings.warning(path.key("allow_plain_token"), message);
            } else {
                let message = format!(
                    "found `{}`, expected https:// because a token is sent to another machine; if the way there is safe \
                     without, say `allow_plain_token: true`",
                    url.origin()
                );
                findings.error(path.key("url"), message);
            }
        }
    }
}
