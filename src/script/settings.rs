//! `settings(#{ epochs: 800, eps: 36.0 / 255.0 })`: what a script lets the command line change.
//!
//! The script's value is the default and fixes the type; `--set key=value` overrides it. An unknown key, a value of
//! another type and a `--set` that no `settings` ever saw are errors, so a sweep cannot run with a setting that did not
//! take effect.

use super::language::signatures::short_type;
use super::language::{Res, fail};
use crate::base::suggest;
use rhai::{Array, Dynamic, FLOAT, INT, Map};
use std::collections::BTreeSet;

/// The settings of one run: what the command line gave and, after the script asked, what they came to.
///
/// What an earlier run recorded is told apart from what this command line gave: it sets settings, and grants nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    given: Vec<(String, String)>,
    /// Keys that an earlier run recorded.
    recorded: BTreeSet<String>,
    resolved: Option<Vec<(String, String, bool)>>,
    repeatable: bool,
}

impl Overrides {
    /// From the arguments of `--set`, each `key=value`.
    pub fn parse<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut given: Vec<(String, String)> = vec![];
        for argument in arguments {
            let argument = argument.as_ref();
            let Some((key, value)) = argument.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
                return Err(format!("--set {argument}: write it as key=value, for example --set epochs=10"));
            };
            if key.is_empty() {
                return Err(format!("--set {argument}: the key before `=` is missing"));
            }
            if let Some((_, earlier)) = given.iter().find(|(k, _)| k == key) {
                return Err(format!("--set {key} is given twice, as `{earlier}` and as `{value}`; give it once"));
            }
            given.push((key.to_string(), value.to_string()));
        }
        Ok(Self { given, ..Self::default() })
    }

    /// Take those of `earlier`, which a run recorded, that were not given again.
    pub fn complete(&mut self, earlier: &[(String, String)]) {
        let new: Vec<_> =
            earlier.iter().filter(|(key, _)| !self.given.iter().any(|(k, _)| k == key)).cloned().collect();
        self.recorded.extend(new.iter().map(|(key, _)| key.clone()));
        self.given.extend(new);
    }

    /// Let `settings` be called again and again, as at the prompt.
    pub fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// What the command line gave, or a run recorded: key and value.
    pub fn given(&self) -> &[(String, String)] {
        &self.given
    }

    /// Values that this command line gave, whole and, of arrays, word by word.
    pub fn named_now(&self) -> Vec<String> {
        self.named(false)
    }

    /// The same of what a run recorded.
    pub fn named_before(&self) -> Vec<String> {
        self.named(true)
    }

    fn named(&self, before: bool) -> Vec<String> {
        let values = self.given.iter().filter(|(key, _)| self.recorded.contains(key) == before);
        let words = |value: &str| {
            let inside =
                value.trim_matches(['[', ']']).split(',').map(|word| word.trim().trim_matches('"').to_string());
            inside.chain([value.to_string()]).filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        values.flat_map(|(_, value)| words(value)).collect()
    }

    /// The settings in force: key, value, whether the command line set it. Empty before the script called `settings`.
    pub fn resolved(&self) -> Vec<(String, String, bool)> {
        self.resolved.clone().unwrap_or_default()
    }

    /// The script's call: `defaults` with the overrides put in.
    pub fn resolve(&mut self, defaults: Map) -> Res<Map> {
        if self.resolved.is_some() && !self.repeatable {
            return Err(fail("settings: called a second time; a script has one `settings(#{...})`, near its top"));
        }
        if let Some((key, value)) = self.given.iter().find(|(key, _)| !defaults.contains_key(key.as_str())) {
            return Err(fail(unknown(key, value, &defaults)));
        }
        let mut map = Map::new();
        let mut resolved = vec![];
        for (key, default) in defaults {
            let text = self.given.iter().find(|(k, _)| *k == key.as_str()).map(|(_, v)| v.as_str());
            let value = match text {
                Some(text) => typed(text, &default).map_err(|wanted| {
                    fail(format!("--set {key}={text}: expected {wanted} (the script's default is {})", show(&default)))
                })?,
                None => default,
            };
            if let Some(bad) = not_finite(&value) {
                return Err(fail(format!("settings: `{key}` is {bad}; a setting must be a finite number")));
            }
            resolved.push((key.to_string(), show(&value), text.is_some()));
            map.insert(key, value);
        }
        self.resolved = Some(resolved);
        Ok(map)
    }

    /// After the script has ended: what is wrong if `--set` was given and `settings` never called.
    pub fn unused(&self) -> Option<String> {
        let (key, value) = self.given.first().filter(|_| self.resolved.is_none())?;
        Some(format!(
            "--set {key}={value} had no effect: the script never calls `settings`; add `let cfg = settings(#{{ {key}: \
             ... }});` or leave out --set"
        ))
    }
}

