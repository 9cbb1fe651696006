//! Did you mean: the nearest of the names that would have been right.

/// The candidate nearest to `word`, if one is near enough to be a slip of the hand. Ties go to the first in the alphabet.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    let allowed = match wanted.chars().count() {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|c| *c != word)
        .map(|c| (strsim::damerau_levenshtein(&wanted, &c.to_lowercase()), c))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, c)| c)
}

/// `; did you mean `x`?`, or nothing.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// [`hint`] and all that would have been right: `; did you mean `x`? The options are `x`, `y``.
pub fn hint_and_list<'a, I: IntoIterator<Item = &'a str>>(
    word: &str,
    what: &str,
    candidates: impl Fn() -> I,
) -> String {
    let list = list(candidates());
    match nearest(word, candidates()) {
        Some(name) => format!("; did you mean `{name}`? The {what} are {list}"),
        None => format!("; the {what} are {list}"),
    }
}

/// `a, b, c` with back-quotes, in the order given.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("conv2", ["linear", "conv2d"]), Some("conv2d"));
        assert_eq!(nearest("lrr", ["lr", "epochs"]), Some("lr"));
        assert_eq!(nearest("Relu", ["relu"]), Some("relu"));
        assert_eq!(nearest("momentum", ["lr", "epochs"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
