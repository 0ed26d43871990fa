//! The three figures as one picture.

use std::fmt::Write as _;

use larnax_svg::{begin, escaped};
use serde_json::Value;

use crate::bench::draw::{Panel, Scale};

const WIDTH: f64 = 1_000.0;
const TOP: f64 = 88.0;
const HEIGHT: f64 = 260.0;
const BOTTOM: f64 = 52.0;
/// What is written beside the lines and bars takes so much room, in pixels.
const NAMES: f64 = 72.0;
/// Names of lines stand at least so far apart.
const LINE: f64 = 14.0;

/// A colour for each detector, as far as people can tell them apart, after Okabe and Ito.
const COLOURS: usize = 7;
const STYLE: &str = "\
svg{--c0:#0a5ad6;--c1:#cf222e;--c2:#1a7f37;--c3:#bf6a00;--c4:#8250df;--c5:#0e7c86;--c6:#a2256f}\
@media (prefers-color-scheme:dark){svg{--c0:#6cb2ff;--c1:#ff7b72;--c2:#56d364;--c3:#e3a04f;--c4:#c297ff;--c5:#4cc9d4;\
--c6:#f08bc4}}\
.c0{--line:var(--c0)}.c1{--line:var(--c1)}.c2{--line:var(--c2)}.c3{--line:var(--c3)}.c4{--line:var(--c4)}\
.c5{--line:var(--c5)}.c6{--line:var(--c6)}.own{fill:var(--line)}.bar{fill:var(--line);opacity:.75}";

/// Draws the results.
pub(super) fn draw(result: &Value) -> String {
    let mut svg =
        begin(WIDTH, TOP + HEIGHT + BOTTOM, "Collecting, detecting, and both under a CPU quota", STYLE);
    let _ = writeln!(
        svg,
        "<text class=\"head\" x=\"52\" y=\"28\">What collecting and detecting cost on small devices</text>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"52\" y=\"48\">{}, the measurements of figures 1 to 3 of Gulenko et al. 2021; both: the host, twice a second</text>",
        escaped(result["machine"]["cpu"].as_str().unwrap_or_default())
    );
    collecting(&mut svg, list(result, "collecting"));
    samples(&mut svg, list(result, "samples"));
    together(&mut svg, list(result, "together"));
    svg.push_str("</svg>\n");
    svg
}

fn list<'a>(result: &'a Value, name: &str) -> &'a [Value] {
    result[name].as_array().map_or(&[], Vec::as_slice)
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_default()
}

fn name(row: &Value) -> &str {
    row["detector"].as_str().unwrap_or_default()
}

/// CPU by interval.
fn collecting(svg: &mut String, rows: &[Value]) {
    let points: Vec<(f64, f64)> =
        rows.iter().map(|row| (number(row, "interval_ms") / 1e3, number(row, "cpu_ms_per_second"))).collect();
    let panel = Panel {
        left: 52.0,
        top: TOP,
        width: 230.0,
        height: HEIGHT,
        x: Scale::log(points.iter().map(|point| point.0)),
        y: Scale::log(points.iter().map(|point| point.1)),
    };
    panel.frame(svg, "Collecting, ms of CPU a second", "seconds between collections");
    panel.line(svg, "c0", &points);
}

