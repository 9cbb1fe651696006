//! The tolerances on nets that they were not made on: of the same kinds as the golden ones, drawn anew, with f64 as the truth.
//! `WORKBENCH_CASES` nets of each kind, 1 unless it says otherwise; `--nocapture` shows how much of a tolerance errors take.

use super::attack::{EPSILON, RESULTS, attack, notices_a_wrong_step, spread};
use super::bf16;
use super::leading::{Leading, leading, of_layer};
use super::truth::algorithm_1;
use crate::common::golden::{Golden, gradients_of, near, norm, uniform};
use crate::common::lanczos::Vectors;
use crate::common::{entry, masked_matrices, values};
use candle_core::{DType, Tensor};
use nalgebra::{DVector, SymmetricEigen};
use serde_json::json;
use std::collections::HashMap;
use workbench::nn::Layer;

const KINDS: [&str; 4] = ["tiny_relux", "tiny_clmaxmin", "tiny_standrelu", "tiny_oddpad_relux"];

fn cases() -> u64 {
    std::env::var("WORKBENCH_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Other nets of the small kinds.
fn small_nets() -> impl Iterator<Item = Golden> {
    KINDS.into_iter().filter_map(Golden::find).flat_map(|g| (1..=cases()).map(move |turn| g.again(turn)))
}

/// How much of what is allowed errors take.
fn report(what: &str, mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    let at = |part: f64| ratios[((ratios.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: {} errors, median {:.1e}, 99 % below {:.2}, largest {:.2}",
        ratios.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Attacks in f32 end where f64 ends, as near as each net and sample lets them.
#[test]
fn attacks_in_f32() {
    let mut all: [Vec<f64>; 4] = Default::default();
    for g in small_nets() {
        let model = g.model(DType::F64);
        let spread = spread(&model, &g);
        let single = attack(&g.model(DType::F32), &g, EPSILON / 4.0).unwrap();
        for ((i, key), all) in RESULTS.into_iter().zip(&mut all) {
            spread.check(&format!("{} {key}", g.name), i, &single[i]);
            all.extend(spread.ratios(i, &single[i]));
        }
        notices_a_wrong_step(&spread, &model, &g);
    }
    RESULTS.iter().zip(all).for_each(|((_, key), ratios)| report(key, ratios));
}

/// bf16 iterations leave sigma no lower than rounding may.
#[test]
fn sigma_by_bf16_iterations() {
    let ratios = |g: Golden| {
        bf16::ratios(&g.name, &g.model(DType::F32), &g.get("x").to_dtype(DType::F32).unwrap(), g.number("eps"))
    };
    report("sigma in bf16", small_nets().flat_map(ratios).collect());
}

/// Vectors by Lanczos' method in f32 are no more wrong than they say, and neither are norms and gradients that rest on them.
#[test]
fn gradients_by_vectors_of_lanczos() {
    let (mut angles, mut norms, mut gradients) = (vec![], vec![], vec![]);
    let (mut all, mut blunt) = (0, 0);
    for turn in 1..=cases() {
        let g = middle(turn);
        let model = g.model(DType::F64);
        let (found, truth) = (leading(&g, of_layer), leading(&g, decomposed));
        let pairs = |l: Leading| l.globals.into_iter().chain(l.locals).map(|(_, v)| v).collect::<Vec<_>>();
        let run = |starts| algorithm_1(&g, &model, &starts);
        let (moved, got, exact) = (found.turned().map(run), run(found.as_found()), run(truth.as_found()));
        let low = found.low() + 1e-12;
        for layer in model.layers().iter().filter(|l| l.is_affine() && l.index + 1 < model.layers().len()) {
            for key in [format!("local{}", layer.index), format!("global{}", layer.index)] {
                let (got, exact) = (values(&entry(&got, &key)), values(&entry(&exact, &key)));
                norms.extend(got.iter().zip(&exact).map(|(got, exact)| (1.0 - got / exact).abs() / low));
            }
        }
        for loss in ["sparse", "bcp", "gloro"] {
            let of = |map| gradients_of(&model, &entry(map, loss));
            let moved = moved.each_ref().map(of);
            for (i, ((name, got), (_, exact))) in of(&got).iter().zip(of(&exact)).enumerate() {
                let (got, moved) = (values(got), moved.each_ref().map(|moved| values(&moved[i].1)));
                let (off, allowed) = near(&got, &moved, &values(&exact));
                // Most would not let a gradient pass that is off by a thousandth.
                blunt += usize::from(allowed > 1e-3 * norm(&got));
                all += 1;
                // Those that no vector turns would hide the others in what is reported.
                if moved.iter().any(|moved| *moved != got) || off > allowed {
                    gradients.push((format!("{} {loss} {name}", g.name), off / allowed));
                }
            }
        }
        for (found, truth) in pairs(found).iter().zip(pairs(truth)) {
            angles.extend(turned(&found.first, &truth.first).iter().zip(found.angles()).map(|(off, most)| off / most));
        }
    }
    let worst = gradients.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    println!("the worst gradient: {worst:?}; {blunt} of {all} are blunt");
    assert!(20 * blunt <= all, "{blunt} of {all} tolerances are blunt");
    for (what, ratios) in [("angles", angles), ("norms", norms), ("gradients", gradients.iter().map(|g| g.1).collect())]
    {
        assert!(ratios.iter().all(|r| *r <= 1.0), "{what}: {ratios:?}");
        report(what, ratios);
    }
}

/// A net of three hidden layers whose singular values lie close, small enough for dense decompositions.
fn middle(turn: u64) -> Golden {
    let (side, half) = (10, 5);
    let conv =
        |ci: usize, co: usize, k: usize, s: usize| json!({"kind": "conv", "ci": ci, "co": co, "k": k, "s": s, "p": 1});
    let linear = |o: usize| json!({"kind": "linear", "out_shape": [o]});
    let relux = || json!({"kind": "act", "act": "relux"});
    let layers = [
        conv(2, 6, 3, 1),
        relux(),
        conv(6, 6, 4, 2),
        relux(),
        json!({"kind": "flatten"}),
        linear(16),
        relux(),
        linear(4),
    ];
    let info = json!({"layers": layers, "in_shape": [2, side, side], "eps": 0.05, "kappa": 0.5});
    let sizes: [(&str, &[usize], f64, f64); 12] = [
        ("param/0.weight", &[6, 2, 3, 3], -0.3, 0.3),
        ("param/0.bias", &[6], -0.5, 0.5),
        ("param/1.threshold", &[1, 6, side, side], 0.05, 0.6),
        ("param/2.weight", &[6, 6, 4, 4], -0.2, 0.2),
        ("param/2.bias", &[6], -0.5, 0.5),
        ("param/3.threshold", &[1, 6, half, half], 0.05, 0.6),
        ("param/5.weight", &[16, 6 * half * half], -0.15, 0.15),
        ("param/5.bias", &[16], -0.5, 0.5),
        ("param/6.threshold", &[1, 16], 0.05, 0.6),
        ("param/7.weight", &[4, 16], -0.5, 0.5),
        ("param/7.bias", &[4], -0.5, 0.5),
        ("x", &[3, 2, side, side], 0.0, 1.0),
    ];
    let draw = |(i, (key, shape, lo, hi)): (usize, &(&str, &[usize], f64, f64))| {
        (key.to_string(), uniform(1000 * turn + i as u64, shape, *lo, *hi))
    };
    let mut tensors: HashMap<String, Tensor> = sizes.iter().enumerate().map(draw).collect();
    tensors.insert("y".into(), Tensor::new(&[0u32, 1, 3], &crate::common::device()).unwrap());
    Golden { tensors, info, name: format!("middle {turn}") }
}

/// The leading vectors by a dense decomposition of W W^T, without the rows that are masked, which decompositions stumble over.
fn decomposed(layer: &Layer, _: &Layer, batch: usize, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Vectors {
    let shape = [&[batch], layer.input.as_slice()].concat();
    let (mut found, mut values) = ([vec![], vec![], vec![]], vec![]);
    for w in masked_matrices(layer, batch, columns, rows) {
        let open: Vec<usize> = (0..w.nrows()).filter(|i| w.row(*i).norm() > 0.0).collect();
        let w = w.select_rows(&open);
        let eigen = SymmetricEigen::new(&w * w.transpose());
        let mut order: Vec<usize> = (0..open.len()).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let vector = |at: usize| (w.transpose() * eigen.eigenvectors.column(at)).normalize();
        found.iter_mut().zip(&order).for_each(|(found, at)| found.extend(vector(*at).iter()));
        values.push([0, 1, 2].map(|which| eigen.eigenvalues[order[which]]));
    }
    let tensor = |list: Vec<f64>| Tensor::from_vec(list, shape.clone(), &crate::common::device()).unwrap();
    let [first, second, third] = found.map(tensor);
    Vectors { first, second, third, values, residuals: vec![[1e-15; 2]; batch] }
}

/// The sine of the angle between the vectors of each sample.
fn turned(a: &Tensor, b: &Tensor) -> Vec<f64> {
    let rows = |t: &Tensor| t.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
    let one = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let (a, b) = (DVector::from_row_slice(a), DVector::from_row_slice(b));
        (&a - &b * a.dot(&b)).norm()
    };
    rows(a).iter().zip(&rows(b)).map(one).collect()
}
