//! Each operator of a graph as a layer, or as a part of the one before it.

use super::chain::{Arithmetic, Found, Link};
use super::format::{DOUBLE, FLOAT, Node};
use super::normalised::normalised;
use super::read::{File, LARGEST, shown};
use crate::nn::LayerSpec;
use crate::nn::layers::{
    Abs, AvgPool2d, Conv2d, Flatten, LeakyRelu, Linear, MaxPool2d, Normalize, Relu, Relu6, ReluTheta, ScaleShift,
    Softplus,
};
use candle_core::{DType, Tensor};

/// What an operator is.
pub enum Step {
    /// The value itself.
    Same,
    Layer(Found),
    /// A layer in the place of the one before.
    Instead(Found),
}

type Outcome<T> = Result<T, String>;

/// What is read, for the refusal of others.
const READ: &str = "Conv, Gemm, MatMul, Relu, LeakyRelu, Clip, Min, Abs, Softplus, Flatten, Reshape to a vector, AveragePool, GlobalAveragePool, \
                    MaxPool, BatchNormalization, Add, Sub, Mul and Div by channel, Add and Concat of branches, Dropout, Identity";

/// The operator `node`, whose one value of the network is `link`, its input number `place`.
pub fn layer(file: &File, node: &Node, link: &Link, place: usize) -> Outcome<Step> {
    // What is given and not understood is not what is left out.
    let optional = |at: usize| match node.input.get(at).filter(|name| !name.is_empty()) {
        None => Ok(None),
        Some(name) => {
            file.constant(name).map(Some).ok_or_else(|| format!("its input {at}, `{}`, is no constant", shown(name)))
        }
    };
    let constant = |at: usize| optional(at)?.ok_or_else(|| format!("it has no input {at}"));
    let first = place == 0;
    if !first && !["Add", "Sub", "Mul", "Min"].contains(&node.op_type.as_str()) {
        return Err(format!("the network's value is its input {place}, not its first"));
    }
    let first =
        node.input.first() == Some(&link.value) || node.input.first().is_some_and(|name| file.constant(name).is_none());
    let plain = |spec: LayerSpec| Ok(Step::Layer(Found::new(spec, vec![])));
    match node.op_type.as_str() {
        "Identity" => Ok(Step::Same),
        "Dropout" => match optional(2)?.and_then(|t| single(Some(t))) {
            None | Some(0.0) => Ok(Step::Same),
            Some(_) => Err("it is in training, where it draws numbers".into()),
        },
        "Cast" => match int(node, "to", 0) {
            to if [FLOAT, DOUBLE].contains(&(to as i32)) => Ok(Step::Same),
            to => Err(format!("it makes numbers of type {to} of ONNX, which round; networks here stay in f32 or f64")),
        },
        "Conv" => convolution(node, link, constant(1)?, optional(2)?).map(Step::Layer),
        "Gemm" => gemm(node, link, constant(1)?, optional(2)?).map(Step::Layer),
        "MatMul" => {
            let weight = Some(constant(1)?).filter(|w| w.rank() == 2).ok_or("its matrix has no two axes")?;
            vector(link, weight.dims()[0])?;
            let weight = weight.t().and_then(|w| w.contiguous()).map_err(|e| e.to_string())?;
            let features = weight.dims()[0];
            Ok(Step::Layer(Found::new(LayerSpec::of(Linear { features, bias: false }), vec![("weight", weight)])))
        }
        "Relu" => plain(LayerSpec::of(Relu)),
        "Abs" => plain(LayerSpec::of(Abs)),
        "LeakyRelu" => plain(LayerSpec::of(LeakyRelu { slope: float(node, "alpha", 0.01) })),
        "Softplus" => plain(LayerSpec::of(Softplus { beta: 1.0 })),
        "Clip" => clip(file, node, link, optional(1)?, optional(2)?).map(Step::Layer),
        "Min" if node.input.len() == 2 => least(link, constant(usize::from(first))?),
        "Flatten" if int(node, "axis", 1) == 1 => Ok(flat(link)),
        "Reshape" => reshaped(file, node, link),
        "AveragePool" | "MaxPool" => pool(node),
        "GlobalAveragePool" => match link.shape.as_slice() {
            [_, h, w] if h == w => plain(LayerSpec::of(AvgPool2d { kernel: *h, stride: *h })),
            other => Err(format!("it averages over {other:?}; the pool here is square")),
        },
        "BatchNormalization" => {
            if int(node, "training_mode", 0) != 0 {
                return Err("it is in training, where it takes the statistics of a batch".into());
            }
            let [a, b, c, d] = [constant(1)?, constant(2)?, constant(3)?, constant(4)?];
            let found =
                normalised(file, link, [a, b, c, d], float(node, "epsilon", 1e-5)).map_err(|e| e.to_string())?;
            Ok(if found.1 { Step::Instead(found.0) } else { Step::Layer(found.0) })
        }
        "Add" | "Sub" | "Mul" | "Div" => {
            let other = constant(usize::from(first))?;
            arithmetic(file, node, link, &other, first)
        }
        _ => Err(format!(
            "no layer here is such an operator; read are {READ}. Softmax at the end of a network is left out: export its logits"
        )),
    }
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a super::format::Attribute> {
    node.attribute.iter().find(|a| a.name == name)
}

fn int(node: &Node, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

fn float(node: &Node, name: &str, default: f64) -> f64 {
    // Written in f32: 0.01 is meant, not 0.00999999977648258.
    attribute(node, name).and_then(|a| a.f.to_string().parse().ok()).unwrap_or(default)
}

/// One number for both axes.
fn square(node: &Node, name: &str, default: usize) -> Outcome<usize> {
    let Some(found) = attribute(node, name) else { return Ok(default) };
    match found.ints.as_slice() {
        [] => Ok(default),
        [n, rest @ ..] if rest.iter().all(|m| m == n) => usize::try_from(*n).map_err(|_| format!("its {name} are {n}")),
        other => Err(format!("its {name} are {other:?}; here they are the same along both axes")),
    }
}

/// Nothing that the layers here do not have.
fn usual(node: &Node) -> Outcome<()> {
    for (name, usual) in [("group", 1), ("ceil_mode", 0), ("count_include_pad", 0), ("storage_order", 0)] {
        let found = int(node, name, usual);
        if found != usual && !(name == "count_include_pad" && square(node, "pads", 0)? == 0) {
            return Err(format!("its {name} is {found}; here it is {usual}"));
        }
    }
    if square(node, "dilations", 1)? != 1 {
        return Err("it is dilated".into());
    }
    match attribute(node, "auto_pad").map(|a| a.s.as_slice()) {
        None | Some(b"" | b"NOTSET" | b"VALID") => Ok(()),
        Some(other) => {
            Err(format!("its auto_pad is {}; give its pads in numbers", String::from_utf8_lossy(other).escape_debug()))
        }
    }
}

fn convolution(node: &Node, link: &Link, weight: Tensor, bias: Option<Tensor>) -> Outcome<Found> {
    usual(node)?;
    let weight = Some(weight).filter(|w| w.rank() == 4).ok_or("its kernel has no four axes")?;
    let [channels, inputs, kernel, width] = [weight.dims()[0], weight.dims()[1], weight.dims()[2], weight.dims()[3]];
    if kernel != width || link.shape.first() != Some(&inputs) {
        return Err(format!(
            "its kernel is {:?} over {:?}; kernels here are square, over all channels",
            weight.dims(),
            link.shape
        ));
    }
    let (stride, padding) = (square(node, "strides", 1)?, square(node, "pads", 0)?);
    let spec = LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias: bias.is_some() });
    Ok(weighted(spec, weight, bias))
}

