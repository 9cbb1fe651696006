//! Functions of arrays and maps that take a rule, and sorting. In place of Rhai's own, which take an answer that is no bool for
//! `false`, sort by nothing where the rule fails, and panic over NaN: here an error of the rule is the script's error.

use super::arithmetic::compare;
use super::error::{Res, fail};
use super::signatures::{short_paths, short_type};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, FnPtr, INT, Map, NativeCallContext};
use std::cmp::Ordering;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(collections).into());
}

/// What the rule says of an element, which it takes as its parameter or as `this`; a second parameter is the place.
fn holds(op: &str, context: &NativeCallContext, rule: &FnPtr, item: &mut Dynamic, place: Dynamic) -> Res<bool> {
    let answer = rule.call_raw_with_extra_args(op, context, Some(item), [], [place], Some(0))?;
    truth(op, &answer)
}

fn truth(op: &str, answer: &Dynamic) -> Res<bool> {
    answer.as_bool().map_err(|kind| {
        fail(format!(
            "{op}: the rule answered {}, which is of type {}; it must answer true or false",
            said(answer),
            short_type(kind)
        ))
    })
}

fn said(value: &Dynamic) -> String {
    let text = if value.is_unit() { "nothing".into() } else { short_paths(&value.to_string()) };
    if text.chars().count() > 40 || text.contains('\n') { "a value".into() } else { text }
}

fn int(place: usize) -> Dynamic {
    INT::try_from(place).unwrap_or(INT::MAX).into()
}

/// Elements for which the rule holds, and the others.
fn parted(op: &str, context: &NativeCallContext, array: &mut Array, rule: &FnPtr) -> Res<(Array, Array)> {
    let mut answers = Vec::with_capacity(array.len());
    for (place, item) in array.iter_mut().enumerate() {
        answers.push(holds(op, context, rule, item, int(place))?);
    }
    let (mut yes, mut no) = (Array::new(), Array::new());
    for (item, answer) in std::mem::take(array).into_iter().zip(answers) {
        if answer { yes.push(item) } else { no.push(item) }
    }
    Ok((yes, no))
}

/// The same for a map: keys with their values.
fn parted_map(op: &str, context: &NativeCallContext, map: &mut Map, rule: &FnPtr) -> Res<(Map, Map)> {
    let mut answers = Vec::with_capacity(map.len());
    for (key, value) in map.iter_mut() {
        let key: Dynamic = key.as_str().into();
        let answer = rule.call_raw_with_extra_args(op, context, Some(value), [key], [], Some(1))?;
        answers.push(truth(op, &answer)?);
    }
    let (mut yes, mut no) = (Map::new(), Map::new());
    for ((key, value), answer) in std::mem::take(map).into_iter().zip(answers) {
        let to = if answer { &mut yes } else { &mut no };
        to.insert(key, value);
    }
    Ok((yes, no))
}

