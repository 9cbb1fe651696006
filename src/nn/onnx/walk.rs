//! A graph taken apart into layers, from its input to its output
//!
//! Each value is a chain of layers behind the input. Where two values meet in an addition or a concatenation, the chains part at the last
//! value that both have gone through, and what lies between is a block of branches.

use super::chain::{Found, Link};
use super::operators;
use super::read::{File, shown};
use crate::nn::LayerSpec;
use crate::nn::layers::{Branch, Parallel, Residual, Sum};
use candle_core::{Result, Tensor};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Layers of a network, and lists in lists of them.
const MOST: usize = 20_000;
const DEEPEST: usize = 40;

/// The layers of a file, in their order.
pub fn layers(file: &File) -> Result<Vec<Found>> {
    let needed = needed(file);
    let mut links = HashMap::from([(file.input.clone(), Link::input(&file.input, &file.shape))]);
    for node in file.nodes.iter().filter(|node| node.output.iter().any(|name| needed.contains(name.as_str()))) {
        let taken: Vec<_> = node.input.iter().filter_map(|name| links.get(name)).cloned().collect();
        // What no value goes into is a constant, or the shape of something.
        if taken.is_empty() || node.op_type == "Shape" {
            continue;
        }
        let named = |why: String| {
            file.wrong(&format!("operator `{}`, node `{}`: {why}", shown(&node.op_type), shown(&node.name)))
        };
        if !["", "ai.onnx"].contains(&node.domain.as_str()) {
            return Err(named(format!("it is of the set `{}`, not one of ONNX's own", shown(&node.domain))));
        }
        let output = node.output.first().cloned().unwrap_or_default();
        let place = node.input.iter().position(|name| links.contains_key(name)).unwrap_or(0);
        let link = match taken.as_slice() {
            [one] => match operators::layer(file, node, one, place).map_err(named)? {
                operators::Step::Same => one.clone(),
                operators::Step::Layer(found) => Link::behind(&output, found, one).map_err(named)?,
                // In the place of the layer before.
                operators::Step::Instead(found) => match &one.before {
                    Some(before) => Link::behind(&output, found, before).map_err(named)?,
                    None => return Err(named("there is no layer before it".into())),
                },
            },
            all => meet(&node.op_type, node, all, &output).map_err(named)?,
        };
        links.insert(output, link);
    }
    let end = links.get(&file.output);
    let end =
        end.ok_or_else(|| file.wrong(&format!("its output `{}` does not depend on its input", shown(&file.output))))?;
    Ok(between(None, end))
}

/// The values that the output depends on.
fn needed(file: &File) -> HashSet<&str> {
    let (mut needed, mut open) = (HashSet::from([file.output.as_str()]), vec![file.output.as_str()]);
    while let Some(value) = open.pop() {
        for name in file.maker(value).into_iter().flat_map(|node| &node.input) {
            if needed.insert(name) {
                open.push(name);
            }
        }
    }
    needed
}

/// The layers behind `from` up to `to`.
fn between(from: Option<&Rc<Link>>, to: &Rc<Link>) -> Vec<Found> {
    let (mut found, mut at) = (vec![], Some(to.clone()));
    while let Some(link) = at.filter(|link| from.is_none_or(|from| !Rc::ptr_eq(from, link))) {
        found.extend(link.made.clone());
        at = link.before.clone();
    }
    found.reverse();
    found
}

/// Several values in one.
fn meet(
    operator: &str,
    node: &super::format::Node,
    ends: &[Rc<Link>],
    output: &str,
) -> std::result::Result<Rc<Link>, String> {
    let concatenated = operator == "Concat";
    if operator != "Add" && !concatenated {
        return Err("it takes several values of the network; of such there are Add and Concat here".into());
    }
    if ends.len() != node.input.len() {
        return Err("it joins values of the network with constants".into());
    }
    if concatenated && node.attribute.iter().find(|a| a.name == "axis").map(|a| a.i) != Some(1) {
        return Err("it joins along another axis than that of channels".into());
    }
    let from =
        ends[1..].iter().try_fold(ends[0].clone(), |a, b| parting(&a, b)).ok_or("its values share no beginning")?;
    let mut lists = vec![];
    for end in ends {
        lists.push(between(Some(&from), end));
    }
    let inside = || lists.iter().flatten();
    let (size, depth) =
        (1 + inside().map(|found| found.size).sum::<usize>(), 1 + inside().map(|found| found.depth).max().unwrap_or(0));
    if size > MOST || depth > DEEPEST {
        return Err(format!(
            "its branches hold {size} layers, {depth} lists deep; at most {MOST} and {DEEPEST} are taken"
        ));
    }
    let numbered = |before: &str, list: &[Found]| -> Vec<(String, Tensor)> {
        let of = |(i, found): (usize, &Found)| {
            found.parameters.iter().map(|(name, t)| (format!("{before}{i}.{name}"), t.clone())).collect::<Vec<_>>()
        };
        list.iter().enumerate().flat_map(of).collect()
    };
    let specs = |list: &[Found]| list.iter().map(|found| found.spec.clone()).collect::<Vec<_>>();
    // x + F(x) is a residual block.
    if let (false, [a, b]) = (concatenated, lists.as_slice())
        && a.is_empty() != b.is_empty()
    {
        let list = if a.is_empty() { b } else { a };
        let found = Found {
            spec: LayerSpec::of(Residual { layers: specs(list) }),
            parameters: numbered("", list),
            arithmetic: None,
            size,
            depth,
        };
        return Link::behind(output, found, &from);
    }
    let parameters = lists.iter().enumerate().flat_map(|(b, list)| numbered(&format!("{b}."), list)).collect();
    let branches = lists.iter().map(|list| Branch::List(specs(list))).collect();
    let spec = if concatenated { LayerSpec::of(Parallel { branches }) } else { LayerSpec::of(Sum { branches }) };
    Link::behind(output, Found { spec, parameters, arithmetic: None, size, depth }, &from)
}

/// The last value that both have gone through.
fn parting(a: &Rc<Link>, b: &Rc<Link>) -> Option<Rc<Link>> {
    let (mut a, mut b) = (a.clone(), b.clone());
    while !Rc::ptr_eq(&a, &b) {
        if a.length > b.length {
            a = a.before.clone()?;
        } else if b.length > a.length {
            b = b.before.clone()?;
        } else {
            (a, b) = (a.before.clone()?, b.before.clone()?);
        }
    }
    Some(a)
}
