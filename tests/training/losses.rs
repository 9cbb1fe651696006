//! The losses of the frontier: values, and gradients in features, head and the bound of what lies before it.

use super::case;
use super::common::{Lab, close, entry, tensor_of, values};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// Each loss of features h, head (w, b), bound l and labels y, by the name of its values.
const EACH: &str = r#"
    import "std/losses" as losses;
    let every = #{
        emma:                    |z, w, l, y| losses::emma(z, losses::raised_logits(z, l, w, y, 0.2), y),
        annealed_on_emma:        |z, w, l, y| losses::annealed(losses::emma_logits(z, losses::raised_logits(z, l, w, y, 0.2), y), y),
        annealed:                |z, w, l, y| losses::annealed(z, y, #{ offset: 2.0, temperature: 0.75, power: 5.0 }),
        margin:                  |z, w, l, y| losses::margin_cross_entropy(losses::raised_logits(z, l, w, y, 0.2), y),
        gloro_trades:            |z, w, l, y| losses::gloro_trades(z, losses::raised_logits(z, l, w, z.argmax(1), 0.2), y, 1.0),
        offset_ce:               |z, w, l, y| losses::offset_cross_entropy(z, y, 2.0, 0.75),
        certificate_regularised: |z, w, l, y| losses::certificate_regularised(z, y, 1.0, 0.5),
        multi_margin:            |z, w, l, y| losses::multi_margin(z, y, 0.5),
    };
    let found = #{};
    for name in every.keys() {
        let at = [h.parameter(), w.parameter(), b.parameter(), l.parameter()];
        let loss = every[name].call(at[0] @ at[1].t() + at[2], at[1], at[3], y);
        let gradients = loss.backward();
        let slopes = [];
        for t in at { slopes.push(gradients.of(t) ?? t.zeros_like()); }
        found[name] = loss;
        for (name_of, i) in ["features", "head_weight", "head_bias", "lipschitz"] { found[`${name}/grad/${name_of}`] = slopes[i]; }
    }
    let z = h @ w.t() + b;
    found.emma_logits = losses::emma_logits(z, losses::raised_logits(z, l, w, y, 0.2), y);
    found
"#;

fn lab(all: &HashMap<String, Tensor>) -> Lab {
    let mut lab = Lab::on(Device::Cpu);
    for (name, key) in [("h", "features"), ("w", "head_weight"), ("b", "head_bias"), ("l", "lipschitz")] {
        lab.tensor(name, &all[&format!("loss/{key}")]);
    }
    lab.tensor("y", &all["loss/label"].to_dtype(DType::U32).unwrap());
    lab
}

#[test]
fn every_loss_meets_the_truth() {
    let golden = std::env::var_os("WORKBENCH_GOLDEN").map(|at| PathBuf::from(at).join("frontier/layers.safetensors"));
    let golden = golden.filter(|path| path.exists());
    if golden.is_none() {
        println!(
            "WORKBENCH_GOLDEN names no folder with frontier/layers.safetensors: the values of the repository alone"
        );
    }
    let more = golden.map(|path| candle_core::safetensors::load(path, &Device::Cpu).unwrap());
    for all in [Some(case("frontier")), more].into_iter().flatten() {
        let found = lab(&all).run(EACH);
        let names = [
            "emma",
            "annealed_on_emma",
            "annealed",
            "margin",
            "gloro_trades",
            "offset_ce",
            "certificate_regularised",
            "multi_margin",
        ];
        close("emma_logits", &entry(&found, "emma_logits"), &all["loss/emma_logits"], 1e-12);
        for name in names {
            close(name, &entry(&found, name), &all[&format!("loss/{name}")], 1e-12);
            for of in ["features", "head_weight", "head_bias", "lipschitz"] {
                let key = format!("{name}/grad/{of}");
                let (got, truth) = (values(&entry(&found, &key)), values(&all[&format!("loss/{key}")]));
                assert_eq!(got.len(), truth.len(), "{key}");
                for (got, truth) in got.iter().zip(&truth) {
                    assert!((got - truth).abs() <= 1e-12 * (1.0 + truth.abs()), "{key}: {got} against {truth}");
                }
            }
        }
    }
}

