//! Targets from a URL.
//!
//! Whoever answers may hold an answer back until it is another one (`Prefer: wait`, RFC 7240): then an agent knows of a change at once,
//! and an hour in which nothing changes costs what a minute of asking every five seconds would. Who doesn't know of that answers at once,
//! and is asked again after the `refresh_interval`.

use std::time::Duration;

use larnax_http::{Client, ClientOptions, HeaderName, HeaderValue, Request, Url, header};
use larnax_notify::client;
use larnax_spec::{HttpSdConfig, StaticConfig};

use super::found;
use crate::plan::MAX_REDIRECTS;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may be held back where nothing has changed. The shortest time after which a cloud forgets an idle connection is
/// four minutes (that of Azure's load balancers).
const WAIT: Duration = Duration::from_secs(200);
/// Whoever holds answers back is not asked again sooner.
const AT_ONCE: Duration = Duration::from_secs(1);
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
    /// What stands for the last answer that could be used.
    tag: Option<HeaderValue>,
    /// Whether the last answer was one that had been waited for.
    waits: bool,
}

impl Inventory {
    pub(super) fn new(place: &HttpSdConfig, max_body: usize) -> Self {
        Self { place: place.clone(), max_body, client: None, body: Vec::new(), tag: None, waits: false }
    }

    /// How long to wait between questions.
    pub(super) fn every(&self) -> Duration {
        let every = self.place.refresh_interval.0;
        if self.waits { every.min(AT_ONCE) } else { every }
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

    /// What it says, where that may be something else than before, and what a person should know; the error leaves its targets as
    /// they were.
    pub(super) async fn ask(&mut self) -> Result<(Option<Vec<StaticConfig>>, Vec<String>), String> {
        self.waits = false;
        let (client, url) = match &mut self.client {
            Some(made) => made,
            None => {
                let made = self.client()?;
                self.client.insert(made)
            }
        };
        let mut headers = vec![
            (header::ACCEPT, HeaderValue::from_static("application/json")),
            // As Prometheus says it.
            (
                HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
                HeaderValue::from(self.place.refresh_interval.0.as_secs()),
            ),
            (
                PREFER,
                HeaderValue::from_str(&format!("wait={}", WAIT.as_secs()))
                    .map_err(|error| error.to_string())?,
            ),
        ];
        headers.extend(self.tag.clone().map(|tag| (header::IF_NONE_MATCH, tag)));
        let request = Request::get(url).with_headers(&headers).with_patience(WAIT);
        let answer = client.send(request, &mut self.body).await;
        let answer = answer.map_err(|error| format!("{url}: {error}"))?;
        let waits = answer.header(PREFERENCE_APPLIED) == Some("wait");
        if answer.status() == 304 && self.tag.is_some() {
            self.waits = waits;
            return Ok((None, Vec::new()));
        }
        let text = String::from_utf8_lossy(&self.body);
        if answer.status() != 200 {
            let said: String =
                text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let status = answer.status();
            return Err(format!("{url}: it answered {status} with `{said}`; expected 200 and targets"));
        }
        let (groups, notices) = found(&text, &url.to_string())?;
        self.tag = answer.header(header::ETAG).and_then(|tag| HeaderValue::from_str(tag).ok());
        self.waits = waits && self.tag.is_some();
        Ok((Some(groups), notices))
    }
}
