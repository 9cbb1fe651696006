//! Words as the search compares them: without their endings, without small words, in pairs, with what else they are called.
//! `docs/search.js` does the same to what is typed into the HTML pages.

/// Words that say nothing about what is looked for.
pub const SMALL: [&str; 55] = [
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "do", "does", "every", "for",
    "from", "get", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "of",
    "on", "or", "so", "some", "than", "that", "the", "their", "them", "there", "this", "to", "use", "using", "was",
    "what", "when", "where", "which", "with", "you",
];

/// Names for one thing. Whoever writes one finds what says another.
const SAME: [&[&str]; 22] = [
    &["ema", "moving average"],
    &["lr", "learning rate"],
    &["eps", "epsilon"],
    &["freeze", "frozen"],
    &["finetune", "fine tuning", "transfer learning"],
    &["clip", "clamp"],
    &["radius", "radii"],
    &["pgd", "apgd", "attack", "adversarial", "autoattack"],
    &["pytorch", "torch", "pth"],
    &["gpu", "cuda"],
    &["certified", "certify", "certificate"],
    &["ibp", "interval bound"],
    &["seed", "reproducible", "reproducibility", "deterministic"],
    &["mixed precision", "bf16", "tf32"],
    &["setting", "hyperparameter"],
    &["dataset", "data set", "dataloader"],
    &["picture", "image"],
    &["custom", "own"],
    &["resume", "continue"],
    &["machine", "computer"],
    &["several process", "multi gpu", "data parallel", "distributed"],
    &["does not cover", "limitation", "soundness"],
];

/// A word without its ending, in small letters: `clipping`, `clipped` and `clips` are `clip`.
pub fn stem(word: &str) -> String {
    let mut word = word.to_lowercase();
    if word.len() <= 3 || !word.chars().all(|c| c.is_ascii_lowercase()) {
        return word;
    }
    word = word.replace("iz", "is").replace("our", "or");
    if word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.ends_with("sses") {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.pop();
    }
    for ending in ["ing", "ed"] {
        let Some(rest) = word.strip_suffix(ending) else { continue };
        if rest.len() >= 3 && rest.contains(['a', 'e', 'i', 'o', 'u', 'y']) && !word.ends_with("eed") {
            word.truncate(rest.len());
            let doubled = word.as_bytes().windows(2).last().is_some_and(|pair| pair[0] == pair[1]);
            if doubled && !["l", "s", "z"].iter().any(|end| word.ends_with(end)) {
                word.pop();
            }
            break;
        }
    }
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
    if word.len() > 7 && word.ends_with("ation") {
        word.truncate(word.len() - 3);
    }
    if word.len() > 6 && word.ends_with("at") {
        word.truncate(word.len() - 2);
    }
    if word.len() > 3 && word.ends_with('y') {
        word.pop();
        word.push('i');
    }
    word
}

/// The words of a text as they stand behind each other, stemmed; small words, full stops and brackets part the runs.
pub fn runs(text: &str) -> Vec<Vec<String>> {
    let mut runs = vec![vec![]];
    let part = |runs: &mut Vec<Vec<String>>| runs.push(vec![]);
    for piece in text.split_inclusive(|c: char| !(c.is_alphanumeric() || " _-'`\n".contains(c))) {
        for word in piece.split(|c: char| !(c.is_alphanumeric() || c == '\'')) {
            let word = word.trim_matches('\'').trim_end_matches("'s");
            if SMALL.contains(&word.to_lowercase().as_str()) {
                part(&mut runs);
            } else if !word.is_empty()
                && let Some(run) = runs.last_mut()
            {
                run.push(stem(word));
            }
        }
        part(&mut runs);
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The words of a text, one after the other.
pub fn words(text: &str) -> Vec<String> {
    runs(text).concat()
}

/// Words, and pairs of neighbours as `weight_decai`.
pub fn terms(text: &str) -> Vec<String> {
    let mut found = vec![];
    for run in runs(text) {
        found.extend(run.windows(2).map(|pair| pair.join("_")));
        found.extend(run);
    }
    found
}

/// Each name in [`SAME`] as a term, with the terms of the other names for the same thing.
pub fn other_names() -> Vec<(String, Vec<String>)> {
    let mut found = vec![];
    for group in SAME {
        for name in group {
            let others = group.iter().filter(|other| *other != name).flat_map(|other| terms(other));
            found.push((words(name).join("_"), others.collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for forms in [
            &["clip", "clips", "clipped", "clipping", "Clipping"][..],
            &["freeze", "freezes", "freezing"],
            &["schedule", "schedules", "scheduling", "scheduled"],
            &["accumulate", "accumulation", "accumulating", "accumulated"],
            &["stop", "stopping", "stopped"],
            &["optimiser", "optimizer", "optimizers"],
            &["normalise", "normalize", "normalised"],
            &["certify", "certifies", "certified"],
            &["loss", "losses"],
            &["activate", "activation", "activations"],
            &["iterate", "iterations"],
            &["rotate", "rotation"],
        ] {
            let stems: Vec<String> = forms.iter().map(|form| stem(form)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{forms:?}: {stems:?}");
        }
        for word in ["conv2d", "radius", "used", "string", "lr", "format"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn texts_are_words_and_pairs() {
        let found = runs("weight_decay (0): weight of the squares");
        assert_eq!(found, [vec!["weight", "decai"], vec!["0"], vec!["weight"], vec!["squar"]]);
        assert_eq!(terms("early stopping."), ["earli_stop", "earli", "stop"]);
        assert_eq!(terms("power-iteration"), ["power_iterat", "power", "iterat"]);
        assert!(words("How do I use the").is_empty());
    }

    #[test]
    fn one_thing_is_found_by_all_its_names() {
        let names = other_names();
        let others = |said: &str| names.iter().find(|(name, _)| name == said).map(|(_, others)| others.join(" "));
        assert_eq!(others("mov_averag").as_deref(), Some("ema"));
        assert_eq!(others("lr").as_deref(), Some("learn_rat learn rat"));
        assert_eq!(others("nothing"), None);
    }
}