fn unknown(key: &str, value: &str, defaults: &Map) -> String {
    if defaults.is_empty() {
        return format!("--set {key}={value}: the script's settings are empty");
    }
    let rest = suggest::hint_and_list(key, "script's settings", || defaults.keys().map(|k| k.as_str()));
    format!("--set {key}={value}: unknown setting `{key}`{rest}")
}

/// `text` as a value of `default`'s type, or what was expected.
fn typed(text: &str, default: &Dynamic) -> Result<Dynamic, String> {
    if default.is_string() {
        return Ok(text.to_string().into());
    }
    if default.is_bool() {
        return text.parse::<bool>().map(Into::into).map_err(|_| "a bool, `true` or `false`".into());
    }
    if default.is_int() {
        return whole(text).map(Into::into).ok_or_else(|| match decimal(text) {
            Some(_) => "an int; write the script's default with a decimal point to allow fractions".into(),
            None => "an int".into(),
        });
    }
    if default.is_float() {
        return decimal(text).map(Into::into).ok_or_else(|| "a finite number, like 0.1, 1e-3 or 36/255".into());
    }
    if default.is_unit() {
        return Ok(whole(text)
            .map(Dynamic::from)
            .or_else(|| decimal(text).map(Dynamic::from))
            .unwrap_or_else(|| text.parse::<bool>().map_or_else(|_| Dynamic::from(text.to_string()), Dynamic::from)));
    }
    if let Ok(items) = default.as_array_ref() {
        return array(text, &items);
    }
    Err(format!("nothing: a setting of type {} cannot be given on the command line", short_type(default.type_name())))
}

fn array(text: &str, default: &Array) -> Result<Dynamic, String> {
    let ints = !default.is_empty() && default.iter().all(Dynamic::is_int);
    let words = !default.is_empty() && default.iter().all(Dynamic::is_string);
    let wanted = match (ints, words) {
        (true, _) => "an array of ints, like [1, 2]",
        (_, true) => "an array of words, like [a, b]",
        _ => "an array of numbers, like [0.1, 2]",
    };
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(wanted)?.trim();
    let mut values = Array::new();
    for item in inside.split(',').map(str::trim).filter(|_| !inside.is_empty()) {
        let value = match (ints, words) {
            (true, _) => whole(item).map(Dynamic::from),
            (_, true) => word(item).map(Dynamic::from),
            _ => decimal(item).map(Dynamic::from),
        };
        values.push(value.ok_or(wanted)?);
    }
    Ok(values.into())
}

/// A word, with or without quotes, as an element of an array.
fn word(text: &str) -> Option<String> {
    let inside = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    (!inside.is_empty() && !inside.contains(['"', '[', ']'])).then(|| inside.to_string())
}

/// A whole number, or a fraction of two that comes out even.
fn whole(text: &str) -> Option<INT> {
    let number = |t: &str| t.trim().parse::<INT>().ok();
    match text.split_once('/') {
        Some((above, below)) => {
            let (above, below) = (number(above)?, number(below)?);
            (above.checked_rem(below)? == 0).then(|| above / below)
        }
        None => number(text),
    }
}

/// A finite decimal number or a fraction of two.
fn decimal(text: &str) -> Option<FLOAT> {
    let number = |t: &str| t.trim().parse::<FLOAT>().ok();
    let value = match text.split_once('/') {
        Some((above, below)) => number(above)? / number(below)?,
        None => number(text)?,
    };
    value.is_finite().then_some(value)
}

fn not_finite(value: &Dynamic) -> Option<FLOAT> {
    if let Ok(items) = value.as_array_ref() {
        return items.iter().find_map(not_finite);
    }
    value.as_float().ok().filter(|x| !x.is_finite())
}

