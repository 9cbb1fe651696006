//! Algorithm 1 as the scripts have it, converged, against exact spectral norms; and the gradient of the whole loss.

use super::leading::{Leading, Starts, leading, of_layer};
use crate::common::golden::{Golden, activations, gradients_of, same_direction};
use crate::common::rounding::draws;
use crate::common::{Lab, entry, relative_gap};
use candle_core::{DType, Tensor};
use rhai::{Dynamic, Map};
use std::cell::LazyCell;
use std::rc::Rc;
use workbench::bounds::{Arithmetic, PowerOptions, spectral_norm};
use workbench::nn::Sequential;

on_each_net!(algorithm_1_meets_the_truth, slow);
on_each_net!(norms_of_the_published_masks, slow);

/// Power iteration from drawn vectors takes the small nets to 1e-10. The real nets have close singular values, and 20,000
/// iterations of 8C2F take hours: there the start vectors come from Lanczos' method, which also tells how low it leaves a
/// norm, and an iteration finishes them.
const SMALL: PowerOptions = PowerOptions { iterations: 20_000, tolerance: Some(1e-11), arithmetic: Arithmetic::Own };
const FINISH: PowerOptions = PowerOptions { iterations: 1, tolerance: None, arithmetic: Arithmetic::Own };
/// To how much the truth is one: its norms come from Lanczos' method too, to 1e-10 of an eigenvalue.
const TRUTH: f64 = 1e-10;

fn algorithm_1_meets_the_truth(g: &Golden) {
    let starts = if g.is_tiny() { Leading::default() } else { leading(g, of_layer) };
    println!("{}: Lanczos' method leaves norms low by {:.1e} at most", g.name, starts.low());
    let (double, as_found) = (g.model(DType::F64), starts.as_found());
    let exact = algorithm_1(g, &double, &as_found);
    // In f32 a mask's decision within rounding of its edge may be the other one. Where a value is off by more than rounding,
    // what such decisions may do to it is measured.
    let shaken =
        LazyCell::new(|| draws(&double).map(|net| algorithm_1(g, &Rc::new(net), &as_found)).collect::<Vec<_>>());
    for (dtype, tolerance) in [(DType::F64, TRUTH + starts.low()), (DType::F32, 1e-5)] {
        let model = if dtype == DType::F64 { double.clone() } else { g.model(dtype) };
        let found = if dtype == DType::F64 { exact.clone() } else { algorithm_1(g, &model, &as_found) };
        let check = |key: &str, truth: &str, mut allowed: f64| {
            let (name, got) = (format!("oracle/{truth}"), entry(&found, key));
            if dtype == DType::F32 && g.gap(&name, &got) > allowed {
                let off = shaken.iter().map(|shaken| relative_gap(&entry(shaken, key), &entry(&exact, key)));
                allowed += 2.0 * off.fold(0.0, f64::max);
            }
            g.check(&name, &got, allowed);
        };
        for layer in model.layers().iter().filter(|l| l.is_affine() && l.index + 1 < model.layers().len()) {
            let i = layer.index;
            check(&format!("global{i}"), &format!("sigma_global/{i}"), tolerance);
            g.check(&format!("exact/sigma_global/{i}"), &entry(&found, &format!("global{i}")), tolerance);
            check(&format!("local{i}"), &format!("sigma_local/{i}"), tolerance);
            check(&format!("radius{i}"), &format!("r_ball/{i}"), 4.0 * tolerance);
        }
        check("local_lip", "local_lip", 4.0 * tolerance);
        check("r_local", "r_local", 4.0 * tolerance);
        if g.has("oracle/local_lip_partial") {
            check("partial", "local_lip_partial", 4.0 * tolerance);
        }
        check("logits", "logits", 10.0 * tolerance);
        check("loss_ce", "loss/ce", 10.0 * tolerance);
        check("margin", "exact_margin", 50.0 * tolerance);
        if dtype == DType::F32 {
            continue;
        }
        // The reference's worst logits are iterated, and end below the exact maximum by up to the root of their constant,
        // 1e-6, times ||w_j - w_y||: 7e-5 of it measured, at radii of 0.01 and more.
        check("worst", "worst_logits_bcp", 1e-4);
        check("worst_gloro", "worst_logits_gloro", 1e-4);
        check("loss_bcp", "loss/rce_bcp", 1e-4);
        check("gloro", "loss/rce_gloro", 1e-4);
        for (_, filed) in activations(&model).iter().filter(|(_, i)| g.has(&format!("oracle/sparse_loss/{i}"))) {
            check(&format!("sparse{filed}"), &format!("sparse_loss/{filed}"), 10.0 * tolerance);
        }
        for (activation, filed) in activations(&model).iter().filter(|(_, i)| g.has(&format!("oracle/mask/{i}"))) {
            // ReLU kinds mask the rows of the layer before, MaxMin the columns of the next affine one.
            let next = model.layers()[*filed + 1..].iter().find(|l| l.is_affine()).expect("a last layer").index;
            let key = if activation.is_maxmin() { format!("columns{next}") } else { format!("rows{filed}") };
            g.check_mask("oracle", *filed, &entry(&found, &key));
        }
        boxes(g, &model, &found, 10.0 * tolerance);
        let turned = starts.turned().into_iter().filter(|_| !g.is_tiny());
        gradients(g, &model, &found, &turned.map(|starts| algorithm_1(g, &model, &starts)).collect::<Vec<_>>());
    }
}

