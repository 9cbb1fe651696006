//! Names of tensors: what programs put before all of them, and a researcher's own words for which is whose.

use candle_core::{Error, Result};
use std::collections::HashSet;

/// What wraps a module and shows in the names of its tensors.
const WRAPPERS: [&str; 5] = ["module", "_orig_mod", "model", "net", "network"];

/// Names without the beginning that all share before the number of the layer, `module.0.weight` as `0.weight`, and without the names of
/// wrappers; as they are where two would become one.
pub fn without_wrappers(names: &[&str]) -> Vec<String> {
    // A compiled module says so wherever it stands.
    let mut own: Vec<String> = names
        .iter()
        .map(|name| name.split('.').filter(|part| *part != "_orig_mod").collect::<Vec<_>>().join("."))
        .collect();
    // Names without a module, such as a count, wrap nothing.
    while let Some((part, rest)) = own.iter().find_map(|name| name.split_once('.')) {
        let (part, wraps) = (format!("{part}."), WRAPPERS.contains(&part));
        // Before a number that counts layers, whatever it is called.
        let counts = rest.split('.').any(is_number) && !is_number(part.trim_end_matches('.'));
        let mut inside = own.iter_mut().filter(|name| name.contains('.')).collect::<Vec<_>>();
        if !(wraps || counts) || !inside.iter().all(|name| name.starts_with(&part)) {
            break;
        }
        inside.iter_mut().for_each(|name| **name = name[part.len()..].to_string());
    }
    let distinct: HashSet<_> = own.iter().collect();
    if distinct.len() == names.len() { own } else { names.iter().map(|n| n.to_string()).collect() }
}

pub fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() < 10 && part.bytes().all(|b| b.is_ascii_digit())
}

/// `conv1.weight` as `conv1` and `weight`.
pub fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Whose a tensor is, or that it is nobody's.
#[derive(Clone, Debug, PartialEq)]
pub enum Whose {
    /// A layer's, by its path, or one of its parameters.
    Of(String),
    Nobody,
}

/// The names of a file in the words of the network, `None` for what is to be left out: `given` maps a tensor, a module, or a pattern with `*`
/// for a part of a name between dots; `*` alone is all the rest. `parameters` are the network's.
/// `names` are theirs as they are used here, each with the one that it has in the file: both count.
pub fn renamed(
    source: &str,
    names: &[(&str, &str)],
    given: &[(String, Whose)],
    parameters: &[&str],
) -> Result<Vec<Option<String>>> {
    let mut used = vec![false; given.len()];
    // What is meant word by word goes before patterns, and longer patterns before shorter ones.
    let mut order: Vec<usize> = (0..given.len()).collect();
    order.sort_by_key(|i| (given[*i].0.contains('*'), usize::MAX - given[*i].0.len()));
    let mut own = vec![];
    for (name, full) in names {
        let matching = |key: &str| matched(key, name).or_else(|| matched(key, full));
        let found = order.iter().find_map(|i| matching(&given[*i].0).map(|found| (*i, found)));
        own.push(match found {
            None => Some(name.to_string()),
            Some((i, (stars, rest))) => {
                used[i] = true;
                match &given[i].1 {
                    Whose::Nobody => None,
                    Whose::Of(to) => Some(target(&filled(to, &stars), &rest, name, parameters)),
                }
            }
        });
    }
    if let Some(at) = used.iter().position(|used| !used) {
        let key = &given[at].0;
        let mut known: Vec<&str> =
            names.iter().flat_map(|(name, _)| [split(name).0, *name]).filter(|name| !name.is_empty()).collect();
        let mut seen = std::collections::HashSet::new();
        known.retain(|name| seen.insert(*name));
        let near = crate::base::suggest::hint_and_list(key, "tensors", || known.iter().copied());
        return Err(Error::Msg(format!("load: names: {source} holds no tensor or module `{key}`{near}")));
    }
    Ok(own)
}

/// Does this key mean the tensor? What its stars stand for, and what of the name is left behind a module's.
fn matched(key: &str, name: &str) -> Option<(Vec<String>, String)> {
    if key == "*" {
        return Some((vec![name.into()], String::new()));
    }
    let (module, short) = split(name);
    stars(key, name)
        .map(|found| (found, String::new()))
        .or_else(|| stars(key, module).map(|found| (found, short.to_string())))
}

/// What each `*` of a pattern stands for, if it fits; a star stands for something without dots.
fn stars(pattern: &str, text: &str) -> Option<Vec<String>> {
    let Some((before, behind)) = pattern.split_once('*') else { return (pattern == text).then(Vec::new) };
    let rest = text.strip_prefix(before)?;
    let longest = rest.find('.').unwrap_or(rest.len());
    let ends = (1..=longest).filter(|end| rest.is_char_boundary(*end));
    ends.rev().find_map(|end| {
        let mut found = stars(behind, &rest[end..])?;
        found.insert(0, rest[..end].to_string());
        Some(found)
    })
}

fn filled(to: &str, stars: &[String]) -> String {
    let mut stars = stars.iter();
    to.chars().map(|c| if c == '*' { stars.next().cloned().unwrap_or_default() } else { c.to_string() }).collect()
}

/// The parameter: `to` itself where it is one, else that of the layer `to` with the tensor's own short name.
fn target(to: &str, rest: &str, name: &str, parameters: &[&str]) -> String {
    if rest.is_empty() && parameters.contains(&to) {
        return to.to_string();
    }
    let short = if rest.is_empty() { split(name).1 } else { rest };
    format!("{to}.{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_go_and_layers_stay() {
        for (names, own) in [
            (vec!["module.0.weight", "module.3.bias"], vec!["0.weight", "3.bias"]),
            (vec!["_orig_mod.conv1.weight", "_orig_mod.fc.bias"], vec!["conv1.weight", "fc.bias"]),
            (vec!["module._orig_mod.model.0.weight"], vec!["0.weight"]),
            (vec!["0._orig_mod.weight", "1.weight"], vec!["0.weight", "1.weight"]),
            (vec!["features.0.weight", "classifier.1.weight"], vec!["features.0.weight", "classifier.1.weight"]),
            (vec!["layers.0.weight", "layers.2.weight"], vec!["0.weight", "2.weight"]),
            (vec!["0.weight", "0._orig_mod.weight"], vec!["0.weight", "0._orig_mod.weight"]),
            (vec!["weight"], vec!["weight"]),
        ] {
            assert_eq!(without_wrappers(&names), own);
        }
    }

    #[test]
    fn patterns() {
        let found = |key: &str, name: &str| matched(key, name);
        assert_eq!(found("conv1", "conv1.weight"), Some((vec![], "weight".into())));
        assert_eq!(found("conv1.weight", "conv1.weight"), Some((vec![], String::new())));
        assert_eq!(found("blocks.*.conv", "blocks.3.conv.bias"), Some((vec!["3".into()], "bias".into())));
        assert_eq!(found("conv*", "conv12.weight"), Some((vec!["12".into()], "weight".into())));
        assert_eq!(found("conv*", "conv.weight"), None);
        assert_eq!(found("a.*.*", "a.1.2.w"), Some((vec!["1".into(), "2".into()], "w".into())));
        assert_eq!(filled("*.0.*", &["1".into(), "2".into()]), "1.0.2");
    }
}
