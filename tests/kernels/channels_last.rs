//! Networks whose activations lie channels last between convolutions: values, and gradients of images and parameters.

use super::common::emulation::on_the_host;
use super::{CPU, chosen, draw, gap, gpu};
use candle_core::{DType, Device, Result, Tensor, Var};
use workbench::base::random::Generator;
use workbench::compute::autograd::backward;
use workbench::compute::norms::gpu::column_sums;
use workbench::compute::precision::LayoutChoice;
use workbench::nn::layers::{
    AvgPool2d, Branch, ClippedMaxMin, Conv2d, Flatten, LeakyRelu, Linear, LinearResidual, Made, MaxMin, Parallel, Relu,
    ReluTheta, Residual,
};
use workbench::nn::{LayerSpec, Sequential, forward};

#[test]
fn sums_of_columns() {
    let random = Generator::new(31);
    for dims in [vec![1, 1], vec![3, 5], vec![2, 7, 9, 33], vec![700, 40], vec![80_000, 3]] {
        let x = draw(&random, &dims);
        let Some(found) = on_the_host(|| column_sums(&x).unwrap()) else { return };
        let truth = x.flatten_to(dims.len() - 2).unwrap().sum(0).unwrap();
        assert!(gap(&found, &truth) < 1e-12, "{dims:?}");
    }
}

/// The value, and the gradients of the images and of all parameters, on the CPU.
fn found(net: &Sequential, x: &Tensor, weights: &Tensor) -> Result<Vec<Tensor>> {
    let there = |t: &Tensor| t.to_dtype(net.dtype())?.to_device(net.device());
    let x = Var::from_tensor(&there(x)?)?;
    let y = net.forward(x.as_tensor())?;
    let gradients = backward(&(&y * there(weights)?)?.sum_all()?)?;
    let of = |v: &Var| gradients.get(v.as_tensor()).cloned().unwrap_or(v.zeros_like().unwrap());
    Ok([y.detach(), of(&x)].into_iter().chain(net.trained().iter().map(|(_, v)| of(v))).collect())
}

#[test]
fn values_and_gradients_of_networks() {
    let conv =
        |channels, kernel, stride, padding, bias| LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias });
    let (relu, theta) = (LayerSpec::of(Relu), LayerSpec::of(ReluTheta { theta: 0.3 }));
    let (flatten, linear) = (LayerSpec::of(Flatten), LayerSpec::of(Linear { features: 4, bias: true }));
    let same = conv(6, 3, 1, 1, true);
    let nets: [(&str, Vec<LayerSpec>); 7] = [
        ("relu and thresholds", vec![conv(5, 3, 1, 1, true), relu.clone(), conv(6, 4, 2, 1, false), theta.clone()]),
        ("maxmin", vec![conv(6, 3, 1, 1, true), LayerSpec::of(MaxMin), conv(4, 3, 1, 0, true)]),
        // What has no form for channels last, between what has.
        (
            "planes between",
            vec![
                same.clone(),
                LayerSpec::of(ClippedMaxMin { max: 0.2, min: -0.2 }),
                same.clone(),
                LayerSpec::of(LeakyRelu { slope: 0.1 }),
                same.clone(),
                relu.clone(),
                LayerSpec::of(AvgPool2d { kernel: 2, stride: 2 }),
            ],
        ),
        (
            "a residual block",
            vec![same.clone(), LayerSpec::of(Residual { layers: vec![same.clone(), relu.clone()] }), theta],
        ),
        (
            "branches side by side",
            vec![
                LayerSpec::of(Parallel {
                    branches: [vec![same.clone()], vec![same.clone(), relu.clone()]].map(Branch::List).to_vec(),
                }),
                relu,
            ],
        ),
        ("a convolution and nothing behind it", vec![same.clone()]),
        (
            "one map of several",
            vec![
                same.clone(),
                LayerSpec::of(Made(LinearResidual { kernel: 3, scale: 0.5, bias: true })),
                LayerSpec::of(MaxMin),
            ],
        ),
    ];
    let random = Generator::new(32);
    let (x, weights) = (draw(&random, &[3, 2, 8, 6]), draw(&random, &[3, 4]));
    for (name, specs) in nets {
        let specs = [specs, vec![flatten.clone(), linear.clone()]].concat();
        let of = |dtype, device: &Device| {
            Sequential::new(&[2, 8, 6], &specs, dtype, device, &Generator::new(33)).unwrap().computed_in(&chosen())
        };
        let truth = found(&of(DType::F64, &CPU), &x, &weights).unwrap();
        let agree = |how: &str, all: Vec<Tensor>| {
            assert_eq!(all.len(), truth.len());
            for (i, (found, truth)) in all.iter().zip(&truth).enumerate() {
                assert_eq!(found.dims(), truth.dims(), "{name}, result {i}");
                let off = gap(&found.to_device(&CPU).unwrap(), truth);
                assert!(off < 2e-5, "{name}, {how}, result {i}: off by {off:e}");
            }
        };
        for layout in [LayoutChoice::Nchw, LayoutChoice::Nhwc] {
            chosen().set_layout(layout);
            if let Some(all) = on_the_host(|| found(&of(DType::F32, &CPU), &x, &weights).unwrap()) {
                agree(&format!("on the host, {layout:?}"), all);
            }
            if let Some(gpu) = gpu() {
                agree(&format!("on the GPU, {layout:?}"), found(&of(DType::F32, &gpu), &x, &weights).unwrap());
            }
        }
        chosen().set_layout(LayoutChoice::Auto);
    }
}

/// What does not fit is refused in the terms of the layer, channels last or not; and no layer takes nothing.
#[test]
fn layers_that_do_not_follow_each_other() {
    let conv = |channels| LayerSpec::of(Conv2d { channels, kernel: 3, stride: 2, padding: 1, bias: true });
    let theta = LayerSpec::of(ReluTheta { theta: 0.3 });
    let specs = [conv(4), conv(4), theta, LayerSpec::of(Flatten), LayerSpec::of(Linear { features: 2, bias: true })];
    let net =
        Sequential::new(&[2, 8, 8], &specs, DType::F32, &CPU, &Generator::new(34)).unwrap().computed_in(&chosen());
    let x = draw(&Generator::new(35), &[3, 2, 8, 8]).to_dtype(DType::F32).unwrap();
    let of = |layers: &[usize]| {
        let layers: Vec<_> = layers.iter().map(|i| net.layers()[*i].clone()).collect();
        forward(&layers, &x).map_err(|e| e.to_string())
    };
    for layout in [LayoutChoice::Nchw, LayoutChoice::Nhwc] {
        chosen().set_layout(layout);
        let Some((twice, threshold, none)) = on_the_host(|| (of(&[0, 0]), of(&[0, 2]), forward(&[], &x))) else {
            break;
        };
        let (twice, threshold) = (twice.unwrap_err(), threshold.unwrap_err());
        assert!(
            twice.contains("wants a batch of [2, 8, 8], got a tensor of shape [3, 4, 4, 4]"),
            "{layout:?}: {twice}"
        );
        assert!(threshold.contains("[3, 4, 4, 4]") && threshold.contains("[1, 4, 2, 2]"), "{layout:?}: {threshold}");
        assert_eq!(none.unwrap().dims(), x.dims());
    }
    chosen().set_layout(LayoutChoice::Auto);
}
