//! The network of a file: by what a file of ours says of its layers, where its graph is what these make, else by its graph alone.

use super::read::File;
use super::{walk, write};
use crate::base::random::Generator;
use crate::nn::Sequential;
use crate::nn::description::Description;
use crate::nn::layers::Parameter;
use crate::nn::weights::Rounded;
use candle_core::{DType, Device, Result};
use std::collections::HashMap;

type Built = (Sequential, Option<Rounded>);

/// By its metadata; nothing where there is none, or where its graph is not that of these layers.
pub fn own(file: &File, dtype: Option<DType>, device: &Device) -> Result<Option<Built>> {
    let Some(network) = file.network.as_deref().and_then(|text| serde_json::from_str::<Description>(text).ok()) else {
        return Ok(None);
    };
    // Nothing is made of what a description claims before its numbers are seen to be there.
    let mut shape = network.input.clone();
    for (index, spec) in network.layers.iter().enumerate() {
        let there = |p: &Parameter| {
            let held = file.constants.get(&format!("{index}.{}", p.name)).map(|t| t.elem_count() as u128);
            held.is_some() && held == p.count()
        };
        let behind = if shape.is_empty() || shape.contains(&0) { None } else { spec.output_shape(&shape).ok() };
        let Some(behind) = behind.filter(|_| spec.parameters(&shape).iter().all(there)) else { return Ok(None) };
        shape = behind;
    }
    let dtype = dtype.unwrap_or(file.dtype());
    let Ok(net) = Sequential::new(&network.input, &network.layers, dtype, device, &Generator::new(0)) else {
        return Ok(None);
    };
    let mut weights = HashMap::new();
    for (name, var) in net.parameters() {
        // Some stand in a graph with axes of length 1 besides.
        let found = file.constants.get(name).filter(|t| t.elem_count() == var.elem_count());
        let Some(found) = found.and_then(|t| t.reshape(var.dims()).ok()) else { return Ok(None) };
        weights.insert(name.clone(), found);
    }
    let rounded = net.set_weights(&file.source, &weights)?;
    Ok(is_drawn(file, &net)?.then_some((net, rounded)))
}

/// Is the file's graph the one that the network draws, with the constants that it draws?
fn is_drawn(file: &File, net: &Sequential) -> Result<bool> {
    let drawn = write::drawn(&net.to_dtype(DType::F64)?)?;
    let same = file.nodes.len() == drawn.operations.len()
        && file.nodes.iter().zip(&drawn.operations).all(|(node, own)| {
            let attributes = own.attributes.len() == node.attribute.len()
                && own
                    .attributes
                    .iter()
                    .zip(&node.attribute)
                    .all(|((name, value), other)| *name == other.name && value.is(other.i, &other.ints, other.f));
            node.domain.is_empty()
                && node.op_type == own.name
                && node.input == own.inputs
                && node.output == own.outputs
                && attributes
        });
    let constants = drawn.constants.iter().all(|(name, own)| {
        let Some(other) = file.constants.get(name) else { return false };
        own.is_near(other).unwrap_or(false)
    });
    Ok(same && constants && file.input == write::INPUT && file.output == write::OUTPUT && file.shape == net.input())
}

/// By its graph.
pub fn taken(file: &File, dtype: Option<DType>, device: &Device) -> Result<Built> {
    let layers = walk::layers(file)?;
    if layers.is_empty() {
        return Err(file.wrong("its output is its input; there are no layers"));
    }
    let specs: Vec<_> = layers.iter().map(|found| found.spec.clone()).collect();
    let dtype = dtype.unwrap_or(file.dtype());
    let net = Sequential::new(&file.shape, &specs, dtype, device, &Generator::new(0))?;
    let mut weights = HashMap::new();
    for (index, found) in layers.into_iter().enumerate() {
        weights.extend(found.parameters.into_iter().map(|(name, t)| (format!("{index}.{name}"), t)));
    }
    let rounded = net.set_weights(&file.source, &weights)?;
    Ok((net, rounded))
}
