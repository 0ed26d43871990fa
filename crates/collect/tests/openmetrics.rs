//! The parser of scraped bodies as its users see it: bodies in, rows and reports out.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use larnax_collect::openmetrics::{
    Entry, Exemplar, FamilyType, Format, Limits, ParseError, ParseReport, Parser, SeriesCache,
};
use larnax_core::{Batch, MetricKind, Schema, Timestamp};

const LIMITS: Limits = Limits { max_series: 1000, max_line_bytes: 10_000 };
const NODE_EXPORTER: &str = include_str!("corpus/openmetrics/node_exporter.prom");
const SERVICE: &str = include_str!("corpus/openmetrics/service.om");

/// A target with its cache and its clock.
struct Target {
    cache: SeriesCache,
    batch: Batch,
    now: Timestamp,
    format: Format,
}

impl Target {
    fn new(limits: Limits, format: Format) -> Self {
        let batch = Batch::new(Schema::new(Vec::new()).unwrap());
        Self {
            cache: SeriesCache::new(limits),
            batch,
            now: Timestamp::from_millis(1_763_750_000_000),
            format,
        }
    }

    fn text() -> Self {
        Self::new(LIMITS, Format::Text004)
    }

    fn openmetrics() -> Self {
        Self::new(LIMITS, Format::OpenMetrics)
    }

    fn try_scrape(&mut self, body: impl AsRef<[u8]>) -> Result<ParseReport, ParseError> {
        self.now = self.now.plus(Duration::from_secs(15));
        self.cache.parse(body.as_ref(), self.format, self.now, &mut self.batch)
    }

    fn scrape(&mut self, body: impl AsRef<[u8]>) -> ParseReport {
        let report = self.try_scrape(body).unwrap();
        let times: Vec<Timestamp> = self.batch.rows().map(|row| row.time).collect();
        assert_eq!(times, [self.now], "exactly one row, stamped with the time of the scrape");
        report
    }

    fn names(&self) -> Vec<&str> {
        self.batch.schema().metrics().iter().map(|metric| metric.name.as_str()).collect()
    }

    fn value(&self, name: &str) -> f64 {
        let position =
            self.batch.schema().position(name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.names()));
        self.batch.rows().next().unwrap().values[position]
    }

    fn kind(&self, name: &str) -> MetricKind {
        self.batch.schema().metrics()[self.batch.schema().position(name).unwrap()].kind
    }
}

