//! The results as one picture.

use std::fmt::Write as _;

use larnax_svg::{begin, escaped};
use serde_json::Value;

use super::case::Case;
use super::list;
use crate::bench::draw::{Panel, Scale};

const WIDTH: f64 = 1_000.0;
const TOP: f64 = 88.0;
const HEIGHT: f64 = 220.0;
const BOTTOM: f64 = 52.0;
/// What is written at the left of the first panel.
const NAMES: f64 = 84.0;
const STYLE: &str = "\
svg{--zero:#0a5ad6;--realistic:#bf6a00;--storm:#cf222e}\
@media (prefers-color-scheme:dark){svg{--zero:#6cb2ff;--realistic:#e3a04f;--storm:#ff7b72}}\
.zero{--line:var(--zero)}.realistic{--line:var(--realistic)}.storm{--line:var(--storm)}\
.bar{fill:var(--line);opacity:.75}.rest{opacity:.35}.own{fill:var(--line)}\
.bound{stroke:var(--soft);stroke-width:1.3;stroke-dasharray:5 4;fill:none}";

/// Draws the results; none where nobody watched.
pub(super) fn draw(result: &Value) -> Option<String> {
    let rows = list(result, "rows");
    let none = rows.iter().find(|row| row["case"] == "none")?;
    let central = rows.iter().find(|row| row["case"] == "central")?;
    let quiet: Vec<&Value> = rows.iter().filter(|row| row["alerts"] == "zero").collect();
    let mut svg = begin(WIDTH, TOP + HEIGHT + BOTTOM, "What watching an application costs", STYLE);
    let _ = writeln!(
        svg,
        "<text class=\"head\" x=\"{NAMES}\" y=\"28\">What watching an application costs</text>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{NAMES}\" y=\"48\">{}, three nodes of Kubernetes; four services, metrics every {}; figures 4 to 6 of Moens et al. 2023</text>",
        escaped(result["machine"]["cpu"].as_str().unwrap_or_default()),
        escaped(result["interval"].as_str().unwrap_or_default()),
    );
    // From the bottom up: the first case is to be at the top.
    let y = Scale::Names(Case::ALL.iter().rev().map(ToString::to_string).collect());
    bytes(
        &mut svg,
        y.clone(),
        rows,
        (number(none, "/bytes_per_second/application"), number(central, "/bytes_per_second/watching")),
    );
    cpu(&mut svg, unnamed(&y), &quiet);
    requests(&mut svg, unnamed(&y), &quiet);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// The names stand at the first panel only.
fn unnamed(scale: &Scale) -> Scale {
    match scale {
        Scale::Names(names) => Scale::Names(vec![String::new(); names.len()]),
        other => other.clone(),
    }
}

fn number(row: &Value, path: &str) -> f64 {
    row.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}

/// Where a row's case stands.
fn place(row: &Value) -> f64 {
    let at = Case::ALL.iter().position(|case| row["case"] == case.to_string().as_str());
    (Case::ALL.len() - 1 - at.unwrap_or_default()) as f64
}

/// A bar from one value to another one.
fn bar(svg: &mut String, panel: &Panel, class: &str, at: f64, from: f64, to: f64) {
    let ((left, y), (right, _)) = (panel.at(from, at), panel.at(to, at));
    let (top, width) = (y - 9.0, right - left);
    let _ = writeln!(
        svg,
        "<rect class=\"bar {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"18\"/>"
    );
}

fn label(svg: &mut String, panel: &Panel, at: f64, value: f64, text: &str) {
    let (x, y) = panel.at(value, at);
    let (x, y) = (x + 6.0, y + 4.0);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
}

/// Bytes a second between nodes, by ratios, with the bounds that Larnax is held to.
fn bytes(svg: &mut String, y: Scale, rows: &[Value], (none, central): (f64, f64)) {
    let watching = |row: &Value| number(row, "/bytes_per_second/watching");
    let panel = Panel {
        left: NAMES,
        top: TOP,
        width: 380.0,
        height: HEIGHT,
        x: Scale::log([10.0, 4.0 * central].into_iter()),
        y,
    };
    panel.frame(svg, "Watching, bytes a second between nodes", "by ratios");
    for (bound, name) in [(0.017 * central, "98.3 % less than central"), (0.03 * none, "3 % more than none")]
    {
        let (x, bottom) = (panel.at(bound, 0.0).0, TOP + HEIGHT);
        let _ =
            writeln!(svg, "<path class=\"bound\" d=\"M{x:.1} {TOP}V{bottom}\"><title>{name}</title></path>");
    }
    for row in rows {
        let (class, at) = (row["alerts"].as_str().unwrap_or_default(), place(row));
        if class == "zero" {
            bar(svg, &panel, class, at, 0.0, watching(row));
        } else {
            panel.line(svg, class, &[(watching(row), at)]);
        }
    }
    for row in rows.iter().filter(|row| row["alerts"] == "zero") {
        let farthest =
            rows.iter().filter(|other| other["case"] == row["case"]).map(watching).fold(0.0, f64::max);
        label(svg, &panel, place(row), farthest, &format!("{:.0}", watching(row)));
    }
    for (at, (class, name)) in
        [("zero", "bar: all is well"), ("realistic", "one fault"), ("storm", "faults everywhere")]
            .into_iter()
            .enumerate()
    {
        let x = NAMES + 160.0 * at as f64 - 40.0 * (at / 2) as f64;
        let _ = writeln!(svg, "<text class=\"own {class}\" x=\"{x}\" y=\"66\">{name}</text>");
    }
}

/// CPU of the application's pods and, lighter, of those that watch.
fn cpu(svg: &mut String, y: Scale, rows: &[&Value]) {
    let all = |row: &Value| number(row, "/cpu_ms_per_second");
    let most = rows.iter().map(|row| 1.25 * all(row));
    let panel = Panel { left: 520.0, top: TOP, width: 210.0, height: HEIGHT, x: Scale::from_zero(most), y };
    panel.frame(svg, "CPU, ms a second", "application, and lighter who watches");
    for row in rows {
        let application = number(row, "/parts/application/cpu_ms_per_second");
        bar(svg, &panel, "zero", place(row), 0.0, application);
        bar(svg, &panel, "zero rest", place(row), application, all(row));
        label(svg, &panel, place(row), all(row), &format!("{:.1}", all(row)));
    }
}

/// How many requests are answered at most.
fn requests(svg: &mut String, y: Scale, rows: &[&Value]) {
    let mean = |row: &Value| {
        let rounds: Vec<f64> = list(row, "requests_per_second").iter().filter_map(Value::as_f64).collect();
        rounds.iter().sum::<f64>() / rounds.len().max(1) as f64
    };
    let most = rows.iter().map(|row| 1.25 * mean(row));
    let panel = Panel { left: 770.0, top: TOP, width: 210.0, height: HEIGHT, x: Scale::from_zero(most), y };
    panel.frame(svg, "Requests answered a second, at most", "mean of six times ten seconds");
    for row in rows {
        bar(svg, &panel, "zero", place(row), 0.0, mean(row));
        label(svg, &panel, place(row), mean(row), &format!("{:.0}", mean(row)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_drawn_is_no_number_and_without_a_comparison_nothing_is_drawn() {
        let row = |case: &str, watching: u32| json!({"case": case, "alerts": "zero", "bytes_per_second": {"application": 8000, "watching": watching}});
        let svg = draw(&json!({"rows": [row("none", 0), row("central", 5000)]})).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(draw(&json!({"rows": [row("none", 0)]})), None);
    }
}
