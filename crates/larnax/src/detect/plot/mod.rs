//! A picture of what was found, as SVG: the metrics that matter most with their bands, anomalies, and the score.
//!
//! - `recording` keeps the smallest and largest value for each pixel, however many rows there are.
//! - `axis` finds round times to write below; round numbers, colours and text come from `larnax_svg`.
//! - `panel` draws one series into its rectangle.

mod axis;
mod panel;
mod recording;

use std::fmt::Write as _;

use larnax_core::{Anomaly, Schema, Timestamp};
use larnax_svg::{begin, escaped};

use axis::time_ticks;
use panel::{Frame, Panel};
pub(crate) use recording::Recording;

/// Width of the picture, its margins, and what is drawn in, in pixels.
pub(super) const WIDTH: f64 = 1200.0;
pub(super) const LEFT: f64 = 72.0;
pub(super) const INNER: f64 = WIDTH - LEFT - 20.0;
/// Head, and room above a panel for its name.
const HEAD: f64 = 62.0;
const NAME: f64 = 26.0;
/// Height of all metrics' panels together, and of a single one: few metrics have more room each.
const PANELS: f64 = 560.0;
const PANEL: std::ops::RangeInclusive<f64> = 92.0..=220.0;
/// Height of the score's panel, and of the axis below it.
const SCORE: f64 = 110.0;
const FOOT: f64 = 40.0;
/// How many metrics are drawn: more make no picture but a wallpaper.
const METRICS: usize = 6;
/// An anomaly is drawn at least so wide, in pixels, to be seen at all.
const NARROWEST: f64 = 2.0;
/// Anomalies beyond so many have no text of their own, to keep the file small.
const TITLED: usize = 500;

/// What marks anomalies, bands and labels.
const STYLE: &str = "\
svg{--band:#0a5ad6;--alert:#cf222e;--noted:#bf8700;--known:#1a7f37}\
@media (prefers-color-scheme:dark){svg{--band:#6cb2ff;--alert:#ff7b72;--noted:#d8a625;--known:#56d364}}\
.band{fill:var(--band);opacity:.17}.limit{stroke:var(--alert);stroke-width:1.2;stroke-dasharray:5 4;fill:none}\
.alert{fill:var(--alert);opacity:.2}.noted{fill:var(--noted);opacity:.22}.known{fill:var(--known)}";

/// What is drawn.
pub(crate) struct Picture<'a> {
    pub(crate) title: &'a str,
    pub(crate) detector: &'a str,
    pub(crate) schema: &'a Schema,
    pub(crate) recording: &'a Recording,
    pub(crate) anomalies: &'a [Anomaly],
    /// What is known to be anomalous.
    pub(crate) labelled: &'a [(Timestamp, Timestamp)],
    /// Whether times are those of a calendar, or only steps.
    pub(crate) has_time: bool,
}

