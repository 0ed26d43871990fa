//! The series cache: from a body to one row under a schema.

use std::time::Duration;

use larnax_core::{Batch, Timestamp};

use super::Format;
use super::family::{Families, Role};
use super::parser::{BadLine, Entry, Parser, Sample};
use super::report::{Limits, ParseError, ParseReport, Problem};
use super::series::Canonical;
use super::table::{BYTES_PER_SERIES, Table};
use super::template::{LEFT_OUT, Template};

/// A sample whose own time is older than this is missing: Prometheus' look-back, after which it shows nothing either.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// How many lines the template has per series of the limit: those of the series and those that are left out.
const STEPS_PER_SERIES: usize = 2;

/// Everything that is remembered of one target between scrapes. Make one per target.
///
/// A series that vanishes keeps its slot, with NaN in the rows. The schema becomes a new one when a series or a kind is
/// new, and when more than a quarter of it has been gone for 5 minutes and 3 scrapes; series that have been gone so long
/// are dropped whenever a new schema is made anyway or the limit refuses others. A known series keeps its kind until a
/// `# TYPE` line says otherwise.
#[derive(Debug)]
pub struct SeriesCache {
    limits: Limits,
    format: Option<Format>,
    table: Table,
    families: Families,
    template: Template,
    canonical: Canonical,
}

impl SeriesCache {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        let per_series = |count: usize| limits.max_series.saturating_mul(count);
        Self {
            limits,
            format: None,
            table: Table::new(limits.max_series),
            families: Families::new(limits.max_series),
            template: Template::new(per_series(BYTES_PER_SERIES), per_series(STEPS_PER_SERIES)),
            canonical: Canonical::default(),
        }
    }

    /// Reads a body: resets `batch` to the schema of the target (the same `Arc` as long as its series are the same) and
    /// pushes exactly one row, stamped `scraped_at`. On an error the content of `batch` is unspecified.
    ///
    /// A line that can't be used is counted and costs no other line. Hot path: allocates nothing as long as the body
    /// has only series, lines and problems that it had before; the text of [`ParseReport::first_problem`] is the one
    /// exception.
    ///
    /// # Errors
    /// When nothing in the body can be used, and for OpenMetrics when it doesn't end with `# EOF`.
    pub fn parse(
        &mut self,
        body: &[u8],
        format: Format,
        scraped_at: Timestamp,
        batch: &mut Batch,
    ) -> Result<ParseReport, ParseError> {
        if self.format.replace(format) != Some(format) {
            self.template.clear();
        }
        self.table.begin();
        self.template.begin();
        let mut scrape = Scrape {
            cache: self,
            body,
            stale_before: scraped_at.minus(STALE_AFTER),
            report: ParseReport::default(),
            left_out: 0,
            retyped: false,
            ended: false,
        };
        scrape.walk(Parser::new(body, format).max_line_bytes(scrape.cache.limits.max_line_bytes))?;
        let report = scrape.finish(format)?;

        if let Some(new_slots) = self.table.settle(scraped_at, report.refused > 0) {
            self.template.renumber(&new_slots);
        }
        if self.template.is_outdated() {
            self.table.forget_steps();
            self.template.learn(body, |slot, step| self.table.set_step(slot, step));
        }
        batch.reset(&self.table.schema()?);
        self.table.fill(batch.push_row(scraped_at));
        Ok(report)
    }
}

/// One body on its way through the cache.
struct Scrape<'c, 'b> {
    cache: &'c mut SeriesCache,
    body: &'b [u8],
    stale_before: Timestamp,
    report: ParseReport,
    left_out: u64,
    /// A type has changed, so that kinds of known series must be looked at.
    retyped: bool,
    ended: bool,
}

impl<'b> Scrape<'_, 'b> {
    fn walk(&mut self, mut parser: Parser<'b>) -> Result<(), ParseError> {
        loop {
            if let Some(step) = self.cache.template.predict(parser.rest())
                && let Some(sample) = parser.recognised(step.length, step.head)
            {
                self.cache.template.advance();
                self.keep(&parser, step.slot, sample);
                continue;
            }
            match parser.next() {
                None => return Ok(()),
                Some(Ok(Entry::Series { series, sample })) => self.look_up(&parser, series, sample),
                Some(Ok(Entry::Type { family, declared })) => {
                    if self.cache.families.declare(family, declared) {
                        self.retyped = true;
                        self.cache.template.stop_predicting();
                    }
                }
                Some(Ok(Entry::Eof)) => {
                    self.ended = true;
                    self.cache.template.stop_predicting();
                }
                Some(Ok(Entry::Help { .. } | Entry::Unit { .. } | Entry::Comment(_))) => {}
                Some(Err(bad)) if self.ended => {
                    return Err(ParseError::BehindEnd(Problem::new(self.body, bad)));
                }
                Some(Err(bad)) => self.bad(&parser, bad),
            }
        }
    }

    /// Takes a sample of a series that the template didn't foresee.
    fn look_up(&mut self, parser: &Parser<'b>, series: &'b [u8], sample: Sample<'b>) {
        let cache = &mut *self.cache;
        let mut slot = cache.table.find(series);
        if slot.is_none() || self.retyped {
            if let Err(expected) = cache.canonical.read(series) {
                return self.unusable(parser, expected);
            }
            let role = cache.families.role(cache.canonical.metric_name());
            match (slot, role) {
                (Some(slot), Role::Metric(kind)) => cache.table.set_kind(slot, kind),
                (Some(_), Role::Created) => {}
                (None, role) => slot = cache.table.admit(series, &cache.canonical, role),
            }
        }
        let Some(slot) = slot else {
            self.report.refused += 1;
            return cache.template.cut(parser.at());
        };
        cache.template.resume_behind(cache.table.step(slot));
        self.keep(parser, slot, sample);
    }

    /// Keeps the value of a sample, unless its series has one.
    #[inline]
    fn keep(&mut self, parser: &Parser<'b>, slot: u32, sample: Sample<'b>) {
        if slot == LEFT_OUT {
            self.left_out += 1;
        } else {
            let stale = sample.time.is_some_and(|time| time < self.stale_before);
            if !self.cache.table.store(slot, if stale { f64::NAN } else { sample.value }) {
                return self.unusable(parser, "each series once");
            }
            self.report.samples += 1;
        }
        self.cache.template.note(parser.sample_start(), parser.at(), slot);
    }

    /// Counts the line of the last sample as bad.
    #[cold]
    fn unusable(&mut self, parser: &Parser<'b>, expected: &'static str) {
        let offset = parser.sample_start().0;
        let line = self.body.get(offset..parser.at()).unwrap_or_default().trim_ascii_end();
        self.bad(parser, BadLine { offset, line, expected });
    }

    #[cold]
    fn bad(&mut self, parser: &Parser<'b>, bad: BadLine<'b>) {
        self.report.bad += 1;
        if self.report.first_problem.is_none() {
            self.report.first_problem = Some(Problem::new(self.body, bad));
        }
        self.cache.template.cut(parser.at());
    }

    /// Judges the body as a whole.
    fn finish(self, format: Format) -> Result<ParseReport, ParseError> {
        let mut report = self.report;
        if report.samples + report.refused + self.left_out == 0
            && let Some(problem) = report.first_problem.take()
        {
            return Err(ParseError::NoMetrics(problem));
        }
        if format == Format::OpenMetrics && !self.ended {
            let lines = memchr::memchr_iter(b'\n', self.body).count() as u64;
            return Err(ParseError::CutOff { lines });
        }
        Ok(report)
    }
}