fn weighted(spec: LayerSpec, weight: Tensor, bias: Option<Tensor>) -> Found {
    let mut parameters = vec![("weight", weight)];
    parameters.extend(bias.and_then(|b| b.flatten_all().ok()).map(|bias| ("bias", bias)));
    Found::new(spec, parameters)
}

fn vector(link: &Link, inputs: usize) -> Outcome<()> {
    if link.shape == [inputs] {
        Ok(())
    } else {
        Err(format!("its matrix takes {inputs} features, its input has shape {:?}", link.shape))
    }
}

fn gemm(node: &Node, link: &Link, weight: Tensor, bias: Option<Tensor>) -> Outcome<Found> {
    let plain = float(node, "alpha", 1.0) == 1.0 && float(node, "beta", 1.0) == 1.0 && int(node, "transA", 0) == 0;
    let weight =
        Some(weight).filter(|w| w.rank() == 2 && plain).ok_or("it is no product of a constant matrix and a vector")?;
    let weight = if int(node, "transB", 0) == 1 { Ok(weight) } else { weight.t().and_then(|w| w.contiguous()) };
    let weight = weight.map_err(|e| e.to_string())?;
    vector(link, weight.dims()[1])?;
    let features = weight.dims()[0];
    if bias.as_ref().is_some_and(|b| b.elem_count() != features) {
        return Err("its bias is no number for each feature".into());
    }
    Ok(weighted(LayerSpec::of(Linear { features, bias: bias.is_some() }), weight, bias))
}

