// SPDX-License-Identifier: GPL-2.0-or-later
//! The nearest known word to a misspelt one.

/// The candidate nearest to `word`, if it is near enough to be a slip.
///
/// Case and the choice between `-` and `_` count for nothing.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let wanted = plain(word);
    // A third of the letters may be wrong, but at least one.
    let limit = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &plain(candidate)),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_far() {
        let names = ["timeout", "ping-timeout", "max-buffers"];
        assert_eq!(nearest("tmeout", names), Some("timeout"));
        assert_eq!(nearest("max_bufers", names), Some("max-buffers"));
        assert_eq!(nearest("nonsense", names), None);
    }
}
