//! Accuracy against cost: a panel for each public set, a dot for each detector, and the line of those that no other beats in
//! both.

use std::fmt::Write as _;

use larnax_svg::begin;
use serde_json::Value;

use crate::bench::draw::{Panel, Scale};

/// What a panel shows: its name, the set, and the figure in what is said of it.
const PANELS: [(&str, &str, &str); 3] = [
    ("SMD, VUS-PR", "smd", "/vus_pr"),
    ("ASD, VUS-PR", "asd", "/vus_pr"),
    ("NAB, standard profile", "nab", "/nab/opened/0/shipped"),
];
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 420.0;
/// From one panel to the next, and what is beside, above and below a panel.
const EACH: f64 = 327.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = 52.0;

const STYLE: &str = "\
svg{--best:#1a7f37}@media (prefers-color-scheme:dark){svg{--best:#56d364}}\
.named{fill:var(--text);paint-order:stroke;stroke:var(--back);stroke-width:3px}.leader{stroke:var(--soft);stroke-width:.8}.edge{stroke:var(--best);stroke-width:1.5;stroke-dasharray:5 4;fill:none}.best{fill:var(--best)}";

/// The picture; none unless every panel has its set.
pub(super) fn draw(result: &Value) -> Option<String> {
    let rows = result["rows"].as_array()?;
    let cost = |row: &Value| row["cost"]["cpu_us"].as_f64();
    let mut svg = begin(WIDTH, HEIGHT, "Accuracy of each detector against its cost", STYLE);
    let _ = writeln!(svg, "<text class=\"head\" x=\"{LEFT}\" y=\"28\">Accuracy against cost</text>");
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"48\">one causal pass of what is shipped; above and left is better; dashed: no \
         other is both better and cheaper</text>"
    );
    for (i, (name, set, figure)) in PANELS.into_iter().enumerate() {
        let point = |row: &Value| Some((cost(row)?, row["sets"][set].pointer(figure)?.as_f64()?));
        let points: Vec<(f64, f64)> = rows.iter().filter_map(point).collect();
        if points.len() < rows.len() || points.is_empty() {
            return None;
        }
        let panel = Panel {
            left: LEFT + i as f64 * EACH,
            top: TOP,
            width: EACH - LEFT - 16.0,
            height: HEIGHT - TOP - BOTTOM,
            x: Scale::log(points.iter().map(|point| point.0)),
            y: Scale::from_zero(points.iter().map(|point| point.1)),
        };
        panel.frame(&mut svg, name, "µs of CPU a sample of 28 metrics");
        let best = frontier(&points);
        let mut edge = String::new();
        for (i, &at) in best.iter().enumerate() {
            let (x, y) = panel.at(points[at].0, points[at].1);
            // Steps: what lies between two of them costs as the dearer and is as good as the cheaper.
            let _ = if i == 0 { write!(edge, "M{x:.1} {y:.1}") } else { write!(edge, "H{x:.1}V{y:.1}") };
        }
        let _ = writeln!(svg, "<path class=\"edge\" d=\"{edge}H{:.1}\"/>", panel.left + panel.width);
        let mut names = Vec::new();
        for (at, (row, &(x, y))) in rows.iter().zip(&points).enumerate() {
            let (x, y) = panel.at(x, y);
            let class = if best.contains(&at) { "best" } else { "dot" };
            let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            names.push((x, y, row["detector"].as_str().unwrap_or_default()));
        }
        panel.names(&mut svg, &names);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// The points (cost, accuracy) that none is both as cheap as and better than, the cheapest first.
fn frontier(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[a].0.total_cmp(&points[b].0).then(points[b].1.total_cmp(&points[a].1)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&at| {
        let better = points[at].1 > best;
        best = best.max(points[at].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_frontier_is_what_nothing_cheaper_beats() {
        assert_eq!(frontier(&[(3.0, 0.5), (1.0, 0.2), (2.0, 0.1), (30.0, 0.5), (40.0, 0.6)]), [1, 0, 4]);
        assert!(frontier(&[]).is_empty());
    }

    #[test]
    fn there_is_no_picture_while_a_set_is_missing() {
        let of = |sets: Value| json!({"rows": [{"detector": "a", "cost": {"cpu_us": 2.0}, "sets": sets}]});
        let nab = json!({"nab": {"opened": [{"shipped": 50.0}]}});
        let all = json!({"smd": {"vus_pr": 0.5}, "asd": {"vus_pr": 0.6}, "nab": nab});
        assert!(draw(&of(all)).is_some_and(|svg| svg.ends_with("</svg>\n") && !svg.contains("NaN")));
        assert_eq!(draw(&of(json!({"smd": {"vus_pr": 0.5}}))), None);
    }
}
