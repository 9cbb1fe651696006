//! Batch normalisation: a batch's statistics in training, the running ones in a frozen network, both by their definition.

use super::TRAINED_AND_READ;
use super::common::Lab;
use candle_core::Device;

/// Values, running statistics after each kind of step, gradients through the statistics, by hand and by differences.
#[test]
fn training_takes_the_statistics_of_the_batch() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let net = sequential([2, 4, 4], [batch_norm2d(#{ momentum: 0.25 }), conv2d(3, 3), relu_theta(0.5), flatten(), linear(3)], #{ dtype: "f64" });
        net.set_param("0.weight", tensor([1.5, -0.7], "f64")); net.set_param("0.bias", tensor([0.2, -0.1], "f64"));
        let x = (randn([5, 2, 4, 4]) * 2.0 + 1.0).to_dtype("f64");
        let y = net.forward(x).argmax(1);
        let flat = x.transpose(0, 1).reshape([2, 80]);
        let mean = flat.mean(1);
        let vary  = (flat - mean.reshape([2, 1])).sqr().mean(1);
        let wide = |t| t.reshape([1, 2, 1, 1]);
        let by_hand = |x, mean, vary| (x - wide.call(mean)) / (wide.call(vary) + 1e-5).sqrt() * wide.call(net.param("0.weight")) + wide.call(net.param("0.bias"));
        let apart = |a, b| (a - b).abs().max().item();
        let out = [];
        // The forward pass above has entered once.
        let running = [0.25 * mean, 0.75 + 0.25 * vary * 80.0 / 79.0];
        out.push(apart.call(net.param("0.running_mean"), running[0])); out.push(apart.call(net.param("0.running_var"), running[1]));
        let found = lip::bounds(net, x, 0.1, fresh_vectors(net, 5), 200);
        for k in 0..1 { running = [0.75 * running[0] + 0.25 * mean, 0.75 * running[1] + 0.25 * vary * 80.0 / 79.0]; }
        out.push(apart.call(found.layers[0].region.center, by_hand.call(x, mean, vary)));
        out.push(apart.call(net.param("0.running_mean"), running[0])); out.push(apart.call(net.param("0.running_var"), running[1]));
        let scale = (net.param("0.weight") / (vary + 1e-5).sqrt()).abs().max();
        out.push(apart.call(found.layers[0].global.sigma.mean(), scale));
        for bound in ["ball", "box"] {
            let own = if bound == "ball" { lip::ball(net, x, 0.1, fresh_vectors(net, 1), 50) } else { lip::box(net, x, 0.1) };
            running = [0.75 * running[0] + 0.25 * mean, 0.75 * running[1] + 0.25 * vary * 80.0 / 79.0];
            out.push(apart.call(own.logits, found.logits));
            out.push(apart.call(net.param("0.running_var"), running[1]));
        }
        // Frozen: the running ones, whatever the batch; nothing enters them.
        let frozen = net.frozen();
        out.push(apart.call(frozen.layers[0].forward(x[0..1]), by_hand.call(x[0..1], running[0], running[1])));
        frozen.forward(x);
        out.push(apart.call(net.param("0.running_mean"), running[0]));
        let before = net.param("0.running_mean") * 1.0;
        let view = frozen.forward(x);
        net.set_param("0.running_mean", before + 0.5);
        out.push(if apart.call(frozen.forward(x), view) > 1e-3 { 0.0 } else { 1.0 });
        net.set_param("0.running_mean", before.detach());

        let loss = |x| cross_entropy(worst_logits(net, lip::bounds(net, x, 0.1, fresh_vectors(net, 5), #{ iterations: 3000, tolerance: 1e-12 }), y), y);
        let gradients = loss.call(x).backward();
        for name in ["0.weight", "0.bias", "1.weight"] {
            let own   = net.param(name).detach() * 1.0;
            let along = randn(own.shape).to_dtype("f64");
            let at    = |t| { net.set_param(name, own + t * along); loss.call(x).item() };
            let slope = (at.call(1e-5) - at.call(-1e-5)) / 2e-5;
            net.set_param(name, own);
            out.push(1e-4 * ((gradients.of(net.param(name)) * along).sum().item() - slope));
        }
        let kept = net.param("0.running_mean") * 1.0;
        let optimizer = adam(net, #{ lr: 0.1, weight_decay: 0.1 });
        let step = loss.call(x);
        let kept = net.param("0.running_mean") * 1.0;
        optimizer.step(step);
        out.push(apart.call(net.param("0.running_mean"), kept));
        out
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found.iter().all(|gap| gap.abs() < 1e-9), "{found:?}");
}

/// A network with normalised blocks trains, is saved, read again without a script, certified; frozen it is the network whose normalisations are
/// scales and shifts.
#[test]
fn normalised_networks_train_and_are_certified_as_scales_and_shifts() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::on(Device::Cpu);
    lab.set("path", folder.path().join("net.safetensors").display().to_string().into());
    let found = lab.run(
        &[
            r#"
        import "std/local_lip" as lip; import "std/certify" as certify; import "std/methods" as methods;
        let layers = |norm| [conv2d(4, 3), norm, relu_theta(1.0), residual([conv2d(4, 3, #{ padding: 1 }), norm]), relu_theta(1.0),
            residual([norm, relu(), conv2d(4, 1)]), flatten(), linear(6), relu_theta(1.0), linear(3)];
        let net = sequential([1, 6, 6], layers.call(batch_norm2d()));
"#,
            TRAINED_AND_READ,
            r#"
        let plain = sequential([1, 6, 6], layers.call(scale_shift()), #{ dtype: "f64" });
        let wide  = net.to_dtype("f64");
        for name in wide.parameters.keys() {
            let place = name.sub_string(0, name.len() - 7);
            if !name.ends_with("weight") || !wide.parameters.contains(place + ".running_var") {
                if plain.parameters.contains(name) && !wide.parameters.contains(name.sub_string(0, name.len() - 5) + ".running_var") { plain.set_param(name, wide.param(name)); }
                continue;
            }
            let scale = wide.param(place + ".weight") / (wide.param(place + ".running_var") + 1e-5).sqrt();
            plain.set_param(place + ".weight", scale.detach());
            plain.set_param(place + ".bias", (wide.param(place + ".bias") - wide.param(place + ".running_mean") * scale).detach());
        }
        let places = [0, 1, 2, 3, 4, 5, 6, 7];
        let proved = |m| certify::margins_within(certify::prepare(m, "rigorous"), x, y, 0.02, places, 0, true).margins;
        let attacked = pgd(net, x, y, 0.02, #{ clip: false, stop_early: false }).to_dtype("f64");
        let own = proved.call(net);
        [(own - proved.call(plain)).abs().max().item(), (own - proved.call(again)).abs().max().item(),
         (margins(wide.frozen().forward(attacked), y) - own).min().item(), (net.frozen().forward(x) - again.frozen().forward(x)).abs().max().item()]
        "#,
        ]
        .concat(),
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found[0] < 1e-9 && found[1] == 0.0 && found[2] >= 0.0 && found[3] == 0.0, "{found:?}");
}
