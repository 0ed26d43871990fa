//! What a PostgreSQL URL says.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::{Error, Location};

/// How long opening a connection may take where the URL doesn't say (`connect_timeout`).
const CONNECT: Duration = Duration::from_secs(5);
/// How soon a server that has vanished from the network is noticed while nothing is asked of it.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How much of TLS is asked for: the words of libpq, with its meaning.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// The certificate isn't looked at: `prefer`, and `require` without `sslrootcert`. Keeps out listeners, not impostors.
    Nothing,
    /// It must come from a trusted authority: `verify-ca`, and `require` with `sslrootcert`.
    Authority,
    /// And be for this host: `verify-full`.
    Host,
}

/// A URL, taken apart.
pub(super) struct Parsed {
    pub(super) config: Config,
    pub(super) verify: Verify,
    /// The authorities that are trusted, as PEM; none: the public ones.
    pub(super) authorities: Option<PathBuf>,
}

/// Takes a URL apart. Options that `tokio_postgres` doesn't know (`sslmode=verify-full`, `sslrootcert`) are taken out first.
pub(super) fn parse(url: &str) -> Result<Parsed, Error> {
    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut authorities) = (None, None);
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match form_urlencoded::parse(pair.as_bytes()).next() {
            Some((name, value)) if name == "sslmode" => mode = Some(value.into_owned()),
            Some((name, value)) if name == "sslrootcert" => {
                authorities = Some(PathBuf::from(value.into_owned()))
            }
            _ => rest.push(pair),
        }
    }
    let (ssl, verify) = match (mode.as_deref(), &authorities) {
        (Some("disable"), _) => (SslMode::Disable, Verify::Nothing),
        (None | Some("prefer"), _) => (SslMode::Prefer, Verify::Nothing),
        (Some("require"), None) => (SslMode::Require, Verify::Nothing),
        (Some("require"), Some(_)) | (Some("verify-ca"), _) => (SslMode::Require, Verify::Authority),
        (Some("verify-full"), _) => (SslMode::Require, Verify::Host),
        (Some(other), _) => {
            return Err(Error::Location(format!(
                "sslmode `{}` of the PostgreSQL URL is unknown: expected disable, prefer, require, verify-ca or \
                 verify-full",
                other.chars().take(20).collect::<String>()
            )));
        }
    };
    let separator = if rest.is_empty() { "" } else { "?" };
    // What is wrong with it is not said: it may be the password that is not encoded as it should be.
    let mut config: Config = format!("{server}{separator}{}", rest.join("&")).parse().map_err(|_| {
        Error::Location(format!(
            "the PostgreSQL URL {} can't be read: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, special \
             characters written as %XX, and options that PostgreSQL knows",
            Location::Postgres(url.to_owned())
        ))
    })?;
    config.ssl_mode(ssl);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    config.keepalives_idle(KEEPALIVE);
    // Of several hosts the primary; a standby is as good as gone.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name("larnax");
    }
    Ok(Parsed { config, verify, authorities })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modes_of_libpq_mean_what_they_mean_there() {
        let mode = |query: &str| {
            let parsed = parse(&format!("postgres://u:p@db/hub{query}")).unwrap();
            (parsed.config.get_ssl_mode(), parsed.verify)
        };
        assert_eq!(mode(""), (SslMode::Prefer, Verify::Nothing));
        assert_eq!(mode("?sslmode=disable"), (SslMode::Disable, Verify::Nothing));
        assert_eq!(mode("?sslmode=require"), (SslMode::Require, Verify::Nothing));
        assert_eq!(mode("?sslmode=require&sslrootcert=%2Fca.pem"), (SslMode::Require, Verify::Authority));
        assert_eq!(mode("?connect_timeout=3&sslmode=verify-ca"), (SslMode::Require, Verify::Authority));
        assert_eq!(mode("?sslmode=verify-full&sslrootcert=ca.pem"), (SslMode::Require, Verify::Host));
    }

    #[test]
    fn a_url_that_cannot_be_read_says_what_was_expected_and_shows_no_password() {
        for url in [
            "postgres://larnax:hunter2@db:x/hub",
            "postgres://larnax:hunter2@db/hub?colour=hunter2",
            "postgres://larnax:hunter2@db/hub?sslmode=hope",
        ] {
            let message = parse(url).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains("expected"), "{message}");
            assert!(!message.contains("ter2") && !message.contains("larnax:"), "{message}");
        }
    }

    #[test]
    fn waiting_is_bounded_unless_the_url_says_otherwise() {
        let timeout = |url: &str| parse(url).unwrap().config.get_connect_timeout().copied();
        assert_eq!(timeout("postgres://db/hub"), Some(CONNECT));
        assert_eq!(timeout("postgres://db/hub?connect_timeout=2"), Some(Duration::from_secs(2)));
    }
}
