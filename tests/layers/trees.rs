//! Networks as trees: bounds of blocks with activations inside against every slope pattern, the trap of their masks, and random trees of all
//! kinds against the Jacobians of points in the ball and against attacks.

use super::common::{Lab, entry, values};
use candle_core::{Device, Tensor, Var};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use workbench::compute::autograd::backward;
use workbench::nn::Sequential;
use workbench::script::values::Model;

fn matrix(t: &Tensor) -> DMatrix<f64> {
    let (rows, columns) = t.dims2().unwrap();
    DMatrix::from_row_slice(rows, columns, &values(t))
}

/// The largest singular value.
fn norm(m: DMatrix<f64>) -> f64 {
    m.singular_values().max()
}

fn diagonal(of: &[f64]) -> DMatrix<f64> {
    DMatrix::from_diagonal(&nalgebra::DVector::from_row_slice(of))
}

/// Blocks of two matrices and a ReLU kind between masks: both bounds hold for every slope that the activation can have in its box, at its
/// corners, and each by its formula.
#[test]
fn both_bounds_of_a_block_hold_for_every_slope_pattern() {
    let mut lab = Lab::on(Device::Cpu);
    let mut smaller = [0, 0];
    for seed in 0..120 {
        let (first, second) = (["linear(6), ", ""][seed % 2], "linear(5)");
        let inner = if seed % 2 == 0 { 6 } else { 5 };
        let found = lab.run(&format!(
            r#"
            import "std/local_lip" as lip;
            let net = sequential([4], [linear(5), relu_theta(0.5), residual([{first}relu_theta(0.4), {second}]), relu_theta(0.6), linear(2)], #{{ dtype: "f64" }});
            let x = randn([1, 4]).to_dtype("f64");
            let found = lip::bounds(net, x, {eps}, fresh_vectors(net, 1), #{{ iterations: 100000, tolerance: 1e-13 }});
            let note = found.layers[2];
            let f = note.layer.one_activation.activation;
            let before = lip::before_activation(note.parts);
            let w = |layer| if layer == () {{ sequential([5], [linear(5)]).layers[0].weight * 0.0 }} else {{ layer.weight }};
            #{{ apart: note.local.apart, centred: note.local.centred, columns: note.columns, rows: note.rows,
               moving: varying(f, before), clear: unclipped(f, before), second: note.layer.one_activation.second.weight,
               first: w.call(note.layer.one_activation.first) }}
            "#,
            eps = 0.02 * (1 + seed % 7) as f64,
        ));
        let read = |key: &str| values(&entry(&found, key));
        let mask = |key: &str| read(key);
        let (columns, rows, moving, clear) = (mask("columns"), mask("rows"), mask("moving"), mask("clear"));
        let w2 = matrix(&entry(&found, "second"));
        let w1 = if seed % 2 == 0 { matrix(&entry(&found, "first")) } else { DMatrix::identity(5, 5) };
        let (d_in, d_out) = (diagonal(&columns), diagonal(&rows));
        let open: Vec<usize> = (0..inner).filter(|i| moving[*i] > clear[*i]).collect();
        let with = |slopes: &[f64]| &d_out * (DMatrix::identity(5, 5) + &w2 * diagonal(slopes) * &w1) * &d_in;
        let mut worst: f64 = 0.0;
        for pattern in 0..1u32 << open.len() {
            let mut slopes = clear.clone();
            open.iter().enumerate().for_each(|(bit, i)| slopes[*i] = f64::from(pattern >> bit & 1));
            worst = worst.max(norm(with(&slopes)));
        }
        let uncertain: Vec<f64> = moving.iter().zip(&clear).map(|(v, p)| v - p).collect();
        let middle: Vec<f64> = moving.iter().zip(&clear).map(|(v, p)| 0.5 * (v + p)).collect();
        let both = columns.iter().zip(&rows).map(|(a, b)| a * b).fold(0.0, f64::max);
        let apart = both + norm(&d_out * &w2 * diagonal(&moving)) * norm(diagonal(&moving) * &w1 * &d_in);
        let centred = norm(with(&middle))
            + 0.5 * norm(&d_out * &w2 * diagonal(&uncertain)) * norm(diagonal(&uncertain) * &w1 * &d_in);
        let (t, c) = (read("apart")[0], read("centred")[0]);
        assert!((t - apart).abs() < 1e-8 && (c - centred).abs() < 1e-8, "{seed}: {t} {apart}, {c} {centred}");
        assert!(worst <= t.min(c) + 1e-9, "{seed}: {worst} above {t} or {c}");
        smaller[usize::from(c < t)] += 1;
    }
    assert!(smaller[1] > smaller[0], "the centred bound is the smaller one more often: {smaller:?}");
}

