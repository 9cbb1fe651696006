//! The published training step, layer by layer: norms, boxes, masks, losses and their gradients.

use crate::common::golden::{Golden, activations, same_direction};
use crate::common::{close, values};
use candle_core::{D, DType, Result, Tensor};
use workbench::bounds::{Arithmetic, PowerOptions, Region, WorstMethod, spectral_norm, varying, worst_logits};
use workbench::nn::Sequential;
use workbench::train::losses;

on_each_net!(the_published_training_step);
on_each_net!(the_published_boxes_and_masks);
on_each_net!(the_published_gradients);

/// Two power iterations from the start vectors, boxes cut behind activations, one clip-and-enlarge iteration. In f32 a mask's
/// decision within rounding of its edge may be the other one, which is what a norm of few rows feels: norms are compared
/// under the reference's masks, and our own masks with those.
struct Walk {
    regions: Vec<Region>,
    /// Affine layers with their unmasked norms, and the reference's vectors: of a linear layer in the output space.
    globals: Vec<(usize, Tensor, Tensor)>,
    /// Affine layers with their masked norms and vectors.
    locals: Vec<(usize, Tensor, Tensor)>,
    masks: Vec<(usize, Tensor)>,
    lipschitz: Tensor,
    radius: Tensor,
    logits: Tensor,
    worst: Tensor,
}

fn published_walk(g: &Golden, model: &Sequential) -> Result<Walk> {
    let dtype = model.dtype();
    let x = g.get("x").to_dtype(dtype)?;
    let (last, layers) = model.layers().split_last().expect("layers");
    let ones = Tensor::ones(x.dim(0)?, dtype, &crate::common::device())?;
    let mut region = Region::around(&x, &(&ones * g.number("eps"))?, false)?;
    let mut columns: Option<Tensor> = None;
    let (mut regions, mut globals, mut locals, mut masks, mut lipschitz) = (vec![], vec![], vec![], vec![], ones);
    let taken = |own: &Option<Tensor>, index| match own {
        Some(own) if dtype == DType::F32 => {
            g.varying("train", index).expect("a golden mask").reshape(own.shape()).map(Some)
        }
        own => Ok(own.clone()),
    };
    let two = PowerOptions { iterations: 2, tolerance: None, arithmetic: Arithmetic::Own };
    for (i, layer) in layers.iter().enumerate() {
        if layer.is_affine() {
            // The reference keeps the global vector of a linear layer in the output space; one iteration from its image
            // in the input space and a last product give the same norm.
            let start = g.get(&format!("gu_init/{i}")).to_dtype(dtype)?;
            let (global, vector) = if layer.input.len() == 1 {
                let once = PowerOptions { iterations: 1, tolerance: None, arithmetic: Arithmetic::Own };
                let u = spectral_norm(layer, &layer.adjoint(&start.t()?)?, None, None, once)?.u.unit()?;
                let v = layer.apply(&u)?;
                (v.sqr()?.sum(D::Minus1)?.sqrt()?, v)
            } else {
                let found = spectral_norm(layer, &start, None, None, two)?;
                (found.sigma, found.u.unit()?)
            };
            region = region.affine(layer, &global)?;
            globals.push((i, global, vector));
            let next = &model.layers()[i + 1];
            let own = if next.is_activation() && !next.is_maxmin() { varying(next, &region)? } else { None };
            let rows = taken(&own, i)?;
            let u = g.get(&format!("u_init/{i}")).to_dtype(dtype)?;
            let local = spectral_norm(layer, &u, columns.as_ref(), rows.as_ref(), two)?;
            lipschitz = (lipschitz * &local.sigma)?;
            locals.push((i, local.sigma, local.u.unit()?));
            masks.extend(own.map(|own| (i, own)));
            columns = rows;
        } else {
            region = region.activation(layer, layer.is_activation())?;
            if layer.is_maxmin() {
                let own = varying(layer, &region)?;
                columns = taken(&own, i)?;
                masks.extend(own.map(|own| (i, own)));
            } else if !layer.is_activation() {
                columns = columns.map(|c| c.flatten_from(1)).transpose()?;
            }
        }
        regions.push(region.clone());
    }
    let radius = (&lipschitz * g.number("eps"))?;
    let worst = worst_logits(last, &region, &radius, &g.labels(), WorstMethod::Clip { iterations: 1, constant: 0.0 })?;
    let logits = last.forward(&region.center().unwrap())?;
    Ok(Walk { regions, globals, locals, masks, lipschitz, radius, logits, worst })
}

impl Walk {
    /// The sparsity loss of each activation that has one in the reference, which has none for plain ReLU.
    fn sparsity(&self, g: &Golden, model: &Sequential) -> Vec<(usize, Tensor)> {
        let known = activations(model).into_iter().filter(|(_, filed)| g.has(&format!("train/sparse_loss/{filed}")));
        known
            .map(|(activation, filed)| (filed, losses::sparsity(&activation, &self.regions[filed], 1.0).unwrap()))
            .collect()
    }

    fn gloro(&self, y: &Tensor) -> Tensor {
        losses::gloro_logits(&self.logits, &self.worst, y).unwrap()
    }
}

