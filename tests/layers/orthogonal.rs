//! Orthogonal layers and their like against float64 values and gradients of another program (`tests/cases`; all of them by `WORKBENCH_GOLDEN`,
//! `frontier/layers`), and what they are after steps of training.

use super::common::contract::upper_options;
use super::common::{Lab, close, dense, values};
use super::resnets::golden;
use candle_core::{DType, Device, Tensor, Var};
use workbench::base::random::Generator;
use workbench::bounds::{UpperMethod, norm_bound};
use workbench::compute::autograd::backward;
use workbench::compute::variables::assign;
use workbench::nn::layers::*;
use workbench::nn::{LayerSpec, Sequential};

fn alone(spec: &LayerSpec, input: &[usize], dtype: DType) -> Sequential {
    Sequential::new(input, std::slice::from_ref(spec), dtype, &Device::Cpu, &Generator::new(0)).unwrap()
}

fn cayley(channels: usize, kernel: usize, stride: usize) -> LayerSpec {
    LayerSpec::of(CayleyConv2d { channels, kernel, stride, bias: true, train_alpha: true })
}

fn bro(channels: usize, stride: usize, rank: usize) -> LayerSpec {
    LayerSpec::of(BroConv2d { channels, kernel: 3, stride, padding: 1, rank, bias: true })
}

fn soc(channels: usize, stride: usize, terms: usize) -> LayerSpec {
    LayerSpec::of(SocConv2d { channels, kernel: 3, stride, terms, bias: true })
}

/// The cases of the golden file, and the layers that they are.
fn cases() -> Vec<(&'static str, LayerSpec)> {
    let aol = |channels, stride| LayerSpec::of(Made(AolConv2d { channels, kernel: 3, stride, padding: 1, bias: true }));
    let dense = |features| LayerSpec::of(Made(CayleyLinear { features, bias: true, train_alpha: true }));
    vec![
        ("cayley_conv_square", cayley(4, 3, 1)),
        ("cayley_conv_wide", cayley(5, 3, 1)),
        ("cayley_conv_narrow", cayley(3, 3, 1)),
        ("cayley_conv_odd", cayley(4, 3, 1)),
        ("cayley_conv_stride2", cayley(6, 2, 2)),
        ("cayley_conv_stride2_narrow", cayley(4, 6, 2)),
        ("cayley_linear_wide", dense(9)),
        ("cayley_linear_narrow", dense(4)),
        ("aol_conv_stride1", aol(5, 1)),
        ("aol_conv_stride2", aol(3, 2)),
        ("aol_linear", LayerSpec::of(Made(AolLinear { features: 5, bias: true }))),
        ("soc_conv_square", soc(4, 1, 12)),
        ("soc_conv_square_train", soc(4, 1, 5)),
        ("soc_conv_wide", soc(5, 1, 12)),
        ("soc_conv_narrow", soc(3, 1, 12)),
        ("soc_conv_stride2", soc(8, 2, 12)),
        ("bro_linear", LayerSpec::of(Made(BroLinear { features: 8, rank: 3, bias: true }))),
        ("bro_conv_square", bro(6, 1, 3)),
        ("bro_conv_wide", bro(6, 1, 4)),
        ("bro_conv_narrow", bro(4, 1, 4)),
        ("bro_conv_stride2", bro(6, 2, 6)),
        ("cholesky_residual", LayerSpec::of(Made(CholeskyLinear { scale: 8f64.powf(-0.5), bias: true }))),
        ("sll_linear", LayerSpec::of(Stepped(SllLinear { inner: 8 }))),
        ("sll_conv", LayerSpec::of(Stepped(SllConv2d { inner: 6, kernel: 3 }))),
        ("cpl_linear", LayerSpec::of(Stepped(CplLinear { inner: 8, squarings: 30 }))),
        ("cpl_conv", LayerSpec::of(Stepped(CplConv2d { inner: 4, kernel: 3, iterations: 2000 }))),
        ("lln", LayerSpec::of(Made(LlnLinear { features: 5, bias: true }))),
    ]
}

