//! Events caught, false alarms a day and delay.
//!
//! Twice: at the best threshold that keeps to a budget of false alarms, chosen afterwards ([`at_budget`], EV1: nobody
//! can ship that), and as shipped ([`of_state`], [`of_alerts`]: what a person would have got at default settings).

use std::ops::Range;

use crate::series::{EvaluateError, Events, Series};

/// Anomalous rows at most this far apart are one alarm.
const SAME_ALARM_ROWS: usize = 10;
/// False alarms a day that EV1 allows.
const FALSE_ALARMS_A_DAY: f64 = 1.0;
/// Thresholds that EV1 tries: these many quantiles, so that from 10^-4.5 to 10^-0.3 of the rows are above.
const TRIED: usize = 120;
const RAREST: f64 = -4.5;
const MOST_COMMON: f64 = -0.3;
const SECONDS_A_DAY: f64 = 86_400.0;

/// What can be had with a threshold chosen afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtBudget {
    /// The share of events caught.
    pub caught: f64,
    /// Median rows from the start of an event to its first anomalous row, of the events caught.
    pub delay_rows: Option<f64>,
}

/// EV1: the largest share of events with an anomalous row at any threshold that costs at most one false alarm a day (and
/// at least one in all). An alarm is false when it touches no event. None without an event.
///
/// An alarm that lasts all the time touches every event and is not false. A score that is the same on half of the rows
/// (always 0 when calm, say) can so be called perfect: look at what [`of_state`] says beside it.
pub fn at_budget(series: &Series<'_>, rows_a_day: f64) -> Option<AtBudget> {
    let events = series.events();
    if events.is_empty() {
        return None;
    }
    let days = series.scores().len() as f64 / rows_a_day;
    let allowed = ((FALSE_ALARMS_A_DAY * days) as usize).max(1);
    let mut best = AtBudget { caught: 0.0, delay_rows: None };
    let mut anomalous = vec![false; series.scores().len()];
    for threshold in thresholds(series.scores()) {
        for (flag, &score) in anomalous.iter_mut().zip(series.scores()) {
            *flag = score >= threshold;
        }
        if false_alarms(&alarms(&anomalous), events) > allowed {
            break;
        }
        let delays: Vec<f64> = delays(&anomalous, events).map(|rows| rows as f64).collect();
        let caught = delays.len() as f64 / events.len() as f64;
        if caught >= best.caught {
            best = AtBudget { caught, delay_rows: crate::median(&delays) };
        }
    }
    Some(best)
}

/// Quantiles of the scores, from the highest down, each once.
fn thresholds(scores: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let step = (MOST_COMMON - RAREST) / (TRIED - 1) as f64;
    let mut thresholds: Vec<f64> =
        (0..TRIED).map(|i| quantile(&sorted, 1.0 - 10f64.powf(RAREST + step * i as f64))).collect();
    thresholds.sort_unstable_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    thresholds
}

/// Between the two nearest values, in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let lower = sorted.get(place as usize).copied().unwrap_or(0.0);
    let upper = sorted.get(place as usize + 1).copied().unwrap_or(lower);
    let part = place.fract();
    // From the nearer end: equal ends then give exactly their value.
    if part < 0.5 { lower + (upper - lower) * part } else { upper - (upper - lower) * (1.0 - part) }
}

/// What a person would have got at default settings. Of several series: the sum ([`Deployed::add`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed {
    /// Labelled events.
    pub events: usize,
    /// Of these, the ones caught.
    pub caught: usize,
    /// Alarms, true and false.
    pub alarms: usize,
    /// Alarms that touch no event.
    pub false_alarms: usize,
    /// How long was watched.
    pub days: f64,
    /// From the start of each event caught until it was told, in seconds.
    pub delays: Vec<f64>,
}

impl Deployed {
    /// Adds what was found in another series.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.caught += other.caught;
        self.alarms += other.alarms;
        self.false_alarms += other.false_alarms;
        self.days += other.days;
        self.delays.extend_from_slice(&other.delays);
    }

    /// The share of events caught; none without an event.
    pub fn caught_share(&self) -> Option<f64> {
        (self.events > 0).then(|| self.caught as f64 / self.events as f64)
    }

    /// False alarms a day; none where nothing was watched.
    pub fn false_alarms_a_day(&self) -> Option<f64> {
        (self.days > 0.0).then(|| self.false_alarms as f64 / self.days)
    }

    /// The median delay in seconds; none when no event was caught.
    pub fn median_delay(&self) -> Option<f64> {
        crate::median(&self.delays)
    }
}

/// The state as shipped: a row with a score above 1 is anomalous. Anomalous rows at most ten apart are one alarm; an
/// event is caught when one of its rows is anomalous, also when the alarm began before it.
pub fn of_state(series: &Series<'_>, row_seconds: f64) -> Deployed {
    let anomalous: Vec<bool> = series.scores().iter().map(|&score| score > 1.0).collect();
    let alarms = alarms(&anomalous);
    let delays: Vec<f64> =
        delays(&anomalous, series.events()).map(|rows| rows as f64 * row_seconds).collect();
    Deployed {
        events: series.events().len(),
        caught: delays.len(),
        alarms: alarms.len(),
        false_alarms: false_alarms(&alarms, series.events()),
        days: series.scores().len() as f64 * row_seconds / SECONDS_A_DAY,
        delays,
    }
}

