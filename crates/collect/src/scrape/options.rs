//! How a target is scraped.

use std::time::Duration;

use larnax_http::{Auth, HeaderName, HeaderValue, TlsOptions, Url};

use crate::{ErrorClass, SourceError};

/// Prometheus' default scrape timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a target is scraped.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// What is asked, with the query. See [`target_url`].
    pub url: Url,
    /// How often, at most; the owner of the source decides when. The timeout can't be longer.
    pub interval: Duration,
    /// How long one scrape may take, from the first look-up to the last byte.
    pub timeout: Duration,
    /// How the agent says who it is.
    pub auth: Auth,
    /// How TLS is done.
    pub tls: TlsOptions,
    /// Sent with each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The largest body, in bytes after decompression. The scrape of a larger one fails.
    pub body_size_limit: usize,
    /// The most series. Those above it are refused and counted; the others are taken.
    pub sample_limit: usize,
    /// Whether the target is asked to compress.
    pub gzip: Gzip,
    /// Whether `url` is the `/federate` of a Prometheus, with a selector of one target, and no target.
    pub federated: bool,
    /// How many redirects are followed. None unless asked for: a target must not choose what else is scraped.
    pub max_redirects: usize,
}

/// Whether a target is asked to compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gzip {
    /// Unless the target is on this machine: then the bytes never leave it, and to compress 58 kB at the 50 MB/s or so of
    /// a usual gzip costs the target a millisecond of CPU, more than the agent needs for the whole scrape.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ScrapeOptions {
    /// The defaults: a timeout of 10 s or the interval if that is shorter, 16 MiB, 50,000 series, gzip from afar, no
    /// auth, no redirects.
    pub fn new(url: Url, interval: Duration) -> Self {
        Self {
            url,
            interval,
            timeout: interval.min(DEFAULT_TIMEOUT),
            auth: Auth::None,
            tls: TlsOptions::default(),
            headers: Vec::new(),
            body_size_limit: 16 << 20,
            sample_limit: 50_000,
            gzip: Gzip::Auto,
            federated: false,
            max_redirects: 0,
        }
    }

    pub(super) fn wants_gzip(&self) -> bool {
        match self.gzip {
            Gzip::Auto => !self.url.is_loopback(),
            Gzip::Always => true,
            Gzip::Never => false,
        }
    }

    pub(super) fn check(&self) -> Result<(), SourceError> {
        let Self { url, interval, timeout, .. } = self;
        let problem = if timeout > interval {
            format!(
                "the timeout of {timeout:?} is longer than the interval of {interval:?}: expected at most that"
            )
        } else if self.body_size_limit == 0 || self.sample_limit == 0 {
            "a limit of 0 lets nothing in: expected at least 1 byte and 1 series".to_owned()
        } else {
            return Ok(());
        };
        Err(SourceError::new(ErrorClass::Config, format!("{url}: {problem}")))
    }
}

/// The URL of a target, out of the parts that a `scrape_configs` block has: `scheme`, a target's address `host:port`,
/// `metrics_path` and `params`.
///
/// # Errors
/// When they make no URL.
pub fn target_url(
    scheme: &str,
    address: &str,
    metrics_path: &str,
    params: &[(String, String)],
) -> Result<Url, SourceError> {
    let slash = if metrics_path.starts_with('/') { "" } else { "/" };
    let mut text = format!("{scheme}://{address}{slash}{metrics_path}");
    for (i, (name, value)) in params.iter().enumerate() {
        text.push(if i == 0 && !metrics_path.contains('?') { '?' } else { '&' });
        encode(name, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    if address.contains(['/', '?', '#', '@']) {
        let message = format!(
            "`{}` is not a target's address: expected HOST:PORT, without scheme, user and path",
            address.rsplit('@').next().unwrap_or_default()
        );
        return Err(SourceError::new(ErrorClass::Config, message));
    }
    Url::parse(&text).map_err(|e| SourceError::new(ErrorClass::Config, e.to_string()))
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
fn encode(text: &str, url: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_scrape_config_make_a_url() {
        let params = [("match[]".to_owned(), "{job=\"a b\"}".to_owned()), ("x".to_owned(), "ü".to_owned())];
        let url = target_url("https", "host:9100", "/federate", &params).unwrap();
        assert_eq!(url.path_and_query(), "/federate?match%5B%5D=%7Bjob%3D%22a%20b%22%7D&x=%C3%BC");
        assert!(url.is_https() && url.port() == 9100);
        assert_eq!(
            target_url("http", "[::1]:1", "metrics?a=1", &params[1..]).unwrap().path_and_query(),
            "/metrics?a=1&x=%C3%BC"
        );
    }

    #[test]
    fn an_address_with_more_than_host_and_port_is_refused() {
        for address in ["http://a:1", "a:1/metrics", "user:hush@a:1", ""] {
            let error = target_url("http", address, "/metrics", &[]).unwrap_err();
            assert_eq!(error.class, ErrorClass::Config);
            assert!(!error.message.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_target_on_this_machine_is_not_asked_to_compress() {
        let options = |address| {
            ScrapeOptions::new(target_url("http", address, "/metrics", &[]).unwrap(), Duration::from_secs(5))
        };
        assert!(!options("localhost:1").wants_gzip() && !options("127.0.0.1:1").wants_gzip());
        assert!(options("10.0.0.1:1").wants_gzip());
        assert!(ScrapeOptions { gzip: Gzip::Always, ..options("localhost:1") }.wants_gzip());
    }

    #[test]
    fn the_timeout_is_at_most_the_interval() {
        let url = || target_url("http", "a:1", "/metrics", &[]).unwrap();
        assert_eq!(ScrapeOptions::new(url(), Duration::from_secs(60)).timeout, Duration::from_secs(10));
        let options = ScrapeOptions::new(url(), Duration::from_secs(5));
        assert_eq!(options.timeout, Duration::from_secs(5));
        assert!(options.check().is_ok());
        let error = ScrapeOptions { timeout: Duration::from_secs(6), ..options }.check().unwrap_err();
        assert!(error.message.contains("6s") && error.message.contains("5s"), "{error}");
    }
}
