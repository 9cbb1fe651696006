//! A network as an ONNX file.

use super::format::{self, DOUBLE, Dimension, Entry, FLOAT, INT64, Node, OperatorSet, Shape, TensorType, Type, Value};
use crate::base::files::replace;
use crate::nn::Sequential;
use crate::nn::description::{Description, KEY};
use crate::nn::layers::{Attribute, Constant, Graph, Operation, Place};
use candle_core::{DType, Device, Error, Result, Tensor};
use prost::Message;
use std::path::Path;

/// The version of the operators: Reshape, Split and BatchNormalization as they are drawn.
const OPERATORS: i64 = 17;
/// The version of the format that goes with it.
const FORMAT: i64 = 8;

pub const INPUT: &str = "input";
pub const OUTPUT: &str = "logits";

/// Write the network, in f32 or f64. It takes a batch of any size.
pub fn export(net: &Sequential, path: &Path, dtype: DType) -> Result<()> {
    let bytes = model(net, dtype)?.encode_to_vec();
    replace(path, &bytes).map_err(|e| Error::Msg(format!("export: {}: {e}", path.display())))
}

/// The operators of a network, the last of which gives [`OUTPUT`].
pub fn drawn(net: &Sequential) -> Result<Graph> {
    let (mut graph, mut at, mut shape) = (Graph::default(), INPUT.to_string(), net.input().to_vec());
    for (index, spec) in net.specs().iter().enumerate() {
        let output = spec.output_shape(&shape).map_err(Error::Msg)?;
        let before = format!("{index}.");
        let own = net.parameters().iter().filter_map(|(name, var)| {
            Some(Ok((name.strip_prefix(&before)?.to_string(), var.as_tensor().detach().to_device(&Device::Cpu))))
        });
        let own = own.map(|pair: Result<(String, Result<Tensor>)>| pair.and_then(|(name, t)| Ok((name, t?))));
        let own = own.collect::<Result<Vec<_>>>()?;
        let place =
            Place { input: &shape, output: &output, parameters: &own, dtype: net.dtype(), device: &Device::Cpu };
        graph.at(&index.to_string());
        let named = |e: Error| Error::Msg(format!("export: layer {index} ({}): {e}", spec.describe()));
        at = spec.export(&place, &mut graph, at).map_err(named)?;
        shape = output;
    }
    if graph.operations.is_empty() {
        graph.apply("Identity", &[INPUT], &[]);
    }
    // The last value is the network's.
    let rename = |name: &mut String| *name = if *name == at { OUTPUT.into() } else { std::mem::take(name) };
    graph.operations.iter_mut().for_each(|o| o.inputs.iter_mut().chain(&mut o.outputs).for_each(rename));
    Ok(graph)
}

fn model(net: &Sequential, dtype: DType) -> Result<format::Model> {
    // Numbers that are made of parameters are those of the parameters in the file, in f64, whatever made them badly conditioned.
    let graph = drawn(&net.to_dtype(dtype)?.to_dtype(DType::F64)?)?;
    let kind = if dtype == DType::F64 { DOUBLE } else { FLOAT };
    let value = |name: &str, sample: &[usize]| {
        let fixed = sample.iter().map(|n| Dimension { dim_value: Some(*n as i64), dim_param: None });
        let dim = [Dimension { dim_value: None, dim_param: Some("batch".into()) }].into_iter().chain(fixed).collect();
        let tensor = Some(TensorType { elem_type: kind, shape: Some(Shape { dim }) });
        Value { name: name.into(), of: Some(Type { tensor }) }
    };
    let initializer = graph.constants.iter().map(|(name, constant)| tensor(name, constant, dtype));
    Ok(format::Model {
        ir_version: FORMAT,
        producer_name: "workbench".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        metadata_props: vec![Entry { key: KEY.into(), value: Description::text_of(net)? }],
        graph: Some(format::Graph {
            node: graph.operations.iter().map(node).collect(),
            name: "network".into(),
            initializer: initializer.collect::<Result<_>>()?,
            input: vec![value(INPUT, net.input())],
            output: vec![value(OUTPUT, net.output())],
            sparse_initializer: vec![],
        }),
    })
}

fn node(operation: &Operation) -> Node {
    let attribute = |(name, value): &(&'static str, Attribute)| {
        let mut made = format::Attribute { name: (*name).into(), ..Default::default() };
        match value {
            Attribute::Float(f) => (made.f, made.kind) = (*f, 1),
            Attribute::Int(i) => (made.i, made.kind) = (*i, 2),
            Attribute::Ints(all) => (made.ints, made.kind) = (all.clone(), 7),
        }
        made
    };
    Node {
        input: operation.inputs.clone(),
        output: operation.outputs.clone(),
        name: operation.outputs[0].clone(),
        op_type: operation.name.into(),
        attribute: operation.attributes.iter().map(attribute).collect(),
        domain: String::new(),
    }
}

fn tensor(name: &str, constant: &Constant, dtype: DType) -> Result<format::Tensor> {
    let mut made = format::Tensor { name: name.into(), ..Default::default() };
    match constant {
        Constant::Sizes(all) => {
            (made.dims, made.data_type) = (vec![all.len() as i64], INT64);
            made.raw_data = all.iter().flat_map(|n| n.to_le_bytes()).collect();
        }
        Constant::Numbers(t) => {
            made.dims = t.dims().iter().map(|n| *n as i64).collect();
            let flat = t.to_dtype(dtype)?.flatten_all()?;
            let largest = flat.to_dtype(DType::F64)?.abs()?.to_vec1::<f64>()?.into_iter().fold(0.0, f64::max);
            if !largest.is_finite() {
                return Err(Error::Msg(format!(
                    "export: `{name}` holds a number that {} does not reach",
                    dtype.as_str()
                )));
            }
            if dtype == DType::F64 {
                made.data_type = DOUBLE;
                made.raw_data = flat.to_vec1::<f64>()?.iter().flat_map(|v| v.to_le_bytes()).collect();
            } else {
                made.data_type = FLOAT;
                made.raw_data = flat.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect();
            }
        }
    }
    Ok(made)
}