/// The first place from `start` on, which counts from the end if it is negative, at which the rule holds.
fn first_place(
    op: &str,
    context: &NativeCallContext,
    array: &mut Array,
    rule: &FnPtr,
    start: INT,
) -> Res<Option<usize>> {
    let length = array.len();
    let start = match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => length.saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    for (place, item) in array.iter_mut().enumerate().skip(start) {
        if holds(op, context, rule, item, int(place))? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Sorted by `before`, whose first error ends it; equal elements keep their order.
fn merge_sorted(array: Array, before: &mut dyn FnMut(&Dynamic, &Dynamic) -> Res<Ordering>) -> Res<Array> {
    if array.len() < 2 {
        return Ok(array);
    }
    let mut left = array;
    let right = left.split_off(left.len() / 2);
    let mut left = merge_sorted(left, before)?.into_iter().peekable();
    let mut right = merge_sorted(right, before)?.into_iter().peekable();
    let mut sorted = Array::new();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if before(b, a)? == Ordering::Less { right.next() } else { left.next() };
        sorted.extend(next);
    }
    sorted.extend(left.chain(right));
    Ok(sorted)
}

/// Sorted by a rule that answers a number (below 0: the first comes first) or a bool (true: the first comes first).
fn by_rule(op: &str, context: &NativeCallContext, array: Array, rule: &FnPtr) -> Res<Array> {
    merge_sorted(array, &mut |a, b| {
        let answer = rule.call_raw(context, None, [a.clone(), b.clone()])?;
        // Such a rule is false both ways, as of equal elements.
        if answer.is_bool() && [a, b].iter().any(|v| v.as_float().is_ok_and(FLOAT::is_nan)) {
            return Err(fail(format!("{op}: an element is NaN, which has no place in an order; filter it out first")));
        }
        let order = match (answer.as_int(), answer.as_float(), answer.as_bool()) {
            (Ok(n), ..) => Some(n.cmp(&0)),
            (_, Ok(x), _) => x.partial_cmp(&0.0),
            (.., Ok(true)) => Some(Ordering::Less),
            (.., Ok(false)) => {
                // `|a, b| a < b` says nothing of equal elements until it is asked the other way.
                let other = rule.call_raw(context, None, [b.clone(), a.clone()])?;
                Some(if other.as_bool().unwrap_or(false) { Ordering::Greater } else { Ordering::Equal })
            }
            _ => None,
        };
        order.ok_or_else(|| {
            fail(format!(
                "{op}: the rule answered {} for {} and {}; it must answer a number (below 0: the first comes first) or a bool",
                said(&answer),
                said(a),
                said(b)
            ))
        })
    })
}

/// In the order of numbers, texts, characters or bools.
fn naturally(op: &str, array: Array) -> Res<Array> {
    let number = |v: &Dynamic| v.is_int() || v.is_float();
    if let Some(place) = array.iter().position(|v| v.as_float().is_ok_and(FLOAT::is_nan)) {
        return Err(fail(format!("{op}: element {place} is NaN, which has no place in an order; filter it out first")));
    }
    let texts = |list: &Array| list.iter().all(Dynamic::is_string);
    let same = array.iter().all(number)
        || texts(&array)
        || array.iter().all(Dynamic::is_char)
        || array.iter().all(Dynamic::is_bool)
        || array.iter().all(Dynamic::is_unit);
    if !same {
        let mut kinds: Vec<String> = array.iter().map(|v| short_type(v.type_name())).collect();
        kinds.sort();
        kinds.dedup();
        return Err(fail(format!(
            "{op}: elements of type {} have no order of their own; give a rule: {}(|a, b| ...)",
            kinds.join(", "),
            if op.starts_with("order") { "order_by" } else { "sort_by" }
        )));
    }
    merge_sorted(array, &mut |a, b| Ok(natural(a, b)))
}

fn natural(a: &Dynamic, b: &Dynamic) -> Ordering {
    match (a.as_int(), b.as_int()) {
        (Ok(a), Ok(b)) => return a.cmp(&b),
        (Ok(a), _) => return b.as_float().ok().and_then(|b| compare(a, b)).unwrap_or(Ordering::Equal),
        (_, Ok(b)) => return a.as_float().ok().and_then(|a| compare(b, a)).map_or(Ordering::Equal, Ordering::reverse),
        _ => {}
    }
    if let (Ok(a), Ok(b)) = (a.as_float(), b.as_float()) {
        return a.total_cmp(&b);
    }
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return a.as_str().cmp(b.as_str());
    }
    match (a.as_char(), b.as_char(), a.as_bool(), b.as_bool()) {
        (Ok(a), Ok(b), ..) => a.cmp(&b),
        (.., Ok(a), Ok(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    }
}

fn reversed(mut array: Array) -> Array {
    array.reverse();
    array
}

/// In place; on an error the array is as it was.
fn in_place(array: &mut Array, sort: impl FnOnce(Array) -> Res<Array>) -> Res<()> {
    *array = sort(array.clone())?;
    Ok(())
}

#[export_module]
mod collections {
    #[rhai_fn(pure, return_raw)]
    pub fn filter(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<Array> {
        parted("filter", &context, &mut array.clone(), &rule).map(|(yes, _)| yes)
    }
    #[rhai_fn(return_raw)]
    pub fn retain(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<Array> {
        let (yes, no) = parted("retain", &context, &mut array.clone(), &rule)?;
        *array = yes;
        Ok(no)
    }
    #[rhai_fn(return_raw)]
    pub fn drain(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<Array> {
        let (yes, no) = parted("drain", &context, &mut array.clone(), &rule)?;
        *array = no;
        Ok(yes)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn some(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<bool> {
        first_place("some", &context, array, &rule, 0).map(|place| place.is_some())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn all(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<bool> {
        for (place, item) in array.iter_mut().enumerate() {
            if !holds("all", &context, &rule, item, int(place))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn index_of(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<INT> {
        Ok(first_place("index_of", &context, array, &rule, 0)?.map_or(-1, |place| place as INT))
    }
    #[rhai_fn(name = "index_of", pure, return_raw)]
    pub fn index_of_from(context: NativeCallContext, array: &mut Array, rule: FnPtr, start: INT) -> Res<INT> {
        Ok(first_place("index_of", &context, array, &rule, start)?.map_or(-1, |place| place as INT))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn find(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<Dynamic> {
        Ok(first_place("find", &context, array, &rule, 0)?.map_or(Dynamic::UNIT, |place| array[place].clone()))
    }
    #[rhai_fn(name = "find", pure, return_raw)]
    pub fn find_from(context: NativeCallContext, array: &mut Array, rule: FnPtr, start: INT) -> Res<Dynamic> {
        Ok(first_place("find", &context, array, &rule, start)?.map_or(Dynamic::UNIT, |place| array[place].clone()))
    }
    #[rhai_fn(return_raw)]
    pub fn dedup(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<()> {
        let mut kept: Array = Array::new();
        for item in array.iter() {
            let same = match kept.last() {
                Some(last) => truth("dedup", &rule.call_raw(&context, None, [last.clone(), item.clone()])?)?,
                None => false,
            };
            if !same {
                kept.push(item.clone());
            }
        }
        *array = kept;
        Ok(())
    }
    #[rhai_fn(return_raw)]
    pub fn sort(array: &mut Array) -> Res<()> {
        in_place(array, |array| naturally("sort", array))
    }
    #[rhai_fn(return_raw)]
    pub fn sort_desc(array: &mut Array) -> Res<()> {
        in_place(array, |array| naturally("sort_desc", array).map(reversed))
    }
    #[rhai_fn(name = "sort", name = "sort_by", return_raw)]
    pub fn sort_by(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<()> {
        in_place(array, |array| by_rule("sort", &context, array, &rule))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn order(array: &mut Array) -> Res<Array> {
        naturally("order", array.clone())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn order_desc(array: &mut Array) -> Res<Array> {
        naturally("order_desc", array.clone()).map(reversed)
    }
    #[rhai_fn(name = "order", name = "order_by", pure, return_raw)]
    pub fn order_by(context: NativeCallContext, array: &mut Array, rule: FnPtr) -> Res<Array> {
        by_rule("order", &context, array.clone(), &rule)
    }
    #[rhai_fn(name = "filter", pure, return_raw)]
    pub fn filter_map(context: NativeCallContext, map: &mut Map, rule: FnPtr) -> Res<Map> {
        parted_map("filter", &context, &mut map.clone(), &rule).map(|(yes, _)| yes)
    }
    #[rhai_fn(name = "retain", return_raw)]
    pub fn retain_map(context: NativeCallContext, map: &mut Map, rule: FnPtr) -> Res<Map> {
        let (yes, no) = parted_map("retain", &context, &mut map.clone(), &rule)?;
        *map = yes;
        Ok(no)
    }
    #[rhai_fn(name = "drain", return_raw)]
    pub fn drain_map(context: NativeCallContext, map: &mut Map, rule: FnPtr) -> Res<Map> {
        let (yes, no) = parted_map("drain", &context, &mut map.clone(), &rule)?;
        *map = no;
        Ok(yes)
    }
}
