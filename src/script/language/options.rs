//! Strict options: a native's last argument `#{ padding: 1 }` is read key by key, and what is left over is an error.
//! Options that do nothing yet are not offered.
//!
//! ```text
//! use workbench::script::Options;
//! let mut options = Options::new("conv2d", rhai::Map::from([("stride".into(), 2_i64.into())]));
//! assert_eq!(options.usize("stride", 1, 1..=16).unwrap(), 2);
//! assert_eq!(options.usize("padding", 0, 0..=64).unwrap(), 0);
//! options.finish().unwrap();
//! ```

use super::error::{Res, fail};
use super::signatures::short_type;
use crate::base::suggest;
use rhai::{Dynamic, EvalAltResult, FLOAT, INT, Map};
use std::ops::RangeBounds;

/// The options of one call. Take each known key once, then [`Options::finish`].
pub struct Options {
    function: &'static str,
    map: Map,
    known: Vec<&'static str>,
}

impl Options {
    /// The options `map` given to `function`.
    pub fn new(function: &'static str, map: Map) -> Self {
        Self { function, map, known: vec![] }
    }

    /// Was `key` given? Does not take it, but makes it a known option.
    pub fn has(&mut self, key: &'static str) -> bool {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.map.contains_key(key)
    }

    /// Was a value given for `key`? `()` counts as none. Makes it a known option.
    pub fn is_given(&mut self, key: &'static str) -> bool {
        if self.map.get(key).is_some_and(Dynamic::is_unit) {
            self.map.remove(key);
        }
        self.has(key)
    }

    /// The raw value of `key`; `()` counts as not given.
    pub fn dynamic(&mut self, key: &'static str) -> Option<Dynamic> {
        self.has(key);
        self.map.remove(key).filter(|value| !value.is_unit())
    }

    /// A value of one of the host's own types (a tensor, a model, a closure), if given; `wanted` names it in the message.
    pub fn optional<T: Clone + 'static>(&mut self, key: &'static str, wanted: &str) -> Res<Option<T>> {
        let Some(value) = self.dynamic(key) else { return Ok(None) };
        let kind = short_type(value.type_name());
        value.try_cast::<T>().map(Some).ok_or_else(|| self.wrong(key, &kind, wanted))
    }

    /// Like [`Options::optional`], but the option must be given.
    pub fn required<T: Clone + 'static>(&mut self, key: &'static str, wanted: &str) -> Res<T> {
        let function = self.function;
        self.optional(key, wanted)?
            .ok_or_else(|| fail(format!("{function}: option `{key}` is missing; give {wanted}: #{{ {key}: ... }}")))
    }

    /// A whole number.
    pub fn int(&mut self, key: &'static str, default: INT) -> Res<INT> {
        let Some(value) = self.dynamic(key) else { return Ok(default) };
        value.as_int().map_err(|kind| self.wrong(key, kind, "an int"))
    }

    /// A whole number within `range`.
    pub fn usize(&mut self, key: &'static str, default: usize, range: impl RangeBounds<usize>) -> Res<usize> {
        let Some(value) = self.dynamic(key) else { return Ok(default) };
        let number = value.as_int().map_err(|kind| self.wrong(key, kind, "an int"))?;
        usize::try_from(number).ok().filter(|n| range.contains(n)).ok_or_else(|| {
            fail(format!("{}: option `{key}` is {number}; it must be {}", self.function, describe(&range)))
        })
    }

    /// A finite number; an int is taken as one.
    pub fn float(&mut self, key: &'static str, default: FLOAT) -> Res<FLOAT> {
        let number = self.any_float(key, default)?;
        if number.is_finite() {
            return Ok(number);
        }
        Err(fail(format!("{}: option `{key}` is {number}; it must be a finite number", self.function)))
    }

    /// A number that may also be infinite or NaN.
    pub fn any_float(&mut self, key: &'static str, default: FLOAT) -> Res<FLOAT> {
        let Some(value) = self.dynamic(key) else { return Ok(default) };
        number(&value).map_err(|kind| self.wrong(key, kind, "a number"))
    }

    /// A finite number within `range`, e.g. `0.0..=1.0`.
    pub fn float_in(
        &mut self,
        key: &'static str,
        default: FLOAT,
        range: impl RangeBounds<FLOAT> + std::fmt::Debug,
    ) -> Res<FLOAT> {
        let number = self.float(key, default)?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(fail(format!("{}: option `{key}` is {number}; it must lie in {range:?}", self.function)))
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &'static str, default: bool) -> Res<bool> {
        let Some(value) = self.dynamic(key) else { return Ok(default) };
        value.as_bool().map_err(|kind| self.wrong(key, kind, "a bool"))
    }

    /// A string, if given.
    pub fn string(&mut self, key: &'static str) -> Res<Option<String>> {
        let Some(value) = self.dynamic(key) else { return Ok(None) };
        value.into_string().map(Some).map_err(|kind| self.wrong(key, kind, "a string"))
    }

    /// One of the words in `choices`.
    pub fn choice(&mut self, key: &'static str, default: &'static str, choices: &[&'static str]) -> Res<&'static str> {
        let named: Vec<_> = choices.iter().map(|name| (*name, *name)).collect();
        self.choice_of(key, default, &named, &[])
    }

    /// The same among values with names, some of which had other names once: each old name with the new one.
    pub fn choice_of<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
        former: &[(&str, &str)],
    ) -> Res<T> {
        let Some(word) = self.string(key)? else { return Ok(default) };
        let word = former.iter().find(|(old, _)| *old == word).map_or(word.clone(), |(_, new)| (*new).to_string());
        choices.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
            let names = || choices.iter().map(|(name, _)| *name);
            fail(format!(
                "{}: option `{key}` is \"{word}\"{}",
                self.function,
                suggest::hint_and_list(&word, "choices", names)
            ))
        })
    }

    /// An array of whole numbers, none negative, if given.
    pub fn sizes(&mut self, key: &'static str) -> Res<Option<Vec<usize>>> {
        let Some(value) = self.dynamic(key) else { return Ok(None) };
        let items = value.into_array().map_err(|kind| self.wrong(key, kind, "an array of ints"))?;
        let size = |item: &Dynamic| item.as_int().ok().and_then(|n| usize::try_from(n).ok());
        let sizes = items.iter().map(|item| size(item).ok_or(item)).collect::<Result<Vec<_>, _>>();
        sizes.map(Some).map_err(|item| {
            fail(format!("{}: option `{key}` holds {item}; each element must be an int, 0 or more", self.function))
        })
    }

    /// Refuse every key that was not taken.
    pub fn finish(self) -> Res<()> {
        let Some(key) = self.map.keys().next() else { return Ok(()) };
        let function = self.function;
        if self.known.is_empty() {
            return Err(fail(format!("{function}: unknown option `{key}`; {function} takes no options")));
        }
        let rest = suggest::hint_and_list(key, "options", || self.known.iter().copied());
        Err(fail(format!("{function}: unknown option `{key}`{rest}")))
    }

    fn wrong(&self, key: &str, kind: &str, wanted: &str) -> Box<EvalAltResult> {
        fail(format!("{}: option `{key}` is of type {}, expected {wanted}", self.function, short_type(kind)))
    }
}

