//! Targets from a URL.

use std::time::Duration;

use larnax_http::{Client, ClientOptions, HeaderName, HeaderValue, Request, Url, header};
use larnax_notify::client;
use larnax_spec::{HttpSdConfig, StaticConfig};

use super::found;
use crate::plan::MAX_REDIRECTS;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what it says is shown in an error.
const SHOWN: usize = 200;

/// The name of the place.
pub(super) fn name(place: &HttpSdConfig) -> String {
    place.url.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Whoever knows the targets.
pub(super) struct Inventory {
    place: HttpSdConfig,
    max_body: usize,
    /// None until it could be made: a file with a token may come to be.
    client: Option<(Client, Url)>,
    body: Vec<u8>,
}

impl Inventory {
    pub(super) fn new(place: &HttpSdConfig, max_body: usize) -> Self {
        Self { place: place.clone(), max_body, client: None, body: Vec::new() }
    }

    /// How long to wait between questions.
    pub(super) fn every(&self) -> Duration {
        self.place.refresh_interval.0
    }

    fn client(&self) -> Result<(Client, Url), String> {
        let text = self.place.url.as_ref().map_or("", |url| url.as_str());
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let options = ClientOptions {
            timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
            max_body: self.max_body,
            auth: client::auth(self.place.auth()),
            tls: client::tls(self.place.tls_config.as_ref()),
            max_redirects: if self.place.follow_redirects { MAX_REDIRECTS } else { 0 },
            ..ClientOptions::default()
        };
        let client = Client::new(options).map_err(|error| format!("{url}: {error}"))?;
        Ok((client, url))
    }

    /// What it says, and what a person should know; the error leaves its targets as they were.
    pub(super) async fn ask(&mut self) -> Result<(Vec<StaticConfig>, Vec<String>), String> {
        let (client, url) = match &mut self.client {
            Some(made) => made,
            None => {
                let made = self.client()?;
                self.client.insert(made)
            }
        };
        let headers = [
            (header::ACCEPT, HeaderValue::from_static("application/json")),
            // As Prometheus says it.
            (
                HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
                HeaderValue::from(self.place.refresh_interval.0.as_secs()),
            ),
        ];
        let answer = client.send(Request::get(url).with_headers(&headers), &mut self.body).await;
        let answer = answer.map_err(|error| format!("{url}: {error}"))?;
        let text = String::from_utf8_lossy(&self.body);
        if answer.status() != 200 {
            let said: String =
                text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let status = answer.status();
            return Err(format!("{url}: it answered {status} with `{said}`; expected 200 and targets"));
        }
        found(&text, &url.to_string())
    }
}
