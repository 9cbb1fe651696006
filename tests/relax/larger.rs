//! Networks of published sizes, and one that was trained by CAP and published: what two programs have computed on them.

use crate::common::golden::{Golden, gradients_of, sampled};
use crate::common::program::data;
use crate::common::{Lab, close, entry, tensor_of, values};
use crate::golden::lab;
use candle_core::Tensor;
use std::collections::HashMap;

/// The values in a file of the folder `baselines` that WORKBENCH_GOLDEN names.
fn baselines(name: &str) -> Option<HashMap<String, Tensor>> {
    let folder = std::env::var_os("WORKBENCH_GOLDEN").map(std::path::PathBuf::from);
    let file = folder.map(|folder| folder.join(format!("baselines/{name}.safetensors"))).filter(|file| file.exists());
    if file.is_none() {
        eprintln!("skipped: WORKBENCH_GOLDEN names no folder with baselines/{name}.safetensors");
    }
    Some(candle_core::safetensors::load(file?, &crate::common::device()).unwrap())
}

/// Margins, constants, boxes, losses and gradients of IBP and CROWN-IBP on 4C3F and 6C2F, with ReLU and with ReLU-theta.
#[test]
fn networks_of_published_sizes() {
    for name in ["mnist_4c3f_relux", "cifar_6c2f_relux"] {
        let (Some(truth), Some(_)) = (baselines(name), Golden::find(name)) else { return };
        for (kind, plain) in [("relu_theta", false), ("relu", true)] {
            let (mut lab, net) = lab(name, plain);
            for (e, eps) in values(&truth["radii"]).into_iter().enumerate() {
                lab.set("eps", eps.into());
                let found = lab.run(
                    r#"
                    import "std/relax"  as relax;
                    import "std/losses" as losses;
                    let bound = relax::bound("crown_ibp", model, x, y, eps, #{ rows: "kernel" });
                    let own   = relax::back(linear_bound(specification(y, 10).to_dtype("f64")), bound.layers);
                    let found = #{
                        "ibp/margin": bound.interval, "crown_ibp/margin": bound.linear, "crown_ibp/k": with_label(own.constants, y),
                        "crown_ibp/a_norm": with_label(own.coefficients.flatten(2).sqr().sum(2).sqrt(), y),
                        "crown_ibp/loss_k0.5_b0.5": losses::crown_ibp(bound, y, 0.5, 0.5).reshape([1]),
                        "rs/loss": losses::relu_stability(bound.layers).reshape([1]),
                    };
                    for note in bound.layers {
                        if !note.layer.is_activation { continue; }
                        let lower = note.before.lower.flatten(1);
                        let upper = note.before.upper.flatten(1);
                        found[`ibp/mean_width/${note.layer.index - 1}`] = (upper - lower).mean(1);
                        found[`ibp/crossing/${note.layer.index - 1}`]   = ((lower < 0.0) * (upper > 0.0)).to_dtype("f64").sum(1);
                    }
                    found
                    "#,
                );
                let of = |key: &str| truth.get(&format!("eps{e}/{kind}/{key}"));
                let mut compared = 0;
                for (key, value) in found.clone().cast::<rhai::Map>() {
                    let Some(golden) = of(&key) else { continue };
                    close(&format!("{name} {kind} {e} {key}"), &tensor_of(&value), golden, 1e-10);
                    compared += 1;
                }
                let activations = net.layers().iter().filter(|layer| layer.is_activation()).count();
                assert_eq!(compared, 5 + usize::from(plain) + 2 * activations, "{name} {kind} {e}");
                for (parameter, gradient) in gradients_of(&net, &entry(&found, "crown_ibp/loss_k0.5_b0.5")) {
                    let (what, got) = (format!("{name} {kind} {e} {parameter}"), values(&gradient));
                    let (sample, norm) =
                        (of(&format!("grad/{parameter}#sample")), of(&format!("grad/{parameter}#norm")));
                    let (sample, norm) = (sample.expect(&what), values(norm.expect(&what))[0]);
                    // Small gradients are stored whole.
                    let own =
                        if sample.elem_count() == got.len() { got.clone() } else { sampled(&got, sample.elem_count()) };
                    let largest = got.iter().fold(0f64, |most, g| most.max(g.abs()));
                    for (own, truth) in own.iter().zip(values(sample)) {
                        assert!((own - truth).abs() <= 1e-8 * largest, "{what}: {own}, the truth is {truth}");
                    }
                    let size = got.iter().map(|g| g * g).sum::<f64>().sqrt();
                    assert!((size - norm).abs() <= 1e-8 * norm, "{what}: norm {size}, the truth is {norm}");
                }
            }
        }
    }
}