fn the_published_training_step(g: &Golden) {
    // In f64 to 1e-10, the reference's own iterations in the same order but for sums. In f32 to the rounding of sums of n
    // products, sqrt(n) u as a random walk, 5.7e-6 for the 9216 of 8C2F: two iterations are few, so nothing hangs on how close
    // singular values lie. Radii are products of up to nine norms.
    for (dtype, setting, tolerance) in [(DType::F64, "train64", 1e-10), (DType::F32, "train", 1e-5)] {
        let (model, y) = (g.model(dtype), g.labels());
        let walk = published_walk(g, &model).unwrap();
        let check = |key: &str, got: &Tensor, tolerance| g.check(&format!("{setting}/{key}"), got, tolerance);
        for (i, sigma, _) in &walk.globals {
            check(&format!("sigma_global/{i}"), sigma, tolerance);
            check(&format!("r_ball/{i}"), &walk.regions[*i].radius, 4.0 * tolerance);
        }
        for (i, sigma, _) in &walk.locals {
            check(&format!("sigma_local/{i}"), sigma, tolerance);
        }
        // Behind them the worst logits, whose published form has a constant under its roots.
        check("local_lip", &walk.lipschitz, 4.0 * tolerance);
        check("r_local", &walk.radius, 4.0 * tolerance);
        let gloro = walk.gloro(&y);
        for (key, got) in [
            ("logits", walk.logits.clone()),
            ("worst_logits_bcp", walk.worst.clone()),
            ("worst_logits_gloro", gloro.clone()),
            ("loss/ce", losses::cross_entropy(&walk.logits, &y).unwrap()),
            ("loss/rce_bcp", losses::cross_entropy(&walk.worst, &y).unwrap()),
            ("loss/rce_gloro", losses::cross_entropy(&gloro, &y).unwrap()),
        ] {
            check(key, &got, 20.0 * tolerance);
        }
        for (filed, loss) in walk.sparsity(g, &model) {
            check(&format!("sparse_loss/{filed}"), &loss, 20.0 * tolerance);
        }
        for (form, worst) in [("bcp", &walk.worst), ("gloro", &gloro)] {
            let key = format!("{setting}/robust_error_flag_{form}");
            let size = values(worst).iter().fold(0.0, |m: f64, x| if x.is_finite() { m.max(x.abs()) } else { m });
            for (margin, failed) in
                values(&workbench::bounds::margins(worst, &y).unwrap()).iter().zip(values(&g.get(&key)))
            {
                // A margin within the tolerance of its two logits says nothing.
                let told = margin.abs() > 2.0 * 20.0 * tolerance * size;
                assert!(!told || (*margin <= 0.0) == (failed == 1.0), "{} {key}: margin {margin:e}", g.name);
            }
        }
    }
}

/// Boxes, centres, masks and vectors of the f32 step; of the real nets boxes and centres of the first sample, of 8C2F
/// those before the last layer only. In f32, after radii that are products of up to nine norms.
fn the_published_boxes_and_masks(g: &Golden) {
    let model = g.model(DType::F32);
    let walk = published_walk(g, &model).unwrap();
    for (i, region) in walk.regions.iter().enumerate() {
        for (key, got) in
            [("mu", &region.center().unwrap()), ("lb", &region.lower().unwrap()), ("ub", &region.upper().unwrap())]
        {
            let key = format!("train/{key}/{i}");
            if g.has(&key) {
                g.check(&key, got, 4e-5);
            }
        }
    }
    let last = walk.regions.last().unwrap();
    let half = |t: Result<Tensor>| (t.unwrap() * 0.5).unwrap();
    g.check("train/bcp/mu_prev", &last.center().unwrap(), 4e-5);
    g.check("train/bcp/ibp_mu_prev", &half(&last.upper().unwrap() + &last.lower().unwrap()), 4e-5);
    g.check("train/bcp/ibp_r_prev", &half(&last.upper().unwrap() - &last.lower().unwrap()), 4e-5);
    assert!(!walk.masks.is_empty());
    for (i, mask) in &walk.masks {
        g.check_mask("train", *i, mask);
    }
    for (key, vectors) in [("u", &walk.locals), ("gu", &walk.globals)] {
        for (i, _, u) in vectors {
            let key = format!("train/{key}/{i}");
            if g.has(&key) {
                same_direction(&format!("{} {key}", g.name), u, &g.get(&key).to_dtype(DType::F32).unwrap(), 1e-6);
            } else {
                assert_eq!(g.name, "tin_8c2f_relux", "only 8C2F has no {key}");
            }
        }
    }
}

/// Gradients with the vectors of the two iterations held constant, computed in f64 and stored in f32, to which they agree.
fn the_published_gradients(g: &Golden) {
    let (model, y) = (g.model(DType::F64), g.labels());
    let walk = published_walk(g, &model).unwrap();
    let entropy = |logits: &Tensor| losses::cross_entropy(logits, &y).unwrap();
    let kappa = g.number("kappa");
    let bcp = ((entropy(&walk.logits) * kappa).unwrap() + (entropy(&walk.worst) * (1.0 - kappa)).unwrap()).unwrap();
    close(&format!("{} grad_train_env/loss", g.name), &bcp, &g.get("grad_train_env/loss"), 1e-9);
    g.check_gradients("grad_train_env", &model, &bcp, 1e-6);
    if g.has("grad_train_env_gloro/0.weight") {
        g.check_gradients("grad_train_env_gloro", &model, &entropy(&walk.gloro(&y)), 1e-6);
    }
    if g.has("grad_train_env_sparse/0.weight") {
        let total = walk.sparsity(g, &model).into_iter().map(|(_, loss)| loss).reduce(|a, b| (a + b).unwrap());
        g.check_gradients("grad_train_env_sparse", &model, &total.unwrap(), 1e-6);
    }
}
