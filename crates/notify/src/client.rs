//! How requests are made, from the config's words to the client's.

use larnax_http::{Auth, ClientOptions, Secret, SecretSource, TlsOptions};
use larnax_spec::{Receiver, TlsConfig};

/// Who a request says it comes from.
pub fn auth(config: larnax_spec::Auth<'_>) -> Auth {
    match config {
        larnax_spec::Auth::None => Auth::None,
        larnax_spec::Auth::Basic { username, password } => Auth::Basic {
            username: SecretSource::Inline(Secret::new(username)),
            password: password.map_or_else(|| SecretSource::Inline(Secret::default()), secret),
        },
        larnax_spec::Auth::Header { kind, credentials } => {
            Auth::Token { scheme: kind.to_owned(), credentials: secret(credentials) }
        }
    }
}

/// Where a secret comes from.
pub fn secret(config: larnax_spec::SecretSource<'_>) -> SecretSource {
    match config {
        larnax_spec::SecretSource::Inline(text) => SecretSource::Inline(Secret::new(text.expose())),
        larnax_spec::SecretSource::File(path) => SecretSource::File(path.to_owned()),
    }
}

/// Whom it trusts.
pub fn tls(config: Option<&TlsConfig>) -> TlsOptions {
    config.map_or_else(TlsOptions::default, |config| TlsOptions {
        ca_file: config.ca_file.clone(),
        cert_file: config.cert_file.clone(),
        key_file: config.key_file.clone(),
        server_name: config.server_name.clone(),
        insecure_skip_verify: config.insecure_skip_verify,
    })
}

/// Everything about requests to a receiver of alerts.
pub fn options(receiver: &Receiver) -> ClientOptions {
    ClientOptions {
        timeout: receiver.timeout.0,
        connect_timeout: receiver.timeout.0,
        auth: auth(receiver.auth()),
        tls: tls(receiver.tls_config.as_ref()),
        ..ClientOptions::default()
    }
}
