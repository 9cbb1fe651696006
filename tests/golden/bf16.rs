//! Iterations in bf16 against iterations in f32 on the nets, their masks included: after 200 of them sigma is nowhere more than
//! 1e-4 smaller, and where it is larger by more, f32 arrives there too. Where the processor has no bf16 both are the same.

use crate::common::golden::{Golden, uniform};
use candle_core::{DType, Tensor};
use workbench::bounds::{Arithmetic, PowerOptions, Region, spectral_norm, varying};
use workbench::nn::Operation;

fn sigma_by_bf16_iterations(g: &Golden) {
    let model = g.model(DType::F32).frozen();
    let x = g.wide("x").to_dtype(DType::F32).unwrap();
    let batch = x.dims()[0];
    let eps = Tensor::full(g.number("eps") as f32, batch, &crate::common::device()).unwrap();
    let (mut region, mut columns) = (Region::around(&x, &eps, false).unwrap(), None::<Tensor>);
    let with = |arithmetic| PowerOptions { iterations: 200, tolerance: None, arithmetic };
    for (i, layer) in model.layers().iter().enumerate().take(model.layers().len() - 1) {
        if !layer.is_affine() {
            region = region.activation(layer, false).unwrap();
            if layer.is_maxmin() {
                columns = varying(layer, &region).unwrap();
            } else if !layer.is_activation() {
                columns = columns.map(|c| c.flatten_from(1).unwrap());
            }
            continue;
        }
        let start = |n: usize| uniform(23, &[&[n], layer.input.as_slice()].concat(), -1.0, 1.0);
        let whole = spectral_norm(layer, &start(1), None, None, with(Arithmetic::Own)).unwrap();
        region = region.affine(layer, &whole.sigma).unwrap();
        let next = &model.layers()[i + 1];
        let rows = if next.is_maxmin() { None } else { varying(next, &region).unwrap() };
        if matches!(layer.operation, Operation::Conv2d { .. }) {
            let run = |arithmetic| {
                spectral_norm(layer, &start(batch), columns.as_ref(), rows.as_ref(), with(arithmetic)).unwrap()
            };
            let sigma = |arithmetic| run(arithmetic).sigma.to_vec1::<f32>().unwrap();
            let (half, own) = (sigma(Arithmetic::Bf16), sigma(Arithmetic::Own));
            let (mut least, mut ahead) = (f32::INFINITY, false);
            for (half, own) in half.iter().zip(&own) {
                least = least.min(half / own - 1.0);
                ahead |= half / own - 1.0 > 1e-4;
            }
            assert!(least >= -1e-4, "layer {i}: bf16 is {least:e} from f32: {half:?}, {own:?}");
            // Further along than f32, whose iterations have not converged either, but never above where those lead.
            if ahead {
                let long = PowerOptions { iterations: 4000, tolerance: None, arithmetic: Arithmetic::Own };
                let end = spectral_norm(layer, &start(batch), columns.as_ref(), rows.as_ref(), long).unwrap();
                for (half, end) in half.iter().zip(end.sigma.to_vec1::<f32>().unwrap()) {
                    assert!(*half <= end * (1.0 + 1e-5), "layer {i}: {half} by bf16, {end} in the end");
                }
            }
        }
        columns = rows;
    }
}
on_each_net!(sigma_by_bf16_iterations);
