//! The scraper.

use std::rc::Rc;

use larnax_core::{Batch, Clock, Timestamp};
use larnax_http::{
    Client, ClientOptions, HeaderName, HeaderValue, HttpError, Request, Response, Url, header,
};

use super::ScrapeOptions;
use super::gzip::{InflateError, inflate};
use crate::openmetrics::{Format, Limits, ParseReport, SeriesCache, Unknown, unfold};
use crate::{Collected, Cost, ErrorClass, LocalFuture, Source, SourceError};

/// What is asked for: OpenMetrics first, as Prometheus asks.
const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
);

/// The longest line of a body. The longest in common use, those of cAdvisor, have about 2 kB.
const MAX_LINE_BYTES: usize = 64 << 10;

/// How much of what a target says is shown in an error.
const SHOWN_BYTES: usize = 200;

/// A target whose metrics are asked for over HTTP, or a Prometheus that is asked for them. Each collection is one request and gives one
/// row, stamped with the time at which it began; or with that at which the Prometheus scraped the target.
pub struct ScrapeSource {
    name: String,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body_size_limit: usize,
    clock: Rc<dyn Clock>,
    client: Client,
    /// Of a Prometheus that is asked for the target; none of a target.
    federated: Option<Federated>,
    body: Vec<u8>,
    plain: Vec<u8>,
    series: SeriesCache,
    cost: Cost,
    /// Refused and bad samples of the last scrape, so that a lasting problem is logged once.
    noted: (u64, u64),
}

/// What is known of a target that a Prometheus scrapes.
#[derive(Default)]
struct Federated {
    /// When it was scraped last.
    scraped_at: Option<Timestamp>,
    /// Whether anything was heard of it since the Prometheus answers.
    is_known: bool,
    text: Vec<u8>,
}

impl Federated {
    /// Takes in what the Prometheus says: when the target was scraped, unless that was heard before.
    fn hear(&mut self, answer: &[u8], now: Timestamp) -> Result<Option<Timestamp>, (ErrorClass, String)> {
        let told = unfold(answer, &mut self.text);
        let (Ok(at) | Err(Unknown::Down(at))) = told else {
            let problem = told.err().map(|unknown| unknown.to_string()).unwrap_or_default();
            // One that had just been there is gone; of any other it isn't known yet.
            let is_gone = self.is_known && told == Err(Unknown::Missing);
            return Err((if is_gone { ErrorClass::Target } else { ErrorClass::Prometheus }, problem));
        };
        if now.since(at).abs() > CLOCKS_APART {
            let problem = format!(
                "it was scraped at {at} by that clock, and it is {now} here: expected clocks that agree"
            );
            return Err((ErrorClass::Prometheus, problem));
        }
        if self.scraped_at.is_some_and(|before| at <= before) {
            return Ok(None);
        }
        (self.scraped_at, self.is_known) = (Some(at), true);
        told.map(Some).map_err(|down| (ErrorClass::Target, down.to_string()))
    }

    /// The Prometheus gave no answer.
    fn away(&mut self, error: SourceError) -> SourceError {
        self.is_known = false;
        match error.class {
            ErrorClass::Limit => error,
            _ => SourceError { class: ErrorClass::Prometheus, ..error },
        }
    }
}

/// How far the clock of a Prometheus may be off: it shows nothing older than this.
const CLOCKS_APART: f64 = 300.0;

