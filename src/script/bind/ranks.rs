//! A run on several processes, as its script sees it: which one this is, sums and values of all of them.

use super::args;
use super::json;
use crate::run::Run;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, fail};
use crate::script::values::int;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(ranks_api).into());
}

/// The numbers in a value, in their order.
fn numbers(value: &Dynamic, found: &mut Vec<f64>) -> Res<()> {
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().try_for_each(|item| numbers(item, found));
    }
    if let Some(entries) = value.read_lock::<Map>() {
        return entries.values().try_for_each(|item| numbers(item, found));
    }
    if value.is_int() || value.is_float() {
        found.push(args::number("run.sum", value)?);
        return Ok(());
    }
    Err(fail(format!(
        "run.sum: a number, or an array or map of numbers, is wanted, got {}",
        a_value_of(value.type_name())
    )))
}

/// The same value with these numbers in it; what was a whole number stays one.
fn with(value: &Dynamic, sums: &mut impl Iterator<Item = f64>) -> Dynamic {
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| with(item, sums)).collect::<Array>().into();
    }
    if let Some(entries) = value.read_lock::<Map>() {
        return entries.iter().map(|(key, item)| (key.clone(), with(item, sums))).collect::<Map>().into();
    }
    let sum = sums.next().unwrap_or(f64::NAN);
    if value.is_int() { Dynamic::from(sum as INT) } else { Dynamic::from(sum) }
}

#[export_module]
mod ranks_api {
    #[rhai_fn(get = "rank", pure)]
    pub fn rank(run: &mut Rc<Run>) -> INT {
        int(run.ranks().group.rank())
    }
    #[rhai_fn(get = "world", pure)]
    pub fn world(run: &mut Rc<Run>) -> INT {
        int(run.ranks().group.world())
    }
    #[rhai_fn(get = "shards", pure)]
    pub fn shards(run: &mut Rc<Run>) -> INT {
        int(run.ranks().strata.shards)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn sum(run: &mut Rc<Run>, value: Dynamic) -> Res<Dynamic> {
        run.set_shared();
        let mut found = vec![];
        numbers(&value, &mut found)?;
        let group = &run.ranks().group;
        group.patiently(|| group.sum(&mut found)).map_err(fail)?;
        run.align().map_err(fail)?;
        Ok(with(&value, &mut found.into_iter()))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn agree(run: &mut Rc<Run>, value: Dynamic) -> Res<Dynamic> {
        let group = &run.ranks().group;
        if group.is_alone() {
            return Ok(value);
        }
        let own = if group.is_first() { json::json("run.agree", &value)? } else { serde_json::Value::Null };
        json::dynamic(&group.patiently(|| group.of_first(own)).map_err(fail)?)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn all(run: &mut Rc<Run>, value: Dynamic) -> Res<Array> {
        let group = &run.ranks().group;
        if group.is_alone() {
            return Ok(vec![value]);
        }
        run.set_shared();
        let own = json::json("run.all", &value)?;
        let found = group.patiently(|| group.of_all(own)).map_err(fail)?;
        run.align().map_err(fail)?;
        found.iter().map(json::dynamic).collect()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn own(run: &mut Rc<Run>, images: Array) -> Res<Array> {
        let images = args::shape("run.own", &images)?;
        Ok(run.ranks().strata.own_among(&images).into_iter().map(|at| Dynamic::from(int(at))).collect())
    }
}