#[test]
fn each_meets_the_truth_with_its_gradients() {
    // A part of them comes with every clone.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/orthogonal.safetensors");
    let here = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let all = golden("layers").unwrap_or_else(|| here.clone());
    for (case, spec) in cases() {
        if !all.contains_key(&format!("{case}/x")) {
            continue;
        }
        for (dtype, value, gradient) in [(DType::F64, 1e-10, 1e-8), (DType::F32, 2e-5, 2e-3)] {
            let read = |key: &str| all[&format!("{case}/{key}")].to_dtype(dtype).unwrap();
            let x = Var::from_tensor(&read("x")).unwrap();
            let net = alone(&spec, &x.dims()[1..], dtype);
            // Vectors of power iterations are no parameters of theirs.
            for (name, var) in net.trained() {
                let own = read(&format!("param/{}", &name[2..]));
                assign(&var, &own.reshape(var.shape()).unwrap()).unwrap();
            }
            let y = net.forward(x.as_tensor()).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            close(&format!("{case}: its value"), &wide(&y), &wide(&read("y")), value);
            let gradients = backward(&(y * read("cotangent")).unwrap().sum_all().unwrap()).unwrap();
            close(
                &format!("{case}: in x"),
                &wide(gradients.get(x.as_tensor()).unwrap()),
                &wide(&read("grad/x")),
                gradient,
            );
            for (name, var) in net.trained() {
                let own = gradients.get(var.as_tensor()).unwrap();
                let truth = read(&format!("grad/{}", &name[2..]));
                close(&format!("{case}: in {name}"), &wide(own), &wide(&truth.reshape(own.shape()).unwrap()), gradient);
            }
        }
    }
}

#[test]
fn after_fifty_steps_a_norm_is_what_the_kind_says_and_its_bound_is_above() {
    let at_most = |name: &str| match name {
        // Five terms of an exponential leave more than 1, rows of norm 1 are no map of norm 1.
        "soc_conv_square_train" => 1.01,
        "lln" => 5f64.sqrt(),
        _ => 1.0 + 1e-5,
    };
    let inputs = |name: &str| match name {
        "cayley_linear_wide" | "cayley_linear_narrow" | "aol_linear" | "lln" | "sll_linear" | "cpl_linear" => vec![7],
        "bro_linear" | "cholesky_residual" => vec![8],
        _ => vec![2, 6, 6],
    };
    let random = Generator::new(11);
    for (case, spec) in cases() {
        let input = inputs(case);
        let net = alone(&spec, &input, DType::F64);
        let x = random.normal(0.0, 1.0, [&[4], input.as_slice()].concat(), DType::F64, &Device::Cpu).unwrap();
        let toward = random.normal(0.0, 3.0, net.forward(&x).unwrap().shape(), DType::F64, &Device::Cpu).unwrap();
        let loss = || (net.forward(&x).unwrap() - &toward).unwrap().sqr().unwrap().mean_all().unwrap();
        let first = values(&loss())[0];
        for _ in 0..50 {
            let gradients = backward(&loss()).unwrap();
            for (_, var) in net.trained() {
                let g = gradients.get(var.as_tensor()).unwrap();
                assign(&var, &(var.as_detached_tensor() - (g * 0.05).unwrap()).unwrap()).unwrap();
            }
        }
        assert!(values(&loss())[0] < first, "{case}: it does not learn");
        let net = net.frozen();
        let net = net.current().unwrap();
        let layer = &net.layers()[0];
        if !layer.is_affine() {
            let said = layer.lipschitz().unwrap();
            assert!((1.0..=1.0 + 1e-5).contains(&said), "{case}: a constant of {said}");
            continue;
        }
        let norm = dense(layer).singular_values().max();
        assert!(norm <= at_most(case), "{case}: a norm of {norm}");
        let options = upper_options(UpperMethod::Cholesky, 1);
        let upper = values(&norm_bound(layer, None, None, &options).unwrap().upper)[0];
        // A crop leaves less than the whole, which is what is bounded.
        let whole = if case.starts_with("bro_conv") { norm.max(1.0) } else { norm };
        assert!(norm <= upper && upper <= whole * 1.003 + 1e-6, "{case}: {upper} bounds {norm}");
    }
}

