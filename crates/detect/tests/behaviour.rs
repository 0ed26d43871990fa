//! What is normal and what is not, on made-up machines of which the truth is known.

mod support;

use larnax_core::{AnomalyKind, CloseReason, Transition};
use larnax_detect::DetectorKind::{self, Arima, ArimaOgd, ArimaOns, Birch, Lstm, Pca};
use support::{Fed, Noise, numbered};

const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;

/// All but `auto`, whose behaviour is told in `tests/auto.rs`, and the network, which takes minutes for a week.
const LIGHT: [DetectorKind; 5] = [Birch, Arima, ArimaOgd, ArimaOns, Pca];

/// Holds each of some kinds to what a check says of it; tells all that don't.
fn hold(kinds: &[DetectorKind], check: impl Fn(DetectorKind) -> Result<(), String>) {
    let failed: Vec<String> = kinds
        .iter()
        .filter_map(|&kind| check(kind).err().map(|story| format!("{}: {story}", kind.as_str())))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// That it alerted at most so often.
fn alerts_at_most(most: usize, fed: &Fed) -> Result<(), String> {
    if fed.alerts() <= most { Ok(()) } else { Err(format!("{} alerts\n{}", fed.alerts(), fed.story())) }
}

#[test]
fn a_day_of_stationary_noise_flags_less_than_one_sample_in_two_hundred() {
    let (mut noise, mut state) = (Noise(1), [0.0; 8]);
    let mut fed = Fed::new(&numbered(16));
    fed.run(0.0, DAY, 2.0, |_, values| {
        for (s, pair) in state.iter_mut().zip(values.chunks_exact_mut(2)) {
            *s = 0.9 * *s + noise.normal();
            pair[0] = 50.0 + *s + 0.3 * noise.normal();
            pair[1] = 1_000.0 + 20.0 * noise.normal();
        }
    });
    assert!((fed.flagged as f64) < 0.005 * fed.ready as f64, "{} of {}", fed.flagged, fed.ready);
    assert_eq!(fed.alerts(), 0, "{}", fed.story());
}

#[test]
fn a_step_of_ten_deviations_on_any_of_500_metrics_is_seen_within_three_samples() {
    let mut noise = Noise(2);
    let mut learnt = Fed::new(&numbered(500));
    learnt.run(0.0, 3.0 * 3_600.0, 5.0, |_, values| values.fill_with(|| 100.0 + 5.0 * noise.normal()));
    let saved = learnt.watch.save();
    for victim in (0..500).step_by(13) {
        let mut fed = Fed::new(&numbered(500));
        fed.watch.restore(&saved).unwrap();
        fed.run(3.0 * 3_600.0, 15.0, 5.0, |_, values| {
            values.fill_with(|| 100.0 + 5.0 * noise.normal());
            values[victim] += 50.0;
        });
        let seen = (fed.watch.basis(), fed.watch.verdict().metrics[victim]);
        assert!(fed.flagged >= 1, "metric {victim}: {seen:?}");
        assert_eq!(fed.watch.verdict().top(1)[0].0, victim);
    }
}

/// A week at 5 s of one kind of series, ten of them.
fn a_week(kind: DetectorKind, next: impl Fn(&mut Noise, f64, usize, f64) -> f64) -> Fed {
    let mut noise = Noise(3);
    let mut last = [100.0; 10];
    let mut fed = Fed::of(kind, &numbered(10));
    fed.run(0.0, WEEK, 5.0, |t, values| {
        for (i, (value, last)) in values.iter_mut().zip(&mut last).enumerate() {
            *last = next(&mut noise, t, i, *last);
            *value = *last;
        }
    });
    fed
}

#[test]
fn heavy_tails_give_at_most_two_alerts_a_week() {
    hold(&LIGHT, |kind| alerts_at_most(2, &a_week(kind, |noise, _, _, _| 100.0 + noise.heavy())));
}

#[test]
fn log_normal_bursts_give_at_most_two_alerts_a_week() {
    hold(&LIGHT, |kind| alerts_at_most(2, &a_week(kind, |noise, _, _, _| (1.5 * noise.normal()).exp())));
}

#[test]
fn bursts_every_minute_give_at_most_two_alerts_a_week() {
    hold(&LIGHT, |kind| {
        alerts_at_most(
            2,
            &a_week(kind, |noise, t, i, _| {
                let burst = if (t + 7.0 * i as f64) % 60.0 < 10.0 { 200.0 } else { 0.0 };
                10.0 + noise.normal() + burst * (0.5 + noise.uniform())
            }),
        )
    });
}

#[test]
fn random_walks_give_at_most_two_alerts_a_week() {
    hold(&LIGHT, |kind| alerts_at_most(2, &a_week(kind, |noise, _, _, last| (last + noise.normal()).abs())));
}

#[test]
fn ramps_that_start_over_give_at_most_two_alerts_a_week() {
    hold(&[Birch, Arima], |kind| {
        alerts_at_most(
            2,
            &a_week(kind, |noise, t, i, _| match i {
                0 => t,
                1 => 1.7e9 + t,
                _ => t % (600.0 * i as f64) + 0.1 * noise.normal(),
            }),
        )
    });
}

#[test]
fn a_daily_rhythm_gives_at_most_two_alerts_a_week() {
    hold(&LIGHT, |kind| {
        alerts_at_most(
            2,
            &a_week(kind, |noise, t, i, _| {
                100.0
                    + 40.0 * (std::f64::consts::TAU * (t / DAY + i as f64 / 20.0)).sin()
                    + 2.0 * noise.normal()
            }),
        )
    });
}

#[test]
fn a_level_shift_holds_one_anomaly_open_until_it_is_adopted() {
    let mut noise = Noise(4);
    let mut fed = Fed::new(&numbered(10));
    let hour = 3_600.0;
    fed.run(0.0, 20.0 * hour, 5.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        if t >= 2.0 * hour {
            values[3] += 40.0;
        }
    });
    let story = fed.story();
    assert_eq!(fed.changes.iter().filter(|(_, c)| c.transition == Transition::Opened).count(), 1, "{story}");
    let (opened, first) = &fed.changes[0];
    assert!(*opened <= 2.0 * hour + 15.0 && first.anomaly.onset == support::at(2.0 * hour), "{story}");
    let (closed, last) = fed.changes.last().unwrap();
    assert_eq!(last.anomaly.close_reason, Some(CloseReason::Adopted), "{story}");
    assert!((closed - opened - 12.0 * hour).abs() < 60.0, "{story}");
    assert_eq!(last.anomaly.metrics[0].metric.as_str(), "m3");
}

