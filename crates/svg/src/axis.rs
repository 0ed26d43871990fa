//! Round numbers.

/// Two to five round numbers from `low` to `high`, which is larger.
pub fn round_numbers(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 4.0;
    if !(raw.is_finite() && raw > 0.0) {
        return Vec::new();
    }
    let unit = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|f| f * unit).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step).ceil();
    // What is left of 0 after rounding is 0.
    let number = |i: u32| ((first + f64::from(i)) * step) + 0.0;
    (0..6).map(number).take_while(|number| *number <= high).collect()
}

/// A number as short as it tells itself apart from its neighbours, `step` away.
pub fn number(value: f64, step: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.1e}");
    }
    let (unit, letter) = UNITS.into_iter().find(|(unit, _)| size >= 10.0 * unit).unwrap_or((1.0, ""));
    let whole = |digits: &i32| {
        let scaled = step / unit * 10f64.powi(*digits);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1e-9)
    };
    let digits = (0..=6).find(whole).unwrap_or(3) as usize;
    let text = format!("{:.*}", digits, value / unit);
    // 2.50 beside 5.00 says no more than 2.5.
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_round_and_short() {
        assert_eq!(round_numbers(0.0, 9.7), [0.0, 2.5, 5.0, 7.5]);
        assert_eq!(round_numbers(-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert!(round_numbers(1e300, 1e300).is_empty());
        assert_eq!([number(2.5, 2.5), number(0.0, 1.0), number(2.5e7, 5e6)], ["2.5", "0", "25M"]);
        assert_eq!(
            [number(0.25, 0.25), number(0.3, 0.1), number(12_500.0, 2_500.0)],
            ["0.25", "0.3", "12.5k"]
        );
        assert_eq!(
            [number(0.12, 0.02), number(-1e-9, 1e-9), number(1500.0, 500.0)],
            ["0.12", "-1.0e-9", "1500"]
        );
    }
}
