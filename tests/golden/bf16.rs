//! Iterations in bf16 on the nets, their masks included: 200 of them, or 50, leave sigma where rounding may, beside where f32 leaves
//! it, and never above the truth. By the processor where it multiplies bf16, in software elsewhere.

use super::walked::{between_masks, start};
use crate::common::bf16::Masked;
use crate::common::golden::Golden;
use crate::common::lanczos::by_lanczos;
use crate::common::{Lab, masked_matrices, tensor_of, values};
use candle_core::{DType, Tensor};
use nalgebra::DMatrix;
use rhai::Map;
use workbench::bounds::{Arithmetic, PowerOptions, bf16_iterations, spectral_norm};
use workbench::nn::layers::Conv2d;
use workbench::nn::{Layer, Sequential};

/// Inputs of a layer whose iterations are 50, to save time; 200 elsewhere.
const LARGE: usize = 10_000;

/// To how much a norm that f32 computes is one: the sums' rounding, and what Lanczos' method in f32 leaves (3e-6 of its
/// square).
const SUMS: f64 = 3e-6;

fn sigma_by_bf16_iterations(g: &Golden) {
    ratios(&g.name, &g.model(DType::F32), &g.get("x").to_dtype(DType::F32).unwrap(), g.number("eps"));
}
on_each_net!(sigma_by_bf16_iterations, slow);

/// Of a network that a few steps of certified training have changed, near and far: where all is open and where much is masked.
#[test]
fn sigma_by_bf16_iterations_of_a_trained_network() {
    let mut lab = Lab::new();
    let script = r#"
        import "std/local_lip" as lip;
        import "std/losses" as losses;
        let data  = dataset("digits");
        let model = sequential(data.shape, [
            conv2d(16, 3, #{ padding: 1 }), relu_theta(1), conv2d(32, 4, #{ stride: 2, padding: 1 }), relu_theta(1),
            flatten(), linear(64), relu_theta(1), linear(data.classes),
        ]);
        let vectors = singular_vectors(model, data.train.len());
        let optimizer = adam(model, #{ lr: 2e-3 });
        for batch in data.train.batches(64) {
            let bounds = lip::bounds(model, batch.x, 0.2 * optimizer.steps / 22.0, vectors.of(batch), 2);
            let worst  = worst_logits(model, bounds, batch.y);
            optimizer.step(losses::bcp(bounds.logits, worst, batch.y, 0.5));
        }
        let x = ();
        for batch in data.test.batches(8) { if batch.number == 0 { x = batch.x; } }
        #{ model: model, x: x }
    "#;
    let found = lab.run(script).cast::<Map>();
    let (model, x) = (found["model"].clone().cast::<workbench::script::values::Model>().0, tensor_of(&found["x"]));
    let ratios = [0.1, 0.3].map(|eps| ratios("trained", &model, &x, eps)).concat();
    assert_eq!(ratios.len(), 2 * 2 * 8);
}

/// How far bf16 leaves sigma from where f32 does, as a part of how far it may, of each convolution and sample. Without masks it
/// leaves it elsewhere, on one of them at least.
pub fn ratios(name: &str, model: &Sequential, x: &Tensor, eps: f64) -> Vec<f64> {
    let (model, double) = (model.frozen(), model.to_dtype(DType::F64).unwrap());
    let batch = x.dims()[0];
    let (mut ratios, mut noticed) = (vec![], false);
    let times = |layer: &Layer| if layer.input_len() > LARGE { 50 } else { 200 };
    between_masks(&model, (x, eps), times, |i, layer, columns, rows| {
        let iterations = times(layer);
        let own = PowerOptions { iterations, tolerance: None, arithmetic: Arithmetic::Own };
        if layer.spec.is::<Conv2d>() {
            let map = Masked { layer, columns, rows };
            let exact = map.exact(&start(layer, batch), iterations);
            let norms = two_norms(&double.layers()[i], &map, batch);
            let soft = map.in_bf16(&start(layer, batch), iterations);
            let ends = map.ends(&exact, &soft, &norms);
            let half = if bf16_iterations() {
                let half = PowerOptions { arithmetic: Arithmetic::Bf16, ..own };
                values(&spectral_norm(layer, &start(layer, batch), map.columns, map.rows, half).unwrap().sigma)
            } else {
                soft.sigma
            };
            for ((half, own), ends) in half.iter().zip(&exact.sigma).zip(&ends) {
                if *own == 0.0 {
                    assert_eq!(*half, 0.0, "{name} layer {i}: all is masked");
                    continue;
                }
                let part = |sigma: f64| sigma / own - 1.0;
                let (off, [low, high]) = (part(*half), ends.map(part));
                println!("{name} layer {i}: {off:.1e} from f32, allowed {low:.1e} to {high:.1e}");
                assert!(off >= low - SUMS && off <= high + SUMS, "{name} layer {i}: {off:e}, {low:e} to {high:e}");
                ratios.push(if off < 0.0 { off / (low - SUMS) } else { off / (high + SUMS) });
            }
            let open = Masked { columns: None, rows: None, ..map };
            let without = open.in_bf16(&start(layer, batch), 20).sigma;
            noticed |= without.iter().zip(&ends).any(|(sigma, [_, high])| *sigma > high * (1.0 + SUMS));
        }
    });
    assert!(noticed, "{name}: iterations without masks pass");
    ratios
}

/// The two largest singular values of each sample's masked map: of a small one by a dense decomposition.
fn two_norms(double: &Layer, map: &Masked, batch: usize) -> Vec<[f64; 2]> {
    if double.input_len() > 200 {
        let found = by_lanczos(map.layer, batch, map.columns, map.rows);
        return found.values.iter().map(|[first, second, _]| [first.sqrt(), second.sqrt()]).collect();
    }
    let of = |matrix: DMatrix<f64>| {
        let mut norms: Vec<f64> = matrix.singular_values().iter().copied().collect();
        norms.sort_by(|a, b| b.total_cmp(a));
        [norms[0], norms[1]]
    };
    masked_matrices(double, batch, map.columns, map.rows).into_iter().map(of).collect()
}