/// Run the script's Algorithm 1, from the given start vectors where there are any.
pub fn algorithm_1(g: &Golden, model: &Rc<Sequential>, starts: &Starts) -> Dynamic {
    let (mut lab, y) = (Lab::new(), g.labels());
    let power = match (g.is_tiny(), model.dtype()) {
        (false, _) => "#{ iterations: 1 }",
        (true, DType::F64) => "#{ iterations: 20000, tolerance: 1e-11 }",
        (true, _) => "#{ iterations: 20000, tolerance: 1e-6 }",
    };
    let listed = |vectors: &[(usize, Tensor)]| -> Dynamic {
        let entry = |(i, u): &(usize, Tensor)| {
            (i.to_string().into(), Dynamic::from(workbench::script::values::Tensor(u.clone())))
        };
        Dynamic::from_map(vectors.iter().map(entry).collect::<Map>())
    };
    lab.model("model", model).tensor("x", &g.get("x").to_dtype(model.dtype()).unwrap()).tensor("y", &y);
    lab.set("eps", g.number("eps").into());
    lab.set("partial", g.has("oracle/local_lip_partial").into()).set("small", g.is_tiny().into());
    let (globals, locals) = starts;
    lab.set("locals", listed(locals)).set("globals", listed(globals));
    lab.run(&format!(
        r#"
        import "std/local_lip" as lip;
        import "std/losses" as losses;
        let vectors = singular_vectors(model, x.len(), #{{ dtype: "f64" }});
        for i in locals.keys()  {{ vectors.set_local(parse_int(i), locals[i]); }}
        for i in globals.keys() {{ vectors.set_global(parse_int(i), globals[i]); }}
        let bounds = lip::bounds(model, x, eps, vectors.first(x.len()), {power});
        let worst  = worst_logits(model, bounds, y);
        let once   = worst_logits(model, bounds, y, #{{ method: "clip" }});
        let once_k = worst_logits(model, bounds, y, #{{ method: "clip", constant: 1e-12 }});
        let result = #{{ logits: bounds.logits, local_lip: bounds.lipschitz, r_local: bounds.radius, worst: worst,
            margin: margins(worst, y), sparse: losses::sparsity_loss(bounds, 1.0),
            loss_ce: cross_entropy(bounds.logits, y), loss_bcp: cross_entropy(worst, y),
            worst_gloro: gloro_logits(bounds.logits, worst, y),
            bcp:      losses::bcp(bounds.logits, worst, y, 0.5), gloro:      losses::gloro(bounds.logits, worst, y),
            bcp_once: losses::bcp(bounds.logits, once, y, 0.5),  gloro_once: losses::gloro(bounds.logits, once, y),
            bcp_once_k: losses::bcp(bounds.logits, once_k, y, 0.5), gloro_once_k: losses::gloro(bounds.logits, once_k, y) }};
        if small {{
            let many = worst_logits(model, bounds, y, #{{ method: "clip", iterations: 1000, constant: 1e-12 }});
            result.bcp_k   = losses::bcp(bounds.logits, many, y, 0.5);
            result.gloro_k = losses::gloro(bounds.logits, many, y);
        }}
        let layers = model.layers;
        if bounds.columns != () {{ result[`columns${{layers.len() - 1}}`] = bounds.columns; }}
        if partial {{
            // TinyImageNet's training: local norms at five of the affine layers, global ones elsewhere.
            let chosen = #{{ local_layers: [1, 4, 7, 8, 9] }};
            result.partial = lip::bounds(model, x, eps, vectors.first(x.len()), {power}, chosen).lipschitz;
        }}
        let before = bounds.input;
        for note in bounds.layers {{
            let i = note.layer.index;
            result[`mu${{i}}`] = note.region.center;
            result[`lb${{i}}`] = note.region.lower;
            result[`ub${{i}}`] = note.region.upper;
            if note.layer.is_affine {{
                result[`radius${{i}}`] = note.region.radius;
                result[`global${{i}}`] = note.global.sigma;
                result[`local${{i}}`]  = note.local.sigma;
                result[`u${{i}}`]      = note.local.u;
                if note.rows != ()    {{ result[`rows${{i}}`] = note.rows; }}
                if note.columns != () {{ result[`columns${{i}}`] = note.columns; }}
            }}
            if note.layer.can_clip {{
                let maxmin = note.layer.is_maxmin;
                result[`sparse${{if maxmin {{ i }} else {{ i - 1 }}}}`] =
                    sparsity(note.layer, if maxmin {{ note.region }} else {{ before }}, 1.0);
            }}
            before = note.region;
        }}
        result
        "#
    ))
}

/// Boxes, centres and vectors, which are stored of the small nets, and the box before the last layer, of all.
fn boxes(g: &Golden, model: &Sequential, found: &Dynamic, tolerance: f64) {
    for layer in &model.layers()[..model.layers().len() - 1] {
        let i = layer.index;
        // The reference cuts the box behind an activation with f(centre -+ radius), which does nothing at exact norms.
        for key in ["mu", "lb", "ub"].iter().filter(|key| g.has(&format!("oracle/{key}/{i}"))) {
            g.check(&format!("oracle/{key}/{i}"), &entry(found, &format!("{key}{i}")), tolerance);
        }
        if let Some(truth) = g.tensors.get(&format!("oracle/u/{i}")) {
            same_direction(&format!("{} oracle/u/{i}", g.name), &entry(found, &format!("u{i}")), truth, 1e-9);
        }
    }
    let last = model.layers().len() - 2;
    let of = |key: &str| entry(found, &format!("{key}{last}"));
    let half = |t: candle_core::Result<Tensor>| (t.unwrap() * 0.5).unwrap();
    g.check("oracle/bcp/mu_prev", &of("mu"), tolerance);
    g.check("oracle/bcp/ibp_mu_prev", &half(of("ub") + of("lb")), tolerance);
    g.check("oracle/bcp/ibp_r_prev", &half(of("ub") - of("lb")), tolerance);
}

/// Gradients at the exact singular vectors: computed in f64, stored in f32. `opt1000`: worst logits to convergence, which
/// the exact ones must meet; the others take one clip-and-enlarge iteration.
///
/// A norm's gradient is linear in the error of its vectors, whose square is the norm's: where singular values lie close it is
/// the vectors that limit it. `moved` is what the same gives with the vectors turned as far as they may be wrong. And the
/// reference's iterates have a constant under their square roots, which tells where little is left under one. The small nets,
/// whose vectors have converged, meet the f32 in which the truth is stored.
fn gradients(g: &Golden, model: &Sequential, found: &Dynamic, moved: &[Dynamic]) {
    let mut compared = 0;
    for (loss, prefix) in [
        ("bcp", "grad_oracle_opt1000_env"),
        ("gloro", "grad_oracle_opt1000_env_gloro"),
        ("bcp_once", "grad_oracle_env"),
        ("gloro_once", "grad_oracle_env_gloro"),
        ("sparse", "grad_oracle_env_sparse"),
    ] {
        if !g.has(&format!("{prefix}/0.weight")) {
            continue; // Plain ReLU has no golden sparsity loss, the real nets have no opt1000 and not all a GloRo loss.
        }
        compared += 1;
        let gradients = gradients_of(model, &entry(found, loss));
        let with_constant = format!("{loss}_k");
        let known = found.read_lock::<Map>().expect("a map").contains_key(with_constant.as_str());
        let with_constant = known.then(|| entry(found, &with_constant));
        let others = moved.iter().map(|moved| entry(moved, loss)).chain(with_constant);
        let others: Vec<_> = others.map(|loss| gradients_of(model, &loss)).collect();
        let mut shares = vec![];
        for (i, (name, gradient)) in gradients.iter().enumerate() {
            let others: Vec<&Tensor> = others.iter().map(|other| &other[i].1).collect();
            shares.push(g.check_near(&format!("{prefix}/{name}"), gradient, &others));
        }
        // No vector turns the last layer's gradients by much, whatever the net: an error of a hundred-thousandth shows there.
        let sharpest = shares.into_iter().fold(f64::INFINITY, f64::min);
        assert!(sharpest < 1e-5, "{} {prefix}: the tolerance is blunt, {sharpest:e} at best", g.name);
    }
    assert!(compared >= if g.is_tiny() { 4 } else { 1 }, "{}: {compared} gradients compared", g.name);
}

/// Exact norms for the masks of the published step, which were not read from our boxes.
fn norms_of_the_published_masks(g: &Golden) {
    let (model, single) = (g.model(DType::F64), g.model(DType::F32));
    for setting in ["train", "conv"] {
        if setting == "conv" && g.varying(setting, 0).or(g.varying(setting, 1)).is_none() {
            assert_eq!(g.name, "tin_8c2f_relux", "only 8C2F has no masks of `conv`");
            continue;
        }
        let mut columns: Option<Tensor> = None;
        for layer in &model.layers()[..model.layers().len() - 1] {
            let (i, next) = (layer.index, &model.layers()[layer.index + 1]);
            if !layer.is_affine() {
                columns = if layer.is_maxmin() { g.varying(setting, i) } else { columns };
                columns = columns.map(|c| c.reshape([&[c.dims()[0]], layer.output.as_slice()].concat()).unwrap());
                continue;
            }
            let rows = if next.is_maxmin() { None } else { g.varying(setting, i) };
            let start = g.wide(&format!("u_init/{i}"));
            let (columns_now, rows_now) = (columns.as_ref(), rows.as_ref());
            let (start, power, tolerance) = if g.is_tiny() {
                (start, SMALL, TRUTH)
            } else {
                let found = of_layer(layer, &single.layers()[i], start.dims()[0], columns_now, rows_now);
                (found.first.clone(), FINISH, TRUTH + found.low())
            };
            let found = spectral_norm(layer, &start, columns_now, rows_now, power).unwrap();
            g.check(&format!("exact/{setting}_sigma_local/{i}"), &found.sigma, tolerance);
            columns = rows;
        }
    }
}
