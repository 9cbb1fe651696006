//! A training trajectory of 20 steps.

use crate::common::golden::golden_folder;
use crate::common::{Lab, close, entry, tensor_of};

/// The same by the CUDA kernels, on the host.
#[test]
fn the_training_trajectory_by_kernels() {
    crate::common::emulation::on_the_host(the_training_trajectory);
}

/// Twenty steps of training: forward, bounds, gradients, optimiser and vector store all agree, or they part.
#[test]
fn the_training_trajectory() {
    let file = golden_folder().join("trajectory_digits.safetensors");
    let golden = candle_core::safetensors::load(file, &crate::common::device()).unwrap();
    let mut lab = Lab::new();
    for (name, tensor) in &golden {
        if ["param/", "u_init/", "gu_init/"].iter().any(|p| name.starts_with(p)) {
            lab.tensor(&name.replace(['/', '.'], "_"), tensor);
        }
    }
    lab.tensor("eps_of", &golden["eps"]).tensor("kappa_of", &golden["kappa"]);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        import "std/losses" as losses;
        let data  = dataset("digits", #{ dtype: "f64", test_limit: 200 });   // the first 200 rows of the file
        let model = sequential(data.shape, [
            conv2d(8, 3, #{ padding: 1 }), relu_theta(1), conv2d(16, 4, #{ stride: 2, padding: 1 }), relu_theta(1),
            flatten(), linear(32), relu_theta(1), linear(10),
        ], #{ dtype: "f64" });
        model.set_param("0.weight", param_0_weight); model.set_param("0.bias", param_0_bias);
        model.set_param("2.weight", param_2_weight); model.set_param("2.bias", param_2_bias);
        model.set_param("5.weight", param_5_weight); model.set_param("5.bias", param_5_bias);
        model.set_param("7.weight", param_7_weight); model.set_param("7.bias", param_7_bias);
        model.set_param("1.threshold", param_1_threshold); model.set_param("3.threshold", param_3_threshold);
        model.set_param("6.threshold", param_6_threshold);
        let vectors = singular_vectors(model, 200, #{ dtype: "f64" });
        vectors.set_local(0, u_init_0); vectors.set_local(2, u_init_2); vectors.set_local(5, u_init_5);
        vectors.set_global(0, gu_init_0); vectors.set_global(2, gu_init_2); vectors.set_global(5, gu_init_5);
        let optimizer = adam(model, #{ lr: 1e-3 });
        let history = [];
        while optimizer.steps < 20 {
            for batch in data.test.batches(50) {
                let step   = optimizer.steps;
                let bounds = lip::bounds(model, batch.x, eps_of[step].item(), vectors.of(batch), 2);
                let worst  = worst_logits(model, bounds, batch.y, #{ method: "clip", iterations: 1, constant: 1e-12 });
                let loss   = losses::bcp(bounds.logits, worst, batch.y, kappa_of[step].item());
                history.push(loss.detach());
                optimizer.step(loss);
            }
        }
        let last = ();
        for batch in data.test.batches(50) { if batch.number == 0 { last = vectors.of(batch); } }
        let layers = model.layers;
        #{ model: model, loss: stack(history, 0),
           u0: last.local(layers[0]), u2: last.local(layers[2]), u5: last.local(layers[5]),
           g0: last.global(layers[0]), g2: last.global(layers[2]), g5: last.global(layers[5]) }
        "#,
    );
    close("losses", &entry(&found, "loss"), &golden["loss"], 1e-8);
    let map = found.clone().try_cast::<rhai::Map>().unwrap();
    let mut lab = Lab::new();
    let parameters = lab.set("model", map["model"].clone()).run("model.parameters").try_cast::<rhai::Map>().unwrap();
    for (name, tensor) in &golden {
        if let Some(name) = name.strip_prefix("final/") {
            close(name, &tensor_of(&parameters[name]), tensor, 1e-8);
        }
    }
    for i in [0, 2, 5] {
        close(&format!("u_final/{i}"), &entry(&found, &format!("u{i}")), &golden[&format!("u_final/{i}")], 1e-7);
        close(&format!("gu_final/{i}"), &entry(&found, &format!("g{i}")), &golden[&format!("gu_final/{i}")], 1e-7);
    }
}