impl ScrapeSource {
    /// Checks the options; connects when first asked to collect.
    ///
    /// # Errors
    /// When the options can't be.
    pub fn new(options: ScrapeOptions, clock: Rc<dyn Clock>) -> Result<Self, SourceError> {
        options.check()?;
        let encoding = if options.wants_gzip() { "gzip" } else { "identity" };
        // As Prometheus does: exporters that ask others (blackbox, SNMP) give up in time to say so.
        let timeout = HeaderValue::try_from(options.timeout.as_secs_f64().to_string());
        let mut headers =
            vec![(header::ACCEPT, ACCEPT), (header::ACCEPT_ENCODING, HeaderValue::from_static(encoding))];
        headers.extend(timeout.map(|t| (HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), t)));
        headers.retain(|(name, _)| options.headers.iter().all(|(configured, _)| configured != name));
        let client = Client::new(ClientOptions {
            timeout: options.timeout,
            connect_timeout: options.timeout,
            max_body: options.body_size_limit,
            auth: options.auth,
            headers: options.headers,
            tls: options.tls,
            max_redirects: options.max_redirects,
        });
        Ok(Self {
            name: options.url.to_string(),
            client: client
                .map_err(|e| SourceError::new(ErrorClass::Config, format!("{}: {e}", options.url)))?,
            url: options.url,
            headers,
            federated: options.federated.then(Federated::default),
            body_size_limit: options.body_size_limit,
            clock,
            body: Vec::new(),
            plain: Vec::new(),
            series: SeriesCache::new(Limits {
                max_series: options.sample_limit,
                max_line_bytes: MAX_LINE_BYTES,
            }),
            cost: Cost::default(),
            noted: (0, 0),
        })
    }

    /// Reads the files that the options name (passwords, tokens, certificates) and says what is wrong with them.
    ///
    /// # Errors
    /// When one is missing or can't be used.
    pub fn check_files(&mut self) -> Result<(), SourceError> {
        self.client.check_files(&self.url).map_err(|e| from_http(&e))
    }

    /// Asks; says also whether the body was compressed, and so is in `plain` now.
    async fn ask(&mut self) -> Result<(Response, bool), SourceError> {
        let request = Request::get(&self.url).with_headers(&self.headers);
        let answer = self.client.send(request, &mut self.body).await.map_err(|e| from_http(&e))?;
        if answer.status() != 200 {
            return Err(self.bad_status(&answer));
        }
        let is_decoded = decode(&answer, &self.body, &mut self.plain, self.body_size_limit)
            .map_err(|(class, problem)| self.error(class, problem))?;
        Ok((answer, is_decoded))
    }

    /// One row; or none, and no report, where a Prometheus has nothing new.
    async fn scrape(&mut self, batch: &mut Batch) -> Result<Option<ParseReport>, SourceError> {
        let mut scraped_at = self.clock.now();
        let (answer, is_decoded) = match (self.ask().await, &mut self.federated) {
            (Err(error), Some(federated)) => return Err(federated.away(error)),
            (asked, _) => asked?,
        };
        let mut body = if is_decoded { &self.plain } else { &self.body };
        let content_type = answer.content_type().unwrap_or("none");
        if let Some(federated) = &mut self.federated {
            match federated.hear(body, scraped_at) {
                Ok(Some(at)) => (scraped_at, body) = (at, &federated.text),
                Ok(None) => return Ok(None),
                Err((class, problem)) => return Err(self.error(class, problem)),
            }
        }
        let report = self.series.parse(body, format(content_type), scraped_at, batch).map_err(|problem| {
            let message = format!("{problem} (content type: {})", printable(content_type.as_bytes()));
            self.error(ErrorClass::Target, message)
        })?;
        if report.samples == 0 {
            let class = if report.refused > 0 { ErrorClass::Limit } else { ErrorClass::Target };
            return Err(self.error(class, "the answer holds no metrics; expected at least one".to_owned()));
        }
        Ok(Some(report))
    }

    fn error(&self, class: ErrorClass, problem: String) -> SourceError {
        SourceError::new(class, format!("{}: {problem}", self.name))
    }

    fn bad_status(&self, answer: &Response) -> SourceError {
        let status = answer.status();
        let hint = match status.as_u16() {
            401 | 403 => "check this target's user, password or token",
            404 => "is the path right?",
            406 => "the target offers neither OpenMetrics nor text 0.0.4",
            300..=399 => "ask where it redirects to, or allow redirects",
            _ => "look at the target's own log",
        };
        let shown = printable(&self.body);
        self.error(
            ErrorClass::Target,
            format!("it answered {status} with `{shown}`; expected 200 and metrics: {hint}"),
        )
    }

    /// Counts, and logs a problem when it is new or different.
    fn note(&mut self, report: &ParseReport) {
        self.cost.refused_samples += report.refused;
        self.cost.bad_samples += report.bad;
        if self.noted != (report.refused, report.bad) {
            self.noted = (report.refused, report.bad);
            if let Some(problem) = &report.first_problem {
                tracing::warn!(target = %self.name, lines = report.bad, first = %problem, "lines could not be used");
            }
            if report.refused > 0 {
                tracing::warn!(target = %self.name, refused = report.refused, "samples above the series limit");
            }
        }
    }
}

