//! What several networks learnt, in one.

use super::*;

/// One that has learnt rows of noise.
fn taught(rows: usize, seed: u64) -> Lstm {
    let (mut lstm, mut seed) = (of(3), seed);
    teach(&mut lstm, 3, STEPS + rows, &mut seed, 1.0);
    lstm
}

/// One whose cell is this one's plus a number.
fn moved(lstm: &Lstm, by: f32) -> Saved {
    let mut other = lstm.clone();
    other.weights.cell.as_flattened_mut().as_flattened_mut().iter_mut().for_each(|w| *w += by);
    other.save()
}

/// By how much each weight of the cell moved.
fn moves(before: &Lstm, after: &Lstm) -> Vec<f32> {
    let cells = before.weights.parts()[0].iter().zip(after.weights.parts()[0]);
    cells.map(|(before, after)| after - before).collect()
}

#[test]
fn merging_averages_the_cell_by_rows_seen_and_keeps_the_own_readout() {
    let (mut a, mut b, mut seed) = (of(3), of(3), 1);
    teach(&mut a, 3, STEPS + 30, &mut seed, 1.0);
    teach(&mut b, 3, STEPS + 10, &mut seed, 1.0);
    assert_eq!((a.seen, b.seen), (30.0, 10.0));
    let own = a.weights.clone();
    a.merge(b.save()).unwrap();
    let all = own.parts()[0].iter().zip(b.weights.parts()[0]).zip(a.weights.parts()[0]);
    for ((mine, theirs), merged) in all {
        assert!((0.75 * mine + 0.25 * theirs - merged).abs() < 1e-6);
    }
    assert_eq!((&a.weights.readout, &a.weights.offset), (&own.readout, &own.offset));
    assert_eq!(a.seen, 40.0);

    let mut fresh = of(3);
    fresh.merge(b.save()).unwrap();
    assert_eq!((fresh.weights, fresh.seen), (b.weights, 10.0));
}

#[test]
fn of_many_the_largest_and_smallest_tenth_are_left_out() {
    let own = taught(30, 1);
    // Nine that agree, and one that went wrong, with as many rows as all others: ten others and this one.
    let mut others: Vec<Saved> = (0..9).map(|_| moved(&own, 1e-4)).collect();
    let mut wrong = own.clone();
    wrong.weights.cell[3] = [[50.0; HIDDEN]; 4];
    wrong.seen = 300.0;
    others.push(wrong.save());
    let mut merged = own.clone();
    merged.merge_all(others).unwrap();
    let moves = moves(&own, &merged);
    assert!(
        moves.iter().all(|by| (0.0..2e-4).contains(by)),
        "{:?}",
        moves.iter().copied().fold(0.0, f32::max)
    );
    assert_eq!(merged.seen, 30.0 * 10.0 + 300.0);
}

#[test]
fn one_that_strayed_far_counts_no_more_than_the_others() {
    let own = taught(30, 1);
    let mut merged = own.clone();
    merged.merge_all(vec![moved(&own, 1e-4), moved(&own, -1e-4), moved(&own, 10.0)]).unwrap();
    // A quarter each: of 1e-4, −1e-4, what was 10, and nothing from itself.
    assert!(moves(&own, &merged).iter().all(|by| (by - 0.25e-4).abs() < 1e-6));
}

/// A network that has learnt sines with some noise, and how to go on.
fn node(phase: usize) -> (Lstm, impl FnMut(&mut Lstm, usize)) {
    let (mut row, mut wobble, mut seed, mut t) = ([0.0; 3], [0.0; 3], phase as u64 + 1, phase);
    let mut go_on = move |lstm: &mut Lstm, rows: usize| {
        for _ in 0..rows {
            sines(t, &mut row);
            noise(&mut seed, &mut wobble);
            row.iter_mut().zip(wobble).for_each(|(x, w)| *x += 0.1 * w);
            lstm.learn(&row, 1.0);
            t += 1;
        }
    };
    let mut lstm = of(3);
    go_on(&mut lstm, 1_000);
    (lstm, go_on)
}

#[test]
fn what_forecasts_rows_to_come_worse_goes_again() {
    let (mut own, mut go_on) = node(0);
    let mut stranger = own.clone();
    stranger.weights.cell.as_flattened_mut().as_flattened_mut().iter_mut().for_each(|w| *w = -*w);
    let before = own.clone();
    own.merge(stranger.save()).unwrap();
    assert_ne!(bits(&own.weights), bits(&before.weights));
    go_on(&mut own, trial::ROWS as usize - 1);
    assert!(own.trial.is_some());
    go_on(&mut own, 1);
    assert!(own.trial.is_none());
    assert_eq!(bits(&own.weights), bits(&before.weights));
}

#[test]
fn what_is_as_good_stays() {
    let (mut own, mut go_on) = node(0);
    let (mut alike, mut go_on_alike) = (own.clone(), node(0).1);
    go_on_alike(&mut alike, 50);
    let before = own.clone();
    own.merge(alike.save()).unwrap();
    go_on(&mut own, trial::ROWS as usize);
    assert!(own.trial.is_none());
    assert_ne!(bits(&own.weights), bits(&before.weights));
    let updates = own.adam.updates;
    go_on(&mut own, 1);
    assert_eq!(own.adam.updates, updates + 1, "it learns again");
}

#[test]
fn saved_during_the_trial_it_goes_on_to_the_bit() {
    let (mut own, mut go_on) = node(0);
    own.merge(node(5).0.save()).unwrap();
    go_on(&mut own, 30);
    let mut restored = of(3);
    restored.restore(own.save()).unwrap();
    let bytes = |lstm: &Lstm| prost::Message::encode_to_vec(&lstm.save());
    assert_eq!(bytes(&restored), bytes(&own));
    teach(&mut own, 3, 300, &mut 9, 1.0);
    teach(&mut restored, 3, 300, &mut 9, 1.0);
    assert_eq!(bytes(&restored), bytes(&own));
}

#[test]
fn a_metric_that_another_never_saw_keeps_its_weights() {
    let own = taught(60, 1);
    let mut narrow = of(2);
    teach(&mut narrow, 2, STEPS + 60, &mut 5, 1.0);
    narrow.rearrange(&[Some(0), Some(1), None]);
    let mut merged = own.clone();
    merged.merge(narrow.save()).unwrap();
    let row = |lstm: &Lstm, metric: usize| lstm.weights.cell[HIDDEN + 1 + metric];
    assert_eq!(row(&merged, 2), row(&own, 2));
    assert_ne!(row(&merged, 1), row(&own, 1));
}
