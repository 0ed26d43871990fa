//! The alert budget is a promise: on noise in which nothing happens, as many alerts as allowed, and not deaf for it.
//!
//! The short form; `examples/promise.rs` is the long one, with every noise at every sampling period.

#[path = "support/streams.rs"]
mod streams;

use larnax_detect::{Settings, ThresholdKind};
use streams::{Kind, STEPS, Stream, Watched};

const PERIOD: f64 = 300.0;
const WEEKS: f64 = 27.0;

fn watched(kind: Kind, metrics: usize, allowed: f64, settings: Settings) -> Watched {
    Watched::new(Stream::new(kind, metrics, PERIOD, 11), allowed, settings)
}

#[test]
fn half_a_year_of_any_noise_gives_no_more_alerts_than_promised() {
    for kind in Kind::ALL {
        for (metrics, allowed) in [(1, 1.0), (1, 10.0), (8, 1.0)] {
            let outcome = watched(kind, metrics, allowed, Settings::default()).run(WEEKS, allowed);
            let (lower, _) = streams::poisson(outcome.alerts);
            assert!(lower <= 1.2 * outcome.promised, "{kind:?} × {metrics}, {allowed} a week: {outcome:?}");
            assert!(outcome.alerts as f64 <= 2.0 * outcome.promised, "{kind:?} × {metrics}: {outcome:?}");
        }
    }
}

#[test]
fn every_threshold_keeps_the_promise_where_all_metrics_burst_together() {
    for threshold in ThresholdKind::ALL {
        let settings = Settings { threshold, ..Settings::default() };
        let outcome = watched(Kind::Bursts, 8, 1.0, settings).run(WEEKS, 1.0);
        assert!(outcome.alerts as f64 <= 2.0 * outcome.promised, "{threshold:?}: {outcome:?}");
    }
}

#[test]
fn a_step_of_ten_deviations_is_alerted_within_a_few_samples_of_independent_noise() {
    for kind in [Kind::Gaussian, Kind::StudentT, Kind::LogNormal, Kind::Exponential] {
        let mut watched = watched(kind, 1, 1.0, Settings::default());
        let mut outcome = watched.run(6.0, 1.0);
        watched.lift(1.0, &mut outcome);
        assert!(outcome.alerted * 10 >= STEPS * 8 && outcome.delay <= 6, "{kind:?}: {outcome:?}");
    }
}
