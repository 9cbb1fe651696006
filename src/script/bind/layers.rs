//! Layers as scripts write them: `conv2d(32, 3, #{ padding: 1 })`, and what a layer of a model tells about itself.

use super::args;
use super::types::{Layer, LayerSpec, Tensor, int};
use crate::nn::LayerSpec as Spec;
use crate::script::error::{Res, candle, fail};
use crate::script::options::Options;
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
    /// Convolution with `channels` output channels and a square kernel.
    #[rhai_fn(return_raw)]
    pub fn conv2d(channels: INT, kernel: INT) -> Res<LayerSpec> {
        convolution(channels, kernel, Map::new())
    }
    /// Convolution. Options: `stride` (1), `padding` (0), `bias` (true). Weights start as N(0, sqrt(2 / (k k channels))).
    ///
    /// # Example
    /// ```rhai
    /// let layer = conv2d(32, 4, #{ stride: 2, padding: 1 });
    /// ```
    #[rhai_fn(name = "conv2d", return_raw)]
    pub fn conv2d_options(channels: INT, kernel: INT, options: Map) -> Res<LayerSpec> {
        convolution(channels, kernel, options)
    }
    /// Fully connected layer. Weight and bias start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    #[rhai_fn(return_raw)]
    pub fn linear(features: INT) -> Res<LayerSpec> {
        fully_connected(features, Map::new())
    }
    /// Fully connected layer. Options: `bias` (true).
    #[rhai_fn(name = "linear", return_raw)]
    pub fn linear_options(features: INT, options: Map) -> Res<LayerSpec> {
        fully_connected(features, options)
    }
    /// An image [C, H, W] as a vector.
    pub fn flatten() -> LayerSpec {
        LayerSpec(Spec::Flatten)
    }
    /// max(x, 0).
    pub fn relu() -> LayerSpec {
        LayerSpec(Spec::Relu)
    }
    /// min(max(x, 0), 6).
    pub fn relu6() -> LayerSpec {
        LayerSpec(Spec::Relu6)
    }
    /// ReLU clipped at a learnable threshold per neuron that starts at `theta` (Eq. 8): max(min(x, theta), 0).
    #[rhai_fn(return_raw)]
    pub fn relu_theta(theta: Dynamic) -> Res<LayerSpec> {
        Ok(LayerSpec(Spec::ReluTheta { theta: args::number("relu_theta", &theta)? }))
    }
    /// MaxMin over the two halves of the channels: concat(max(p, q), min(p, q)).
    pub fn maxmin() -> LayerSpec {
        LayerSpec(Spec::MaxMin)
    }
    /// MaxMin with learnable thresholds: the upper half cut above at `max`, the lower half cut below at `min`.
    #[rhai_fn(return_raw)]
    pub fn clipped_maxmin(max: Dynamic, min: Dynamic) -> Res<LayerSpec> {
        let (max, min) = (args::number("clipped_maxmin", &max)?, args::number("clipped_maxmin", &min)?);
        Ok(LayerSpec(Spec::ClippedMaxMin { max, min }))
    }
    /// Mean over squares of `kernel` x `kernel` pixels, side by side.
    #[rhai_fn(return_raw)]
    pub fn avg_pool2d(kernel: INT) -> Res<LayerSpec> {
        pool(kernel, Map::new())
    }
    /// Mean over squares. Options: `stride` (the kernel size).
    #[rhai_fn(name = "avg_pool2d", return_raw)]
    pub fn avg_pool2d_options(kernel: INT, options: Map) -> Res<LayerSpec> {
        pool(kernel, options)
    }
    /// (x - mean) / std per channel, as a layer: epsilon stays in the units of the images.
    #[rhai_fn(return_raw)]
    pub fn normalize(mean: Array, std: Array) -> Res<LayerSpec> {
        let (mean, std) = (args::numbers("normalize", &mean)?, args::numbers("normalize", &std)?);
        Ok(LayerSpec(Spec::Normalize { mean, std }))
    }

    /// Position in the model.
    #[rhai_fn(get = "index", pure)]
    pub fn index(layer: &mut Layer) -> INT {
        int(layer.0.index)
    }
    /// The layer as a script writes it.
    #[rhai_fn(get = "name", pure)]
    pub fn name(layer: &mut Layer) -> String {
        layer.0.spec.describe()
    }
    /// Shape of one input sample.
    #[rhai_fn(get = "input", pure)]
    pub fn input(layer: &mut Layer) -> Array {
        layer.0.input.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    /// Shape of one output sample.
    #[rhai_fn(get = "output", pure)]
    pub fn output(layer: &mut Layer) -> Array {
        layer.0.output.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    /// A convolution, linear, pooling or normalisation layer: a linear map W and a bias.
    #[rhai_fn(get = "is_affine", pure)]
    pub fn is_affine(layer: &mut Layer) -> bool {
        layer.0.is_affine()
    }
    /// Neither affine nor flatten.
    #[rhai_fn(get = "is_activation", pure)]
    pub fn is_activation(layer: &mut Layer) -> bool {
        layer.0.is_activation()
    }
    /// An activation that is constant beyond a threshold: ReLU kinds and clipped MaxMin.
    #[rhai_fn(get = "can_clip", pure)]
    pub fn can_clip(layer: &mut Layer) -> bool {
        layer.0.can_clip()
    }
    /// MaxMin, clipped or not.
    #[rhai_fn(get = "is_maxmin", pure)]
    pub fn is_maxmin(layer: &mut Layer) -> bool {
        layer.0.is_maxmin()
    }
    /// The layer's value on a batch.
    #[rhai_fn(name = "forward", pure, return_raw)]
    pub fn layer_forward(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.forward(&x.0).map(Tensor).map_err(candle)
    }
    /// `W x` of an affine layer, without the bias: [B, input] to [B, output].
    #[rhai_fn(pure, return_raw)]
    pub fn apply(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.apply(&x.0).map(Tensor).map_err(candle)
    }
    /// `W^T y` of an affine layer: [B, output] to [B, input].
    #[rhai_fn(pure, return_raw)]
    pub fn adjoint(layer: &mut Layer, y: Tensor) -> Res<Tensor> {
        layer.0.adjoint(&y.0).map(Tensor).map_err(candle)
    }
    /// `|W| h` of an affine layer for half-widths h >= 0.
    #[rhai_fn(pure, return_raw)]
    pub fn apply_absolute(layer: &mut Layer, h: Tensor) -> Res<Tensor> {
        layer.0.apply_absolute(&h.0).map(Tensor).map_err(candle)
    }
    /// The 2-norm of each output channel's row of W, [1, channels].
    #[rhai_fn(pure, return_raw)]
    pub fn row_norms(layer: &mut Layer) -> Res<Tensor> {
        layer.0.row_norms().map(Tensor).map_err(candle)
    }
    /// The weight of a convolution or linear layer.
    #[rhai_fn(get = "weight", pure, return_raw)]
    pub fn weight(layer: &mut Layer) -> Res<Tensor> {
        let none = || fail(format!("layer {} ({}) has no weight", layer.0.index, layer.0.spec.describe()));
        layer.0.weight().cloned().map(Tensor).ok_or_else(none)
    }
}
