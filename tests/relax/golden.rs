//! Golden values of the four small nets, and three trainings.

use crate::common::golden::{Golden, golden_folder, gradients_of};
use crate::common::{Lab, close, entry, tensor_of};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::rc::Rc;
use workbench::nn::Sequential;
use workbench::script::values;

/// Each net with the one whose weights and inputs it has, whether it is plain ReLU, and its two radii.
pub const NETS: [(&str, &str, bool, [f64; 2]); 4] = [
    ("tiny_standrelu", "tiny_standrelu", true, [0.04, 0.16]),
    ("tiny_oddpad_relu", "tiny_oddpad_relux", true, [0.025, 0.1]),
    ("tiny_relux", "tiny_relux", false, [0.01625, 0.065]),
    ("tiny_oddpad_relux", "tiny_oddpad_relux", false, [0.025, 0.1]),
];

pub fn truth() -> HashMap<String, Tensor> {
    let file = golden_folder().join("../cases/baselines.safetensors");
    candle_core::safetensors::load(file, &crate::common::device()).unwrap()
}

/// A lab with a net of f64, `x` and `y`.
pub fn lab(source: &str, plain: bool) -> (Lab, Rc<Sequential>) {
    let golden = Golden::find(source).unwrap();
    let mut lab = Lab::new();
    lab.tensor("x", &golden.wide("x")).tensor("y", &golden.labels());
    let net = golden.model(DType::F64);
    let net = match plain {
        true => {
            lab.model("clipped", &net);
            let found = lab.run(
                r#"
                let layers = clipped.layers.map(|layer| switch layer.kind {
                    "conv2d" => conv2d(layer.output[0], layer.weight.shape[2], #{ stride: if layer.weight.shape[2] == 4 { 2 } else { 1 },
                        padding: if layer.weight.shape[2] == 4 && layer.input[1] == 7 { 0 } else { 1 } }),
                    "flatten" => flatten(), "linear" => linear(layer.output[0]), _ => relu(),
                });
                let model = sequential(clipped.layers[0].input, layers, #{ dtype: "f64" });
                for layer in clipped.layers {
                    if layer.is_affine { for own in ["weight", "bias"] { model.set_param(`${layer.path}.${own}`, clipped.param(`${layer.path}.${own}`).detach()); } }
                }
                model
                "#,
            );
            found.cast::<values::Model>().0
        }
        false => net,
    };
    lab.model("model", &net);
    (lab, net)
}

