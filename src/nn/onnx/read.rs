//! An ONNX file taken apart: nodes, constants, the one input and the one output. What is not there is found before anything is built.

use super::format::{self, BFLOAT16, DOUBLE, FLOAT, FLOAT16, INT64, Model, Node};
use crate::nn::description::KEY;
use candle_core::{DType, Device, Error, Result, Tensor};
use prost::Message;
use std::collections::HashMap;
use std::path::Path;

/// Numbers of an input or behind a layer.
pub const LARGEST: usize = 1 << 27;

/// More nodes than any network of layers has.
const MOST: usize = 100_000;

/// Is this an ONNX file? By its name; a protobuf has no first bytes of its own.
pub fn is_onnx(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// A file.
pub struct File {
    pub source: String,
    pub nodes: Vec<Node>,
    /// Numbers in f32 or f64, whole numbers in i64.
    pub constants: HashMap<String, Tensor>,
    pub input: String,
    /// Of one sample.
    pub shape: Vec<usize>,
    /// Samples in a batch, where it is fixed; else -1.
    pub batch: i64,
    pub output: String,
    /// What a file of ours says of its layers.
    pub network: Option<String>,
    /// Does it compute in f64?
    pub is_wide: bool,
    /// Which node makes a value, and how many take it.
    makers: HashMap<String, usize>,
    takers: HashMap<String, usize>,
}

impl File {
    pub fn open(source: &str, bytes: &[u8]) -> Result<Self> {
        let wrong = |why: &str| Error::Msg(format!("load_model: {source}: {why}"));
        let model = Model::decode(bytes).map_err(|e| {
            wrong(&format!("it is no readable ONNX file ({e}); it is cut off, damaged, or of another format"))
        })?;
        let graph: format::Graph =
            model.graph.ok_or_else(|| wrong("it holds no graph; it is no ONNX file, or an empty one"))?;
        if graph.node.len() > MOST {
            return Err(wrong(&format!("it has {} nodes, at most {MOST} are taken", graph.node.len())));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(wrong("it has sparse constants; save it with dense ones"));
        }
        let mut constants = HashMap::new();
        for tensor in &graph.initializer {
            constants.insert(
                tensor.name.clone(),
                numbers(tensor).map_err(|why| wrong(&format!("`{}`: {why}", shown(&tensor.name))))?,
            );
        }
        for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
            let value = node.attribute.iter().find_map(|a| a.t.as_ref());
            let value = value.ok_or_else(|| wrong(&format!("constant `{}` holds no tensor", shown(&node.name))))?;
            let value = numbers(value).map_err(|why| wrong(&format!("constant `{}`: {why}", shown(&node.name))))?;
            constants.insert(node.output.first().cloned().unwrap_or_default(), value);
        }
        // Older files list constants among the inputs.
        let inputs: Vec<_> = graph.input.iter().filter(|value| !constants.contains_key(&value.name)).collect();
        let [input] = inputs.as_slice() else {
            return Err(wrong(&format!("it has {} inputs, a network here has one", inputs.len())));
        };
        let [output] = graph.output.as_slice() else {
            return Err(wrong(&format!("it has {} outputs, a network here has one", graph.output.len())));
        };
        let dims = input.of.as_ref().and_then(|of| of.tensor.as_ref()?.shape.as_ref()).map(|shape| &shape.dim);
        let dims = dims.ok_or_else(|| wrong("its input has no shape"))?;
        let sizes = dims
            .iter()
            .skip(1)
            .map(|d| d.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..1 << 24).contains(n)));
        let shape = sizes.collect::<Option<Vec<_>>>().filter(|shape| !shape.is_empty() && shape.len() <= 3);
        let shape = shape.filter(|shape| shape.iter().product::<usize>() <= LARGEST);
        let batch = dims.first().and_then(|d| d.dim_value).unwrap_or(-1);
        let shape = shape.ok_or_else(|| {
            let told: Vec<_> = dims
                .iter()
                .map(|d| d.dim_value.map_or_else(|| d.dim_param.clone().unwrap_or("?".into()), |n| n.to_string()))
                .collect();
            wrong(&format!(
                "its input is {told:?}; wanted are a batch and a fixed shape, [N, C, H, W] or [N, features]"
            ))
        })?;
        let (mut makers, mut takers) = (HashMap::new(), HashMap::new());
        for (at, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().map(|name| (name.clone(), at)));
            node.input.iter().for_each(|name| *takers.entry(name.clone()).or_insert(0) += 1);
        }
        // A graph without numbers says it of its input.
        let told = input.of.as_ref().and_then(|of| of.tensor.as_ref()).is_some_and(|tensor| tensor.elem_type == DOUBLE);
        let is_wide = told || constants.values().any(|t| t.dtype() == DType::F64);
        let network = model.metadata_props.into_iter().find(|entry| entry.key == KEY).map(|entry| entry.value);
        let (input, output) = (input.name.clone(), output.name.clone());
        Ok(Self {
            source: source.into(),
            nodes: graph.node,
            constants,
            input,
            shape,
            batch,
            output,
            network,
            is_wide,
            makers,
            takers,
        })
    }

    /// The number type that holds its numbers.
    pub fn dtype(&self) -> DType {
        if self.is_wide { DType::F64 } else { DType::F32 }
    }

    pub fn wrong(&self, why: &str) -> Error {
        Error::Msg(format!("load_model: {}: {why}", self.source))
    }

    /// The node that makes a value.
    pub fn maker(&self, value: &str) -> Option<&Node> {
        self.makers.get(value).map(|at| &self.nodes[*at])
    }

    /// How many inputs take a value.
    pub fn takers(&self, value: &str) -> usize {
        self.takers.get(value).copied().unwrap_or(0)
    }

    /// A value that does not depend on the input: a constant, or one turned or handed on.
    pub fn constant(&self, value: &str) -> Option<Tensor> {
        self.constant_at(value, 0)
    }

    fn constant_at(&self, value: &str, depth: usize) -> Option<Tensor> {
        if let Some(found) = self.constants.get(value) {
            return Some(found.clone());
        }
        let node = self.maker(value).filter(|_| depth < 8)?;
        let of = self.constant_at(node.input.first()?, depth + 1)?;
        match node.op_type.as_str() {
            "Identity" => Some(of),
            // Between the types that networks compute in.
            "Cast" => {
                let to = node.attribute.iter().find(|a| a.name == "to")?.i;
                (of.dtype().is_float() && [i64::from(FLOAT), i64::from(DOUBLE)].contains(&to)).then_some(of)
            }
            "Transpose" if of.rank() == 2 => of.t().ok()?.contiguous().ok(),
            _ => None,
        }
    }
}