/// How long a sample takes each detector by CPU quota.
fn samples(svg: &mut String, rows: &[Value]) {
    let detectors: Vec<&[Value]> = rows.chunk_by(|a, b| a["detector"] == b["detector"]).collect();
    let quotas = detectors.first().copied().unwrap_or_default();
    let quota = |row: &Value| row["quota"].as_f64().map_or("none".to_owned(), |quota| quota.to_string());
    let panel = Panel {
        left: 340.0,
        top: TOP,
        width: 230.0,
        height: HEIGHT,
        x: Scale::Names(quotas.iter().map(quota).collect()),
        y: Scale::log(rows.iter().map(|row| number(row, "wall_us"))),
    };
    panel.frame(svg, "A sample of 28 metrics, µs by the clock", "quota, of one CPU");
    let mut ends: Vec<(f64, usize, &str)> = Vec::new();
    for (at, rows) in detectors.iter().enumerate() {
        let points: Vec<(f64, f64)> =
            rows.iter().enumerate().map(|(i, row)| (i as f64, number(row, "wall_us"))).collect();
        panel.line(svg, &format!("c{}", at % COLOURS), &points);
        if let (Some(&(x, y)), Some(row)) = (points.last(), rows.first()) {
            ends.push((panel.at(x, y).1, at, name(row)));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (y, (_, at, name)) in apart(ends.iter().map(|end| end.0).collect()).into_iter().zip(&ends) {
        let (class, x, y) = (at % COLOURS, panel.left + panel.width + 6.0, y + 4.0);
        let _ = writeln!(svg, "<text class=\"own c{class}\" x=\"{x}\" y=\"{y:.1}\">{}</text>", escaped(name));
    }
}

/// Heights in order, moved as little as needed so that none is nearer than a line to the next: those that would be too near
/// stand together about their middle.
fn apart(heights: Vec<f64>) -> Vec<f64> {
    // Middle and how many lines stand there.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for height in heights {
        let mut group = (height, 1);
        while let Some(&(middle, lines)) = groups.last() {
            let room = LINE * (lines + group.1) as f64 / 2.0;
            if group.0 - middle >= room {
                break;
            }
            let together = lines + group.1;
            group = ((middle * lines as f64 + group.0 * group.1 as f64) / together as f64, together);
            groups.pop();
        }
        groups.push(group);
    }
    let lines = |(middle, lines): (f64, usize)| {
        (0..lines).map(move |line| middle + LINE * (line as f64 - (lines - 1) as f64 / 2.0))
    };
    groups.into_iter().flat_map(lines).collect()
}

/// The whole agent on a tenth of a CPU.
fn together(svg: &mut String, rows: &[Value]) {
    let left = 650.0 + NAMES;
    let panel = Panel {
        left,
        top: TOP,
        width: WIDTH - left - NAMES,
        height: HEIGHT,
        x: Scale::from_zero(rows.iter().map(|row| number(row, "cpu_ms_per_second"))),
        // From the bottom up; the first detector is to be at the top.
        y: Scale::Names(rows.iter().rev().map(|row| name(row).to_owned()).collect()),
    };
    panel.frame(svg, "Both, on a tenth of a CPU", "ms of CPU a second (samples judged)");
    let thick = (0.6 * HEIGHT / rows.len().max(1) as f64).min(26.0);
    for (i, row) in rows.iter().enumerate() {
        let (spent, judged) = (number(row, "cpu_ms_per_second"), 100.0 * number(row, "judged_share"));
        let (end, y) = panel.at(spent, (rows.len() - 1 - i) as f64);
        let (class, width, top) = (i % COLOURS, end - left, y - thick / 2.0);
        let _ = writeln!(
            svg,
            "<rect class=\"bar c{class}\" x=\"{left}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{thick:.1}\"/>"
        );
        let (x, y) = (end + 6.0, y + 4.0);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{spent:.1} ({judged:.0}%)</text>");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_lines_are_apart_and_near() {
        let heights = apart(vec![150.0, 151.0, 152.0, 300.0]);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= LINE - 1e-9), "{heights:?}");
        assert!(
            heights.iter().zip([150.0, 151.0, 152.0, 300.0]).all(|(now, was)| (now - was).abs() < 2.0 * LINE)
        );
        assert!(apart(Vec::new()).is_empty());
    }

    #[test]
    fn a_picture_of_nothing_is_a_picture() {
        for result in [json!({}), json!({"collecting": [], "samples": [], "together": []})] {
            let svg = draw(&result);
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }
}
