//! The nearest known name, for an error about an unknown one.

/// The name of `known` that is most like `name`, if any is alike enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this, two names share little but letters.
    const ALIKE_MIN: f64 = 0.6;
    known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), *candidate))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_a_name_that_is_alike() {
        let known = ["listen", "path", "ping_visible", "ping_hidden"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("ping_visble", &known), Some("ping_visible"));
        assert_eq!(nearest("colour", &known), None);
    }
}
