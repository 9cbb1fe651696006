//! Batch centring: a batch's mean in training, the running one in a frozen network, both by their formula; and its norm of 1, by which bounds
//! through it are those without it.

use super::TRAINED_AND_READ;
use super::common::Lab;
use candle_core::Device;

/// Values, the running mean, gradients through the mean by differences, of images and of vectors; what takes no gradient takes no step.
#[test]
fn training_takes_the_mean_of_the_batch() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let net = sequential([2, 4, 4], [batch_centering(#{ momentum: 0.25 }), conv2d(3, 3), relu_theta(0.5), flatten(), batch_centering(), linear(3)], #{ dtype: "f64" });
        net.set_param("0.bias", tensor([0.2, -0.1], "f64"));
        let x = (randn([5, 2, 4, 4]) * 2.0 + 1.0).to_dtype("f64");
        let y = net.forward(x).argmax(1);
        let mean  = x.transpose(0, 1).reshape([2, 80]).mean(1);
        let apart = |a, b| (a - b).abs().max().item();
        let wide  = |t| t.reshape([1, 2, 1, 1]);
        let by_hand = |x, mean| x - wide.call(mean) + wide.call(net.param("0.bias"));
        let out = [apart.call(net.param("0.running_mean"), 0.25 * mean)];
        // Of vectors, feature by feature.
        let before = net.layers[3].forward(net.layers[2].forward(net.layers[1].forward(by_hand.call(x, mean))));
        out.push(apart.call(net.param("4.running_mean"), 0.1 * before.mean(0)));
        let found = lip::bounds(net, x, 0.1, fresh_vectors(net, 5), 200);
        out.push(apart.call(found.layers[0].region.center, by_hand.call(x, mean)));
        out.push(apart.call(found.layers[4].region.center, before - before.mean(0).unsqueeze(0)));
        out.push(apart.call(net.param("0.running_mean"), 0.4375 * mean));
        out.push(found.layers[0].global.sigma.mean().item() - 1.0);
        // Frozen: the running one, whatever the batch; nothing enters it.
        let frozen = net.frozen();
        out.push(apart.call(frozen.layers[0].forward(x[0..1]), by_hand.call(x[0..1], 0.4375 * mean)));
        frozen.forward(x);
        out.push(apart.call(net.param("0.running_mean"), 0.4375 * mean));

        let loss = |x| cross_entropy(worst_logits(net, lip::bounds(net, x, 0.1, fresh_vectors(net, 5), #{ iterations: 3000, tolerance: 1e-12 }), y), y);
        let gradients = loss.call(x).backward();
        for name in ["0.bias", "1.weight", "1.bias", "4.bias"] {
            let own   = net.param(name).detach() * 1.0;
            let along = randn(own.shape).to_dtype("f64");
            let at    = |t| { net.set_param(name, own + t * along); loss.call(x).item() };
            let slope = (at.call(1e-5) - at.call(-1e-5)) / 2e-5;
            net.set_param(name, own);
            out.push(1e-4 * ((gradients.of(net.param(name)) * along).sum().item() - slope));
        }
        let optimizer = adam(net, #{ lr: 0.1, weight_decay: 0.1 });
        let step = loss.call(x);
        let kept = net.param("0.running_mean") * 1.0;
        optimizer.step(step);
        out.push(apart.call(net.param("0.running_mean"), kept));
        out
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found.len() == 13 && found.iter().all(|gap| gap.abs() < 1e-9), "{found:?}");
}

/// Every bound of a frozen network is that of the same network with the shift in the biases before it; saved and read again it is the same one.
#[test]
fn frozen_it_moves_the_center_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::on(Device::Cpu);
    lab.set("path", folder.path().join("net.safetensors").display().to_string().into());
    let found = lab.run(
        &[
            r#"
        import "std/local_lip" as lip; import "std/certify" as certify;
        let layers = |centred| [conv2d(4, 3, #{ padding: 1 })] + if centred { [batch_centering()] } else { [] } + [maxmin(), flatten(), linear(6)]
            + if centred { [batch_centering()] } else { [] } + [maxmin(), linear(3)];
        let net   = sequential([1, 6, 6], layers.call(true));
        let plain = sequential([1, 6, 6], layers.call(false), #{ dtype: "f64" });
"#,
            TRAINED_AND_READ,
            r#"
        check_claims(again);
        let wide  = net.to_dtype("f64");
        for pair in [[0, 0, 1], [4, 3, 5], [7, 5, ()]] {
            plain.set_param(`${pair[1]}.weight`, wide.param(`${pair[0]}.weight`).detach());
            let bias = wide.param(`${pair[0]}.bias`).detach();
            if pair[2] != () { bias += wide.param(`${pair[2]}.bias`).detach() - wide.param(`${pair[2]}.running_mean`); }
            plain.set_param(`${pair[1]}.bias`, bias);
        }
        let places = [0, 1, 2, 3, 4, 5, 6, 7];
        let proved = |m| certify::margins_within(certify::prepare(m, "rigorous"), x, y, 0.02, places, 0, true).margins;
        let apart  = |a, b| (a - b).abs().max().item();
        let wide_x = x.to_dtype("f64");
        let ways   = #{ iterations: 3000, tolerance: 1e-13 };
        let of     = |m| lip::bounds(m, wide_x, 0.05, fresh_vectors(m, 8), ways);
        let a = of.call(wide.frozen());
        let b = of.call(plain.frozen());
        let i = lip::box(wide.frozen(), wide_x, 0.05);
        let j = lip::box(plain.frozen(), wide_x, 0.05);
        let first = a.layers[0].region;
        let moved = a.layers[1].region;
        let shift = (wide.param("1.bias").detach() - wide.param("1.running_mean")).reshape([1, 4, 1, 1]);
        [apart.call(proved.call(net), proved.call(plain)), apart.call(proved.call(net), proved.call(again)),
         apart.call(a.lipschitz, b.lipschitz), apart.call(a.logits, b.logits), apart.call(i.region.lower, j.region.lower), apart.call(i.region.upper, j.region.upper),
         apart.call(moved.radius, first.radius), apart.call(moved.center, first.center + shift), apart.call(moved.lower, first.lower + shift),
         apart.call(moved.upper - moved.lower, first.upper - first.lower), apart.call(net.frozen().forward(x), again.frozen().forward(x))]
        "#,
        ]
        .concat(),
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found.len() == 11 && found.iter().all(|gap| gap.abs() < 1e-9), "{found:?}");
    assert!(found[1] == 0.0 && found[10] == 0.0, "{found:?}");
}

/// A batch without a mean of its own, a momentum that is none, a map that has seen no batch.
#[test]
fn what_has_no_mean_is_refused() {
    let mut lab = Lab::on(Device::Cpu);
    let told = lab.run(
        r#"
        let told = [];
        let net  = sequential([3], [batch_centering(), linear(2)]);
        for refused in [|| net.forward(ones([1, 3])), || net.layers[0].apply(ones([2, 3])), || sequential([3], [batch_centering(#{ momentum: 1.5 })])] {
            try { refused.call(); told.push("taken"); } catch (error) { told.push(`${error}`); }
        }
        net.frozen().forward(ones([1, 3]));
        told
        "#,
    );
    let told: Vec<String> = told.into_typed_array().unwrap();
    let said = [
        "a batch of 1 has no mean but itself; take a frozen network",
        "take layer.seen(x), or model.frozen()",
        "momentum is 1.5",
    ];
    assert!(told.len() == 3 && told.iter().zip(said).all(|(told, said)| told.contains(said)), "{told:?}");
}
