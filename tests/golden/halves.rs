//! Iterations of halves on the nets, masks included: after 2, 5 and 200 of them sigma is where as many under TF32 leave it, to 5e-4;
//! to 1e-3 on the small nets, where the roundings of few numbers do not cancel. On the GPU where the tests have one, else by its kernels
//! on the host, where TF32 is f32.

use super::walked::{between_masks, start};
use crate::common::emulation::on_the_host;
use crate::common::golden::Golden;
use crate::common::values;
use candle_core::{DType, Tensor};
use workbench::bounds::{Arithmetic, PowerOptions, spectral_norm};
use workbench::compute::precision::{Chosen, Precision};
use workbench::nn::Sequential;

/// Inputs of a layer that is iterated 5 times at most on the host, to save time.
const LARGE: usize = 1_000;

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
    let mut offs = vec![];
    between_masks(
        model,
        (x, eps),
        |_| 20,
        |_, layer, columns, rows| {
            for iterations in [2, 5, 200] {
                if iterations > 5 && layer.input_len() > LARGE && x.device().is_cpu() {
                    continue;
                }
                let [own, halves] = [Arithmetic::Own, Arithmetic::F16].map(|arithmetic| {
                    let power = PowerOptions { iterations, tolerance: None, arithmetic };
                    values(&spectral_norm(layer, &start(layer, x.dims()[0]), columns, rows, power).unwrap().sigma)
                });
                let off = |(own, halves): (&f64, &f64)| if own == halves { 0.0 } else { halves / own - 1.0 };
                offs.extend(own.iter().zip(&halves).map(off));
            }
        },
    );
    offs
}