/// The trap: the identity path carries what the branch's activation has clipped. A block whose branch is dead all over the ball is the
/// identity, and its norm 1; with the activation's mask on both paths it would be 0.
#[test]
fn the_mask_of_a_branch_is_not_on_the_identity() {
    let mut lab = Lab::on(Device::Cpu);
    for branch in ["relu_theta(1.0), linear(3)", "relu(), linear(3)", "relu_theta(1.0), residual([linear(3)])"] {
        let found = lab.run(&format!(
            r#"
            import "std/local_lip" as lip; import "std/certify" as certify;
            let net = sequential([3], [residual([{branch}]), linear(2)], #{{ dtype: "f64" }});
            let x = tensor([[-3.0, -2.0, -4.0]], "f64");
            let estimate = lip::bounds(net, x, 0.1, fresh_vectors(net, 1), #{{ iterations: 1000, tolerance: 1e-12 }});
            let proved = certify::upper_bounds(certify::prepare(net, "rigorous"), x, 0.1, [0], 0, true);
            let clipped = varying(net.layers[0].branches[1][0], estimate.layers[0].before);
            [clipped.sum().item(), estimate.lipschitz.item(), proved.lipschitz.item()]
            "#
        ));
        let found: Vec<f64> = found.into_typed_array().unwrap();
        assert!(found[0] == 0.0, "{branch}: the branch's activation is dead: {found:?}");
        assert!((found[1] - 1.0).abs() < 1e-9 && found[2] >= 1.0 && found[2] < 1.01, "{branch}: {found:?}");
    }
}

/// A layer that keeps its shape of `c` channels, drawn.
fn drawn(random: &mut ChaCha8Rng, c: usize, depth: usize) -> String {
    let list = |random: &mut ChaCha8Rng| {
        let n = random.random_range(1..4);
        (0..n).map(|_| drawn(random, c, depth - 1)).collect::<Vec<_>>().join(", ")
    };
    match random.random_range(0..if depth == 0 { 13 } else { 20 }) {
        0 | 1 => format!("conv2d({c}, 1)"),
        2 | 3 => format!("conv2d({c}, 3, #{{ padding: 1 }})"),
        4 => "relu()".into(),
        5 => format!("relu_theta({:.2})", random.random_range(0.2..1.0)),
        6 => "relu6()".into(),
        7 => format!("clipped_maxmin({:.2}, -{:.2})", random.random_range(0.1..0.8), random.random_range(0.1..0.8)),
        8 => "maxmin()".into(),
        9 => "leaky_relu(0.2)".into(),
        10 => "abs()".into(),
        11 => format!("groupsort({c})"),
        12 => "max_pool2d(1)".into(),
        13 | 14 => format!("residual([{}])", list(random)),
        15 | 16 => format!("sum([[{}], [{}]])", list(random), list(random)),
        17 => format!("block([{}])", list(random)),
        18 => format!("sum([[], {}, [{}]])", drawn(random, c, 0), list(random)),
        _ => {
            let half = c / 2;
            format!("parallel([conv2d({half}, 3, #{{ padding: 1 }}), [{}, conv2d({half}, 1)]])", list(random))
        }
    }
}

/// The Jacobian of the features (before the last layer) at each of the points, and its norm.
fn jacobian_norms(net: &Sequential, points: &Tensor) -> Vec<f64> {
    let x = Var::from_tensor(points).unwrap();
    let layers = net.layers();
    let features = layers[..layers.len() - 1].iter().fold(x.as_tensor().clone(), |x, layer| layer.forward(&x).unwrap());
    let (batch, n) = features.dims2().unwrap();
    let inputs = points.elem_count() / batch;
    let mut rows = vec![vec![]; batch];
    for i in 0..n {
        let gradients = backward(&features.narrow(1, i, 1).unwrap().sum_all().unwrap()).unwrap();
        let own = gradients.get(x.as_tensor()).map_or(vec![0.0; batch * inputs], values);
        rows.iter_mut().enumerate().for_each(|(b, rows)| rows.extend_from_slice(&own[b * inputs..][..inputs]));
    }
    rows.into_iter().map(|rows| norm(DMatrix::from_row_slice(n, inputs, &rows))).collect()
}

/// `WORKBENCH_TREES` says how many; in the gate a part of them.
#[test]
fn random_trees_are_never_bounded_below_what_they_do() {
    let count: u64 = std::env::var("WORKBENCH_TREES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut tight: Vec<f64> = vec![];
    for seed in 0..count {
        let mut lab = Lab::on(Device::Cpu);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let c = [2, 4][random.random_range(0..2)];
        let n = random.random_range(1..4);
        let inside: Vec<String> = (0..n).map(|_| drawn(&mut random, c, 2)).collect();
        let eps = [0.02, 0.1, 0.4][random.random_range(0..3)];
        let (h, w) = (2 * random.random_range(1..4), [2, 3, 4, 5][random.random_range(0..4)]);
        let behind = [
            "",
            "avg_pool2d(2), ",
            "max_pool2d(2, #{ stride: 1 }), ",
            "sum([avg_pool2d(2), conv2d(2, 2, #{ stride: 2 })]), ",
        ];
        let behind = behind[random.random_range(0..4)].replace("conv2d(2,", &format!("conv2d({c},"));
        let head = ["linear(6), relu_theta(0.7)", "parallel([[], [linear(3), relu()]])"];
        let head = head[random.random_range(0..2)];
        let text =
            format!("conv2d({c}, 3, #{{ padding: 1 }}), {}, {behind}flatten(), {head}, linear(3)", inside.join(", "));
        let found = lab.run(&format!(
            r#"
            import "std/local_lip" as lip; import "std/certify" as certify; import "std/evaluate" as evaluate;
            let net = sequential([1, {h}, {w}], [{text}], #{{ dtype: "f64" }});
            let x = randn([2, 1, {h}, {w}]).to_dtype("f64");
            let y = net.forward(x).argmax(1);
            let power = #{{ iterations: 3000, tolerance: 1e-9 }};
            let found = lip::bounds(net, x, {eps}, fresh_vectors(net, 2), power);
            let proved = certify::margins_within(certify::prepare(net, "rigorous"), x, y, {eps}, [0, 1], 0, true);
            let points = pgd(net, x, y, {eps}, #{{ clip: false, stop_early: false, steps: 10 }});
            let boxed = lip::box(net, x, {eps}).region;
            let features = net.layers.extract(0, net.layers.len() - 1).reduce(|at, layer| layer.forward(at ?? points));
            #{{ net: net, x: x, points: points, lipschitz: found.lipschitz, proved: proved.lipschitz, lower: found.region.lower, upper: found.region.upper,
               margins: proved.margins, reached: margins(net.forward(points), y), certain_lower: proved.found.region.lower,
               certain_upper: proved.found.region.upper, box_lower: boxed.lower, box_upper: boxed.upper, features: features,
               global: proved.global, ball: lip::ball(net, x, {eps}, fresh_vectors(net, 1), 500).lipschitz }}
            "#
        ));
        let net = found.clone().cast::<rhai::Map>().remove("net").unwrap().cast::<Model>();
        let read = |key: &str| values(&entry(&found, key));
        let (x, points) = (entry(&found, "x"), entry(&found, "points"));
        let between = |t: f64| ((&x * (1.0 - t)).unwrap() + (&points * t).unwrap()).unwrap();
        let (local, proved) = (read("lipschitz"), read("proved"));
        for at in [x.clone(), points.clone(), between(0.5), between(-0.7)] {
            for (b, slope) in jacobian_norms(&net.0, &at).into_iter().enumerate() {
                assert!(
                    slope <= local[b] * (1.0 + 1e-6),
                    "seed {seed}: [{text}]: {slope} above the estimate {}",
                    local[b]
                );
                assert!(
                    slope <= proved[b] * (1.0 + 1e-12),
                    "seed {seed}: [{text}]: {slope} above the proved {}",
                    proved[b]
                );
                tight.push(slope / proved[b]);
            }
        }
        for b in 0..2 {
            assert!(local[b] <= proved[b] * (1.0 + 1e-9), "seed {seed}: [{text}]: {} above {}", local[b], proved[b]);
            assert!(
                proved[b] <= read("global")[b.min(read("global").len() - 1)] * (1.0 + 1e-2),
                "seed {seed}: [{text}]"
            );
            assert!(read("margins")[b] <= read("reached")[b], "seed {seed}: [{text}]: a certificate is broken");
        }
        for (low, high) in [("lower", "upper"), ("certain_lower", "certain_upper"), ("box_lower", "box_upper")] {
            let inside = read("features").into_iter().zip(read(low).into_iter().zip(read(high)));
            for (value, (low, high)) in inside {
                assert!(
                    low - 1e-9 <= value && value <= high + 1e-9,
                    "seed {seed}: [{text}]: {value} outside {low}, {high}"
                );
            }
        }
        assert!(read("ball")[0] > 0.0);
    }
    tight.sort_by(f64::total_cmp);
    println!(
        "{count} trees; slopes found over proved bounds: median {:.3}, largest {:.3}",
        tight[tight.len() / 2],
        tight[tight.len() - 1]
    );
    assert!(tight[tight.len() / 2] > 0.02, "a bound that says nothing");
}

/// All that goes over a network goes over a tree: every method's step with its curves, attacks, evaluations, probes, certified evaluation.
#[test]
fn trees_are_trained_evaluated_probed_and_certified_like_lists() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/methods" as methods; import "std/evaluate" as evaluate; import "std/probe" as probe; import "std/certify" as certify;
        import "std/local_lip" as lip;
        let data = dataset("digits");
        let net = sequential(data.shape, [
            conv2d(4, 3, #{ padding: 1 }), relu_theta(1.0), parallel([[], [relu()], [conv2d(2, 1), relu_theta(0.5)]]),
            residual([conv2d(10, 3, #{ padding: 1 }), relu_theta(0.8), conv2d(10, 1)]), leaky_relu(1.5), avg_pool2d(2), flatten(),
            block([linear(16), relu_theta(1.0)]), linear(data.classes),
        ]);
        let optimizer = adam(net);
        let cfg = #{ iterations: 2, sparsity: 0.01 };
        let keys = [];
        for method in methods::names() {
            let vectors = methods::vector_store(method, net, data.train.len(), cfg);
            for batch in data.train.batches(16) {
                let step = methods::training_step(method, net, batch, 0.1, 0.5, vectors, cfg);
                optimizer.step(step.loss);
                if method == "local_lip_b" { keys = step.log.keys().filter(|key| key.starts_with("varying")); }
                break;
            }
        }
        let some  = data.test.take(20);
        let kinds = ["local", "global", "ball", "lmt", "box"];
        let shares = kinds.map(|bound| evaluate::accuracies(net, some, 0.05, #{ bound: bound, steps: 3 }).certified);
        let x = data.test.images([0]); let y = data.test.labels([0]);
        let lost = probe::where_lost(net, x, y, 0.05);
        // In f64 the same table, but for the last digits.
        if probe::layers(net.to_dtype("f64"), x.to_dtype("f64"), 0.05).len() != probe::layers(net, x, 0.05).len() { throw "the tables differ"; }
        let rows = [probe::layers(net, x, 0.05).len(), probe::constant_neurons(net, x, 0.05).len(), probe::convergence(net, x, 0.05).len(), lost.len()];
        let two = data.test.images([0, 1]); let labels = data.test.labels([0, 1]);
        let margins = ["estimate", "probabilistic", "rigorous", "audit"].map(|kind|
            certify::margins_within(certify::prepare(net, kind), two, labels, 0.02, [0, 1], 0, true).margins.min().item());
        let bounds = lip::bounds(net.frozen(), two, 0.02, fresh_vectors(net, 2), 20);
        #{ keys: keys, shares: shares, rows: rows, margins: margins, bounds: bounds, ball: lip::ball(net.frozen(), two, 0.02, fresh_vectors(net, 1), 50),
           proved: certify::upper_bounds(certify::prepare(net, "rigorous"), two, 0.02, [0, 1], 0, true) }
        "#,
    );
    let mut found = found.cast::<rhai::Map>();
    let keys: Vec<String> = found.remove("keys").unwrap().into_typed_array().unwrap();
    for key in ["varying/layer 0", "varying/layer 2.1.0", "varying/layer 3.1", "varying/layer 3", "varying/all"] {
        assert!(keys.iter().any(|k| k == key), "{key}: {keys:?}");
    }
    let rows: Vec<i64> = found.remove("rows").unwrap().into_typed_array().unwrap();
    assert!(rows[0] > 0 && rows[1] == 5 && rows[2] == 6 && rows[3] == 9, "{rows:?}");
    let margins: Vec<f64> = found.remove("margins").unwrap().into_typed_array().unwrap();
    assert!(margins[1..].iter().all(|m| (m - margins[0]).abs() < 1e-2 && *m <= margins[0] + 1e-5), "{margins:?}");
}

/// What ends by memory or not at all is refused, or goes another way.
#[test]
fn deep_and_wide_trees_are_taken_or_refused() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/certify" as certify;
        let list = [relu()];
        for i in 0..1500 { list = [residual(list + [relu()])]; }
        let why = ""; try { sequential([4], list + [linear(2)]); } catch (e) { why = e.to_string(); }
        let deep = [linear(4)];
        for i in 0..30 { deep = [residual(deep + [relu()])]; }
        let deep = sequential([4], deep + [linear(2)]);
        // A block's matrix is too large: a norm for each branch is left.
        let wide = sequential([12000], [residual([linear(2), relu(), linear(12000)]), relu(), linear(2)]);
        let x = zeros([1, 12000]);
        let margins = certify::margins_within(certify::prepare(wide, "rigorous", #{ tolerance: 0.1 }), x, wide.forward(x).argmax(1), 0.0, [0], 0, true);
        #{ why: why, layers: deep.all_layers.len(), margin: margins.margins.item(), y: deep.forward(zeros([1, 4])).shape }
        "#,
    );
    let found = found.cast::<rhai::Map>();
    let why = found["why"].clone().into_string().unwrap();
    assert!(why.contains("deep; at most 40"), "{why}");
    assert!(found["layers"].as_int().unwrap() > 60 && found["margin"].as_float().unwrap() >= 0.0);
}

/// Layers in one call come to what they come to one by one, in blocks and behind a batch's own statistics too; so does the ball's center.
#[test]
fn layers_one_behind_the_other() {
    let mut lab = Lab::on(Device::Cpu);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let inner = [conv2d(4, 3, #{ padding: 1 }), batch_norm2d(), maxmin(), residual([conv2d(4, 1), relu()])];
        let net = sequential([2, 6, 6], [conv2d(4, 3, #{ padding: 1 }), relu(), residual(inner), batch_centering(), flatten(), linear(3)],
            #{ dtype: "f64" });
        let x = randn([5, 2, 6, 6]).to_dtype("f64");
        let one_by_one = x;
        for layer in net.layers { one_by_one = layer.forward(one_by_one); }
        #{ one_by_one: one_by_one, together: net.layers.forward(x), network: net.forward(x), same: [].forward(x) - x,
           ball: lip::ball(net, x, 0.1, fresh_vectors(net, 5), 5).logits }
        "#,
    );
    let one_by_one = values(&entry(&found, "one_by_one"));
    for name in ["together", "network", "ball"] {
        let gaps = values(&entry(&found, name)).iter().zip(&one_by_one).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>();
        assert!(gaps.len() == 15 && gaps.iter().all(|gap| *gap < 1e-12), "{name}: {gaps:?}");
    }
    assert!(values(&entry(&found, "same")).iter().all(|gap| *gap == 0.0));
    let refused = lab.run(
        r#"
        let net = sequential([2], [linear(2)]);
        let told = "";
        try { [net.layers[0], linear(2)].forward(randn([1, 2])); } catch (e) { told = `${e}`; }
        told
        "#,
    );
    assert!(
        refused
            .to_string()
            .contains("forward: element 1 of the list is a LayerSpec, not a network's layer, as `net.layers` has them"),
        "{refused}"
    );
}