/// Of the first 40 images 26 are right; CROWN and CAP certify 24, FastLip 22. From the boxes of IBP nothing is certified.
#[test]
fn the_published_network_of_cap() {
    let Some(truth) = baselines("cap_cifar_small_36px") else { return };
    let Some(_) = data("cifar10") else { return };
    let mut lab = Lab::new();
    for (key, value) in &truth {
        lab.tensor(&key.replace(['/', '.'], "_"), value);
    }
    let found = lab.run(
        r#"
        import "std/relax" as relax;
        let data = dataset("cifar10", #{ train_limit: 0, test_limit: 40 });
        let net  = sequential([3, 32, 32], [
            normalize(mean.to_array(), [0.225, 0.225, 0.225]), conv2d(16, 4, #{ stride: 2, padding: 1 }), relu(), conv2d(32, 4, #{ stride: 2, padding: 1 }), relu(),
            flatten(), linear(100), relu(), linear(10),
        ], #{ dtype: "f64" });
        net.set_param("1.weight", param_0_weight.to_dtype("f64")); net.set_param("1.bias", param_0_bias.to_dtype("f64"));
        net.set_param("3.weight", param_2_weight.to_dtype("f64")); net.set_param("3.bias", param_2_bias.to_dtype("f64"));
        net.set_param("6.weight", param_5_weight.to_dtype("f64")); net.set_param("6.bias", param_5_bias.to_dtype("f64"));
        net.set_param("8.weight", param_7_weight.to_dtype("f64")); net.set_param("8.bias", param_7_bias.to_dtype("f64"));
        net = net.frozen();
        let index = []; for i in 0..40 { index.push(i); }
        let x     = data.test.images(index).to(net);
        let y     = data.test.labels(index);
        let eps   = radius.item() * 0.225;
        let found = #{ right: correct(net.forward(x), y).sum().item().to_float() };
        for kind in ["crown", "cap", "fastlip", "crown_ibp"] {
            let parts = []; let certified = 0.0;
            for from in range(0, 40, 10) {
                let own = relax::bound(kind, net, x.narrow(0, from, 10), y.narrow(0, from, 10), eps);
                certified += correct(own.worst, y.narrow(0, from, 10)).sum().item().to_float();
                parts.push(own.get("linear") ?? own.margins);
            }
            found[kind] = certified;
            found[`${kind}/margin`] = cat(parts, 0);
        }
        found
        "#,
    );
    let number = |key: &str| found.clone().cast::<rhai::Map>()[key].as_float().unwrap();
    let counts = ["right", "crown", "cap", "fastlip", "crown_ibp"].map(number);
    assert_eq!(counts, [26.0, 24.0, 24.0, 22.0, 0.0]);
    for (kind, key) in [("crown", "crown"), ("cap", "cap"), ("fastlip", "fastlip_crown"), ("crown_ibp", "crown_ibp")] {
        let (own, golden) =
            (values(&entry(&found, &format!("{kind}/margin"))), values(&truth[&format!("{key}/margin")]));
        let largest = golden.iter().fold(0f64, |most, m| most.max(m.abs()));
        for (own, golden) in own.iter().zip(&golden) {
            // The images are those of bytes in f32. Boxes that no line hangs on are left as they are, so that a bound may be a little better.
            assert!(*own >= golden - 1e-6 * largest, "{kind}: {own}, the golden margin is {golden}");
        }
    }
}
