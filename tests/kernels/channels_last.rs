//! Networks whose activations lie channels last between convolutions: values, and gradients of images and parameters.

use super::common::emulation::on_the_host;
use super::{CPU, as_for_tensor_cores, chosen, draw, gap};
use candle_core::{DType, Result, Tensor, Var};
use workbench::base::random::Generator;
use workbench::compute::autograd::backward;
use workbench::compute::norms::gpu::column_sums;
use workbench::nn::layers::{
    AvgPool2d, Branch, ClippedMaxMin, Conv2d, Flatten, LeakyRelu, Linear, LinearResidual, Made, MaxMin, Parallel, Relu,
    ReluTheta, Residual,
};
use workbench::nn::{LayerSpec, Sequential};

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
    let x = Var::from_tensor(&x.to_dtype(net.dtype())?)?;
    let y = net.forward(x.as_tensor())?;
    let gradients = backward(&(&y * weights.to_dtype(net.dtype())?)?.sum_all()?)?;
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
        let of = |dtype| {
            Sequential::new(&[2, 8, 6], &specs, dtype, &CPU, &Generator::new(33)).unwrap().computed_in(&chosen())
        };
        let truth = found(&of(DType::F64), &x, &weights).unwrap();
        let net = of(DType::F32);
        for last in [false, true] {
            let work = || found(&net, &x, &weights).unwrap();
            let Some(all) = on_the_host(|| if last { as_for_tensor_cores(work) } else { work() }) else { return };
            assert_eq!(all.len(), truth.len());
            for (i, (found, truth)) in all.iter().zip(&truth).enumerate() {
                assert_eq!(found.dims(), truth.dims(), "{name}, result {i}");
                assert!(
                    gap(found, truth) < 2e-5,
                    "{name}, channels last: {last}, result {i}: off by {:e}",
                    gap(found, truth)
                );
            }
        }
    }
}