impl Source for ScrapeSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn collect<'a>(&'a mut self, batch: &'a mut Batch) -> LocalFuture<'a, Result<Collected, SourceError>> {
        Box::pin(async move {
            match self.scrape(batch).await {
                Ok(report) => {
                    self.cost.collections += 1;
                    let Some(report) = report else { return Ok(Collected::Nothing) };
                    self.note(&report);
                    Ok(Collected::Rows)
                }
                Err(error) => {
                    self.cost.failures += 1;
                    Err(error)
                }
            }
        })
    }

    fn cost(&self) -> Cost {
        let traffic = self.client.traffic();
        Cost {
            bytes_read: traffic.received,
            bytes_sent: traffic.sent,
            connections: traffic.connections,
            ..self.cost
        }
    }
}

fn from_http(error: &HttpError) -> SourceError {
    let class = if error.is_config() {
        ErrorClass::Config
    } else if error.is_limit() {
        ErrorClass::Limit
    } else {
        ErrorClass::Target
    };
    SourceError::new(class, error.to_string())
}

/// Decompresses if the answer is compressed, and says whether it was.
fn decode(
    answer: &Response,
    body: &[u8],
    plain: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, (ErrorClass, String)> {
    let encoding = answer.content_encoding().unwrap_or("identity").trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(false);
    }
    if !encoding.eq_ignore_ascii_case("gzip") && !encoding.eq_ignore_ascii_case("x-gzip") {
        let found = printable(encoding.as_bytes());
        return Err((
            ErrorClass::Target,
            format!("the body is encoded as `{found}`; expected gzip or nothing"),
        ));
    }
    inflate(body, limit, plain).map(|()| true).map_err(|error| match error {
        InflateError::TooLarge => (
            ErrorClass::Limit,
            format!(
                "the body is larger than the limit of {limit} bytes when decompressed; nothing of it was used"
            ),
        ),
        InflateError::Broken(error) => {
            (ErrorClass::Target, format!("the body says that it is gzip but isn't, or was cut off ({error})"))
        }
    })
}

/// What a content type says. Anything but OpenMetrics is tried as text 0.0.4: exporters that call their metrics
/// `text/html` or nothing at all are common, and the parser finds out soon enough.
fn format(content_type: &str) -> Format {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
        Format::OpenMetrics
    } else {
        Format::Text004
    }
}

/// The start of bytes from outside, safe to show in one line: what is no UTF-8, breaks the line or moves the cursor is
/// replaced.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..SHOWN_BYTES).unwrap_or(bytes));
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_content_type() {
        for (content_type, expected) in [
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("text/plain; version=0.0.4", Format::Text004),
            ("text/html", Format::Text004),
            ("none", Format::Text004),
        ] {
            assert_eq!(format(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn what_a_prometheus_says_of_a_target_is_new_or_heard_before_or_says_whose_fault_it_is() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let up = |value: u8, millis: i64| {
            format!("up{{instance=\"a:1\"}} {value} {}\n", 1_700_000_000_000 + millis)
        };
        let mut federated = Federated::default();
        let mut hear = |answer: &str| {
            let heard = federated.hear(answer.as_bytes(), now);
            heard.map_err(|(class, _)| class)
        };
        assert_eq!(hear(""), Err(ErrorClass::Prometheus), "it may not have been scraped yet");
        assert_eq!(hear(&up(1, -400_000)), Err(ErrorClass::Prometheus), "clocks that don't agree");
        assert_eq!(hear(&up(1, -2_000)), Ok(Some(Timestamp::from_millis(1_699_999_998_000))));
        assert_eq!(hear(&up(1, -2_000)), Ok(None));
        assert_eq!(hear(&up(0, -1_000)), Err(ErrorClass::Target));
        assert_eq!(hear(&up(0, -1_000)), Ok(None), "once for each scrape");
        assert_eq!(hear(""), Err(ErrorClass::Target), "it had just been there");
        let away = federated.away(SourceError::new(ErrorClass::Config, "no password"));
        assert_eq!(away.class, ErrorClass::Prometheus);
        assert_eq!(federated.hear(b"", now).map_err(|(class, _)| class), Err(ErrorClass::Prometheus));
    }

    #[test]
    fn bytes_from_outside_are_made_printable() {
        assert_eq!(printable(b" a\x1b[31m\r\nb\xff\0 "), "a [31m b\u{fffd}");
    }
}