fn show(value: &Dynamic) -> String {
    match value.as_float() {
        Ok(x) => format!("{x:?}"),
        Err(_) if value.is_string() => format!("{:?}", value.to_string()),
        Err(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"#{ epochs: 800, eps: 36.0 / 255.0, name: "mnist", flip: true, sizes: [1, 2], steps: [0.5], weights: (), kinds: ["a"], f: || 1 }"#;

    fn resolve(set: &[&str]) -> Result<(Map, Overrides), String> {
        let mut overrides = Overrides::parse(set)?;
        let map = rhai::Engine::new().eval::<Map>(SCRIPT).unwrap();
        overrides.resolve(map).map(|map| (map, overrides)).map_err(|e| match *e {
            rhai::EvalAltResult::ErrorRuntime(message, _) => message.to_string(),
            other => panic!("{other:?}"),
        })
    }

    fn refusal(set: &str) -> String {
        resolve(&[set]).unwrap_err()
    }

    #[test]
    fn overrides_take_the_type_of_the_default() {
        let (map, overrides) = resolve(&[
            "epochs=3",
            "eps=8/255",
            "name=a=b",
            "flip=false",
            "sizes=[4,5]",
            "steps=[1, 1e-3]",
            "weights=w",
            "kinds=[b, \"c d\"]",
        ])
        .unwrap();
        assert_eq!(map["epochs"].as_int(), Ok(3));
        assert_eq!(map["eps"].as_float(), Ok(8.0 / 255.0));
        assert_eq!(map["name"].to_string(), "a=b");
        assert_eq!(map["sizes"].to_string(), "[4, 5]");
        assert_eq!(map["steps"].to_string(), "[1.0, 0.001]");
        assert_eq!(map["weights"].to_string(), "w");
        assert_eq!(map["kinds"].to_string(), "[\"b\", \"c d\"]");
        assert!(overrides.unused().is_none());
        assert!(overrides.resolved().contains(&("epochs".into(), "3".into(), true)));
        assert!(resolve(&["eps=1"]).unwrap().0["eps"].is_float());
        assert_eq!(resolve(&[]).unwrap().1.resolved()[1], ("eps".into(), "0.1411764705882353".into(), false));
    }

    #[test]
    fn wrong_overrides_are_refused() {
        insta::assert_snapshot!(refusal("epoch=3"), @"--set epoch=3: unknown setting `epoch`; did you mean `epochs`? The script's settings are `epochs`, `eps`, `f`, `flip`, `kinds`, `name`, `sizes`, `steps`, `weights`");
        insta::assert_snapshot!(refusal("epochs=1.5"), @"--set epochs=1.5: expected an int; write the script's default with a decimal point to allow fractions (the script's default is 800)");
        insta::assert_snapshot!(refusal("epochs=7/2"), @"--set epochs=7/2: expected an int; write the script's default with a decimal point to allow fractions (the script's default is 800)");
        assert_eq!(resolve(&["epochs=6/2"]).unwrap().0["epochs"].as_int(), Ok(3));
        assert_eq!(resolve(&["weights=6/2"]).unwrap().0["weights"].as_int(), Ok(3));
        assert_eq!(resolve(&["weights=36/255"]).unwrap().0["weights"].as_float(), Ok(36.0 / 255.0));
        assert!(resolve(&["epochs=6/0"]).is_err());
        insta::assert_snapshot!(refusal("eps=nan"), @"--set eps=nan: expected a finite number, like 0.1, 1e-3 or 36/255 (the script's default is 0.1411764705882353)");
        insta::assert_snapshot!(refusal("eps=1/0"), @"--set eps=1/0: expected a finite number, like 0.1, 1e-3 or 36/255 (the script's default is 0.1411764705882353)");
        insta::assert_snapshot!(refusal("flip=1"), @"--set flip=1: expected a bool, `true` or `false` (the script's default is true)");
        insta::assert_snapshot!(refusal("sizes=[1.5]"), @"--set sizes=[1.5]: expected an array of ints, like [1, 2] (the script's default is [1, 2])");
        insta::assert_snapshot!(refusal("steps=1"), @"--set steps=1: expected an array of numbers, like [0.1, 2] (the script's default is [0.5])");
        insta::assert_snapshot!(refusal("kinds=b"), @"--set kinds=b: expected an array of words, like [a, b] (the script's default is [\"a\"])");
        insta::assert_snapshot!(refusal("epochs"), @"--set epochs: write it as key=value, for example --set epochs=10");
        insta::assert_snapshot!(resolve(&["eps=1", "eps=2"]).unwrap_err(), @"--set eps is given twice, as `1` and as `2`; give it once");
    }

    #[test]
    fn what_was_recorded_is_told_apart_from_what_is_given() {
        let mut overrides = Overrides::parse(["a=x.safetensors"]).unwrap();
        let earlier = [("a", "/old"), ("b", "[/p, \"/q\"]"), ("c", "hf://o/r")];
        overrides.complete(&earlier.map(|(k, v)| (k.to_string(), v.to_string())));
        assert_eq!(overrides.named_now(), ["x.safetensors", "x.safetensors"]);
        assert_eq!(overrides.named_before(), ["/p", "/q", "[/p, \"/q\"]", "hf://o/r", "hf://o/r"]);
    }

    #[test]
    fn settings_are_called_once_and_only_with_finite_numbers() {
        let mut overrides = Overrides::parse(["a=1"]).unwrap();
        insta::assert_snapshot!(overrides.unused().unwrap(), @"--set a=1 had no effect: the script never calls `settings`; add `let cfg = settings(#{ a: ... });` or leave out --set");
        let map = || Map::from([("a".into(), 2_i64.into())]);
        overrides.resolve(map()).unwrap();
        assert!(overrides.resolve(map()).is_err());
        assert!(overrides.clone().repeatable().resolve(map()).is_ok());
        assert!(Overrides::default().resolve(Map::from([("a".into(), FLOAT::NAN.into())])).is_err());
    }
}
