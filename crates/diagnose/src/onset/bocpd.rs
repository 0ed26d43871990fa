//! Bayesian online change-point detection.

/// The longest run that is followed, in samples: older ones can hardly be told apart.
const MAX_RUN: usize = 500;
/// Runs less likely than this are given up.
const PRUNED: f64 = 1e-6;
/// Standardised values farther out are taken to be there: their squares must stay numbers.
const LARGEST: f64 = 1e6;
/// The most metrics that are looked at together.
pub const MAX_DIMENSIONS: usize = 8;

/// How long the present stretch has lasted: a distribution over run lengths, brought up to date sample by sample.
///
/// R. P. Adams and D. J. C. MacKay, "Bayesian Online Changepoint Detection", 2007, with a constant hazard and the predictive
/// Student distribution of a normal inverse Wishart prior of mean 0 and scale 1: the caller standardises. The covariance is kept as
/// a Cholesky factor, so that a sample costs the square of the dimensions for each run, not the cube.
#[derive(Clone, Debug)]
pub struct Bocpd {
    dimensions: usize,
    /// Logarithms of the chance that a stretch ends and that it goes on.
    ends: f64,
    goes_on: f64,
    runs: Vec<Run>,
    /// For each run length the logarithm of the constant of its Student distribution.
    constants: Vec<f64>,
}

/// One possible length of the present stretch.
#[derive(Clone, Debug)]
struct Run {
    length: usize,
    /// Logarithm of its probability.
    log: f64,
    mean: [f64; MAX_DIMENSIONS],
    /// Lower triangle, by rows.
    factor: [[f64; MAX_DIMENSIONS]; MAX_DIMENSIONS],
}

impl Bocpd {
    /// Looks at `dimensions` values at a time (at least 1, at most [`MAX_DIMENSIONS`]); expects a change every `mean_run`
    /// samples (at least 2; BARO uses 50).
    pub fn new(dimensions: usize, mean_run: f64) -> Self {
        let hazard = 1.0 / mean_run.max(2.0);
        let mut bocpd = Self {
            dimensions: dimensions.clamp(1, MAX_DIMENSIONS),
            ends: hazard.ln(),
            goes_on: (1.0 - hazard).ln(),
            runs: Vec::new(),
            constants: Vec::new(),
        };
        bocpd.runs.push(bocpd.fresh(0.0));
        bocpd
    }

    /// A stretch that begins now.
    fn fresh(&self, log: f64) -> Run {
        let mut factor = [[0.0; MAX_DIMENSIONS]; MAX_DIMENSIONS];
        for (i, row) in factor.iter_mut().enumerate() {
            row[i] = 1.0;
        }
        Run { length: 0, log, mean: [0.0; MAX_DIMENSIONS], factor }
    }

    /// Takes the next sample. Values that are missing or not finite count as 0.
    pub fn push(&mut self, sample: &[f64]) {
        let mut x = [0.0; MAX_DIMENSIONS];
        for (to, from) in x.iter_mut().zip(sample).take(self.dimensions) {
            *to = if from.is_finite() { from.clamp(-LARGEST, LARGEST) } else { 0.0 };
        }
        while self.constants.len() <= self.runs.iter().map(|run| run.length).max().unwrap_or(0) {
            self.constants.push(log_constant(self.constants.len(), self.dimensions as f64));
        }
        let mut ended = f64::NEG_INFINITY;
        for run in &mut self.runs {
            let constant = self.constants.get(run.length).copied().unwrap_or_default();
            let likely = run.log + constant + run.log_density(&x, self.dimensions);
            ended = log_add(ended, likely + self.ends);
            run.log = likely + self.goes_on;
            run.learn(&x, self.dimensions);
        }
        let total = self.runs.iter().fold(ended, |sum, run| log_add(sum, run.log));
        self.runs.iter_mut().for_each(|run| run.log -= total);
        self.runs.retain(|run| run.log >= PRUNED.ln() && run.length <= MAX_RUN);
        // Even when it is unlikely: whatever comes next may be the first sample of a stretch.
        self.runs.push(self.fresh(ended - total));
    }

    /// The likeliest length of the present stretch, in samples.
    pub fn run_length(&self) -> usize {
        let likeliest = self.runs.iter().max_by(|a, b| a.log.total_cmp(&b.log).then(a.length.cmp(&b.length)));
        likeliest.map_or(0, |run| run.length)
    }

