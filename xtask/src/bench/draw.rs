//! Panels of a picture: a frame with two scales, and names beside points that don't cover each other.

use std::fmt::Write as _;

use larnax_svg::{escaped, number, round_numbers};

/// Values along one side of a panel.
#[derive(Clone, Debug)]
pub(crate) enum Scale {
    Even {
        low: f64,
        high: f64,
    },
    /// By ratios; `low` is above 0.
    Log {
        low: f64,
        high: f64,
    },
    /// Names, evenly apart: their values are 0, 1, 2 and so on.
    Names(Vec<String>),
}

impl Scale {
    /// From 0 to a little above the highest value.
    pub(crate) fn from_zero(values: impl Iterator<Item = f64>) -> Scale {
        let high = values.fold(0.0, f64::max);
        Scale::Even { low: 0.0, high: if high > 0.0 { 1.12 * high } else { 1.0 } }
    }

    /// By ratios, with room beyond the values. Values that are not above 0 have no place on it.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Scale {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return Scale::Log { low: 1.0, high: 10.0 };
        }
        Scale::Log { low: low / 1.6, high: high * 1.6 }
    }

    /// Where a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let share = match self {
            Scale::Even { low, high } => (value - low) / (high - low),
            Scale::Log { low, high } => (value.max(*low) / low).ln() / (high / low).ln(),
            Scale::Names(names) => (value + 0.5) / names.len().max(1) as f64,
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        match self {
            Scale::Even { low, high } => {
                let ticks = round_numbers(*low, *high);
                let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
                ticks.into_iter().map(|tick| (tick, number(tick, step))).collect()
            }
            Scale::Log { low, high } => {
                let of = |parts: &[f64]| {
                    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
                    let ticks =
                        powers.flat_map(|power| parts.iter().map(move |part| part * 10f64.powi(power)));
                    let inside = ticks.filter(|tick| (*low..=*high).contains(tick));
                    inside.map(|tick| (tick, number(tick, tick))).collect::<Vec<_>>()
                };
                // Numbers between the powers of ten only where they have room.
                let finest =
                    [&[1.0, 2.0, 5.0][..], &[1.0, 3.0]].into_iter().map(of).find(|ticks| ticks.len() <= 6);
                finest.unwrap_or_else(|| of(&[1.0]))
            }
            Scale::Names(names) => {
                names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect()
            }
        }
    }
}

