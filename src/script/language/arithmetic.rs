//! Operators on numbers that mean what they say
//!
//! ```text
//! 7 / 2, x /= 2        3.5; 6 / 2 stays the whole number 3; div(7, 2) is 3
//! 2 ** -1              0.5; 2 ** 64 is an error, as every overflow of whole numbers
//! < <= > >= == !=      of floats as IEEE 754 has them: 1e-17 > 0.0, NaN is unequal to all; a whole number beside a float exactly
//! 1.0 < "a"            an error; so is every order of values that have none
//! ```
//!
//! What can be read in two ways is refused before a script runs: [`super::refused`].

use super::error::{Res, fail};
use super::signatures::short_type;
use rhai::{Dynamic, Engine, FLOAT, INT};
use std::any::TypeId;
use std::cmp::Ordering;

/// Does this ordering (none where NaN takes part) satisfy the operator?
type Holds = fn(Option<Ordering>) -> bool;

const COMPARISONS: [(&str, Holds); 6] = [
    ("==", |order| order == Some(Ordering::Equal)),
    ("!=", |order| order != Some(Ordering::Equal)),
    ("<", |order| order == Some(Ordering::Less)),
    ("<=", |order| matches!(order, Some(Ordering::Less | Ordering::Equal))),
    (">", |order| order == Some(Ordering::Greater)),
    (">=", |order| matches!(order, Some(Ordering::Greater | Ordering::Equal))),
];

/// Replace Rhai's operators on numbers.
pub fn register(engine: &mut Engine) {
    // Rhai answers for plain numbers by itself otherwise, and never looks at what is registered.
    engine.set_fast_operators(false);
    engine.register_fn("/", quotient);
    engine.register_fn("div", div);
    let int = TypeId::of::<INT>();
    // Rhai's own `/=` would write the whole part; a fraction has to take the variable's place.
    engine.register_raw_fn("/=", [int, int], |_, arguments| {
        let value = quotient(arguments[0].as_int().unwrap_or(0), arguments[1].as_int().unwrap_or(0))?;
        *arguments[0] = value;
        Ok(Dynamic::UNIT)
    });
    engine.register_fn("**", power);
    whole_numbers_as_floats(engine);
    comparisons(engine);
    for range in ["..", "..="] {
        engine.register_fn(range, move |from: INT, to: FLOAT| no_range(range, &from, &to));
        engine.register_fn(range, move |from: FLOAT, to: INT| no_range(range, &from, &to));
        engine.register_fn(range, move |from: FLOAT, to: FLOAT| no_range(range, &from, &to));
    }
}

/// The two numbers' order, exactly: 2^53 + 1 is not the float 2^53.
pub fn compare(a: INT, b: FLOAT) -> Option<Ordering> {
    match (a as FLOAT).partial_cmp(&b) {
        // The float is whole and within the range of i128 here.
        Some(Ordering::Equal) => Some(i128::from(a).cmp(&(b as i128))),
        other => other,
    }
}

/// A fraction, or a whole number where it comes out even.
fn quotient(a: INT, b: INT) -> Res<Dynamic> {
    if b == 0 {
        return Err(fail(format!("`/`: {a} / 0 has no value")));
    }
    match a.checked_rem(b) {
        Some(0) => Ok((a / b).into()),
        Some(_) => Ok((a as FLOAT / b as FLOAT).into()),
        None => Err(fail(format!("`/`: {a} / {b} is too large for a whole number; write {a}.0 / {b}"))),
    }
}

/// The largest whole number that is not above the fraction.
fn div(a: INT, b: INT) -> Res<INT> {
    if b == 0 {
        return Err(fail(format!("div: {a} by 0 has no value")));
    }
    let down = |whole: INT| if a % b != 0 && (a < 0) != (b < 0) { whole - 1 } else { whole };
    a.checked_div(b).map(down).ok_or_else(|| fail(format!("div: {a} by {b} is too large for a whole number")))
}