#[test]
fn a_node_exporter_body_is_read_whole() {
    let mut target = Target::text();
    let report = target.scrape(NODE_EXPORTER);
    assert_eq!(report, ParseReport { samples: 448, ..Default::default() });
    assert_eq!(target.batch.schema().len(), 448);
    assert_eq!(target.value("node_load1"), 0.52);
    assert_eq!(target.value("process_virtual_memory_max_bytes"), 18_446_744_073_709_552_000.0);
    assert_eq!(target.value("node_timex_offset_seconds"), -6.4523e-05);
    assert_eq!(target.value(r#"promhttp_metric_handler_requests_total{code="200"}"#), 4521.0);
    assert_eq!(target.kind(r#"node_cpu_seconds_total{cpu="0",mode="idle"}"#), MetricKind::Counter);
    assert_eq!(target.kind("node_load1"), MetricKind::Gauge);
    assert_eq!(target.kind("go_gc_duration_seconds_count"), MetricKind::Counter);
}

#[test]
fn a_service_in_openmetrics_is_read_whole() {
    let mut target = Target::openmetrics();
    let report = target.scrape(SERVICE);
    assert_eq!((report.bad, report.refused, report.first_problem), (0, 0, None));
    assert_eq!(target.value(r#"http_requests_total{code="200",path="/a\"b{c},d#e"}"#), 1027.0);
    assert_eq!(target.value(r#"latency_seconds_bucket{le="0.1"}"#), 8.0);
    assert_eq!(target.value(r#"latency_seconds_bucket{le="+Inf"}"#), 17.0);
    assert_eq!(target.value("queue.length{my.label=\"größe\"}"), 4.0);
    assert!(target.names().iter().all(|name| !name.contains("_created")), "{:?}", target.names());
    for (name, kind) in [
        ("latency_seconds_count", MetricKind::Counter),
        ("latency_seconds_sum", MetricKind::Counter),
        (r#"rpc_seconds{quantile="0.99"}"#, MetricKind::Gauge),
        ("rpc_seconds_sum", MetricKind::Counter),
        (r#"build_info{version="1.2"}"#, MetricKind::Gauge),
        (r#"mode{mode="idle"}"#, MetricKind::Gauge),
    ] {
        assert_eq!(target.kind(name), kind, "{name}");
    }
}

#[test]
fn the_schema_stays_the_same_while_the_series_do() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\n");
    let schema = target.batch.schema().clone();
    target.scrape("a 3\nb 4\n");
    assert!(std::sync::Arc::ptr_eq(&schema, target.batch.schema()));
    assert_eq!((target.value("a"), target.value("b")), (3.0, 4.0));
    target.scrape("# a comment\nb 5\n\na 6\n");
    assert!(std::sync::Arc::ptr_eq(&schema, target.batch.schema()));
    assert_eq!((target.value("a"), target.value("b")), (6.0, 5.0));
}

#[test]
fn a_new_series_makes_a_new_schema_that_keeps_the_old_places() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\n");
    target.scrape("a 1\nnew 9\nb 2\n");
    assert_eq!(target.names(), ["a", "b", "new"]);
    assert_eq!(target.value("new"), 9.0);
}

#[test]
fn a_series_that_vanishes_is_missing_and_comes_back_in_its_place() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\nc 3\n");
    let schema = target.batch.schema().clone();
    target.scrape("a 1\nc 3\n");
    assert!(target.value("b").is_nan() && target.value("c") == 3.0);
    target.scrape("a 1\nb 7\nc 3\n");
    assert_eq!(target.value("b"), 7.0);
    assert!(std::sync::Arc::ptr_eq(&schema, target.batch.schema()));
}

#[test]
fn the_schema_is_rebuilt_when_over_a_quarter_has_been_gone_for_long() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\nc 3\nd 4\n");
    for _ in 0..100 {
        target.scrape("a 1\nb 2\nc 3\n");
    }
    assert_eq!(target.names(), ["a", "b", "c", "d"], "a quarter gone is bearable");
    target.scrape("a 1\nb 2\n");
    assert!(target.value("c").is_nan());
    for _ in 0..21 {
        target.scrape("a 1\nb 2\n");
    }
    assert_eq!(target.names(), ["a", "b"]);
    assert_eq!((target.value("a"), target.value("b")), (1.0, 2.0));
    target.scrape("a 5\nb 6\nd 7\n");
    assert_eq!((target.value("a"), target.value("b"), target.value("d")), (5.0, 6.0, 7.0));
}

#[test]
fn one_scrape_that_lacks_series_drops_nothing_however_long_the_interval() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\n");
    target.scrape("a 1\n");
    target.now = target.now.plus(Duration::from_secs(3600));
    target.scrape("a 1\n");
    assert_eq!(target.names(), ["a", "b"]);
}

#[test]
fn churn_is_bounded_and_gone_series_make_room_for_new_ones() {
    let mut target = Target::new(Limits { max_series: 100, ..LIMITS }, Format::Text004);
    let mut refused = 0;
    for scrape in 0..2000 {
        let body: String = (0..10).map(|i| format!("job{{run=\"{}\"}} 1\n", scrape / 20 * 10 + i)).collect();
        let report = target.scrape(format!("steady 5\n{body}"));
        assert_eq!(report.samples + report.refused, 11);
        assert_eq!(target.value("steady"), 5.0);
        assert!(target.batch.schema().len() <= 100);
        refused += report.refused;
    }
    assert_eq!(refused, 0, "ten generations fit where each is gone after 5 minutes");
    let report = target.scrape((0..200).map(|i| format!("flood{{i=\"{i}\"}} 1\n")).collect::<String>());
    assert!(report.refused > 100, "{report:?}");
    for _ in 0..22 {
        target.scrape("flood{i=\"199\"} 7\n");
    }
    assert_eq!(target.value("flood{i=\"199\"}"), 7.0, "refused at first, taken when others were gone");
}

#[test]
fn a_million_series_are_counted_and_only_the_allowed_ones_kept() {
    let mut target = Target::text();
    let body: String = (0..1_000_000).map(|i| format!("s{{i=\"{i}\"}} {i}\n")).collect();
    let report = target.scrape(&body);
    assert_eq!((report.samples, report.refused, report.bad), (1000, 999_000, 0));
    assert_eq!(target.batch.schema().len(), 1000);
    assert_eq!(target.value("s{i=\"999\"}"), 999.0);
}

#[test]
fn series_with_huge_names_are_refused_by_their_bytes() {
    let mut target = Target::new(Limits { max_series: 10, max_line_bytes: 10_000 }, Format::Text004);
    let body: String = (0..10).map(|i| format!("s{{i=\"{i}{}\"}} 1\n", "x".repeat(5000))).collect();
    let report = target.scrape(&body);
    assert_eq!((report.samples, report.refused), (2, 8), "10 series may have 10 KiB of names");
}

#[test]
fn two_spellings_of_a_series_are_one_metric_and_the_second_is_a_duplicate() {
    let mut target = Target::text();
    for _ in 0..3 {
        let report = target.scrape("a{x=\"1\",y=\"2\"} 1\na{y=\"2\", x=\"1\"} 2\nb 3\nb 4\n");
        assert_eq!((report.samples, report.bad), (2, 2));
        let problem = report.first_problem.unwrap();
        assert_eq!(problem.to_string(), "line 2 is `a{y=\"2\", x=\"1\"} 2`: expected each series once");
        assert_eq!(target.names(), ["a{x=\"1\",y=\"2\"}", "b"]);
        assert_eq!((target.value("a{x=\"1\",y=\"2\"}"), target.value("b")), (1.0, 3.0));
    }
    assert_eq!(target.scrape("a{y=\"2\", x=\"1\"} 9\n").samples, 1);
    assert_eq!(target.value("a{x=\"1\",y=\"2\"}"), 9.0);
}

#[test]
fn a_target_that_spells_its_series_differently_each_time_stays_known() {
    let mut target = Target::new(Limits { max_series: 3, ..LIMITS }, Format::Text004);
    for blanks in 1..100 {
        let report = target.scrape(format!("a{{{}}} {blanks}\nb 2\n", " ".repeat(blanks)));
        assert_eq!((report.samples, report.refused, report.bad), (2, 0, 0));
        assert_eq!((target.value("a"), target.value("b")), (blanks as f64, 2.0));
    }
}

#[test]
fn a_bad_line_costs_no_other_line() {
    let mut target = Target::text();
    for _ in 0..3 {
        let report = target
            .scrape("good 1\nbad\nworse{ 2\nx{a=\"\u{1}\"} 3 4 5\nalso_good 2\n# TYPE a nonsense\n9 9\n");
        assert_eq!((report.samples, report.bad), (2, 5));
        assert_eq!(report.first_problem.unwrap().to_string(), "line 2 is `bad`: expected a number as value");
        assert_eq!((target.value("good"), target.value("also_good")), (1.0, 2.0));
    }
}

#[test]
fn a_known_series_with_a_bad_value_is_missing_in_that_row_alone() {
    let mut target = Target::text();
    target.scrape("a 1\nb 2\nc 3\n");
    for bad in ["0x10", "1_000", "abc", "", "1 2 3", "5 # {} 1"] {
        let report = target.scrape(format!("a 4\nb {bad}\nc 6\n"));
        assert_eq!((report.samples, report.bad), (2, 1), "{bad}");
        assert!(target.value("b").is_nan(), "{bad}");
        assert_eq!((target.value("a"), target.value("c")), (4.0, 6.0), "{bad}");
    }
}

#[test]
fn a_known_series_with_other_text_before_its_value_is_read_anew() {
    let mut target = Target::text();
    target.scrape("a 1\nb{x=\"1\"}2\n");
    let report = target.scrape("a  3\nb{x=\"1\"} 4\n");
    assert_eq!((report.samples, report.bad), (2, 0), "one more blank (found by fuzzing)");
    let report = target.scrape("a {x=\"1\"} 5\nb{x=\"1\"} 6\n");
    assert_eq!((report.samples, report.bad), (2, 0), "labels where the value was");
    assert!(target.value("a").is_nan());
    assert_eq!((target.value("a{x=\"1\"}"), target.value("b{x=\"1\"}")), (5.0, 6.0));
}

#[test]
fn a_name_ends_at_a_blank_and_not_at_a_sign() {
    let mut target = Target::text();
    assert_eq!(target.scrape("a-1\nb+1\nc 1\n").bad, 2, "found by fuzzing: `a01` is another name than `a`");
    assert_eq!(target.scrape("a01 2\nc 1\n").samples, 2);
    assert_eq!(target.names(), ["c", "a01"]);
}

#[test]
fn a_body_that_is_no_metrics_shows_its_first_line() {
    let error = Target::text().try_scrape("<!DOCTYPE html>\n<html>\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body holds no metrics: line 1 is `<!DOCTYPE html>`: expected a metric name, or `#` and a comment; \
         is this the right path?"
    );
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    match Target::text().try_scrape(binary).unwrap_err() {
        ParseError::NoMetrics(problem) => {
            assert!(
                problem.found.chars().count() <= 80 && !problem.found.contains(char::is_control),
                "{problem:?}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_body_is_a_row_of_missing_values() {
    let mut target = Target::text();
    assert_eq!(target.scrape(""), ParseReport::default());
    target.scrape("a 1\n");
    assert_eq!(target.scrape("").samples, 0);
    assert!(target.value("a").is_nan());
}

#[test]
fn blanks_tabs_crlf_and_a_missing_last_line_break_are_tolerated() {
    let mut target = Target::text();
    for _ in 0..2 {
        let report = target.scrape(
            "# HELP a x\r\n#\tTYPE \t a  counter \r\n\r\n \ta\t{ x = \"1\" }\t 1 \r\n  b   2  \r\nc 3",
        );
        assert_eq!((report.samples, report.bad), (3, 0), "{:?}", report.first_problem);
        assert_eq!((target.value("a{x=\"1\"}"), target.value("b"), target.value("c")), (1.0, 2.0, 3.0));
        assert_eq!(target.kind("a{x=\"1\"}"), MetricKind::Counter);
    }
}

#[test]
fn special_values_are_read_and_not_a_number_is_missing() {
    let mut target = Target::text();
    for _ in 0..2 {
        assert_eq!(target.scrape("a NaN\nb +Inf\nc -inf\nd nan\ne -0\n").samples, 5);
        assert!(target.value("a").is_nan() && target.value("d").is_nan());
        assert_eq!((target.value("b"), target.value("c")), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(target.value("e").is_sign_negative());
    }
}

#[test]
fn a_sample_with_its_own_time_counts_unless_it_is_stale() {
    let mut target = Target::text();
    for _ in 0..2 {
        let now = target.now.plus(Duration::from_secs(15)).millis();
        let (fresh, old) = (now - 299_000, now - 301_000);
        assert_eq!(
            target.scrape(format!("a 1 {fresh}\nb 2 {old}\nc 3 {}\nd 4 -1\n", now + 10_000)).samples,
            4
        );
        assert_eq!((target.value("a"), target.value("c")), (1.0, 3.0));
        assert!(target.value("b").is_nan() && target.value("d").is_nan());
    }
    assert_eq!(target.scrape("a 1 1.5\nb 1\n").bad, 1, "text 0.0.4 has whole milliseconds");
    let mut target = Target::openmetrics();
    let seconds = target.now.plus(Duration::from_secs(15)).seconds();
    assert_eq!(
        target.scrape(format!("a 1 {}\nb 2 {}\n# EOF\n", seconds - 299.5, seconds - 301.5)).samples,
        2
    );
    assert!(target.value("a") == 1.0 && target.value("b").is_nan());
    assert_eq!(target.scrape("a 1 NaN\nb 1\n# EOF\n").bad, 1);
}

#[test]
fn openmetrics_without_its_end_was_cut_off() {
    let mut target = Target::openmetrics();
    let whole = "# TYPE a counter\na_total 1\nb 2\n# EOF\n";
    target.scrape(whole);
    for cut in 1..whole.len() - 1 {
        let error = target.try_scrape(&whole[..cut]).unwrap_err();
        assert!(matches!(error, ParseError::CutOff { .. } | ParseError::NoMetrics(_)), "{cut}: {error}");
    }
    assert!(target.try_scrape("a 1\n").unwrap_err().to_string().contains("expected `# EOF` at its end"));
    target.scrape(&whole[..whole.len() - 1]);
    assert_eq!(target.value("b"), 2.0);
    Target::text().scrape("a 1\n# EOF\nb 2\n");
}

#[test]
fn openmetrics_with_something_behind_its_end_is_an_error() {
    let mut target = Target::openmetrics();
    let error = target.try_scrape("a 1\n# EOF\nb 2\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body goes on behind its end: line 3 is `b 2`: expected nothing behind `# EOF`"
    );
    target.scrape("a 1\n# EOF\n\n");
}

#[test]
fn a_scrape_that_failed_leaves_no_trace_in_the_next_one() {
    let mut target = Target::openmetrics();
    target.scrape("a 1\nb 2\n# EOF\n");
    target.try_scrape("a 1\nnew 3\n").unwrap_err();
    assert_eq!(target.scrape("a 4\nb 5\n# EOF\n").samples, 2);
    assert!(target.value("new").is_nan(), "it is known, and has no value now");
    assert_eq!((target.value("a"), target.value("b")), (4.0, 5.0));
}

#[test]
fn a_target_may_change_its_format() {
    let mut target = Target::text();
    target.scrape("# TYPE a_total counter\na_total 1\n# EOF\nb 2\n");
    target.format = Format::OpenMetrics;
    target.scrape("# TYPE a counter\na_total 3\nb 4\n# EOF\n");
    assert_eq!((target.value("a_total"), target.value("b")), (3.0, 4.0));
    assert!(matches!(
        target.try_scrape("# TYPE a_total counter\na_total 1\n# EOF\nb 2\n"),
        Err(ParseError::BehindEnd(_))
    ));
}

#[test]
fn exemplars_are_skipped_and_bad_ones_counted() {
    let mut target = Target::openmetrics();
    for value in [1.0, 2.0] {
        let report = target.scrape(format!(
            "a {value} # {{trace=\"}} # {{\"}} 0.5\nb {value} 1763750000 # {{}} 1e3 1763750000.5\nc {value} # {{x=\"1\"}}\nd {value} # 5\n# EOF\n"
        ));
        assert_eq!((report.samples, report.bad), (2, 2));
        assert_eq!((target.value("a"), target.value("b")), (value, value));
    }
}

#[test]
fn a_kind_that_changes_makes_a_new_schema_for_the_whole_family() {
    let mut target = Target::text();
    let body = |kind: &str| format!("# TYPE a {kind}\na{{x=\"1\"}} 1\na{{x=\"2\"}} 2\nb 3\n");
    target.scrape(body("gauge"));
    target.scrape(body("gauge"));
    target.scrape(body("counter"));
    assert_eq!(target.kind("a{x=\"1\"}"), MetricKind::Counter);
    assert_eq!(target.kind("a{x=\"2\"}"), MetricKind::Counter);
    assert_eq!(target.kind("b"), MetricKind::Gauge);
    target.scrape("a{x=\"1\"} 1\na{x=\"2\"} 2\nb 3\n");
    assert_eq!(target.kind("a{x=\"1\"}"), MetricKind::Counter, "known until a type says otherwise");
}

#[test]
fn invalid_utf8_in_a_label_is_a_bad_line_and_in_a_comment_nothing() {
    let mut target = Target::text();
    for _ in 0..2 {
        let report = target.scrape(b"# HELP a \xff\xfe\na 1\nb{x=\"\xff\"} 2\n{\"\xff\"} 3\nc 4\n");
        assert_eq!((report.samples, report.bad), (2, 2));
        assert_eq!(report.first_problem.unwrap().expected, "UTF-8 in names and labels");
        assert_eq!((target.value("a"), target.value("c")), (1.0, 4.0));
    }
}

#[test]
fn a_line_over_the_limit_is_bad_whether_it_is_known_or_not() {
    let mut target = Target::new(Limits { max_line_bytes: 30, ..LIMITS }, Format::Text004);
    let long_comment = format!("# {}", "x".repeat(10_000_000));
    for value in ["1", "000000000000000000000000000001"] {
        let report =
            target.scrape(format!("a 1\n{long_comment}\nb {value}\nc{{x=\"{}\"}} 1\nd 2\n", "x".repeat(30)));
        let bad = if value == "1" { 2 } else { 3 };
        assert_eq!((report.samples, report.bad), (5 - bad, bad));
        assert!(report.first_problem.unwrap().to_string().starts_with("line 2 is `# xxx"));
        assert_eq!((target.value("a"), target.value("d")), (1.0, 2.0));
    }
}

#[test]
fn a_known_line_that_grows_to_the_limit_and_over_it_is_bad_only_over_it() {
    let mut target = Target::new(Limits { max_line_bytes: 5, ..LIMITS }, Format::Text004);
    target.scrape("a 1\nb 1\n");
    assert_eq!(target.scrape("a 123\nb 1\n").bad, 0);
    assert_eq!(target.scrape("a 1234\nb 1\n").bad, 1);
}

#[test]
fn the_pull_parser_yields_every_entry_as_it_stands() {
    let body = "# HELP a Some \\\\ text\n# TYPE a counter\n# UNIT a seconds\n#comment\n\
                a_total{x=\"\\\"\"} 1.5 10 # {t=\"1\"} 2 3\nno metric\n# TYPE \"my name\" gauge\n{\"my name\"} 2\n# EOF\n";
    let entries: Vec<_> = Parser::new(body.as_bytes(), Format::OpenMetrics).collect();
    assert_eq!(entries.len(), 9);
    assert_eq!(entries[0], Ok(Entry::Help { family: b"a", text: b"Some \\\\ text" }));
    assert_eq!(entries[1], Ok(Entry::Type { family: b"a", declared: FamilyType::Counter }));
    assert_eq!(entries[2], Ok(Entry::Unit { family: b"a", unit: b"seconds" }));
    assert_eq!(entries[3], Ok(Entry::Comment(b"#comment")));
    let Ok(Entry::Series { series, sample }) = entries[4] else { panic!("{:?}", entries[4]) };
    assert_eq!(series, b"a_total{x=\"\\\"\"}");
    assert_eq!((sample.value, sample.time), (1.5, Some(Timestamp::from_seconds(10.0))));
    let exemplar = Exemplar { labels: b"{t=\"1\"}", value: 2.0, time: Some(Timestamp::from_seconds(3.0)) };
    assert_eq!(sample.exemplar, Some(exemplar));
    let bad = entries[5].unwrap_err();
    assert_eq!((bad.line, bad.expected), (&b"no metric"[..], "a number as value"));
    assert_eq!(&body.as_bytes()[bad.offset..][..9], b"no metric");
    assert_eq!(entries[6], Ok(Entry::Type { family: b"\"my name\"", declared: FamilyType::Gauge }));
    assert!(matches!(entries[7], Ok(Entry::Series { series: b"{\"my name\"}", .. })));
    assert_eq!(entries[8], Ok(Entry::Eof));
}

#[test]
fn a_warm_scrape_allocates_nothing() {
    let other_values = NODE_EXPORTER.replace(" 4521", " 4529").replace("e+06", "e+05");
    let shuffled: String = NODE_EXPORTER.lines().rev().map(|line| format!("{line}\n")).collect();
    let lacking: String =
        NODE_EXPORTER.lines().filter(|line| !line.contains("eth0")).map(|l| format!("{l}\n")).collect();
    let timed: String = NODE_EXPORTER
        .lines()
        .map(
            |line| {
                if line.starts_with('#') { format!("{line}\n") } else { format!("{line} 1763750000000\n") }
            },
        )
        .collect();
    let mut target = Target::text();
    let bodies = [NODE_EXPORTER, &other_values, &shuffled, &lacking, &timed];
    for body in bodies.iter().cycle().take(10) {
        target.scrape(body);
    }
    let mut service = Target::openmetrics();
    service.scrape(SERVICE);
    for body in bodies {
        let (now, batch) = (target.now, &mut target.batch);
        let mut report = ParseReport::default();
        let counted = allocation_counter::measure(|| {
            report = target.cache.parse(body.as_bytes(), Format::Text004, now, batch).unwrap();
        });
        assert_eq!((counted.count_total, report.bad), (0, 0));
    }
    let counted = allocation_counter::measure(|| {
        service
            .cache
            .parse(SERVICE.as_bytes(), Format::OpenMetrics, service.now, &mut service.batch)
            .unwrap();
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_memory_of_a_hostile_target_is_bounded_by_the_limit_on_series() {
    let limits = Limits { max_series: 100, max_line_bytes: 10_000 };
    let floods: [fn(usize) -> String; 4] = [
        |i| format!("s{{i=\"{i}\"}} 1\n"),
        |i| format!("# TYPE f{i} counter\nf{i}_created 1\n"),
        |i| format!("a{{{}}} 1\n", " ".repeat(i % 500)),
        |i| format!("# HELP a {}\nb{{i=\"{i}\"}} 1\n", "x".repeat(500)),
    ];
    for flood in floods {
        let mut target = Target::new(limits, Format::Text004);
        let body: String = (0..10_000).map(flood).collect();
        let counted = allocation_counter::measure(|| {
            for _ in 0..3 {
                target.cache.parse(body.as_bytes(), Format::Text004, target.now, &mut target.batch).unwrap();
            }
        });
        assert!(counted.bytes_max < 1_000_000, "{} bytes for {:.60}", counted.bytes_max, body);
    }
}

#[test]
fn a_bad_line_that_is_always_there_allocates_only_its_report() {
    let mut target = Target::text();
    let body = "a 1\nbad line\nb{x=\"1\"} 2\nb{x=\"1\"} 2\n";
    target.scrape(body);
    let counted = allocation_counter::measure(|| {
        target.cache.parse(body.as_bytes(), Format::Text004, target.now, &mut target.batch).unwrap();
    });
    assert!(counted.count_total <= 4, "{counted:?}");
}

/// The bodies of a corpus that once were trouble, or could be.
#[test]
fn every_body_of_the_corpus_reads_the_same_warm_and_cold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/openmetrics");
    let mut bodies: BTreeMap<std::path::PathBuf, Vec<u8>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bodies.insert(path.clone(), std::fs::read(path).unwrap());
    }
    assert!(bodies.len() >= 10);
    for (path, body) in &bodies {
        for format in [Format::Text004, Format::OpenMetrics] {
            let cold = Target::new(LIMITS, format).try_scrape(body);
            let mut target = Target::new(LIMITS, format);
            let _ = target.try_scrape(body);
            assert_eq!(target.try_scrape(body), cold, "{}", path.display());
        }
    }
}