/// A rectangle with its scales.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Panel {
    /// Frame and grid, with its name above and what the horizontal scale counts below.
    pub(crate) fn frame(&self, svg: &mut String, name: &str, below: &str) {
        let Panel { left, top, width, height, .. } = self;
        let mut grid = format!("M{left} {top}h{width}v{height}h-{width}z");
        // Writing to a string can't fail.
        let _ =
            writeln!(svg, "<text class=\"name\" x=\"{left}\" y=\"{}\">{}</text>", top - 10.0, escaped(name));
        for (value, label) in self.y.ticks() {
            let y = self.at(0.0, value).1;
            if !matches!(self.y, Scale::Names(_)) {
                let _ = write!(grid, "M{left} {y:.1}h{width}");
            }
            let (x, y) = (left - 6.0, y + 4.0);
            let _ = writeln!(svg, "<text class=\"end\" x=\"{x}\" y=\"{y:.1}\">{}</text>", escaped(&label));
        }
        let bottom = top + height;
        for (value, label) in self.x.ticks() {
            let x = self.at(value, 0.0).0;
            let _ = write!(grid, "M{x:.1} {top}v{height}");
            let y = bottom + 17.0;
            let _ = writeln!(svg, "<text class=\"mid\" x=\"{x:.1}\" y=\"{y}\">{}</text>", escaped(&label));
        }
        let (x, y) = (left + width / 2.0, bottom + 36.0);
        let _ = writeln!(svg, "<text class=\"mid\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(below));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\"/>");
    }

    /// Where a point is drawn.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + self.width * self.x.share(x), self.top + self.height * (1.0 - self.y.share(y)))
    }

    /// Lines through the points, and a dot at each. `class` says how they look.
    pub(crate) fn line(&self, svg: &mut String, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            let (x, y) = self.at(x, y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
            let _ = writeln!(svg, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
        }
        let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// Names for drawn points, each beside its own and on no other point or name as long as there is room; one that had to
    /// go farther is joined to its point.
    pub(crate) fn names(&self, svg: &mut String, points: &[(f64, f64, &str)]) {
        let mut taken: Vec<Area> = points.iter().map(|&(x, y, _)| Area::around(x, y)).collect();
        for &(x, y, name) in points {
            let places = Area::beside(x, y, name);
            let inside = |area: &Area| {
                area.left >= self.left
                    && area.right <= self.left + self.width
                    && area.top >= self.top
                    && area.bottom <= self.top + self.height
            };
            let free = |area: &&Area| inside(area) && !taken.iter().any(|other| other.meets(area));
            let place = places.iter().find(free).or(places.first()).copied().unwrap_or(Area::around(x, y));
            let (near_x, near_y) = (x.clamp(place.left, place.right), y.clamp(place.top, place.bottom));
            if (near_x - x).hypot(near_y - y) > 10.0 {
                let _ =
                    writeln!(svg, "<path class=\"leader\" d=\"M{x:.1} {y:.1}L{near_x:.1} {near_y:.1}\"/>");
            }
            let (left, line) = (place.left, place.bottom - 3.0);
            let _ = writeln!(
                svg,
                "<text class=\"named\" x=\"{left:.1}\" y=\"{line:.1}\">{}</text>",
                escaped(name)
            );
            taken.push(place);
        }
    }
}

/// A rectangle that something covers.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    /// A point's.
    fn around(x: f64, y: f64) -> Area {
        Area { left: x - 5.5, right: x + 5.5, top: y - 5.5, bottom: y + 5.5 }
    }

    /// The places of a name beside a point, the best first: right, left, above, below, and the corners, near and then
    /// farther and farther.
    fn beside(x: f64, y: f64, name: &str) -> Vec<Area> {
        // About the size of letters of 12 pixels.
        let (width, height) = (6.8 * name.chars().count() as f64 + 4.0, 14.0);
        let of = |(right, down, far): (f64, f64, f64)| {
            let middle = x + right * (width / 2.0 + 7.0 * far);
            let line = y + down * (height / 2.0 + 5.0 * far);
            Area {
                left: middle - width / 2.0,
                right: middle + width / 2.0,
                top: line - height / 2.0,
                bottom: line + height / 2.0,
            }
        };
        const SIDES: [(f64, f64); 10] = [
            (1.0, 0.0),
            (-1.0, 0.0),
            (0.0, -1.0),
            (0.0, 1.0),
            (1.0, -0.8),
            (1.0, 0.8),
            (-1.0, -0.8),
            (-1.0, 0.8),
            (0.5, -1.0),
            (0.5, 1.0),
        ];
        let places = [1.0, 2.2, 3.6, 5.0, 7.0, 9.0]
            .into_iter()
            .flat_map(|far| SIDES.map(|(right, down)| (right, down, far)));
        places.map(of).collect()
    }

    fn meets(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let x = Scale::log([1.0, 30.0].into_iter());
        Panel {
            left: 50.0,
            top: 20.0,
            width: 250.0,
            height: 200.0,
            x,
            y: Scale::from_zero([0.5].into_iter()),
        }
    }

    #[test]
    fn numbers_on_a_scale_by_ratios_are_round() {
        let labels = |low, high| {
            Scale::Log { low, high }.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(0.9, 40.0), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(60.0, 16_000.0), ["100", "300", "1000", "3000", "10k"]);
        assert_eq!(labels(0.02, 0.6), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
    }

    #[test]
    fn names_of_near_points_do_not_cover_each_other() {
        let mut svg = String::new();
        panel().names(&mut svg, &[(100.0, 100.0, "one"), (104.0, 101.0, "two"), (101.0, 96.0, "three")]);
        let places: Vec<(f64, f64)> = svg
            .lines()
            .filter(|line| line.starts_with("<text"))
            .map(|line| {
                let after = |name: &str| line.split(name).nth(1)?.split('"').next()?.parse().ok();
                (after(" x=\"").unwrap(), after(" y=\"").unwrap())
            })
            .collect();
        for (i, one) in places.iter().enumerate() {
            for other in &places[..i] {
                assert!((one.1 - other.1).abs() >= 14.0 || (one.0 - other.0).abs() >= 20.0, "{svg}");
            }
        }
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let panel = panel();
        assert_eq!(panel.at(0.0, -1.0), (50.0, 220.0));
        assert_eq!(panel.at(1e9, 1e9), (300.0, 20.0));
    }
}