/// A name of somebody else's choice, fit for a message.
pub fn shown(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}

/// A tensor's numbers.
fn numbers(tensor: &format::Tensor) -> std::result::Result<Tensor, String> {
    if !tensor.external_data.is_empty() {
        return Err("its numbers lie in another file; save the model with them inside".into());
    }
    let dims: Vec<usize> = tensor
        .dims
        .iter()
        .map(|n| usize::try_from(*n).map_err(|_| format!("its shape has a size of {n}")))
        .collect::<std::result::Result<_, _>>()?;
    let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or("its shape cannot be counted")?;
    let (kind, size) = match tensor.data_type {
        FLOAT => (DType::F32, 4),
        DOUBLE => (DType::F64, 8),
        FLOAT16 => (DType::F16, 2),
        BFLOAT16 => (DType::BF16, 2),
        INT64 => (DType::I64, 8),
        6 => (DType::I32, 4),
        2 | 9 => (DType::U8, 1),
        other => return Err(format!("its numbers are of type {other} of ONNX, which no weight has")),
    };
    let made = if !tensor.raw_data.is_empty() || count == 0 {
        if count.checked_mul(size) != Some(tensor.raw_data.len()) {
            return Err(format!(
                "a tensor of shape {dims:?} has {} bytes, {} were expected",
                tensor.raw_data.len(),
                count.saturating_mul(size)
            ));
        }
        Tensor::from_raw_buffer(&tensor.raw_data, kind, &dims, &Device::Cpu)
    } else {
        let held = match kind {
            DType::F32 => tensor.float_data.len(),
            DType::F64 => tensor.double_data.len(),
            DType::I64 => tensor.int64_data.len(),
            _ => tensor.int32_data.len(),
        };
        if held != count {
            return Err(format!("a tensor of shape {dims:?} has {held} numbers"));
        }
        match kind {
            DType::F32 => Tensor::from_vec(tensor.float_data.clone(), dims, &Device::Cpu),
            DType::F64 => Tensor::from_vec(tensor.double_data.clone(), dims, &Device::Cpu),
            DType::I64 => Tensor::from_vec(tensor.int64_data.clone(), dims, &Device::Cpu),
            // Half numbers as the bits of whole ones.
            DType::F16 | DType::BF16 => {
                let bytes: Vec<u8> = tensor.int32_data.iter().flat_map(|n| (*n as u16).to_le_bytes()).collect();
                Tensor::from_raw_buffer(&bytes, kind, &dims, &Device::Cpu)
            }
            _ => Tensor::from_vec(
                tensor.int32_data.iter().map(|n| i64::from(*n)).collect::<Vec<_>>(),
                dims,
                &Device::Cpu,
            ),
        }
    };
    let made = made.map_err(|e| e.to_string())?;
    let wanted = match kind {
        DType::F64 => DType::F64,
        DType::F32 | DType::F16 | DType::BF16 => DType::F32,
        _ => DType::I64,
    };
    made.to_dtype(wanted).map_err(|e| e.to_string())
}