fn single(t: Option<Tensor>) -> Option<f64> {
    let t = t.filter(|t| t.elem_count() == 1)?;
    t.flatten_all().ok()?.to_dtype(DType::F64).ok()?.to_vec1::<f64>().ok()?.first().copied()
}

fn clip(file: &File, node: &Node, link: &Link, low: Option<Tensor>, high: Option<Tensor>) -> Outcome<Found> {
    // Older versions have them as attributes.
    let low = single(low).or_else(|| attribute(node, "min").map(|a| f64::from(a.f)));
    let high =
        single(high).or_else(|| attribute(node, "max").map(|a| f64::from(a.f))).filter(|h| h.is_finite() && *h < 3e38);
    match (low, high) {
        (Some(0.0), None) => Ok(Found::new(LayerSpec::of(Relu), vec![])),
        (Some(0.0), Some(6.0)) => Ok(Found::new(LayerSpec::of(Relu6), vec![])),
        (Some(0.0), Some(theta)) if theta >= 0.0 => {
            if link.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_none_or(|n| n > LARGEST) {
                return Err(format!("its input of shape {:?} is larger than is taken", link.shape));
            }
            let threshold = Tensor::full(theta, [&[1], link.shape.as_slice()].concat(), &candle_core::Device::Cpu);
            let threshold = threshold.and_then(|t| t.to_dtype(file.dtype())).map_err(|e| e.to_string())?;
            Ok(Found::new(LayerSpec::of(ReluTheta { theta }), vec![("threshold", threshold)]))
        }
        _ => Err(format!("it clips to {low:?} and {high:?}; what is clipped here begins at 0")),
    }
}

/// The smaller of a ReLU and a threshold for each neuron.
fn least(link: &Link, threshold: Tensor) -> Outcome<Step> {
    let threshold = Some(threshold).filter(|_| link.made.as_ref().is_some_and(|found| found.spec.is::<Relu>()));
    let threshold = threshold.ok_or("only the minimum of a ReLU and a constant is a layer here, relu_theta")?;
    let whole = [&[1], link.shape.as_slice()].concat();
    let lowest =
        threshold.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1::<f64>()).map_err(|e| e.to_string())?;
    if let Some(below) = lowest.iter().find(|t| t.is_nan() || **t < 0.0) {
        return Err(format!("a threshold of it is {below}; those of relu_theta are at least 0"));
    }
    let threshold = threshold.broadcast_as(whole).and_then(|t| t.contiguous()).map_err(|e| e.to_string())?;
    Ok(Step::Instead(Found::new(LayerSpec::of(ReluTheta { theta: 1.0 }), vec![("threshold", threshold)])))
}

fn flat(link: &Link) -> Step {
    if link.shape.len() == 1 { Step::Same } else { Step::Layer(Found::new(LayerSpec::of(Flatten), vec![])) }
}

/// To a vector: `[N, -1]`, or `[N, n]`, where N may be made of the input's shape.
fn reshaped(file: &File, node: &Node, link: &Link) -> Outcome<Step> {
    let count: usize = link.shape.iter().product();
    let target = node.input.get(1).ok_or("it has no shape")?;
    let last = match file.constant(target) {
        Some(shape) if shape.elem_count() == 2 => match shape.to_vec1::<i64>().ok().as_deref() {
            // The batch stays what it is.
            Some([batch, last]) if [0, -1, file.batch].contains(batch) && !(*batch == -1 && *last == -1) => Some(*last),
            _ => None,
        },
        Some(_) => None,
        // Concat of the size of the batch and the rest.
        None => {
            file.maker(target).filter(|maker| maker.op_type == "Concat" && maker.input.len() == 2).and_then(|maker| {
                file.constant(&maker.input[1])
                    .filter(|t| t.elem_count() == 1)
                    .and_then(|t| t.flatten_all().ok()?.to_vec1::<i64>().ok()?.first().copied())
            })
        }
    };
    match last {
        Some(-1) => Ok(flat(link)),
        Some(n) if n == count as i64 => Ok(flat(link)),
        _ => Err(format!("it gives {:?} a shape that is not that of a vector", link.shape)),
    }
}