/// By either way of its own, of a batch that is smaller or larger than the number of classes; of a model; of bounds in all their shapes;
/// and with two rows of the head that are one: finite slopes, and a NaN that stays.
#[test]
fn raised_logits_are_those_of_a_ball() {
    let mut lab = lab(&case("frontier"));
    let found = lab.run(
        r#"
        import "std/losses"    as losses;
        import "std/local_lip" as lip;
        let z     = h @ w.t() + b;
        let whole = losses::raised_logits(z, l, w, y, 0.2);
        let some  = losses::raised_logits(z[0..4], l, w, y[0..4], 0.2);
        let net   = sequential([7], [linear(5)], #{ dtype: "f64" });
        net.set_param("0.weight", w);
        net.set_param("0.bias", b);
        let ball = lip::ball(net, h, 0.2, fresh_vectors(net, 6), 10);
        let own  = worst_logits(net, ball, y, #{ method: "ball" });
        let one  = losses::raised_logits(z, ball.lipschitz, w, y, 0.2);
        let each = losses::raised_logits(z, ones([6], "f64") * 1.7, w, y, ones([6], "f64") * 0.2);
        let twin  = cat([w[0..1], w[0..4]], 0).parameter();
        let loss  = losses::emma(z, losses::raised_logits(z, 1.7, twin, y.zeros_like(), 0.2), y.zeros_like());
        let slope = loss.backward().of(twin);
        let broken = losses::raised_logits(z, l, cat([w[0..1] * (0.0 / 0.0), w[1..5]], 0), y, 0.2);
        #{
            gaps: tensor([(whole[0..4] - some).abs().max().item(), (own - one).abs().max().item(), (whole - each).abs().max().item()], "f64"),
            slope: slope, broken: broken, label: whole.gather(1, y.unsqueeze(1)) - z.gather(1, y.unsqueeze(1)),
        }
        "#,
    );
    let of = |key: &str| values(&entry(&found, key));
    assert!(of("gaps").iter().all(|gap| *gap <= 1e-14), "{:?}", of("gaps"));
    assert!(of("slope").iter().all(|g| g.is_finite()) && of("slope").iter().any(|g| *g != 0.0), "{:?}", of("slope"));
    assert!(of("label").iter().all(|rise| *rise == 0.0), "the label's own logit stays");
    // Each sample of another class looks at the broken row.
    assert!(of("broken").chunks(5).all(|row| row[0].is_nan()), "{:?}", of("broken"));
}

/// Multi-margin and the certificate's term by hand.
#[test]
fn losses_of_two_samples_by_hand() {
    let script = r#"
        import "std/losses" as losses;
        let z = tensor([[2.0, 1.0, -1.0], [0.0, 0.25, 0.5]], "f64");
        let y = tensor([0, 1], "u32");
        [losses::multi_margin(z, y, 0.5), losses::certificate_regularised(z, y, 2.0, 1.0) - cross_entropy(z, y)]
    "#;
    let found: Vec<rhai::Dynamic> = Lab::on(Device::Cpu).run(script).into_array().unwrap();
    let found: Vec<f64> = found.iter().map(|t| values(&tensor_of(t))[0]).collect();
    // The first sample is ahead by 1. The second is behind by 0.25: 0.75 and 0.25, over three classes, over two samples.
    assert!((found[0] - 1.0 / 6.0).abs() < 1e-15, "{found:?}");
    // Radii 1 / (2 sqrt 2) and 0.
    assert!((found[1] + 0.25 / 2f64.sqrt()).abs() < 1e-15, "{found:?}");
}

#[test]
fn mistakes_are_told() {
    let mut lab = lab(&case("frontier"));
    for (line, wanted) in [
        ("losses::raised_logits(h @ w.t(), l, w[0..3], y, 0.2)", "logits of shape [6, 5] and a head of 3 rows"),
        ("losses::annealed(h @ w.t(), y, #{ temperatur: 1.0 })", "unknown option temperatur; known: "),
        ("losses::annealed(h @ w.t(), y, #{ power: 0 })", "the power is 0, it must be at least 1"),
    ] {
        let script = format!(
            "import \"std/losses\" as losses; let said = \"\"; try {{ {line}; }} catch (e) {{ said = `${{e}}`; }} said"
        );
        let said = lab.run(&script).into_string().unwrap();
        assert!(said.contains(wanted), "{line}: {said}");
    }
}
