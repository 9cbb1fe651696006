//! Iterations of halves on the nets, masks included: after 2, 5 and 200 of them sigma is where as many under TF32 leave it, to 5e-4;
//! to 1e-3 on the small nets, where the roundings of few numbers do not cancel. On the GPU where the tests have one, else by its kernels
//! on the host, where TF32 is f32.

use crate::common::emulation::on_the_host;
use crate::common::golden::{Golden, uniform};
use crate::common::values;
use candle_core::{DType, Tensor};
use workbench::bounds::{Arithmetic, PowerOptions, Region, spectral_norm, varying};
use workbench::compute::precision::{Chosen, Precision};
use workbench::nn::Sequential;

/// Inputs of a layer that is iterated 5 times at most on the host, to save time.
const LARGE: usize = 10_000;

fn sigma_of_halves(g: &Golden) {
    let (chosen, x) = (Chosen::changing(), g.get("x").to_dtype(DType::F32).unwrap());
    chosen.set(Precision::Tf32);
    let model = Sequential::clone(&g.model(DType::F32)).computed_in(&chosen);
    let all = || offs(&model, &x, g.number("eps"));
    let Some(offs) = (if x.device().is_cpu() { on_the_host(all) } else { Some(all()) }) else { return };
    let worst = offs.iter().fold(0.0, |worst: f64, off| worst.max(off.abs()));
    println!("{}: {} norms, at most {worst:.1e} from TF32", g.name, offs.len());
    assert!(worst <= if g.is_tiny() { 1e-3 } else { 5e-4 }, "{}: {offs:?}", g.name);
    assert!(offs.iter().any(|off| *off != 0.0), "{}: halves round", g.name);
}
on_each_net!(sigma_of_halves, slow);

/// Of each affine layer but the last, each sample and number of iterations: sigma of halves over that of TF32, less 1.
fn offs(model: &Sequential, x: &Tensor, eps: f64) -> Vec<f64> {
    let batch = x.dims()[0];
    let eps = Tensor::full(eps as f32, batch, x.device()).unwrap();
    let (mut region, mut columns) = (Region::around(x, &eps, false).unwrap(), None::<Tensor>);
    let mut offs = vec![];
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
        let power = |iterations, arithmetic| PowerOptions { iterations, tolerance: None, arithmetic };
        let whole = spectral_norm(layer, &start(1), None, None, power(20, Arithmetic::Own)).unwrap();
        region = region.affine(layer, &whole.sigma).unwrap();
        let next = &model.layers()[i + 1];
        let rows = if next.is_maxmin() { None } else { varying(next, &region).unwrap() };
        for iterations in [2, 5, 200] {
            if iterations > 5 && layer.input_len() > LARGE && x.device().is_cpu() {
                continue;
            }
            let [own, halves] = [Arithmetic::Own, Arithmetic::F16].map(|numbers| {
                let pair =
                    spectral_norm(layer, &start(batch), columns.as_ref(), rows.as_ref(), power(iterations, numbers));
                values(&pair.unwrap().sigma)
            });
            offs.extend(
                own.iter().zip(&halves).map(|(own, halves)| if own == halves { 0.0 } else { halves / own - 1.0 }),
            );
        }
        columns = rows;
    }
    offs
}