#[test]
fn single_spikes_are_flagged_and_alert_nobody() {
    let mut noise = Noise(5);
    let mut fed = Fed::new(&numbered(10));
    fed.run(0.0, DAY, 5.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        if t > 3_600.0 && ((t / 5.0) as u64).is_multiple_of(181) {
            values[(t / 5.0) as usize % 10] += 30.0 + t / 100.0;
        }
    });
    assert!(fed.flagged > 0);
    assert_eq!(fed.alerts(), 0, "{}", fed.story());
}

/// A quiet machine of which cpu, run queue and load rise for a minute.
fn stress(period: f64) -> Fed {
    let mut noise = Noise(6);
    let names = ["cpu/user", "cpu/idle", "procs_running", "load1", "memory/free", "disk/written", "net/in"];
    let mut fed = Fed::new(&support::schema(&names.map(String::from)));
    let (mut load, mut free) = (0.1, 24e9);
    fed.run(0.0, 1_200.0, period, |t, values| {
        let busy = (600.0..660.0).contains(&t);
        let user = if busy { 98.0 + noise.normal() } else { 1.0 + 0.3 * noise.normal().abs() };
        let queue = if busy { 5.0 } else { 1.0 + f64::from(noise.uniform() < 0.2) };
        load += (queue - 0.9 - load) * (1.0 - (-period / 60.0f64).exp());
        free += noise.normal() * 1e6;
        let written = if noise.uniform() < 0.05 { 1e6 * noise.uniform() } else { 0.0 };
        values.copy_from_slice(&[
            user,
            100.0 - user,
            queue,
            load,
            free,
            written,
            900.0 + 90.0 * noise.heavy(),
        ]);
    });
    fed
}