#[test]
fn margins_boxes_and_constants_are_the_golden_ones() {
    let truth = truth();
    for (name, source, plain, radii) in NETS {
        let (mut lab, _) = lab(source, plain);
        for (e, eps) in radii.into_iter().enumerate() {
            lab.set("eps", eps.into());
            let found = lab.run(
                r#"
                import "std/relax" as relax;
                let found = #{};
                for own in [["ibp", "interval", "kernel"], ["ibp_rows", "interval", "exact"], ["crown", "crown", "exact"], ["crown_kernel", "crown", "kernel"],
                            ["crown_ibp", "crown_ibp", "kernel"], ["crown_ibp_rows", "crown_ibp", "exact"], ["cap", "cap", "exact"], ["cap_kernel", "cap", "kernel"]] {
                    let bound = relax::bound(own[1], model, x, y, eps, #{ rows: own[2], tighten: "all" });
                    found[`${own[0]}/margin`] = bound.get("linear") ?? bound.margins;
                    for note in bound.layers {
                        if !note.layer.is_activation { continue; }
                        let place = note.layer.index - 1;
                        found[`${own[0]}/lb/${place}`] = note.before.lower;
                        found[`${own[0]}/ub/${place}`] = note.before.upper;
                    }
                    if own[0] == "crown" { found["crown/k"] = with_label(relax::back(linear_bound(specification(y, 3).to_dtype("f64")), bound.layers).constants, y); }
                    let boxes = switch own[0] { "ibp" => "ibp", "crown" => "crown", "cap" => "cap", _ => () };
                    if boxes != () {
                        found[`fastlip_${boxes}/lipschitz`]  = relax::fastlip(bound, y, "l2").lipschitz;
                        found[`recurjac_${boxes}/lipschitz`] = relax::recurjac(bound, y, "l2").lipschitz;
                    }
                }
                // Walks of the neurons that need one alone come to the same, or to more.
                found.best  = relax::bound("crown", model, x, y, eps).margins;
                found.small = relax::bound("crown", model, x, y, eps, #{ memory: 1000 }).margins;
                found
                "#,
            );
            let all = found.clone().cast::<rhai::Map>();
            let mut compared = 0;
            for (key, value) in &all {
                if let Some(golden) = truth.get(&format!("{name}/eps{e}/{key}")) {
                    close(&format!("{name} {e} {key}"), &tensor_of(value), golden, 1e-12);
                    compared += 1;
                }
            }
            assert!(compared >= if plain { 13 } else { 10 }, "{name} {e}: {compared} compared");
            let list = |key: &str| crate::common::values(&entry(&found, key));
            assert_eq!(list("best").len(), list("crown/margin").len());
            for (best, published) in list("best").iter().zip(list("crown/margin")) {
                assert!(*best >= published - 1e-12, "{name} {e}: {best} below {published}");
            }
            for (a, b) in list("best").iter().zip(list("small")) {
                assert!((a - b).abs() < 1e-12, "{name} {e}: in chunks {b}, at once {a}");
            }
        }
    }
}

#[test]
fn losses_and_their_gradients_are_the_golden_ones() {
    let truth = truth();
    for (name, source, plain, radii) in NETS {
        let (mut lab, net) = lab(source, plain);
        for (e, eps) in radii.into_iter().enumerate() {
            lab.set("eps", eps.into());
            let found = lab.run(
                r#"
                import "std/relax"   as relax;
                import "std/losses"  as losses;
                let published = #{ rows: "kernel" };
                let found = #{};
                let bound = relax::bound("crown_ibp", model, x, y, eps, published);
                for own in [["k0.0_b1.0", 0.0, 1.0], ["k0.5_b0.5", 0.5, 0.5], ["k0.0_b0.0", 0.0, 0.0]] {
                    found[`crown_ibp/loss_${own[0]}`] = losses::crown_ibp(bound, y, own[1], own[2]);
                }
                found["crown/loss"] = cross_entropy(-relax::bound("crown", model, x, y, eps, #{ tighten: "all" }).linear, y);
                found["cap/loss"]   = cross_entropy(-relax::bound("cap", model, x, y, eps, #{ tighten: "all" }).margins, y);
                found["rs/loss"]    = losses::relu_stability(bound.layers);
                found
                "#,
            );
            for (key, loss) in found.cast::<rhai::Map>() {
                let Some(golden) = truth.get(&format!("{name}/eps{e}/{key}")) else { continue };
                let loss = tensor_of(&loss);
                close(&format!("{name} {e} {key}"), &loss.reshape(1).unwrap(), golden, 1e-12);
                let mut compared = 0;
                for (parameter, gradient) in gradients_of(&net, &loss) {
                    if let Some(golden) = truth.get(&format!("{name}/eps{e}/grad/{key}/{parameter}")) {
                        close(&format!("{name} {e} {key} {parameter}"), &gradient, golden, 1e-9);
                        compared += 1;
                    }
                }
                assert!(
                    e == 0 || compared >= 8 || key.contains("b1.0") || key.contains("b0.0"),
                    "{name} {key}: {compared}"
                );
            }
        }
    }
}

/// The same by the CUDA kernels, on the host.
#[test]
fn losses_by_kernels() {
    crate::common::emulation::on_the_host(losses_and_their_gradients_are_the_golden_ones);
}

/// Twenty steps of CROWN-IBP and of ReLU stability by Adam, eight of CAP by SGD with momentum, decay and a gradient clipped at norm 1.
#[test]
fn trainings_are_the_golden_ones() {
    let truth = truth();
    let weights =
        candle_core::safetensors::load(golden_folder().join("trajectory_digits.safetensors"), &crate::common::device());
    let weights = weights.unwrap();
    for method in ["crown_ibp", "rs", "cap"] {
        let mut lab = Lab::new();
        lab.set("method", method.into());
        for key in ["eps", "kappa", "beta"] {
            lab.tensor(&format!("{key}_of"), &truth[&format!("digits/{key}")]);
        }
        for place in [0, 2, 5, 7] {
            for own in ["weight", "bias"] {
                lab.tensor(&format!("p{place}_{own}"), &weights[&format!("param/{place}.{own}")]);
            }
        }
        let found = lab.run(
            r#"
            import "std/relax"  as relax;
            import "std/losses" as losses;
            let data  = dataset("digits", #{ dtype: "f64", test_limit: 200 });
            let model = sequential(data.shape, [
                conv2d(8, 3, #{ padding: 1 }), relu(), conv2d(16, 4, #{ stride: 2, padding: 1 }), relu(), flatten(), linear(32), relu(), linear(10),
            ], #{ dtype: "f64" });
            model.set_param("0.weight", p0_weight); model.set_param("0.bias", p0_bias); model.set_param("2.weight", p2_weight); model.set_param("2.bias", p2_bias);
            model.set_param("5.weight", p5_weight); model.set_param("5.bias", p5_bias); model.set_param("7.weight", p7_weight); model.set_param("7.bias", p7_bias);
            let cap       = method == "cap";
            let optimizer = if cap { sgd(model, #{ lr: 0.05, momentum: 0.9, weight_decay: 5e-4, clip_norm: 1.0 }) } else { adam(model, #{ lr: 1e-3 }) };
            let history   = [];
            while optimizer.steps < if cap { 8 } else { 20 } {
                for batch in data.test.batches(50) {
                    let step  = optimizer.steps;
                    let eps   = eps_of[step].item();
                    let bound = relax::bound(if cap { "cap" } else { "crown_ibp" }, model, batch.x, batch.y, eps, #{ rows: if cap { "exact" } else { "kernel" }, tighten: "all" });
                    let loss  = switch method {
                        "crown_ibp" => losses::crown_ibp(bound, batch.y, kappa_of[step].item(), beta_of[step].item()),
                        "cap"       => cross_entropy(bound.worst, batch.y),
                        _           => cross_entropy(bound.logits, batch.y) + 0.01 * losses::relu_stability(bound.layers),
                    };
                    history.push(loss.detach());
                    optimizer.step(loss);
                }
            }
            #{ loss: stack(history, 0), "final/0.weight": model.param("0.weight"), "final/5.bias": model.param("5.bias"), "final/7.weight": model.param("7.weight") }
            "#,
        );
        for key in ["loss", "final/0.weight", "final/5.bias", "final/7.weight"] {
            close(&format!("{method} {key}"), &entry(&found, key), &truth[&format!("digits/{method}/{key}")], 1e-8);
        }
    }
}

/// In f32, where fused kernels take boxes through layers, gradients are those of f64.
#[test]
fn gradients_in_f32_are_those_of_f64() {
    let found = Lab::new().run(
        r#"
        import "std/relax"  as relax;
        import "std/losses" as losses;
        let data = dataset("digits", #{ test_limit: 24 });
        let wide = sequential(data.shape, [
            conv2d(16, 3, #{ padding: 1 }), relu(), conv2d(32, 4, #{ stride: 2, padding: 1 }), relu_theta(0.5), flatten(), linear(32), relu(), linear(10),
        ], #{ dtype: "f64" });
        let net = wide.to_dtype("f32");
        let x   = data.test.images([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let y   = data.test.labels([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let of  = |model| {
            let loss = losses::crown_ibp(relax::bound("crown_ibp", model, x.to(model), y, 0.1, #{ rows: "kernel" }), y, 0.3, 0.6);
            let own  = loss.backward();
            let all  = [loss.reshape([1])];
            for name in model.parameters.keys() { all.push(own.of(model.param(name)).flatten()); }
            all
        };
        let narrow = of.call(net);
        let out    = [];
        for (truth, i) in of.call(wide) {
            let gap = (narrow[i].to_dtype("f64") - truth).abs().max().item() / truth.abs().max().item();
            out.push(gap);
        }
        out
        "#,
    );
    let gaps: Vec<f64> = found.into_typed_array().unwrap();
    assert!(gaps.len() == 10 && gaps.iter().all(|gap| *gap < 1e-4), "{gaps:?}");
}
