//! The principal components of two models together.

use super::{NOTHING, Pca, dot};

/// Sweeps of Jacobi's method; it converges quadratically, for 16 × 16 within six.
const SWEEPS: usize = 12;

/// Components of (1 − share)·A + share·B, where A and B are the covariances that the components of the two span.
///
/// With rows √(weight·λᵢ)wᵢ of a matrix M, the covariance is MᵀM; the eigenvectors q of the small MMᵀ give its directions
/// Mᵀq/|Mᵀq| and the same eigenvalues.
pub(super) fn components(a: &Pca, b: &Pca, share: f64) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (model, weight) in [(a, 1.0 - share), (b, share)] {
        for v in model.components() {
            let length = dot(v, v).sqrt();
            if length > NOTHING {
                let scale = (weight / length).sqrt();
                rows.push(v.iter().map(|x| x * scale).collect());
            }
        }
    }
    let n = rows.len();
    let mut gram: Vec<f64> = (0..n * n).map(|at| dot(&rows[at / n], &rows[at % n])).collect();
    let vectors = eigenvectors(&mut gram, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| gram[j * n + j].total_cmp(&gram[i * n + i]));
    let mut components = vec![0.0; a.rank * a.width];
    for (slot, &at) in components.chunks_exact_mut(a.width.max(1)).zip(&order) {
        for (row, x) in rows.iter().enumerate() {
            let q = vectors[row * n + at];
            slot.iter_mut().zip(x).for_each(|(s, x)| *s += q * x);
        }
        // Mᵀq has length √λ; a component has length λ.
        let scale = gram[at * n + at].max(0.0).sqrt();
        slot.iter_mut().for_each(|s| *s *= scale);
    }
    components
}

/// Jacobi's method: turns a symmetric matrix into its eigenvalues on the diagonal; returns the eigenvectors as columns.
fn eigenvectors(matrix: &mut [f64], n: usize) -> Vec<f64> {
    let mut vectors = vec![0.0; n * n];
    vectors.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p * n + q];
                if off.abs() <= f64::EPSILON * (matrix[p * n + p] * matrix[q * n + q]).abs().sqrt() {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (matrix[k * n + p], matrix[k * n + q]);
                    (matrix[k * n + p], matrix[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (matrix[p * n + k], matrix[q * n + k]);
                    (matrix[p * n + k], matrix[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
                    (vectors[k * n + p], vectors[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    vectors
}