#[test]
fn a_minute_of_stress_is_one_anomaly_seen_within_fifteen_seconds_at_any_period() {
    for period in [0.1, 1.0, 5.0] {
        let fed = stress(period);
        let story = fed.story();
        assert_eq!(fed.alerts(), 1, "{period}: {story}");
        let (opened, change) = &fed.changes[0];
        assert!((600.0..=615.0).contains(opened), "{period}: {story}");
        assert_eq!(change.anomaly.onset, support::at(600.0), "{period}: {story}");
        assert!(change.anomaly.metrics[..2].iter().all(|m| m.metric.as_str().starts_with("cpu/")), "{story}");
        // The load average takes minutes to fall: that may hold the anomaly open or continue it, without a second alert.
        let (closed, first) = fed.changes.iter().find(|(_, c)| c.transition == Transition::Closed).unwrap();
        assert_eq!(first.anomaly.close_reason, Some(CloseReason::Recovered), "{period}: {story}");
        assert!((670.0..=960.0).contains(closed), "{period}: {story}");
        assert_eq!(fed.watch.open_anomalies().count(), 0, "{period}: {story}");
    }
}

#[test]
fn peaks_of_a_second_do_not_hide_a_lasting_stress() {
    hold(&[Birch, Arima, ArimaOgd, Pca, Lstm], |kind| {
        let mut noise = Noise(7);
        let mut fed = Fed::of(kind, &numbered(5));
        fed.run(0.0, 3.0 * 3_600.0, 1.0, |t, values| {
            values.fill_with(|| 5.0 + noise.normal());
            if (t as u64).is_multiple_of(47) || t >= 10_000.0 {
                values[0] = 100.0;
            }
        });
        let opened = fed.changes.first().map_or(0.0, |(t, _)| *t);
        let right = fed.alerts() == 1 && (10_000.0..10_015.0).contains(&opened);
        if right { Ok(()) } else { Err(fed.story()) }
    });
}

#[test]
fn a_constant_metric_that_changes_alone_is_noted_and_alerts_nobody() {
    let mut noise = Noise(1);
    let mut fed = Fed::new(&numbered(20));
    fed.run(0.0, 3_600.0, 1.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        values[4] = 0.0;
        if (1_800.0..1_803.0).contains(&t) {
            values[4] = 1.0;
        }
    });
    assert!(fed.changes.is_empty(), "{}", fed.story());
}

#[test]
fn many_metrics_that_each_stay_inside_their_bands_are_seen_together() {
    let mut noise = Noise(9);
    let mut fed = Fed::new(&numbered(100));
    fed.run(0.0, 2.0 * 3_600.0, 5.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        if t >= 7_000.0 {
            values.iter_mut().take(40).for_each(|v| *v += 4.0);
        }
    });
    assert_eq!(fed.alerts(), 1, "{}", fed.story());
}

#[test]
fn a_metric_that_vanishes_is_named() {
    let mut noise = Noise(10);
    let mut fed = Fed::new(&numbered(5));
    fed.run(0.0, 1_000.0, 5.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        if (600.0..800.0).contains(&t) {
            values[2] = f64::NAN;
        }
    });
    let kinds: Vec<_> = fed.changes.iter().map(|(_, c)| (c.transition, c.anomaly.kind)).collect();
    let absent = AnomalyKind::MetricAbsent;
    assert_eq!(kinds, [(Transition::Opened, absent), (Transition::Closed, absent)]);
    assert_eq!(fed.changes[0].1.anomaly.metrics[0].metric.as_str(), "m2");
}

/// An hour with five minutes of latency every ten, then a leak that ends after five minutes, then latency once more.
#[test]
fn an_hour_of_faults_hides_neither_a_smaller_one_nor_the_next_of_its_size() {
    hold(&[DetectorKind::default()], |kind| {
        let mut noise = Noise(8);
        let names = ["latency", "requests", "cpu", "memory", "written", "threads", "files", "sent"];
        let mut fed = Fed::of(kind, &support::schema(&names.map(String::from)));
        let slow = |t: f64| (1_200.0..4_800.0).contains(&t) && t % 600.0 < 300.0 || t >= 6_000.0;
        let leak = |t: f64| if (5_100.0..5_400.0).contains(&t) { (t - 5_100.0) / 300.0 } else { 0.0 };
        fed.run(0.0, 6_300.0, 1.0, |t, values| {
            values.fill_with(|| 100.0 + noise.normal());
            values[0] += if slow(t) { 150.0 } else { 0.0 };
            values[3] += 75.0 * leak(t);
        });
        let opened = |from: f64, name: &str| {
            fed.changes.iter().any(|(t, c)| {
                (from..from + 300.0).contains(t)
                    && c.transition == Transition::Opened
                    && c.anomaly.metrics.first().is_some_and(|m| m.metric.as_str() == name)
            })
        };
        if opened(5_100.0, "memory") && opened(6_000.0, "latency") { Ok(()) } else { Err(fed.story()) }
    });
}