/// Something that was told: an anomaly opened, or an alert given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The row at which it began, by what was told; not after `told`.
    pub onset: usize,
    /// The row at which it was told.
    pub told: usize,
}

/// Alerts as given. An alert is about the rows from its onset to the one at which it was told, and catches every event
/// among them; about none, it is false. An event that goes by while an earlier alert is still open is not caught: nobody
/// was told. The error says that an alert is about rows that there are none of.
pub fn of_alerts(alerts: &[Alert], events: &Events, row_seconds: f64) -> Result<Deployed, EvaluateError> {
    let mut told: Vec<Option<usize>> = vec![None; events.len()];
    let mut false_alarms = 0;
    for alert in alerts {
        if alert.told >= events.rows() {
            return Err(EvaluateError::Rows { scores: alert.told + 1, labels: events.rows() });
        }
        let touched = events.touched(&(alert.onset.min(alert.told)..alert.told + 1));
        false_alarms += usize::from(touched.is_empty());
        for first in &mut told[touched] {
            *first = Some(first.map_or(alert.told, |earlier| earlier.min(alert.told)));
        }
    }
    let delays: Vec<f64> = told
        .iter()
        .zip(events.iter())
        .filter_map(|(told, event)| told.map(|told| told.saturating_sub(event.start) as f64 * row_seconds))
        .collect();
    Ok(Deployed {
        events: events.len(),
        caught: delays.len(),
        alarms: alerts.len(),
        false_alarms,
        days: events.rows() as f64 * row_seconds / SECONDS_A_DAY,
        delays,
    })
}

/// Stretches of anomalous rows; what lies at most ten rows apart is one.
fn alarms(anomalous: &[bool]) -> Vec<Range<usize>> {
    let mut alarms: Vec<Range<usize>> = Vec::new();
    for (row, _) in anomalous.iter().enumerate().filter(|(_, anomalous)| **anomalous) {
        match alarms.last_mut() {
            Some(last) if row < last.end + SAME_ALARM_ROWS => last.end = row + 1,
            _ => alarms.push(row..row + 1),
        }
    }
    alarms
}

fn false_alarms(alarms: &[Range<usize>], events: &Events) -> usize {
    alarms.iter().filter(|alarm| events.touched(alarm).is_empty()).count()
}

/// For each event with an anomalous row, how many rows after its start the first one comes.
fn delays(anomalous: &[bool], events: &Events) -> impl Iterator<Item = usize> {
    events.iter().filter_map(|event| anomalous.get(event.clone())?.iter().position(|&anomalous| anomalous))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: f64 = 60.0;

    fn series<'a>(rows: &[usize], events: &'a Events) -> Series<'a> {
        let scores: Vec<f64> =
            (0..events.rows()).map(|row| if rows.contains(&row) { 2.0 } else { 0.5 }).collect();
        Series::new(&scores, events).unwrap()
    }

    #[test]
    fn the_state_catches_an_event_with_one_row_and_rows_near_each_other_are_one_false_alarm() {
        let events = Events::from_stretches(1_440, [100..120, 500..510]);
        let found = of_state(&series(&[105, 300, 310, 321, 700], &events), MINUTE);
        assert_eq!((found.events, found.caught, found.alarms, found.false_alarms), (2, 1, 4, 3));
        assert_eq!((found.days, found.median_delay()), (1.0, Some(300.0)));
    }

    #[test]
    fn an_alert_catches_the_events_between_its_onset_and_the_row_it_was_told_at() {
        let events = Events::from_stretches(1_440, [100..103, 500..600]);
        let alerts = [
            Alert { onset: 101, told: 105 },
            Alert { onset: 200, told: 205 },
            Alert { onset: 480, told: 520 },
            Alert { onset: 530, told: 540 },
        ];
        let found = of_alerts(&alerts, &events, MINUTE).unwrap();
        assert_eq!((found.caught, found.alarms, found.false_alarms), (2, 4, 1));
        assert_eq!(found.delays, [300.0, 1_200.0]);
        assert_eq!(found.false_alarms_a_day(), Some(1.0));
        let outside = [Alert { onset: 0, told: 1_440 }];
        assert!(of_alerts(&outside, &events, MINUTE).is_err());
    }

    #[test]
    fn figures_of_several_series_add_up() {
        let events = Events::from_stretches(1_440, [100..103, 500..600]);
        let mut sum = of_state(&series(&[100], &events), MINUTE);
        sum.add(&of_state(&series(&[502, 900], &events), MINUTE));
        assert_eq!((sum.caught_share(), sum.false_alarms_a_day()), (Some(0.5), Some(0.5)));
        assert_eq!(sum.median_delay(), Some(60.0));
        assert_eq!(Deployed::default().caught_share(), None);
    }

    #[test]
    fn a_threshold_chosen_afterwards_finds_what_stands_out_at_all() {
        let events = Events::from_stretches(1_440, [100..103, 500..600]);
        let noise = |row: usize| (row * 7_919 % 1_440) as f64 / 1_440.0;
        let scores: Vec<f64> =
            (0..1_440).map(|row| noise(row) + f64::from(u8::from([102, 500].contains(&row)))).collect();
        let found = at_budget(&Series::new(&scores, &events).unwrap(), 1_440.0).unwrap();
        assert_eq!(found, AtBudget { caught: 1.0, delay_rows: Some(1.0) });
        assert_eq!(at_budget(&series(&[], &Events::from_stretches(10, [])), 1_440.0), None);
    }
}