    /// The probability of a run length between `shortest` and `longest`, both included.
    pub fn probability(&self, shortest: usize, longest: usize) -> f64 {
        let within = self.runs.iter().filter(|run| (shortest..=longest).contains(&run.length));
        within.map(|run| run.log.exp()).sum()
    }
}

impl Run {
    /// Logarithm of the predictive density without its constant: a Student distribution whose freedom grows with the run.
    fn log_density(&self, x: &[f64; MAX_DIMENSIONS], d: usize) -> f64 {
        let (kappa, freedom) = (1.0 + self.length as f64, 2.0 + self.length as f64);
        let scale = ((kappa + 1.0) / (kappa * freedom)).sqrt();
        // Solves factor · y = x − mean; the factor of the shape is `scale` times that of Ψ.
        let (mut y, mut square, mut determinant) = ([0.0; MAX_DIMENSIONS], 0.0, 1.0);
        for i in 0..d {
            let below: f64 = (0..i).map(|j| self.factor[i][j] * y[j]).sum();
            y[i] = (x[i] - self.mean[i] - below) / self.factor[i][i];
            square += y[i] * y[i];
            determinant *= scale * self.factor[i][i];
        }
        -f64::ln(determinant) - 0.5 * (freedom + d as f64) * (square / (scale * scale * freedom)).ln_1p()
    }

    /// Ψ grows by κ/(κ+1)·(x−μ)(x−μ)ᵀ, as an update of its factor by one column.
    fn learn(&mut self, x: &[f64; MAX_DIMENSIONS], d: usize) {
        let kappa = 1.0 + self.length as f64;
        let weight = (kappa / (kappa + 1.0)).sqrt();
        let mut column = [0.0; MAX_DIMENSIONS];
        for i in 0..d {
            column[i] = weight * (x[i] - self.mean[i]);
            self.mean[i] = (kappa * self.mean[i] + x[i]) / (kappa + 1.0);
        }
        for k in 0..d {
            let diagonal = self.factor[k][k];
            let grown = diagonal.hypot(column[k]);
            let (c, s) = (grown / diagonal, column[k] / diagonal);
            self.factor[k][k] = grown;
            for (i, left) in column.iter_mut().enumerate().take(d).skip(k + 1) {
                self.factor[i][k] = (self.factor[i][k] + s * *left) / c;
                *left = c * *left - s * self.factor[i][k];
            }
        }
        self.length += 1;
    }
}

/// ln of Γ((ν+d)/2) / (Γ(ν/2)·(νπ)^(d/2)), where the freedom ν is 2 more than the length of the run.
fn log_constant(length: usize, dimensions: f64) -> f64 {
    let freedom = 2.0 + length as f64;
    ln_gamma(0.5 * (freedom + dimensions))
        - ln_gamma(0.5 * freedom)
        - 0.5 * dimensions * (freedom * std::f64::consts::PI).ln()
}

/// ln(eᵃ + eᵇ).
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// Logarithm of the gamma function for x ≥ 0.5: Lanczos' approximation with g = 7 and nine terms (Godfrey's coefficients), good to
/// fifteen digits.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (i, term)| sum + term / (x + i as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_of_whole_and_half_numbers() {
        for (x, gamma) in [(1.0, 1.0), (5.0, 24.0), (0.5, std::f64::consts::PI.sqrt()), (11.0, 3_628_800.0)] {
            let expected: f64 = f64::ln(gamma);
            assert!((ln_gamma(x) - expected).abs() < 1e-12, "{x}: {} and {expected}", ln_gamma(x));
        }
    }

    #[test]
    fn a_change_in_how_two_metrics_go_together_is_a_change() {
        let mut bocpd = Bocpd::new(2, 50.0);
        let wave = |i: usize| ((i * 7) % 11) as f64 / 5.0 - 1.0;
        (0..100).for_each(|i| bocpd.push(&[wave(i), wave(i)]));
        assert!(bocpd.run_length() >= 98);
        (100..130).for_each(|i| bocpd.push(&[wave(i), -wave(i)]));
        assert!((28..=32).contains(&bocpd.run_length()), "{}", bocpd.run_length());
        assert!(bocpd.probability(25, 35) > 0.9);
    }

    #[test]
    fn values_that_are_no_numbers_or_enormous_do_no_harm() {
        let mut bocpd = Bocpd::new(1, 50.0);
        for value in [f64::NAN, f64::INFINITY, 1e300, -1e300, 0.0, 1.0] {
            bocpd.push(&[value]);
            assert!((bocpd.probability(0, MAX_RUN) - 1.0).abs() < 1e-6 || bocpd.runs.len() == 1);
        }
    }
}