fn pool(node: &Node) -> Outcome<Step> {
    usual(node)?;
    let (kernel, stride) = (square(node, "kernel_shape", 1)?, square(node, "strides", 1)?);
    if square(node, "pads", 0)? != 0 {
        return Err("it is padded; pools here are not".into());
    }
    let spec = match node.op_type.as_str() {
        "MaxPool" => LayerSpec::of(MaxPool2d { kernel, stride }),
        _ => LayerSpec::of(AvgPool2d { kernel, stride }),
    };
    Ok(Step::Layer(Found::new(spec, vec![])))
}

/// A number for each channel: of one number, or of one for each along the channels' axis.
fn by_channel(t: &Tensor, shape: &[usize]) -> Option<Vec<f64>> {
    let values = t.to_dtype(DType::F64).ok()?.flatten_all().ok()?.to_vec1::<f64>().ok()?;
    let channels = shape[0];
    if values.len() == 1 {
        return Some(vec![values[0]; channels]);
    }
    // Aligned at the last axis, as operators broadcast; channels come first in a sample.
    let from_end = shape.len() - 1;
    let at = t.rank().checked_sub(1 + from_end)?;
    let fits = t.dims().iter().enumerate().all(|(axis, n)| if axis == at { *n == channels } else { *n == 1 });
    fits.then_some(values)
}

fn arithmetic(file: &File, node: &Node, link: &Link, other: &Tensor, first: bool) -> Outcome<Step> {
    let numbers = by_channel(other, &link.shape).ok_or_else(|| {
        format!("a constant of shape {:?} is no number for each channel of {:?}", other.dims(), link.shape)
    })?;
    let alone = file.takers(&link.value) == 1;
    let before = link.made.as_ref().filter(|_| alone);
    if let (Some(found), "Add") = (before, node.op_type.as_str())
        && let Some(Linear { features, bias: false }) = found.spec.get::<Linear>()
    {
        let bias = Tensor::new(numbers.as_slice(), other.device())
            .and_then(|b| b.to_dtype(other.dtype()))
            .map_err(|e| e.to_string())?;
        let mut parameters = found.parameters.clone();
        parameters.push(("bias".into(), bias));
        let spec = LayerSpec::of(Linear { features: *features, bias: true });
        return Ok(Step::Instead(Found { parameters, ..Found::new(spec, vec![]) }));
    }
    let channels = link.shape[0];
    let goes_on = before.and_then(|found| found.arithmetic.clone());
    let is_more = goes_on.is_some();
    let mut so_far =
        goes_on.unwrap_or(Arithmetic { scale: vec![1.0; channels], shift: vec![0.0; channels], mean: None, std: None });
    let Arithmetic { scale, shift, mean, std } = &mut so_far;
    for (c, n) in numbers.iter().enumerate() {
        (scale[c], shift[c]) = match (node.op_type.as_str(), first) {
            ("Add", _) => (scale[c], shift[c] + n),
            ("Sub", true) => (scale[c], shift[c] - n),
            ("Sub", false) => (-scale[c], n - shift[c]),
            ("Mul", _) => (scale[c] * n, shift[c] * n),
            ("Div", true) => (scale[c] / n, shift[c] / n),
            _ => return Err("it divides a constant by a value of the network".into()),
        };
    }
    match (node.op_type.as_str(), first, is_more) {
        ("Sub", true, false) => *mean = Some(numbers),
        ("Div", true, true) if mean.is_some() && std.is_none() => *std = Some(numbers),
        _ => (*mean, *std) = (None, None),
    }
    let made = |values: &Vec<f64>| {
        Tensor::new(values.as_slice(), other.device())
            .and_then(|t| t.to_dtype(other.dtype()))
            .map_err(|e| e.to_string())
    };
    let normal = match (&so_far.mean, &so_far.std) {
        (Some(mean), Some(std)) if std.iter().all(|s| *s > 0.0) => {
            Some(Normalize { mean: mean.clone(), std: std.clone() })
        }
        _ => None,
    };
    let mut found = match normal {
        Some(normal) => Found::new(LayerSpec::of(normal), vec![]),
        None => Found::new(
            LayerSpec::of(ScaleShift),
            vec![("weight", made(&so_far.scale)?), ("bias", made(&so_far.shift)?)],
        ),
    };
    found.arithmetic = Some(so_far);
    Ok(if is_more { Step::Instead(found) } else { Step::Layer(found) })
}