/// What a layer promises is not asked: a sum of two terms is longer than 1, and is bounded as what it is.
#[test]
fn a_series_that_is_cut_early_is_bounded_above_one() {
    let net = alone(&soc(4, 1, 1), &[4, 6, 6], DType::F64).frozen();
    let net = net.current().unwrap();
    let norm = dense(&net.layers()[0]).singular_values().max();
    let options = upper_options(UpperMethod::GramIteration, 2);
    let bound = values(&norm_bound(&net.layers()[0], None, None, &options).unwrap().upper);
    assert!(norm > 1.2 && bound.iter().all(|b| *b >= norm && *b < norm * 1.003), "{bound:?} of {norm}");
}

/// Boxes of a layer by frequency move with its parameters, as those of a convolution do.
#[test]
fn the_gradient_of_a_box_reaches_the_weight() {
    for spec in [cayley(3, 3, 1), bro(3, 1, 2), soc(3, 1, 4)] {
        let net = alone(&spec, &[2, 4, 4], DType::F64);
        let (random, weight) = (Generator::new(4), net.parameter("0.weight").unwrap());
        let h = random.uniform(0.0, 1.0, (1, 2, 4, 4), DType::F64, &Device::Cpu).unwrap();
        let along = random.normal(0.0, 1.0, weight.dims(), DType::F64, &Device::Cpu).unwrap();
        let toward = random.normal(0.0, 1.0, (1, 3, 4, 4), DType::F64, &Device::Cpu).unwrap();
        let value = || {
            let now = net.current().unwrap();
            (now.layers()[0].apply_absolute(&h).unwrap() * &toward).unwrap().sum_all().unwrap()
        };
        let gradient = backward(&value()).unwrap().get(weight.as_tensor()).unwrap().clone();
        let own: f64 = values(&(gradient * &along).unwrap()).iter().sum();
        let first = weight.as_detached_tensor().copy().unwrap();
        let at = |t: f64| {
            assign(weight, &(&first + (&along * t).unwrap()).unwrap()).unwrap();
            values(&value())[0]
        };
        let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((own - slope).abs() < 1e-6 * (1.0 + slope.abs()), "{}: {own} {slope}", spec.describe());
    }
}

/// KWLarge in small, the network of the paper's row: logits, gradients of its loss, certificates.
#[test]
fn a_network_of_cayley_layers_meets_the_truth() {
    let Some(all) = golden("layers") else { return };
    let conv = |channels, kernel, stride| {
        LayerSpec::of(CayleyConv2d { channels, kernel, stride, bias: true, train_alpha: true })
    };
    let dense = |features| LayerSpec::of(Made(CayleyLinear { features, bias: true, train_alpha: true }));
    let maxmin = || LayerSpec::of(MaxMin);
    let specs = [
        LayerSpec::of(Normalize { mean: vec![0.4914, 0.4822, 0.4465], std: vec![1.0; 3] }),
        conv(4, 3, 1),
        maxmin(),
        conv(4, 3, 2),
        maxmin(),
        conv(8, 3, 1),
        maxmin(),
        conv(8, 3, 2),
        maxmin(),
        LayerSpec::of(Flatten),
        dense(16),
        maxmin(),
        dense(8),
        maxmin(),
        dense(5),
    ];
    let net = Sequential::new(&[3, 8, 8], &specs, DType::F64, &Device::Cpu, &Generator::new(0)).unwrap();
    let read = |key: &str| all[&format!("kwlarge/{key}")].clone();
    // Their layers are numbered without what has no parameters.
    let theirs = [(1, 0), (3, 1), (5, 2), (7, 3), (10, 4), (12, 5), (14, 6)];
    for (ours, theirs) in theirs {
        for part in ["weight", "alpha", "bias"] {
            let var = net.parameter(&format!("{ours}.{part}")).unwrap();
            assign(var, &read(&format!("param/{theirs}.{part}")).reshape(var.shape()).unwrap()).unwrap();
        }
    }
    let x = Var::from_tensor(&read("x")).unwrap();
    let logits = net.forward(x.as_tensor()).unwrap();
    close("logits", &logits, &read("logits"), 1e-10);
    let label = read("label").to_dtype(DType::U32).unwrap().unsqueeze(1).unwrap();
    let apart = logits.broadcast_sub(&logits.gather(&label, 1).unwrap()).unwrap();
    // The label's own term is the margin, always.
    let hinge = (apart + 0.5).unwrap().relu().unwrap().sum_all().unwrap();
    let loss = ((hinge - 8.0 * 0.5).unwrap() / (8.0 * 5.0)).unwrap();
    close("loss", &loss.reshape(1).unwrap(), &read("loss"), 1e-10);
    let gradients = backward(&loss).unwrap();
    close("in x", gradients.get(x.as_tensor()).unwrap(), &read("grad/x"), 1e-8);
    for (ours, theirs) in theirs {
        for part in ["weight", "alpha", "bias"] {
            let own = gradients.get(net.parameter(&format!("{ours}.{part}")).unwrap().as_tensor()).unwrap();
            let truth = read(&format!("grad/{theirs}.{part}")).reshape(own.shape()).unwrap();
            close(&format!("in {ours}.{part}"), own, &truth, 1e-8);
        }
    }
}

