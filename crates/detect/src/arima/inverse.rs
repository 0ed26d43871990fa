//! The inverse of a small symmetric matrix, for adding up what two models learnt.

/// Inverts a symmetric positive definite `n` × `n` matrix, row by row, by its Cholesky factor; none if it isn't one.
pub(crate) fn inverse(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let rest = matrix[i * n + j] - sum;
            lower[i * n + j] = if i > j {
                rest / lower[j * n + j]
            } else if rest > 0.0 && rest.is_finite() {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut inverse = vec![0.0; n * n];
    let mut x = vec![0.0; n];
    for column in 0..n {
        for i in 0..n {
            let unit = if i == column { 1.0 } else { 0.0 };
            let sum: f64 = (0..i).map(|k| lower[i * n + k] * x[k]).sum();
            x[i] = (unit - sum) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| lower[k * n + i] * x[k]).sum();
            x[i] = (x[i] - sum) / lower[i * n + i];
        }
        (0..n).for_each(|i| inverse[i * n + column] = x[i]);
    }
    inverse.iter().all(|x| x.is_finite()).then_some(inverse)
}

/// `matrix` · `x`.
pub(crate) fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len().max(1)).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

/// Adds two least-squares solutions: each is an inverse moment matrix and coefficients. `shared` is what stands on the
/// diagonal of both moment matrices and counts once. None where one of them can't be inverted.
pub(crate) fn pooled(
    (p1, c1): (&[f64], &[f64]),
    (p2, c2): (&[f64], &[f64]),
    shared: f64,
) -> Option<(Vec<f64>, Vec<f64>)> {
    let n = c1.len();
    let (a1, a2) = (inverse(p1, n)?, inverse(p2, n)?);
    let mut moments: Vec<f64> = a1.iter().zip(&a2).map(|(a, b)| a + b).collect();
    moments.iter_mut().step_by(n + 1).for_each(|diagonal| *diagonal -= shared);
    let cross: Vec<f64> = times(&a1, c1).iter().zip(times(&a2, c2)).map(|(a, b)| a + b).collect();
    let p = inverse(&moments, n)?;
    let coefficients = times(&p, &cross);
    Some((p, coefficients))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let matrix = [4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let inverse = inverse(&matrix, 3).unwrap();
        for i in 0..3 {
            let mut unit = [0.0; 3];
            unit[i] = 1.0;
            let back = times(&matrix, &times(&inverse, &unit));
            assert!(back.iter().zip(unit).all(|(a, b)| (a - b).abs() < 1e-14), "{back:?}");
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_none() {
        assert_eq!(inverse(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(inverse(&[f64::NAN; 4], 2), None);
    }
}
