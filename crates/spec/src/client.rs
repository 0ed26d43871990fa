//! How requests say who they are and whom they trust; the same fields wherever Larnax is a client, named as in Prometheus.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::value::{Secret, SecretSource};

/// User name and password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// The user name. Example: `larnax`.
    pub username: String,
    /// The password itself. Better: `password_file`, or `${NAME}` for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password, read again for each request. Example: `/etc/larnax/password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl BasicAuth {
    /// Where the password is; none means an empty password.
    pub fn password(&self) -> Option<SecretSource<'_>> {
        SecretSource::of(self.password.as_ref(), self.password_file.as_deref())
    }
}

/// The `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// The word before the credentials.
    #[serde(rename = "type")]
    pub kind: String,
    /// The token itself. Better: `credentials_file`, or `${NAME}` for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Secret>,
    /// A file that holds the token, read again for each request. Example: `/etc/larnax/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { kind: "Bearer".to_owned(), credentials: None, credentials_file: None }
    }
}

impl Authorization {
    /// Where the token is.
    pub fn credentials(&self) -> Option<SecretSource<'_>> {
        SecretSource::of(self.credentials.as_ref(), self.credentials_file.as_deref())
    }
}

/// TLS of a connection that Larnax opens. TLS 1.2 and 1.3 are spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate authorities (PEM) to trust instead of the public ones. Example: `/etc/larnax/ca.pem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain (PEM); needs `key_file`. Example: `/etc/larnax/client.pem`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The client's private key (PEM); needs `cert_file`. Example: `/etc/larnax/client.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, where it differs from the address. Example: `db.internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Accept any certificate: then anybody on the way can read and change what is sent.
    pub insecure_skip_verify: bool,
}

/// How one request proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth<'a> {
    /// Not at all.
    None,
    /// By user name and password.
    Basic {
        /// The user name.
        username: &'a str,
        /// The password; none is an empty one.
        password: Option<SecretSource<'a>>,
    },
    /// By an `Authorization` header.
    Header {
        /// The word before the credentials, such as `Bearer`.
        kind: &'a str,
        /// The token.
        credentials: SecretSource<'a>,
    },
}

impl<'a> Auth<'a> {
    pub(crate) fn of(basic: Option<&'a BasicAuth>, authorization: Option<&'a Authorization>) -> Self {
        if let Some(basic) = basic {
            return Self::Basic { username: &basic.username, password: basic.password() };
        }
        match authorization.and_then(|a| a.credentials().map(|credentials| (a.kind.as_str(), credentials))) {
            Some((kind, credentials)) => Self::Header { kind, credentials },
            None => Self::None,
        }
    }
}

/// Joins a relative path to the folder of the config file.
pub(crate) fn join(base: &Path, path: &mut Option<PathBuf>) {
    if let Some(path) = path {
        *path = base.join(&*path);
    }
}

/// Joins every relative file of a client.
pub(crate) fn join_client(
    base: &Path,
    basic: &mut Option<BasicAuth>,
    authorization: &mut Option<Authorization>,
    tls: &mut Option<TlsConfig>,
) {
    if let Some(basic) = basic {
        join(base, &mut basic.password_file);
    }
    if let Some(authorization) = authorization {
        join(base, &mut authorization.credentials_file);
    }
    if let Some(tls) = tls {
        join(base, &mut tls.ca_file);
        join(base, &mut tls.cert_file);
        join(base, &mut tls.key_file);
    }
}
