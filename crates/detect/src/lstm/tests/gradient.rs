//! The gradient, held against finite differences of a plain network.

use super::super::cell::Units;
use super::super::train::REPLAY_WEIGHT;
use super::*;

/// A window and what came after it.
struct Example {
    weight: f64,
    inputs: Vec<Vec<f64>>,
    /// Hidden units and memory.
    start: (Vec<f64>, Vec<f64>),
    changes: Vec<Option<f64>>,
}

/// The same network in `f64`, as plainly as the specification says it: the loss of one window.
fn plain_loss(
    [cell, readout, offset]: &[Vec<f64>; 3],
    Example { weight, inputs, start: (hidden, memory), changes }: &Example,
) -> f64 {
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut hidden, mut memory) = (hidden.clone(), memory.clone());
    for z in inputs {
        let u: Vec<f64> = hidden.iter().copied().chain([1.0]).chain(z.iter().copied()).collect();
        let gate = |n: usize| {
            let (cell, u) = (&cell, &u);
            (0..HIDDEN).map(move |j| {
                u.iter().enumerate().map(|(k, x)| cell[k * 4 * HIDDEN + n * HIDDEN + j] * x).sum::<f64>()
            })
        };
        let (i, f): (Vec<_>, Vec<_>) = (gate(0).map(sigma).collect(), gate(1).map(sigma).collect());
        let (o, g): (Vec<_>, Vec<_>) = (gate(2).map(sigma).collect(), gate(3).map(f64::tanh).collect());
        for j in 0..HIDDEN {
            memory[j] = f[j] * memory[j] + i[j] * g[j];
            hidden[j] = o[j] * memory[j].tanh();
        }
    }
    let huber = |r: f64| if r.abs() <= 1.0 { 0.5 * r * r } else { r.abs() - 0.5 };
    let errors = changes.iter().enumerate().filter_map(|(d, change)| {
        let row = &readout[d * HIDDEN..(d + 1) * HIDDEN];
        Some(row.iter().zip(&hidden).map(|(v, h)| v * h).sum::<f64>() + offset[d] - (*change)?)
    });
    weight * errors.map(huber).sum::<f64>()
}

#[test]
fn the_gradient_is_that_of_finite_differences_for_every_group_of_weights() {
    let metrics = 5;
    let (mut lstm, mut seed) = (sparse(metrics, 2), 3);
    // A readout that isn't 0, or nothing flows back; then a state that isn't 0 before the window.
    lstm.weights.readout.as_flattened_mut().iter_mut().for_each(|v| *v = 0.5 * math::uniform(&mut seed));
    teach(&mut lstm, metrics, STEPS + 7, &mut seed, 0.0);
    // Of the last row one metric is missing and one far out, where the loss is linear.
    let row = [0.4, f64::NAN, -1.2, 15.0, 0.1];
    let mut windows = Vec::new();
    for weight in [f64::from(REPLAY_WEIGHT), 1.0] {
        let head = lstm.window.head;
        let inputs: Vec<Vec<f64>> = (0..STEPS)
            .map(|s| &lstm.window.inputs[(head + s) % STEPS * metrics..][..metrics])
            .map(|z| z.iter().map(|&x| f64::from(x)).collect())
            .collect();
        let start = lstm.window.steps[head].before;
        let wide = |units: Units| units.map(f64::from).to_vec();
        let changes: Vec<Option<f64>> = row
            .iter()
            .zip(&lstm.last)
            .map(|(x, last)| x.is_finite().then_some(x - f64::from(*last)))
            .collect();
        windows.push(Example { weight, inputs, start: (wide(start.hidden), wide(start.memory)), changes });
        // The first goes to the reservoir, the second is the present one.
        if windows.len() == 1 {
            lstm.offer(&row);
            teach(&mut lstm, metrics, 5, &mut seed, 0.0);
        }
    }
    lstm.find_gradient(&row);

    let mut theta = lstm.weights.parts().map(|part| part.iter().map(|&w| f64::from(w)).collect::<Vec<_>>());
    let loss = |theta: &[Vec<f64>; 3]| windows.iter().map(|w| plain_loss(theta, w)).sum::<f64>();
    let found = lstm.scratch.gradient.parts().map(<[f32]>::to_vec);
    let recurrent = HIDDEN * 4 * HIDDEN;
    let groups = [
        ("recurrent", 0, 0..recurrent),
        ("bias", 0, recurrent..recurrent + 4 * HIDDEN),
        ("input", 0, recurrent + 4 * HIDDEN..found[0].len()),
        ("readout", 1, 0..found[1].len()),
        ("offset", 2, 0..found[2].len()),
    ];
    for (name, part, range) in groups {
        let (mut difference, mut length) = (0.0, 0.0);
        // Every weight of the small groups, some of the large ones: each costs two passes.
        let stride = range.len().div_ceil(160) | 1;
        for at in range.step_by(stride) {
            let (w, step) = (theta[part][at], 1e-5);
            theta[part][at] = w + step;
            let above = loss(&theta);
            theta[part][at] = w - step;
            let slope = (above - loss(&theta)) / (2.0 * step);
            theta[part][at] = w;
            difference += (slope - f64::from(found[part][at])).powi(2);
            length += slope * slope;
        }
        let error = (difference / length).sqrt();
        println!("{name}: {error:.1e} of {:.1e}", length.sqrt());
        assert!(error < 1e-5 && length > 0.0, "{name}: off by {error} of {length}");
    }
}
