//! Where the first sentence of a description ends. Every place that shows a summary asks here.

/// Words that end in a full stop and go on. Those that only a number follows need no place here: no sentence begins with one.
const ABBREVIATIONS: [&str; 30] = [
    "al", "alg", "app", "approx", "ca", "cf", "ch", "dr", "e.g", "eds", "eq", "eqs", "esp", "fig", "figs", "i.e",
    "incl", "lem", "pp", "prof", "prop", "ref", "refs", "resp", "sec", "st", "tab", "thm", "vol", "vs",
];

/// The first sentence of `text`, with its full stop; all of it where it holds one only. A full stop in a name, a number,
/// brackets or code ends nothing, nor does one behind an abbreviation or an initial.
pub fn first_sentence(text: &str) -> &str {
    let mut depth = 0;
    let mut code = false;
    for (i, c) in text.char_indices() {
        match c {
            '`' => code = !code,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '.' | '?' | '!' if depth <= 0 && !code && ends(&text[..i], c, &text[i + 1..]) => return &text[..=i],
            _ => {}
        }
    }
    text
}

/// Does the mark `c` between the two texts end a sentence?
fn ends(before: &str, c: char, after: &str) -> bool {
    let next = after.trim_start().chars().next();
    let apart = after.starts_with(char::is_whitespace);
    // A sentence begins with a capital, or with what is no letter: `code`, a bracket, a quotation.
    let begins = next.is_some_and(|next| next.is_uppercase() || !next.is_alphanumeric());
    apart && begins && (c != '.' || !is_abbreviated(before, next))
}

/// Is the last word of `before`, which a full stop follows, an abbreviation, or the initial of a name?
fn is_abbreviated(before: &str, next: Option<char>) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || "([{-–/\"'".contains(c)).next().unwrap_or("");
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        // `J. Smith`, but not `of W. [B, C]`.
        (Some(one), None) if one.is_uppercase() => next.is_some_and(char::is_alphabetic),
        _ => ABBREVIATIONS.contains(&word.to_lowercase().as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_end_no_sentence() {
        for first in [
            "The bound of Eq. (12) holds.",
            "As in Leino et al. The bound is theirs.",
            "Norms, e.g. `sigma`, are estimates.",
            "Norms, i.e. Lipschitz constants, multiply.",
            "See Fig. A, Sec. B and Thm. C of it.",
            "Local vs. Global bounds.",
            "Of the layers, cf. Tsuzuku, the last counts.",
            "No. 5 of the list, p. 3.",
            "By J. Doe and A.-B. Roe, pp. 3.",
            "Half of 0.5 is 0.25.",
            "The file run.json says so.",
            "The file `run. Json` says so.",
            "What gives (of a neuron. Or of two) is kept.",
            "Is it so?",
            "A ball has the radius eps. at most.",
        ] {
            assert_eq!(first_sentence(first), first);
            assert_eq!(first_sentence(&format!("{first} The next one.")), first);
            assert_eq!(first_sentence(&format!("{first}\n`next` is code.")), first);
        }
    }

    #[test]
    fn a_sentence_ends_where_another_begins() {
        for (text, first) in [
            ("A radius of 3. [B, C] is the shape.", "A radius of 3."),
            ("The gradient is v u^T. The iterations build no graph.", "The gradient is v u^T."),
            ("It is neither. No. It is both.", "It is neither."),
            ("Stop! \"Now\" means now.", "Stop!"),
            ("It is in run.json. More is in output.txt.", "It is in run.json."),
            ("", ""),
            ("No full stop", "No full stop"),
        ] {
            assert_eq!(first_sentence(text), first);
        }
    }
}