fn power(a: INT, b: INT) -> Res<Dynamic> {
    if b < 0 {
        return Ok((a as FLOAT).powf(b as FLOAT).into());
    }
    let whole = u32::try_from(b).ok().and_then(|b| a.checked_pow(b));
    whole
        .map(Dynamic::from)
        .ok_or_else(|| fail(format!("`**`: {a} ** {b} is too large for a whole number; write {a}.0 ** {b}")))
}

type OfOne = fn(FLOAT) -> FLOAT;
type OfTwo = fn(FLOAT, FLOAT) -> FLOAT;

/// A quotient that comes out even is a whole number, so what floats have whole numbers have too.
fn whole_numbers_as_floats(engine: &mut Engine) {
    for name in ["floor", "ceiling", "round", "int"] {
        engine.register_fn(name, |n: INT| n);
    }
    engine.register_fn("fraction", |_: INT| 0.0);
    engine.register_fn("is_finite", |_: INT| true);
    for name in ["is_nan", "is_infinite"] {
        engine.register_fn(name, |_: INT| false);
    }
    let functions: [(&str, OfOne); 18] = [
        ("sqrt", FLOAT::sqrt),
        ("exp", FLOAT::exp),
        ("ln", FLOAT::ln),
        ("log", FLOAT::log10),
        ("sin", FLOAT::sin),
        ("cos", FLOAT::cos),
        ("tan", FLOAT::tan),
        ("sinh", FLOAT::sinh),
        ("cosh", FLOAT::cosh),
        ("tanh", FLOAT::tanh),
        ("asin", FLOAT::asin),
        ("acos", FLOAT::acos),
        ("atan", FLOAT::atan),
        ("asinh", FLOAT::asinh),
        ("acosh", FLOAT::acosh),
        ("atanh", FLOAT::atanh),
        ("to_degrees", FLOAT::to_degrees),
        ("to_radians", FLOAT::to_radians),
    ];
    for (name, of) in functions {
        engine.register_fn(name, move |n: INT| of(n as FLOAT));
    }
    let of_two: [(&str, OfTwo); 3] = [("hypot", FLOAT::hypot), ("atan", FLOAT::atan2), ("log", FLOAT::log)];
    for (name, of) in of_two {
        engine.register_fn(name, move |a: INT, b: INT| of(a as FLOAT, b as FLOAT));
        engine.register_fn(name, move |a: INT, b: FLOAT| of(a as FLOAT, b));
        engine.register_fn(name, move |a: FLOAT, b: INT| of(a, b as FLOAT));
    }
}

fn comparisons(engine: &mut Engine) {
    for (name, holds) in COMPARISONS {
        engine.register_fn(name, move |a: FLOAT, b: FLOAT| holds(a.partial_cmp(&b)));
        engine.register_fn(name, move |a: INT, b: FLOAT| holds(compare(a, b)));
        engine.register_fn(name, move |a: FLOAT, b: INT| holds(compare(b, a).map(Ordering::reverse)));
    }
    // Rhai takes an order between a number and a text for false. What refuses it hides what Rhai has only built in, so whole
    // numbers, texts and characters are said here.
    for (name, holds) in COMPARISONS.into_iter().skip(2) {
        engine.register_fn(name, move |a: INT, b: INT| holds(Some(a.cmp(&b))));
        engine.register_fn(name, move |a: Dynamic, b: Dynamic| -> Res<bool> {
            let text = |value: &Dynamic| {
                value.clone().into_string().ok().or_else(|| value.as_char().ok().map(|letter| letter.to_string()))
            };
            match (text(&a), text(&b)) {
                (Some(x), Some(y)) => Ok(holds(Some(x.cmp(&y)))),
                _ => {
                    let [a, b] = [a.type_name(), b.type_name()].map(short_type);
                    Err(fail(format!("`{name}`: values of type {a} and {b} have no order")))
                }
            }
        });
    }
}

fn no_range(range: &str, from: &dyn std::fmt::Display, to: &dyn std::fmt::Display) -> Res<()> {
    Err(fail(format!(
        "`{from}{range}{to}`: a range goes over whole numbers; `/` gives a fraction unless it comes out even, div(a, b) a whole \
         number"
    )))
}
