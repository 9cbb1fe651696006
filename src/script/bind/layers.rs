//! Layers as scripts write them: `conv2d(32, 3, #{ padding: 1 })`, and what a layer of a model tells about itself.

use super::args;
use crate::nn::LayerSpec as Spec;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, LayerSpec, Tensor, int};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(layers).into());
}

fn positive(op: &str, what: &str, n: INT) -> Res<usize> {
    match args::count(op, what, n)? {
        0 => Err(fail(format!("{op}: {what} is 0, at least 1 is needed"))),
        n => Ok(n),
    }
}

fn convolution(channels: INT, kernel: INT, options: Map) -> Res<LayerSpec> {
    let mut options = Options::new("conv2d", options);
    let spec = Spec::Conv2d {
        channels: positive("conv2d", "the number of channels", channels)?,
        kernel: positive("conv2d", "the kernel size", kernel)?,
        stride: options.usize("stride", 1, 1..)?,
        padding: options.usize("padding", 0, ..)?,
        bias: options.bool("bias", true)?,
    };
    options.finish()?;
    Ok(LayerSpec(spec))
}

fn fully_connected(features: INT, options: Map) -> Res<LayerSpec> {
    let mut options = Options::new("linear", options);
    let features = positive("linear", "the number of features", features)?;
    let spec = Spec::Linear { features, bias: options.bool("bias", true)? };
    options.finish()?;
    Ok(LayerSpec(spec))
}

fn pool(kernel: INT, options: Map) -> Res<LayerSpec> {
    let mut options = Options::new("avg_pool2d", options);
    let kernel = positive("avg_pool2d", "the kernel size", kernel)?;
    let spec = Spec::AvgPool2d { kernel, stride: options.usize("stride", kernel, 1..)? };
    options.finish()?;
    Ok(LayerSpec(spec))
}

#[export_module]
mod layers {
    #[rhai_fn(return_raw)]
    pub fn conv2d(channels: INT, kernel: INT) -> Res<LayerSpec> {
        convolution(channels, kernel, Map::new())
    }
    #[rhai_fn(name = "conv2d", return_raw)]
    pub fn conv2d_options(channels: INT, kernel: INT, options: Map) -> Res<LayerSpec> {
        convolution(channels, kernel, options)
    }
    #[rhai_fn(return_raw)]
    pub fn linear(features: INT) -> Res<LayerSpec> {
        fully_connected(features, Map::new())
    }
    #[rhai_fn(name = "linear", return_raw)]
    pub fn linear_options(features: INT, options: Map) -> Res<LayerSpec> {
        fully_connected(features, options)
    }
    pub fn flatten() -> LayerSpec {
        LayerSpec(Spec::Flatten)
    }
    pub fn relu() -> LayerSpec {
        LayerSpec(Spec::Relu)
    }
    pub fn relu6() -> LayerSpec {
        LayerSpec(Spec::Relu6)
    }
    #[rhai_fn(return_raw)]
    pub fn relu_theta(theta: Dynamic) -> Res<LayerSpec> {
        Ok(LayerSpec(Spec::ReluTheta { theta: args::number("relu_theta", &theta)? }))
    }
    pub fn maxmin() -> LayerSpec {
        LayerSpec(Spec::MaxMin)
    }
    #[rhai_fn(return_raw)]
    pub fn clipped_maxmin(max: Dynamic, min: Dynamic) -> Res<LayerSpec> {
        let (max, min) = (args::number("clipped_maxmin", &max)?, args::number("clipped_maxmin", &min)?);
        Ok(LayerSpec(Spec::ClippedMaxMin { max, min }))
    }
    #[rhai_fn(return_raw)]
    pub fn avg_pool2d(kernel: INT) -> Res<LayerSpec> {
        pool(kernel, Map::new())
    }
    #[rhai_fn(name = "avg_pool2d", return_raw)]
    pub fn avg_pool2d_options(kernel: INT, options: Map) -> Res<LayerSpec> {
        pool(kernel, options)
    }
    #[rhai_fn(return_raw)]
    pub fn normalize(mean: Array, std: Array) -> Res<LayerSpec> {
        let (mean, std) = (args::numbers("normalize", &mean)?, args::numbers("normalize", &std)?);
        Ok(LayerSpec(Spec::Normalize { mean, std }))
    }

    #[rhai_fn(get = "index", pure)]
    pub fn index(layer: &mut Layer) -> INT {
        int(layer.0.index)
    }
    #[rhai_fn(get = "name", pure)]
    pub fn name(layer: &mut Layer) -> String {
        layer.0.spec.describe()
    }
    #[rhai_fn(get = "input", pure)]
    pub fn input(layer: &mut Layer) -> Array {
        layer.0.input.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "output", pure)]
    pub fn output(layer: &mut Layer) -> Array {
        layer.0.output.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "is_affine", pure)]
    pub fn is_affine(layer: &mut Layer) -> bool {
        layer.0.is_affine()
    }
    #[rhai_fn(get = "is_activation", pure)]
    pub fn is_activation(layer: &mut Layer) -> bool {
        layer.0.is_activation()
    }
    #[rhai_fn(get = "can_clip", pure)]
    pub fn can_clip(layer: &mut Layer) -> bool {
        layer.0.can_clip()
    }
    #[rhai_fn(get = "is_maxmin", pure)]
    pub fn is_maxmin(layer: &mut Layer) -> bool {
        layer.0.is_maxmin()
    }
    #[rhai_fn(name = "forward", pure, return_raw)]
    pub fn layer_forward(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.forward(&x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn apply(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.apply(&x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn adjoint(layer: &mut Layer, y: Tensor) -> Res<Tensor> {
        layer.0.adjoint(&y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn apply_absolute(layer: &mut Layer, h: Tensor) -> Res<Tensor> {
        layer.0.apply_absolute(&h.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn row_norms(layer: &mut Layer) -> Res<Tensor> {
        layer.0.row_norms().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "weight", pure, return_raw)]
    pub fn weight(layer: &mut Layer) -> Res<Tensor> {
        let none = || fail(format!("layer {} ({}) has no weight", layer.0.index, layer.0.spec.describe()));
        layer.0.weight().cloned().map(Tensor).ok_or_else(none)
    }
}
