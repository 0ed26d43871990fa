//! The scraper.

use std::rc::Rc;

use larnax_core::{Batch, Clock};
use larnax_http::{
    Client, ClientOptions, HeaderName, HeaderValue, HttpError, Request, Response, Url, header,
};

use super::ScrapeOptions;
use super::gzip::{InflateError, inflate};
use crate::openmetrics::{Format, Limits, ParseReport, SeriesCache};
use crate::{Collected, Cost, ErrorClass, LocalFuture, Source, SourceError};

/// What is asked for: OpenMetrics first, as Prometheus asks.
const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
);

/// The longest line of a body. The longest in common use, those of cAdvisor, have about 2 kB.
const MAX_LINE_BYTES: usize = 64 << 10;

/// How much of what a target says is shown in an error.
const SHOWN_BYTES: usize = 200;

/// A target whose metrics are asked for over HTTP. Each collection is one request and gives one row, stamped with the
/// time at which it began.
pub struct ScrapeSource {
    name: String,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body_size_limit: usize,
    clock: Rc<dyn Clock>,
    client: Client,
    body: Vec<u8>,
    plain: Vec<u8>,
    series: SeriesCache,
    cost: Cost,
    /// Refused and bad samples of the last scrape, so that a lasting problem is logged once.
    noted: (u64, u64),
}

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

    async fn scrape(&mut self, batch: &mut Batch) -> Result<ParseReport, SourceError> {
        let scraped_at = self.clock.now();
        let request = Request::get(&self.url).with_headers(&self.headers);
        let answer = self.client.send(request, &mut self.body).await.map_err(|e| from_http(&e))?;
        if answer.status() != 200 {
            return Err(self.bad_status(&answer));
        }
        let body = if decode(&answer, &self.body, &mut self.plain, self.body_size_limit)
            .map_err(|(class, problem)| self.error(class, problem))?
        {
            &self.plain
        } else {
            &self.body
        };
        let content_type = answer.content_type().unwrap_or("none");
        let report = self.series.parse(body, format(content_type), scraped_at, batch).map_err(|problem| {
            let message = format!("{problem} (content type: {})", printable(content_type.as_bytes()));
            self.error(ErrorClass::Target, message)
        })?;
        if report.samples == 0 {
            let class = if report.refused > 0 { ErrorClass::Limit } else { ErrorClass::Target };
            return Err(self.error(class, "the answer holds no metrics; expected at least one".to_owned()));
        }
        Ok(report)
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
    fn bytes_from_outside_are_made_printable() {
        assert_eq!(printable(b" a\x1b[31m\r\nb\xff\0 "), "a [31m b\u{fffd}");
    }
}