/// Every bound walks over each kind, in f32 as in f64, and a proof holds against an attack.
#[test]
fn every_bound_takes_them() {
    let kinds = r#"["cayley", "bro", "soc", "aol", "sll", "cpl", "cholesky"]"#;
    let mut lab = Lab::on(Device::Cpu);
    let told = lab.run(&format!(
        r#"
        import "std/local_lip" as lip;
        import "std/networks"  as networks;
        import "std/certify"   as certify;
        let told = [];
        for kind in {kinds} {{
            let side  = if kind == "cpl" {{ 4 }} else {{ 8 }};                // its convolutions' constants come from matrices, which are squared
            let model = networks::orthogonal_2c2f([1, side, side], 10, kind);
            let x     = uniform(0, 1, [3, 1, side, side]);
            let y     = model.forward(x).argmax(1);
            let fresh = fresh_vectors(model, 3);
            let local = lip::bounds(model, x, 0.05, fresh, 30);
            let box   = lip::box(model, x, 0.01);
            lip::ball(model, x, 0.05, fresh, 30).radius;
            // Its gradient goes through boxes and norms to every parameter.
            (worst_logits(model, local, y, #{{}}).sum() + box.region.mean_width.sum()).backward();
            let proved = certify::margins_within(certify::prepare(model, "rigorous"), x, y, 0.05, [0, 1, 2], 0, true);
            let stands = pgd(model, x, y, 0.05, #{{ steps: 20, restarts: 2 }});
            let own    = margins(model.forward(stands), y);
            for i in 0..3 {{ if proved.margins.to_array()[i] > 0.0 && own.to_array()[i] <= 0.0 {{ told.push(kind); }} }}
            if !(proved.margins.to_array().all(|m| m > -1e6)) {{ told.push(`${{kind}}: ${{proved.margins}}`); }}
        }}
        told
        "#
    ));
    assert!(told.clone().into_array().unwrap().is_empty(), "{told:?}");
}

/// What makes no layer is refused in words, from a script and from a file.
#[test]
fn settings_that_make_no_layer_are_refused() {
    let why = |text: &str, input: &[usize]| {
        let spec: LayerSpec = serde_json::from_str(text).unwrap();
        let made = Sequential::new(input, &[spec], DType::F64, &Device::Cpu, &Generator::new(0));
        made.expect_err(text).to_string()
    };
    let image = [2, 6, 6];
    let cases = [
        (
            r#"{"kind":"cayley_conv2d","channels":2,"kernel":3,"stride":0,"bias":true,"train_alpha":true}"#,
            "stride of 0",
        ),
        (
            r#"{"kind":"cayley_conv2d","channels":2,"kernel":9,"stride":1,"bias":true,"train_alpha":true}"#,
            "does not fit",
        ),
        (r#"{"kind":"bro_conv2d","channels":2,"kernel":0,"stride":1,"padding":0,"rank":0,"bias":true}"#, "0x0 kernel"),
        (
            r#"{"kind":"bro_conv2d","channels":2,"kernel":3,"stride":1,"padding":9223372036854775807,"rank":0,"bias":true}"#,
            "padding",
        ),
        (r#"{"kind":"bro_conv2d","channels":2,"kernel":3,"stride":1,"padding":1,"rank":7,"bias":true}"#, "rank of 7"),
        (r#"{"kind":"soc_conv2d","channels":2,"kernel":2,"stride":1,"terms":3,"bias":true}"#, "in its middle"),
        (r#"{"kind":"soc_conv2d","channels":2,"kernel":3,"stride":1,"terms":1000000,"bias":true}"#, "1000000 terms"),
        (r#"{"kind":"sll_conv2d","inner":0,"kernel":3}"#, "inner channels"),
        (r#"{"kind":"cpl_conv2d","inner":3,"kernel":4,"iterations":1}"#, "in its middle"),
        (r#"{"kind":"cpl_conv2d","inner":3,"kernel":3,"iterations":0}"#, "0 power iterations"),
        (r#"{"kind":"linear_residual","kernel":4,"scale":1.0,"bias":true}"#, "in its middle"),
    ];
    for (text, said) in cases {
        let why = why(text, &image);
        assert!(why.contains(said), "{text}: {why}");
    }
    assert!(
        why(
            r#"{"kind":"cayley_conv2d","channels":2,"kernel":3,"stride":1,"bias":true,"train_alpha":true}"#,
            &[2, 6, 5]
        )
        .contains("square images")
    );
    assert!(why(r#"{"kind":"cpl_linear","inner":3,"squarings":100}"#, &[4]).contains("100 squarings"));
    assert!(why(r#"{"kind":"aol_linear","features":3,"bias":true}"#, &image).contains("flatten()"));
}

/// With one channel, and with weights of 0, layers are what their formulas come to in the limit, no NaN.
#[test]
fn weights_of_zero_make_no_nan() {
    for (spec, input) in [
        (LayerSpec::of(SocConv2d { channels: 1, kernel: 1, stride: 1, terms: 4, bias: false }), vec![1, 3, 3]),
        (soc(2, 1, 4), vec![2, 4, 4]),
        (LayerSpec::of(Stepped(CplLinear { inner: 3, squarings: 25 })), vec![4]),
        (LayerSpec::of(Stepped(CplConv2d { inner: 3, kernel: 3, iterations: 2 })), vec![2, 4, 4]),
        (LayerSpec::of(Stepped(SllLinear { inner: 3 })), vec![4]),
        (LayerSpec::of(Made(AolLinear { features: 4, bias: false })), vec![4]),
    ] {
        let net = alone(&spec, &input, DType::F64);
        for (_, var) in net.parameters() {
            assign(var, &var.zeros_like().unwrap()).unwrap();
        }
        let x =
            Generator::new(1).normal(0.0, 1.0, [&[2], input.as_slice()].concat(), DType::F64, &Device::Cpu).unwrap();
        let y = values(&net.forward(&x).unwrap());
        assert!(y.iter().all(|y| y.is_finite()), "{}: {y:?}", spec.describe());
    }
}

/// Matrices that are nearly of no full rank are still one exact kernel's, so that boxes and rows are those of the map.
#[test]
fn a_reflector_of_nearly_dependent_columns_is_what_its_bounds_say() {
    let random = Generator::new(2);
    for apart in [1e-5, 1e-6, 1e-7] {
        let net = alone(&bro(4, 1, 2), &[4, 4, 4], DType::F64);
        let weight = net.parameter("0.weight").unwrap();
        let first = random.normal(0.0, 1.0, (4, 1, 3, 3), DType::F64, &Device::Cpu).unwrap();
        let noise = random.normal(0.0, apart, (4, 1, 3, 3), DType::F64, &Device::Cpu).unwrap();
        let second = ((&first * 1.3).unwrap() + noise).unwrap();
        assign(weight, &Tensor::cat(&[first, second], 1).unwrap()).unwrap();
        let net = net.frozen();
        let net = net.current().unwrap();
        let layer = &net.layers()[0];
        let matrix = dense(layer);
        let norms = values(&layer.row_norms().unwrap());
        for (i, row) in matrix.row_iter().enumerate() {
            assert!(row.norm() <= norms[i / 16] * (1.0 + 1e-9), "{apart:e}: row {i}");
        }
        let h = random.uniform(0.0, 1.0, (1, 4, 4, 4), DType::F64, &Device::Cpu).unwrap();
        let said = values(&layer.apply_absolute(&h).unwrap());
        let h = nalgebra::DVector::from_vec(values(&h));
        let true_one = matrix.abs() * h;
        assert!(true_one.iter().zip(&said).all(|(a, b)| a <= b), "{apart:e}: |W| h");
        let options = upper_options(UpperMethod::Cholesky, 1);
        let upper = values(&norm_bound(layer, None, None, &options).unwrap().upper)[0];
        assert!(matrix.singular_values().max() <= upper, "{apart:e}: {upper}");
    }
}
