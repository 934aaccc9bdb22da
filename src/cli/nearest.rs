//! Suggestions for mistyped words.

/// For messages: `; did you mean X?`, or empty if no word is near enough.
pub(super) fn suggestion<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> String {
    nearest(typed, words).map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

/// The word that is nearest to `typed`, if it is near enough to be meant.
pub(super) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the characters may be wrong, but no other short word is meant.
    let most = (typed.chars().count() / 3).clamp(1, 3);
    let near = words.map(|word| (distance(typed, word), word)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// How many characters have to be added, removed, replaced or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (row, &a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, &b) in to.iter().enumerate() {
            let mut least = (rows[row][column] + usize::from(a != b))
                .min(rows[row][column + 1] + 1)
                .min(next[column] + 1);
            let is_swapped = 0 < row && 0 < column && a == to[column - 1] && from[row - 1] == b;
            if is_swapped {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_near_is_meant() {
        let words = ["jobs", "run", "create-job", "history"];
        let nearest = |typed| nearest(typed, words.into_iter());
        assert_eq!(nearest("jbos"), Some("jobs"));
        assert_eq!(nearest("jobss"), Some("jobs"));
        assert_eq!(nearest("createjob"), Some("create-job"));
        assert_eq!(nearest("histroy"), Some("history"));
        assert_eq!(nearest("rnu"), Some("run"));
        assert_eq!(nearest("nope"), None);
        assert_eq!(nearest("fund"), None);
        assert_eq!(nearest("frobnicate"), None);
        assert_eq!(nearest(""), None);
    }
}