impl Picture<'_> {
    /// The picture as a file.
    pub(crate) fn draw(&self) -> String {
        let metrics = self.metrics();
        let count = metrics.len() as f64;
        let panel = (PANELS / count.max(1.0)).clamp(*PANEL.start(), *PANEL.end()).round();
        let height = HEAD + count * (NAME + panel) + NAME + SCORE + FOOT;
        let mut svg = begin(WIDTH, height, self.title, STYLE);
        self.head(&mut svg);
        let mut top = HEAD;
        for metric in metrics {
            top += NAME;
            let name = self.schema.name(metric).as_str();
            let frame = Frame { top, height: panel };
            self.frame(&mut svg, frame, name);
            if let Some(series) = Panel::of_metric(frame, self.recording, metric) {
                series.ticks(&mut svg);
                series.metric(&mut svg, self.recording, metric);
            }
            top += panel;
        }
        top += NAME;
        let frame = Frame { top, height: SCORE };
        self.frame(&mut svg, frame, "score (above 1 is anomalous)");
        let score = Panel::of_score(frame, self.recording);
        score.ticks(&mut svg);
        score.score(&mut svg, self.recording);
        self.known(&mut svg, top);
        for (x, label) in self.times() {
            // The last one must not be cut off.
            let x = x.min(WIDTH - 38.0);
            let _ = writeln!(
                svg,
                "<text class=\"mid\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                top + SCORE + 18.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Title, what stands for what, and how much there is.
    fn head(&self, svg: &mut String) {
        let alerts = self.anomalies.iter().filter(|anomaly| anomaly.alerted).count();
        let title: String = self.title.chars().take(80).collect();
        let _ = writeln!(svg, "<text class=\"head\" x=\"{LEFT}\" y=\"28\">{}</text>", escaped(&title));
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"48\">{} of {}{} · {} · {} · {}</text>",
            counted(self.recording.rows() as usize, "row", "rows"),
            counted(self.schema.len(), "metric", "metrics"),
            self.when(),
            escaped(self.detector),
            counted(self.anomalies.len(), "anomaly", "anomalies"),
            counted(alerts, "alert", "alerts"),
        );
        let mut x = WIDTH - 20.0;
        let labelled = ("known", "labelled");
        let entries =
            [("noted", "anomaly, not alerted"), ("alert", "anomaly, alerted"), ("band", "expected")];
        for (class, text) in entries.into_iter().chain((!self.labelled.is_empty()).then_some(labelled)) {
            // About the width of a letter at this size.
            x -= 6.8 * text.len() as f64;
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"28\">{text}</text>");
            x -= 20.0;
            let _ =
                writeln!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"18\" width=\"14\" height=\"11\"/>");
            x -= 18.0;
        }
    }

    /// From when to when, for a calendar.
    fn when(&self) -> String {
        // `2026-11-21T18:21:12.000Z`
        let minute = |time: Timestamp| time.to_string().get(..16).unwrap_or_default().replace('T', " ");
        match self.has_time {
            true => format!(" · {} – {} UTC", minute(self.recording.first()), minute(self.recording.last())),
            false => String::new(),
        }
    }

    /// A panel without its series: name, grid, anomalies.
    fn frame(&self, svg: &mut String, frame: Frame, name: &str) {
        let Frame { top, height } = frame;
        let short: String = name.chars().take(120).collect();
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top - 7.0,
            escaped(&short)
        );
        let mut grid = format!("M{LEFT} {top}h{INNER}v{height}h-{INNER}z");
        for (x, _) in self.times() {
            let _ = write!(grid, "M{x:.1} {top}v{height}");
        }
        let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\"/>");
        let mut drawn = (f64::NEG_INFINITY, "");
        for (i, anomaly) in self.anomalies.iter().enumerate() {
            let end = anomaly
                .closed
                .map_or_else(|| self.recording.last(), |_| anomaly.last_seen.max(anomaly.opened));
            let Some((x, width)) = self.stretch(anomaly.onset, end) else { continue };
            let class = if anomaly.alerted { "alert" } else { "noted" };
            // One that adds nothing to be seen would only add to the file.
            if drawn.1 == class && x + width < drawn.0 + 0.5 {
                continue;
            }
            drawn = (x + width, class);
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\""
            );
            if i < TITLED {
                let _ = writeln!(svg, "><title>{}</title></rect>", escaped(&self.words(anomaly)));
            } else {
                svg.push_str("/>\n");
            }
        }
    }

    /// What is known to be anomalous, as a strip at the top of a panel.
    fn known(&self, svg: &mut String, top: f64) {
        for &(from, to) in self.labelled {
            let Some((x, width)) = self.stretch(from, to) else { continue };
            let y = top - 5.0;
            let _ = writeln!(
                svg,
                "<rect class=\"known\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"5\"/>"
            );
        }
    }

    /// An anomaly in words.
    fn words(&self, anomaly: &Anomaly) -> String {
        let mut text = format!("{} – ", anomaly.onset);
        match anomaly.closed {
            Some(_) => drop(write!(text, "{}", anomaly.last_seen)),
            None => text.push_str("open"),
        }
        let _ = write!(text, ", peak {:.1}", anomaly.peak.get());
        for part in anomaly.metrics.iter().take(4) {
            let _ = write!(text, "\n{} {:+.1}", part.metric, part.deviation);
        }
        text
    }

    /// Where a stretch of time is drawn; none where it is outside of what was recorded.
    fn stretch(&self, from: Timestamp, to: Timestamp) -> Option<(f64, f64)> {
        let (begin, end) = (self.recording.x(from), self.recording.x(to));
        if end < 0.0 || begin > 1.0 {
            return None;
        }
        let begin = begin.max(0.0) * INNER;
        let width = (end.min(1.0) * INNER - begin).max(NARROWEST);
        Some((LEFT + begin.min(INNER - NARROWEST), width))
    }

    /// Where times are written, and how.
    fn times(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.recording.first(), self.recording.last());
        let ticks = time_ticks(first, last, self.has_time);
        ticks.into_iter().map(|(at, label)| (LEFT + INNER * self.recording.x(at), label)).collect()
    }

    /// The metrics that matter most: those that anomalies are put down to, alerted ones first; then those that deviated
    /// most.
    fn metrics(&self) -> Vec<usize> {
        let mut weights: Vec<(f64, f64, usize)> =
            (0..self.schema.len()).map(|i| (0.0, self.recording.peak(i), i)).collect();
        for anomaly in self.anomalies {
            for (rank, part) in anomaly.metrics.iter().enumerate() {
                let Some(weight) =
                    self.schema.position(part.metric.as_str()).and_then(|i| weights.get_mut(i))
                else {
                    continue;
                };
                // The first of an alert counts most, however large its deviation: one spike is no reason to hide the rest.
                weight.0 += if anomaly.alerted { 10.0 } else { 1.0 } / (rank + 1) as f64;
            }
        }
        weights.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        let drawable = |metric: &usize| self.recording.range(*metric).is_some();
        weights.into_iter().map(|(.., metric)| metric).filter(drawable).take(METRICS).collect()
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use larnax_core::{Metric, MetricKind, MetricName, MetricVerdict, Score, Status, Verdict};

    use super::*;

    fn picture(rows: u32, name: &str) -> String {
        let schema =
            Schema::new(vec![Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge)]).unwrap();
        let mut recording = Recording::of(1);
        let mut verdict = Verdict::default();
        for i in 0..rows {
            let value = f64::from(i % 97);
            verdict.reset(1);
            verdict.status = Status::Ready;
            verdict.score = Score::new(f64::from(i % 7));
            verdict.metrics[0] = MetricVerdict { expected: 48.0, lower: 0.0, upper: 96.0, deviation: 0.1 };
            recording.row(Timestamp::from_seconds(f64::from(i)), &[value], &verdict);
        }
        let picture = Picture {
            title: "a.csv",
            detector: "birch",
            schema: &schema,
            recording: &recording,
            anomalies: &[],
            labelled: &[(Timestamp::from_seconds(1.0), Timestamp::from_seconds(2.0))],
            has_time: true,
        };
        picture.draw()
    }

    #[test]
    fn a_picture_is_small_however_many_rows_there_are() {
        let (some, many) = (picture(5_000, "a").len(), picture(200_000, "a").len());
        assert!(many < 200_000 && many < 3 * some, "{some} and {many} bytes");
    }

    #[test]
    fn it_can_be_drawn_with_one_row_and_with_none() {
        for rows in [0, 1, 2] {
            let svg = picture(rows, "a");
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }

    #[test]
    fn names_are_never_markup() {
        let svg = picture(100, "a\"</text><script>&\u{1}");
        assert!(svg.contains("a&quot;&lt;/text&gt;&lt;script&gt;&amp;\u{fffd}"), "{svg}");
    }
}
