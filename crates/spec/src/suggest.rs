//! "Did you mean": the nearest known name by edit distance.

/// A text longer than this is not compared.
const MAX_CHARS: usize = 64;

/// Damerau's edit distance restricted to adjacent swaps (optimal string alignment), in characters.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut previous: Vec<usize> = (0..width).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut current = vec![i + 1; width];
        for (j, &y) in b.iter().enumerate() {
            let change = previous[j] + usize::from(x != y);
            let mut best = change.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            current[j + 1] = best;
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

/// The known name that is at most a third of its length away, if there is one.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| -> Vec<char> { text.to_lowercase().replace('-', "_").chars().collect() };
    let wanted = fold(found);
    if wanted.len() > MAX_CHARS {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(&wanted, &fold(name)), name))
        .filter(|(away, name)| *away <= (name.chars().count().max(wanted.len()) / 3).max(1))
        .min_by_key(|(away, _)| *away)
        .map(|(_, name)| name)
}

/// `; did you mean x?`, or nothing.
pub(crate) fn hint<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(found, known).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// `one of a, b, c`, or `a` where there is only one.
pub(crate) fn one_of<'a>(known: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = known.into_iter().collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        many => format!("one of {}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["scrape_interval", "scrape_timeout", "job_name"];
        assert_eq!(nearest("scrape_intervall", known), Some("scrape_interval"));
        assert_eq!(nearest("scrapeinterval", known), Some("scrape_interval"));
        assert_eq!(nearest("jbo_name", known), Some("job_name"));
        assert_eq!(nearest("job-name", known), Some("job_name"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
