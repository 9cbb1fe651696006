//! Upper bounds on norms against a dense SVD in f64: no bound lies below, on layers of every kind, with masks of every density,
//! weights from 1e-12 to 1e12, dead layers. `WORKBENCH_CASES` networks, 150 without it.

mod common;

use candle_core::{DType, Device, Tensor};
use common::{dense, random_net, values};
use nalgebra::DMatrix;
use workbench::base::random::{Generator, Key, StreamName};
use workbench::bounds::{NormBound, UpperMethod, UpperOptions, norm_bound};
use workbench::nn::layers::{AvgPool2d, Conv2d, Dense, Linear, Normalize};
use workbench::nn::{Layer, LayerSpec, Sequential};

const BATCH: usize = 3;

fn cases() -> usize {
    std::env::var("WORKBENCH_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

fn options(method: UpperMethod, tolerance: f64, batch: usize) -> UpperOptions {
    let index = (0..batch as u64).collect();
    let steps = if method == UpperMethod::GramIteration { 10 } else { 400 };
    UpperOptions { method, tolerance, failure: 1e-9, steps, key: Key::of_seed(7), index, turn: 0 }
}

fn bound(layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>, options: &UpperOptions) -> NormBound {
    norm_bound(layer, columns, rows, options)
        .unwrap_or_else(|e| panic!("{} over {:?}: {e}", layer.spec.describe(), layer.input))
}

/// The methods for a layer.
fn methods(layer: &Layer) -> Vec<UpperMethod> {
    match layer.dense() {
        Some(Dense::Matrix { .. }) => vec![UpperMethod::Cholesky, UpperMethod::Lanczos, UpperMethod::GramIteration],
        Some(Dense::Diagonal { .. }) => vec![UpperMethod::Cholesky, UpperMethod::Lanczos],
        _ => vec![UpperMethod::Cholesky, UpperMethod::Lanczos, UpperMethod::Circulant],
    }
}

/// The spectral norm of a dense matrix: by its SVD, without the rows and columns of zeros, at which nalgebra's can end in NaN;
/// where it does all the same, by the eigenvalues of the Gram matrix.
fn norm(matrix: &DMatrix<f64>) -> f64 {
    let peak = matrix.amax();
    if peak == 0.0 {
        return 0.0;
    }
    let rows: Vec<usize> = (0..matrix.nrows()).filter(|r| matrix.row(*r).amax() > 0.0).collect();
    let columns: Vec<usize> = (0..matrix.ncols()).filter(|c| matrix.column(*c).amax() > 0.0).collect();
    let a = matrix.select_rows(&rows).select_columns(&columns) / peak;
    let by_svd = a
        .clone()
        .singular_values_unordered()
        .iter()
        .fold(0.0, |m: f64, s| if s.is_nan() { f64::NAN } else { m.max(*s) });
    let found = if by_svd.is_nan() {
        let gram = if a.nrows() < a.ncols() { &a * a.transpose() } else { a.transpose() * &a };
        gram.symmetric_eigenvalues().iter().fold(0.0, |m: f64, l| if l.is_nan() { f64::NAN } else { m.max(*l) }).sqrt()
    } else {
        by_svd
    };
    // A norm is at least the largest entry and at most the Frobenius norm, or it is none.
    assert!(found >= 1.0 - 1e-12 && found <= a.norm() * (1.0 + 1e-12), "no norm of {a}: {found}");
    peak * found
}

#[test]
fn no_bound_lies_below_the_norm() {
    let random = Generator::new(91);
    let (mut checked, mut worst) = (0, f64::INFINITY);
    for _ in 0..cases() {
        let net = random_net(&random);
        let scale = match (random.unit() * 8.0) as usize {
            0 => 0.0,
            1 => 1e-12,
            2 => 1e12,
            _ => 10f64.powf(4.0 * random.unit() - 2.0),
        };
        for (name, var) in net.parameters() {
            if name.ends_with(".weight") {
                var.set(&(var.as_tensor().detach() * scale).unwrap()).unwrap();
            }
        }
        for layer in net.layers().iter().filter(|l| l.is_affine()) {
            let matrix = dense(layer);
            let (n, m) = (matrix.ncols(), matrix.nrows());
            let density = [0.0, 0.05, 0.3, 0.7, 1.0][(random.unit() * 5.0) as usize];
            let mask = |shape: &[usize]| {
                let shape = [&[BATCH], shape].concat();
                random.uniform(0.0, 1.0, shape, DType::F64, &Device::Cpu).unwrap().lt(density).unwrap()
            };
            let (columns, rows) = (mask(&layer.input), mask(&layer.output));
            let pick = random.unit();
            let (columns, rows) = (Some(&columns).filter(|_| pick < 0.8), Some(&rows).filter(|_| pick > 0.2));
            let kept = |mask: Option<&Tensor>, at: usize| mask.is_none_or(|m| values(m)[at] != 0.0);
            for method in methods(layer) {
                let found = bound(layer, columns, rows, &options(method, 1e-3, BATCH));
                for (b, upper) in values(&found.upper).into_iter().enumerate() {
                    let masked = DMatrix::from_fn(m, n, |i, j| {
                        if kept(rows, b * m + i) && kept(columns, b * n + j) { matrix[(i, j)] } else { 0.0 }
                    });
                    let truth = norm(&masked);
                    let what =
                        format!("{method:?} of {} over {:?}, scale {scale:e}", layer.spec.describe(), layer.input);
                    // The dense norm is itself rounded.
                    assert!(upper >= truth * (1.0 - 1e-13), "{what}: {upper:e} below {truth:e}");
                    let lower = values(&found.lower)[b];
                    let pooled = layer.spec.is::<AvgPool2d>() || layer.spec.is::<Normalize>();
                    if method != UpperMethod::Circulant && !pooled {
                        assert!(lower <= truth * (1.0 + 1e-9), "{what}: from below {lower:e}, truth {truth:e}");
                        let loose = if method == UpperMethod::GramIteration { 1.01 } else { 1.02 };
                        // What is next to nothing beside the unmasked norm is not told from it.
                        assert!(upper <= truth * loose + 1e-4 * matrix.norm(), "{what}: {upper:e}, truth {truth:e}");
                    }
                    if truth > 0.0 {
                        worst = worst.min(upper / truth);
                    }
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} bounds of {} networks, the lowest {worst} x the norm", cases());
    assert!(checked > 10 * cases());
}

/// The circular convolution that holds a zero-padded one is hardly larger, with stride too.
#[test]
fn frequencies_are_close_to_the_norm_of_smooth_kernels() {
    for (channels, kernel, stride, padding, side) in
        [(6, 3, 1, 1, 9), (6, 4, 2, 1, 10), (4, 5, 3, 2, 11), (3, 4, 2, 0, 9)]
    {
        let spec = LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias: false });
        let net = Sequential::new(&[3, side, side], &[spec], DType::F64, &Device::Cpu, &Generator::new(6)).unwrap();
        let layer = &net.layers()[0];
        let truth = dense(layer).singular_values().max();
        let upper = values(&bound(layer, None, None, &options(UpperMethod::Circulant, 1e-4, 1)).upper)[0];
        assert!(upper >= truth && upper <= 1.25 * truth, "{}: {upper} against {truth}", layer.spec.describe());
    }
}

/// Weights that are not numbers have no bound, and zero weights the bound zero.
#[test]
fn broken_and_dead_layers() {
    for spec in [
        LayerSpec::of(Linear { features: 5, bias: false }),
        LayerSpec::of(Conv2d { channels: 3, kernel: 3, stride: 1, padding: 1, bias: false }),
    ] {
        let input: &[usize] = if spec.is::<Linear>() { &[7] } else { &[2, 5, 5] };
        for bad in [f64::NAN, f64::INFINITY, 0.0] {
            let net = Sequential::new(input, std::slice::from_ref(&spec), DType::F64, &Device::Cpu, &Generator::new(2))
                .unwrap();
            let (_, var) = &net.parameters()[0];
            let spoilt = (var.as_tensor().detach().zeros_like().unwrap() + bad).unwrap();
            var.set(&spoilt).unwrap();
            let layer = &net.layers()[0];
            for method in methods(layer) {
                let upper = values(&bound(layer, None, None, &options(method, 1e-3, 1)).upper)[0];
                if bad == 0.0 {
                    assert_eq!(upper, 0.0);
                } else {
                    assert!(upper.is_nan(), "{method:?} with weights {bad}: {upper}");
                }
            }
        }
    }
}

/// Bounds do not depend on who shares the batch, nor on the number of threads at work.
#[test]
fn a_sample_alone_has_the_same_bound() {
    let spec = LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: false });
    let net = Sequential::new(&[3, 8, 8], &[spec], DType::F64, &Device::Cpu, &Generator::new(2)).unwrap();
    let layer = &net.layers()[0];
    let random = Generator::new(12);
    let mask = random.uniform(0.0, 1.0, (4, 3, 8, 8), DType::F64, &Device::Cpu).unwrap().lt(0.6).unwrap();
    for method in [UpperMethod::Cholesky, UpperMethod::Lanczos] {
        let together = values(&bound(layer, Some(&mask), None, &options(method, 1e-3, 4)).upper);
        for (b, expected) in together.iter().enumerate() {
            let mut own = options(method, 1e-3, 1);
            own.index = vec![b as u64];
            let alone = values(&bound(layer, Some(&mask.narrow(0, b, 1).unwrap()), None, &own).upper)[0];
            assert_eq!(alone.to_bits(), expected.to_bits(), "{method:?}, sample {b}");
        }
    }
}

/// A matrix made for known random numbers: its largest direction is one that none of the start vectors has. With those the bound is
/// false, with others it holds, so they have to be drawn after the matrix is there.
#[test]
fn a_matrix_can_be_made_for_random_numbers_that_are_known() {
    let (n, known) = (40, Key::of_seed(0));
    let starts = (0..3u64).map(|run| {
        let own = StreamName { key: known, stream: run }.fork("lanczos 0").generator();
        DMatrix::from_fn(n, 1, |_, _| own.gauss())
    });
    let starts: Vec<_> = starts.collect();
    // A unit vector that is orthogonal to all of them, and an orthonormal basis that begins with it.
    let random = Generator::new(9);
    let mut basis = DMatrix::from_fn(n, n, |_, _| random.gauss());
    starts.iter().enumerate().for_each(|(i, v)| basis.set_column(i, &v.column(0)));
    let hidden = basis.qr().q().column(n - 1).into_owned();
    let mut basis = DMatrix::from_fn(n, n, |_, _| random.gauss());
    basis.set_column(0, &hidden);
    let basis = basis.qr().q();
    let sizes = DMatrix::from_diagonal(&nalgebra::DVector::from_fn(n, |i, _| match i {
        0 => 1.08,
        1 => 1.0,
        i => 0.1 + 0.4 * i as f64 / n as f64,
    }));
    let matrix = &basis * sizes * basis.transpose();
    let specs = [LayerSpec::of(Linear { features: n, bias: false })];
    let net = Sequential::new(&[n], &specs, DType::F64, &Device::Cpu, &Generator::new(0)).unwrap();
    let rows: Vec<f64> = matrix.transpose().iter().copied().collect();
    net.parameter("0.weight").unwrap().set(&Tensor::from_vec(rows, (n, n), &Device::Cpu).unwrap()).unwrap();
    let truth = matrix.singular_values().max();
    let stated = |key| {
        let options = UpperOptions { key, failure: 1e-12, ..options(UpperMethod::Lanczos, 1e-3, 1) };
        values(&norm_bound(&net.layers()[0], None, None, &options).unwrap().upper)[0]
    };
    assert!(stated(known) < 1.03 && truth > 1.0799, "{} for {truth}", stated(known));
    for _ in 0..20 {
        let bound = stated(Key::drawn().unwrap());
        assert!(bound >= truth && bound < 1.01 * truth, "{bound} for {truth}");
    }
}

/// Scripts and stored runs of 0.1 have other names for the methods.
#[test]
fn methods_are_known_by_their_former_names() {
    let mut lab = common::Lab::new();
    let _ = lab.run(
        "let net = sequential([6], [linear(5), relu(), linear(3)]); let conv = sequential([2, 5, 5], [conv2d(3, 3)]);",
    );
    for (old, new) in UpperMethod::FORMER {
        let layer = if new == "circulant" { "conv.layers[0]" } else { "net.layers[0]" };
        let upper = |name: &str| {
            format!(
                "norm_bound({layer}, (), (), #{{ method: \"{name}\", {} }}).upper.item()",
                match new {
                    "gram_iteration" => "squarings: 8",
                    _ => "index: [0], turn: 0",
                }
            )
        };
        let [before, now] = [old, new].map(|name| lab.run(&upper(name)).as_float().expect("a number"));
        assert!(before == now && now > 0.0, "{old}: {before}, {new}: {now}");
    }
    for (old, new) in [("factor", "cholesky"), ("fourier", "circulant")] {
        let kept = lab.run(&format!(
            "import \"std/certify\" as certify; certify::prepare(net, \"rigorous\", #{{ global: \"{old}\" }}).global"
        ));
        assert_eq!(kept.into_string().expect("a name"), new);
    }
}
