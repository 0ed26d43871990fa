//! The alert budget is a promise: on noise in which nothing happens, as many alerts as allowed, and not deaf for it.
//!
//! The short form; `examples/promise.rs` is the long one, with every noise at every sampling period.

#[path = "support/streams.rs"]
mod streams;

use larnax_detect::{DetectorKind, Settings, ThresholdKind};
use streams::{Kind, STEPS, Stream, Watched};

const PERIOD: f64 = 300.0;
const WEEKS: f64 = 27.0;

fn watched(kind: Kind, metrics: usize, allowed: f64, settings: Settings) -> Watched {
    Watched::new(Stream::new(kind, metrics, PERIOD, 11), allowed, settings)
}

/// The default, and the detector whose bands it has.
const DETECTORS: [DetectorKind; 2] = [DetectorKind::Auto, DetectorKind::Birch];

fn of(detector: DetectorKind) -> Settings {
    Settings { detector, ..Settings::default() }
}

#[test]
fn half_a_year_of_any_noise_gives_no_more_alerts_than_promised() {
    for detector in DETECTORS {
        for kind in Kind::ALL {
            for (metrics, allowed) in [(1, 1.0), (1, 10.0), (8, 1.0)] {
                let outcome = watched(kind, metrics, allowed, of(detector)).run(WEEKS, allowed);
                let (lower, _) = streams::poisson(outcome.alerts);
                let what = format!("{detector:?}, {kind:?} × {metrics}, {allowed} a week: {outcome:?}");
                assert!(lower <= 1.2 * outcome.promised, "{what}");
                assert!(outcome.alerts as f64 <= 2.0 * outcome.promised, "{what}");
            }
        }
    }
}

#[test]
fn every_threshold_keeps_the_promise_where_all_metrics_burst_together() {
    for threshold in ThresholdKind::ALL {
        let settings = Settings { threshold, ..of(DetectorKind::Birch) };
        let outcome = watched(Kind::Bursts, 8, 1.0, settings).run(WEEKS, 1.0);
        assert!(outcome.alerts as f64 <= 2.0 * outcome.promised, "{threshold:?}: {outcome:?}");
    }
}

/// `auto` asks of one metric alone what it was never seen to do, and heavy tails have done most of it: that is a deaf spot.
#[test]
fn a_step_of_ten_deviations_is_alerted_within_a_few_samples_of_independent_noise() {
    let light = [Kind::Gaussian, Kind::Exponential];
    let heavy = [Kind::StudentT, Kind::LogNormal];
    let cases = light.iter().flat_map(|&kind| DETECTORS.map(|detector| (detector, 1, kind)));
    let cases = cases.chain(heavy.map(|kind| (DetectorKind::Birch, 1, kind)));
    for (detector, metrics, kind) in cases {
        let mut watched = watched(kind, metrics, 1.0, of(detector));
        let mut outcome = watched.run(6.0, 1.0);
        watched.lift(1.0, &mut outcome);
        assert!(
            outcome.alerted * 10 >= STEPS * 8 && outcome.delay <= 6,
            "{detector:?}, {kind:?} × {metrics}: {outcome:?}"
        );
    }
}
