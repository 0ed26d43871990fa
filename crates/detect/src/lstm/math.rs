//! Arithmetic that is the same on every CPU, to the last bit: only `+ - × ÷ √`, in a fixed order, never fused.
//!
//! The standard library's `exp` and `tanh` differ between platforms and don't vectorise; these do, with SSE2 and NEON.

/// Beyond this the logistic function is 0 or 1 to less than 1e-13.
const SATURATED: f32 = 30.0;
/// 1.5·2^23: adding it rounds a small number to the nearest integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// 1/(1+exp(-x)). Off by at most 2e-7 (test below). NaN stays NaN.
#[inline(always)]
pub(super) fn logistic(x: f32) -> f32 {
    // exp(-x) = 2^whole · 2^part with |part| ≤ 1/2; for the part, the Taylor series up to the 6th power, off by 1.2e-7.
    let exponent = x.clamp(-SATURATED, SATURATED) * -std::f32::consts::LOG2_E;
    let shifted = exponent + ROUND;
    let part = (exponent - (shifted - ROUND)) * std::f32::consts::LN_2;
    let series = 1.0 / 120.0 + part * (1.0 / 720.0);
    let series = 1.0 / 6.0 + part * (1.0 / 24.0 + part * series);
    let series = 1.0 + part * (1.0 + part * (0.5 + part * series));
    // Multiplies by 2^whole: the low bits of `shifted` are added to the exponent.
    let power = f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23));
    1.0 / (1.0 + power)
}

/// Hyperbolic tangent, from the logistic function. Off by at most 4e-7 (test below).
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 * logistic(2.0 * x) - 1.0
}

/// A number below 2^64 that looks random (`SplitMix64`, Steele, Lea & Flood 2014); advances the state.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A position below `n`, each as likely; 0 if `n` is 0.
pub(super) fn below(state: &mut u64, n: u64) -> u64 {
    ((u128::from(random(state)) * u128::from(n)) >> 64) as u64
}

/// Between -1 and 1, each as likely.
pub(super) fn uniform(state: &mut u64) -> f32 {
    (random(state) >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logistic_and_tanh_keep_their_promised_error() {
        let (mut worst, mut worst_tanh) = (0.0_f64, 0.0_f64);
        for i in -400_000..=400_000 {
            let x = i as f32 * 1e-4;
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            worst = worst.max((f64::from(logistic(x)) - exact).abs());
            worst_tanh = worst_tanh.max((f64::from(tanh(x)) - f64::from(x).tanh()).abs());
        }
        assert!(worst <= 2e-7 && worst_tanh <= 4e-7, "{worst} {worst_tanh}");
    }

    #[test]
    fn extreme_arguments_saturate() {
        assert_eq!((logistic(f32::INFINITY), tanh(1e30), tanh(-1e30)), (1.0, 1.0, -1.0));
        assert!(logistic(f32::NEG_INFINITY) < 1e-12 && logistic(f32::NAN).is_nan());
    }

    #[test]
    fn the_generator_gives_its_published_numbers() {
        let mut state = 1_234_567;
        assert_eq!(random(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(random(&mut state), 3_203_168_211_198_807_973);
        assert!((0..1000).all(|_| below(&mut state, 7) < 7 && uniform(&mut state).abs() <= 1.0));
    }
}
