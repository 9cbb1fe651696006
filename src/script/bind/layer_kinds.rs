//! Layers as scripts write them, `conv2d(32, 3, #{ padding: 1 })`: a function for each kind of the registry.

use super::args;
use crate::nn::layers::{Argument, Branch, Entry, Given, KINDS, Takes};
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, fail};
use crate::script::values::LayerSpec;
use rhai::{Array, Dynamic, Engine, FnPtr, FuncRegistration, INT, Map, Module, NativeCallContext, RhaiFunc, Shared};
use std::any::TypeId;

pub fn register(engine: &mut Engine) {
    let mut module = Module::new();
    for entry in &KINDS {
        add(&mut module, entry, false);
        if !entry.options.is_empty() {
            add(&mut module, entry, true);
        }
    }
    engine.register_global_module(module.into());
}

/// A kind's function, with its options or without.
fn add(module: &mut Module, entry: &'static Entry, with_options: bool) {
    let arguments = entry.arguments.iter().map(|argument| argument_type(argument.takes));
    let options = with_options.then(|| (TypeId::of::<Map>(), "options: Map".to_string()));
    let (types, mut described): (Vec<_>, Vec<_>) = arguments
        .zip(entry.arguments)
        .map(|((id, kind), argument)| (id, format!("{}: {kind}", argument.name)))
        .chain(options)
        .unzip();
    described.push("LayerSpec".into());
    let func = move |context: Option<NativeCallContext>, given: &mut [&mut Dynamic]| {
        let mut values: Vec<Dynamic> = given.iter_mut().map(|value| std::mem::take(*value)).collect();
        let options = if with_options { values.pop() } else { None };
        let options = options.and_then(Dynamic::try_cast::<Map>).unwrap_or_default();
        made(context.as_ref(), entry, values, options).map(Dynamic::from)
    };
    let func = RhaiFunc::Pure { func: Shared::new(func), has_context: true, is_pure: true, is_volatile: false };
    FuncRegistration::new(entry.name).with_params_info(described).set_into_module_raw(module, types, func);
}

/// What a script gives for an argument, and its name in signatures.
fn argument_type(takes: Takes) -> (TypeId, &'static str) {
    match takes {
        Takes::Positive(_) | Takes::AtLeast(_) => (TypeId::of::<INT>(), "i64"),
        Takes::Number => (TypeId::of::<Dynamic>(), "Dynamic"),
        Takes::Numbers | Takes::Layers | Takes::Branches => (TypeId::of::<Array>(), "Array"),
        Takes::Flag => (TypeId::of::<bool>(), "bool"),
        Takes::Weight => (TypeId::of::<FnPtr>(), "Fn"),
    }
}

fn made(
    context: Option<&NativeCallContext>,
    entry: &'static Entry,
    values: Vec<Dynamic>,
    options: Map,
) -> Res<LayerSpec> {
    let mut given = Given::default();
    for (argument, value) in entry.arguments.iter().zip(values) {
        read_argument(entry.name, *argument, value, &mut given)?;
    }
    let mut options = Options::new(entry.name, options);
    for option in entry.options {
        match (option.takes, context) {
            (Takes::Weight, Some(context)) => {
                let closure = options.dynamic(option.name);
                given.weight =
                    closure.map(|value| super::own::weight::define(context, entry.name, value)).transpose()?;
            }
            _ => read_option(&mut options, *option, &mut given)?,
        }
    }
    options.finish()?;
    Ok(LayerSpec((entry.make)(&given)))
}

fn read_argument(op: &str, Argument { name, takes }: Argument, value: Dynamic, given: &mut Given) -> Res<()> {
    let count = |what: &str, least: usize| match args::count(op, what, value.as_int().unwrap_or_default())? {
        n if n < least => Err(fail(format!("{op}: {what} is {n}, at least {least} is needed"))),
        n => Ok(n),
    };
    match takes {
        Takes::Positive(what) => drop(given.counts.insert(name, count(what, 1)?)),
        Takes::AtLeast(least) => drop(given.counts.insert(name, count(name, least)?)),
        Takes::Number => drop(given.numbers.insert(name, vec![args::number(op, &value)?])),
        Takes::Numbers => {
            let values = value.into_array().unwrap_or_default();
            given.numbers.insert(name, args::numbers(op, &values)?);
        }
        Takes::Flag => drop(given.flags.insert(name, value.as_bool().unwrap_or_default())),
        // No kind takes one as an argument.
        Takes::Weight => {}
        Takes::Layers | Takes::Branches => {
            let values = value.into_array().unwrap_or_default().into_iter().enumerate();
            let branches = values.map(|(i, value)| branch(op, i, value, takes == Takes::Branches));
            given.branches.insert(name, branches.collect::<Res<Vec<_>>>()?);
        }
    }
    Ok(())
}

/// A layer of a list, or a branch of a sum.
fn branch(op: &str, i: usize, value: Dynamic, may_be_list: bool) -> Res<Branch> {
    let kind = a_value_of(value.type_name());
    if may_be_list && value.is_array() {
        let layers = value.into_array().unwrap_or_default().into_iter().enumerate();
        let layers = layers.map(|(j, value)| match branch(op, j, value, false)? {
            Branch::One(layer) => Ok(layer),
            Branch::List(_) => Err(fail(format!("{op}: branch {i} holds a list in its list"))),
        });
        return Ok(Branch::List(layers.collect::<Res<Vec<_>>>()?));
    }
    let layer = value.try_cast::<LayerSpec>();
    layer
        .map(|layer| Branch::One(layer.0))
        .ok_or_else(|| fail(format!("{op}: element {i} of the list is {kind}, not a layer")))
}

fn read_option(options: &mut Options, Argument { name, takes }: Argument, given: &mut Given) -> Res<()> {
    if !options.is_given(name) {
        return Ok(());
    }
    match takes {
        Takes::Positive(_) => drop(given.counts.insert(name, options.usize(name, 1, 1..)?)),
        Takes::AtLeast(0) => drop(given.counts.insert(name, options.usize(name, 0, ..)?)),
        Takes::AtLeast(least) => drop(given.counts.insert(name, options.usize(name, least, least..)?)),
        Takes::Number => drop(given.numbers.insert(name, vec![options.float(name, 0.0)?])),
        Takes::Numbers => {
            let values = options.optional::<Array>(name, "an array of numbers")?.unwrap_or_default();
            given.numbers.insert(name, args::numbers(name, &values)?);
        }
        Takes::Flag => drop(given.flags.insert(name, options.bool(name, true)?)),
        // No kind takes layers as an option; a closure is read where it is called from.
        Takes::Layers | Takes::Branches | Takes::Weight => {}
    }
    Ok(())
}