/// A float, or an int taken as one; otherwise the type's name.
pub fn number(value: &Dynamic) -> Result<FLOAT, &'static str> {
    value.as_float().or_else(|_| value.as_int().map(|n| n as FLOAT))
}

fn describe(range: &impl RangeBounds<usize>) -> String {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let low = match range.start_bound() {
        Included(n) => *n,
        Excluded(n) => n + 1,
        Unbounded => 0,
    };
    match range.end_bound() {
        Included(n) => format!("an int from {low} to {n}"),
        Excluded(n) => format!("an int from {low} to {}", n.saturating_sub(1)),
        Unbounded => format!("an int, {low} or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(source: &str) -> Options {
        Options::new("conv2d", rhai::Engine::new().eval::<Map>(source).unwrap())
    }

    fn message<T: std::fmt::Debug>(result: Res<T>) -> String {
        match *result.unwrap_err() {
            EvalAltResult::ErrorRuntime(message, _) => message.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_and_defaults() {
        let mut o = options(r#"#{ padding: 1, slope: 2, bias: false, mode: "same", shape: [3, 4], note: () }"#);
        assert_eq!(o.usize("padding", 0, ..).unwrap(), 1);
        assert_eq!(o.usize("stride", 7, 1..).unwrap(), 7);
        assert_eq!(o.float("slope", 0.0).unwrap(), 2.0);
        assert!(!o.bool("bias", true).unwrap());
        assert_eq!(o.choice("mode", "valid", &["valid", "same"]).unwrap(), "same");
        assert_eq!(o.sizes("shape").unwrap(), Some(vec![3, 4]));
        assert_eq!(o.string("note").unwrap(), None);
        o.finish().unwrap();
    }

    #[test]
    fn messages_name_function_option_and_both_types() {
        let mut o = options(r#"#{ a: "x", b: -1, c: 0.0 / 0.0, d: "sane", e: 1, f: [1, -2], g: 2.0 }"#);
        insta::assert_snapshot!(message(o.int("a", 0)), @"conv2d: option `a` is of type string, expected an int");
        insta::assert_snapshot!(message(o.usize("b", 0, 1..=16)), @"conv2d: option `b` is -1; it must be an int from 1 to 16");
        insta::assert_snapshot!(message(o.float("c", 0.0)), @"conv2d: option `c` is NaN; it must be a finite number");
        insta::assert_snapshot!(message(o.choice("d", "same", &["valid", "same"])), @r#"conv2d: option `d` is "sane"; did you mean `same`? The choices are `valid`, `same`"#);
        insta::assert_snapshot!(message(o.bool("e", true)), @"conv2d: option `e` is of type int, expected a bool");
        insta::assert_snapshot!(message(o.sizes("f")), @"conv2d: option `f` holds -2; each element must be an int, 0 or more");
        insta::assert_snapshot!(message(o.float_in("g", 0.5, 0.0..=1.0)), @"conv2d: option `g` is 2; it must lie in 0.0..=1.0");
        insta::assert_snapshot!(message(o.required::<INT>("h", "an int")), @"conv2d: option `h` is missing; give an int: #{ h: ... }");
    }

    #[test]
    fn unknown_options_are_refused() {
        let mut o = options("#{ paddin: 1 }");
        o.usize("padding", 0, ..).unwrap();
        o.usize("stride", 1, 1..).unwrap();
        insta::assert_snapshot!(message(o.finish()), @"conv2d: unknown option `paddin`; did you mean `padding`? The options are `padding`, `stride`");
        insta::assert_snapshot!(message(options("#{ x: 1 }").finish()), @"conv2d: unknown option `x`; conv2d takes no options");
    }
}
