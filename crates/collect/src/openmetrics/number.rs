//! Numbers as exporters write them, read without a detour through text.

/// Powers of ten that an `f64` holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The largest integer up to which every integer is an `f64`: 2⁵³.
const MAX_EXACT: u64 = 1 << 53;

/// The most decimal digits that can't overflow a `u64`.
const MAX_DIGITS: usize = 19;

/// Reads a value: what [`f64::from_str`](str::parse) reads, bit for bit. That takes `NaN`, `Inf` and `Infinity` in any
/// case and with a sign, and refuses hexadecimal and `_`, as Prometheus does.
pub(super) fn parse(token: &[u8]) -> Option<f64> {
    match short_decimal(token) {
        Some((value, length)) if length == token.len() => Some(value),
        _ => std::str::from_utf8(token).ok()?.parse().ok(),
    }
}

/// Reads a short decimal number at the start of `text`; gives its value and its length in bytes. `None` for everything
/// that needs more care, bad numbers included: the caller finds the end of the token and asks [`parse`].
///
/// W. D. Clinger, *How to Read Floating Point Numbers Accurately* (PLDI 1990): where the digits make an integer of at
/// most 2⁵³ and the power of ten is at most 10²², both are exact, so that one rounded multiplication or division gives
/// the correctly rounded result. The hot path of a scrape: nearly every value of an exporter is of this sort.
#[inline]
pub(super) fn short_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (mantissa, mut at) = digits(text, start, 0);
    let mut mantissa = mantissa;
    let mut count = at - start;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        let (all, end) = digits(text, at + 1, mantissa);
        fraction = end - at - 1;
        count += fraction;
        (mantissa, at) = (all, end);
    }
    if count == 0 || count > MAX_DIGITS || mantissa > MAX_EXACT {
        return None;
    }
    let mut power = -(fraction as i32);
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let down = text.get(at + 1) == Some(&b'-');
        let first = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'-' | b'+')));
        let (exponent, end) = digits(text, first, 0);
        if end == first || end > first + 4 {
            return None;
        }
        let exponent = exponent as i32;
        power += if down { -exponent } else { exponent };
        at = end;
    }
    let scale = *POWERS_OF_TEN.get(power.unsigned_abs() as usize)?;
    let magnitude = if power < 0 { mantissa as f64 / scale } else { mantissa as f64 * scale };
    Some((if negative { -magnitude } else { magnitude }, at))
}

/// Appends the decimal digits of `text` from `at` on to `number`; gives it and where they end. Wraps on too many digits:
/// the caller counts them.
#[inline]
fn digits(text: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (number, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same_as_std(text: &str) {
        let (ours, std) = (parse(text.as_bytes()), text.parse::<f64>().ok());
        let bits = |value: Option<f64>| value.map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() });
        assert_eq!(bits(ours), bits(std), "`{text}` is {ours:?}, but std says {std:?}");
    }

    #[test]
    fn numbers_of_every_shape_are_read_as_std_reads_them() {
        for text in [
            "0",
            "-0",
            "+0",
            "1",
            "-1",
            "1.",
            ".5",
            "-.5",
            ".",
            "",
            "-",
            "+",
            "e5",
            "1e",
            "1e+",
            "1e-",
            "1e5",
            "1E+5",
            "1.5e-05",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993e1",
            "0.30000000000000004",
            "1.7976931348623157e308",
            "1e309",
            "5e-324",
            "1e-400",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
            "00000000000000000000000001",
            "123456789012345678901234567890",
            "1e00005",
            "1e99999999999",
            "NaN",
            "nan",
            "+Inf",
            "-Inf",
            "inf",
            "INFINITY",
            "infinit",
            "0x10",
            "0x1p4",
            "1_000",
            "1 ",
            " 1",
            "1\n",
            "١",
            "1.2.3",
            "--1",
            "1e5.0",
            "1e1e1",
            "18446744073709551615",
            "18446744073709551616",
            "9999999999999999999",
        ] {
            same_as_std(text);
        }
    }

    #[test]
    fn not_a_number_and_infinities_are_read_in_any_case() {
        assert!(parse(b"NaN").unwrap().is_nan() && parse(b"nan").unwrap().is_nan());
        assert_eq!(parse(b"+Inf"), Some(f64::INFINITY));
        assert_eq!(parse(b"-inf"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn hexadecimal_and_underscores_are_refused() {
        assert_eq!(parse(b"0x1p-2"), None);
        assert_eq!(parse(b"1_000"), None);
    }

    proptest! {
        #[test]
        fn decimal_texts_are_read_as_std_reads_them(text in r"[+-]?[0-9]{0,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{0,4})?") {
            same_as_std(&text);
        }

        #[test]
        fn short_decimal_texts_are_read_as_std_reads_them(text in r"-?[0-9]{1,8}(\.[0-9]{1,9})?(e[+-][0-9]{2})?") {
            same_as_std(&text);
        }

        #[test]
        fn every_double_survives_being_written_and_read(value in proptest::num::f64::ANY) {
            same_as_std(&format!("{value}"));
            same_as_std(&format!("{value:e}"));
        }

        #[test]
        fn any_text_is_read_as_std_reads_it(text in ".{0,12}") {
            same_as_std(&text);
        }
    }
}
