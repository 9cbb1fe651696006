//! What every kind of layer owes to the bounds, whoever wrote it: adjoint against forward, box against samples, row norms and |W|
//! against the dense matrix, Lipschitz constant against slopes, gradients against finite differences, roundings against f64.

use super::{dense, values};
use candle_core::{DType, Tensor, Var};
use nalgebra::DMatrix;
use workbench::base::random::{Generator, Key};
use workbench::bounds::{self, Arithmetic, PowerOptions, Region, UpperMethod, UpperOptions};
use workbench::compute::autograd::backward;
use workbench::nn::layers::{Activation, Affine, Choice, Lines, Reshape, Side, Slope, image};
use workbench::nn::{Layer, Role};

const BATCH: usize = 3;

/// Hold one layer, in f64 on the CPU, to its contract.
#[track_caller]
pub fn hold(layer: &Layer, random: &Generator) {
    let what = format!("{} over {:?}", layer.title(), layer.input);
    println!("{what}");
    let x = draw(random, BATCH, &layer.input);
    let y = layer.forward(&x).unwrap();
    assert_eq!(y.dims()[1..], layer.output, "{what}: the shape behind it");
    assert!(!layer.frozen().forward(&x).unwrap().track_op(), "{what}: frozen, it takes no gradient");
    gradients(layer, random, &what);
    match &layer.role {
        Role::Affine(map) => affine(layer, &**map, random, &what),
        Role::Activation(f) => activation(layer, &**f, random, &what),
        Role::Reshape(r) => reshape(layer, &**r, random, &what),
        // What a block is to bounds is the walk's to say: tests/layers/trees.rs.
        Role::Branches(_) => {}
    }
}

fn draw(random: &Generator, batch: usize, shape: &[usize]) -> Tensor {
    random.normal(0.0, 1.0, [&[batch], shape].concat(), DType::F64, &candle_core::Device::Cpu).unwrap()
}

fn most(t: &Tensor) -> f64 {
    values(t).into_iter().fold(0.0, |m, x| if x.is_nan() { f64::NAN } else { m.max(x.abs()) })
}

#[track_caller]
fn same(what: &str, a: &Tensor, b: &Tensor) {
    let gap = most(&(a - b).unwrap());
    assert!(gap <= 1e-12 * (1.0 + most(b)), "{what}: {gap:e}");
}

/// The gradient in the input against central differences along a random direction.
fn gradients(layer: &Layer, random: &Generator, what: &str) {
    let (x, direction) = (Var::from_tensor(&draw(random, 1, &layer.input)).unwrap(), draw(random, 1, &layer.input));
    let weights = draw(random, 1, &layer.output);
    let value = |x: &Tensor| (layer.forward(x).unwrap() * &weights).unwrap().sum_all().unwrap();
    let gradient = backward(&value(x.as_tensor())).unwrap();
    let along = gradient.get(x.as_tensor()).map_or(0.0, |g| values(&(g * &direction).unwrap()).iter().sum());
    let at = |t: f64| values(&value(&(x.as_tensor().detach() + (&direction * t).unwrap()).unwrap()))[0];
    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
    assert!((slope - along).abs() <= 1e-6 * (1.0 + slope.abs()), "{what}: gradient {along}, by differences {slope}");
}

fn affine(layer: &Layer, map: &dyn Affine, random: &Generator, what: &str) {
    let matrix = dense(layer);
    let (x, y) = (draw(random, BATCH, &layer.input), draw(random, BATCH, &layer.output));
    let by = |m: &DMatrix<f64>, x: &Tensor, shape: &[usize]| {
        let flat = DMatrix::from_row_slice(BATCH, m.ncols(), &values(x));
        let product = flat * m.transpose();
        let rows: Vec<f64> = (0..BATCH).flat_map(|b| product.row(b).iter().copied().collect::<Vec<_>>()).collect();
        Tensor::from_vec(rows, [&[BATCH], shape].concat(), &candle_core::Device::Cpu).unwrap()
    };
    same(&format!("{what}: W x"), &layer.apply(&x).unwrap(), &by(&matrix, &x, &layer.output));
    same(&format!("{what}: W^T y"), &layer.adjoint(&y).unwrap(), &by(&matrix.transpose(), &y, &layer.input));
    let h = x.abs().unwrap();
    let least = by(&matrix.abs(), &h, &layer.output);
    let below = (least - layer.apply_absolute(&h).unwrap()).unwrap();
    assert!(values(&below).iter().all(|d| *d <= 1e-12 * (1.0 + most(&h))), "{what}: |W| h is too small");
    same(
        &format!("{what}: the bias"),
        &layer.forward(&x).unwrap(),
        &layer.add_bias(&layer.apply(&x).unwrap()).unwrap(),
    );
    let norms = values(&layer.row_norms().unwrap());
    let places = matrix.nrows() / norms.len();
    for (i, row) in matrix.row_iter().enumerate() {
        assert!(row.norm() <= norms[i / places] * (1.0 + 1e-12), "{what}: row {i} is longer than said");
        let entries = row.iter().filter(|w| **w != 0.0).count();
        assert!(entries <= map.terms(), "{what}: row {i} has {entries} entries, {} are said", map.terms());
    }
    let norm = matrix.clone().singular_values().max();
    // Of a map that is next to orthogonal most vectors will do.
    let whole = layer.structure("a test").unwrap().is_some();
    let own = PowerOptions {
        iterations: if whole { 5_000 } else { 20_000 },
        tolerance: Some(1e-12),
        arithmetic: Arithmetic::Own,
    };
    let found = values(&bounds::spectral_norm(layer, &x, None, None, own).unwrap().sigma);
    assert!(found.iter().all(|s| (s - norm).abs() <= 1e-4 * norm), "{what}: norms {found:?} against {norm}");
    let options = upper_options(UpperMethod::Cholesky, 1);
    let upper = values(&bounds::norm_bound(layer, None, None, &options).unwrap().upper)[0];
    // A map that is bounded whole may be a part of the one that is.
    let most = if whole { norm.max(1.0) } else { norm };
    assert!(norm <= upper && upper <= most * 1.002, "{what}: the upper bound {upper} of {norm}");
}

/// What a proved bound is asked by, of so many samples.
pub fn upper_options(method: UpperMethod, samples: u64) -> UpperOptions {
    UpperOptions {
        method,
        tolerance: 1e-3,
        failure: 1e-9,
        steps: 5,
        key: Key::of_seed(1),
        index: (0..samples).collect(),
        turn: 0,
    }
}

fn activation(layer: &Layer, f: &dyn Activation, random: &Generator, what: &str) {
    let norm = |t: &Tensor| values(t).iter().map(|x| x * x).sum::<f64>().sqrt();
    let value = |x: &Tensor| layer.forward(x).unwrap();
    for scale in [1e-3, 0.3, 3.0] {
        let (x, step) = (draw(random, 1, &layer.input), (draw(random, 1, &layer.input) * scale).unwrap());
        let moved = (value(&(&x + &step).unwrap()) - value(&x)).unwrap();
        assert!(
            norm(&moved) <= f.facts().lipschitz * norm(&step) * (1.0 + 1e-9),
            "{what}: steeper than {}",
            f.facts().lipschitz
        );
        let spread = f.spread(&step.abs().unwrap()).unwrap();
        let over = (moved.abs().unwrap() - &spread).unwrap();
        assert!(values(&over).iter().all(|d| *d <= 1e-12 + 1e-9 * scale), "{what}: an output moves further than said");
        box_and_masks(layer, f, &x, scale, random, what);
    }
    let mut broken = values(&draw(random, 1, &layer.input));
    broken[0] = f64::NAN;
    let broken = Tensor::from_vec(broken, [&[1], layer.input.as_slice()].concat(), &candle_core::Device::Cpu).unwrap();
    assert!(values(&value(&broken)).iter().any(|y| y.is_nan()), "{what}: a NaN is lost");
    let image = image(f, &broken, &broken).unwrap();
    assert!(image.iter().all(|end| values(end).iter().any(|y| y.is_nan())), "{what}: a NaN of a box is lost");
    if let Some(roundings) = f.facts().roundings {
        let x = draw(random, 20, &layer.input).to_dtype(DType::F32).unwrap();
        // Parameters are numbers of the layer's own type.
        if f.facts().thresholds.is_empty() && layer.spec.parameters(&layer.input).is_empty() {
            let (fine, coarse) = (values(&value(&x.to_dtype(DType::F64).unwrap())), values(&value(&x)));
            let unit = roundings as f64 * 2f64.powi(-24) * 1.01;
            let sizes = if f.facts().cancels {
                values(&f.spread(&x.to_dtype(DType::F64).unwrap().abs().unwrap()).unwrap())
            } else {
                fine.clone()
            };
            let close = |((a, b), size): ((&f64, &f64), &f64)| (a - b).abs() <= unit * size.abs();
            assert!(fine.iter().zip(&coarse).zip(&sizes).all(close), "{what}: more than {roundings} roundings");
        }
    }
}

/// The box behind a box, and what is constant in it, against points of it; and the same of a region rounded outward.
fn box_and_masks(layer: &Layer, f: &dyn Activation, x: &Tensor, scale: f64, random: &Generator, what: &str) {
    let half = (draw(random, 1, &layer.input).abs().unwrap() * scale).unwrap();
    let (lower, upper) = ((x - &half).unwrap(), (x + &half).unwrap());
    let [low, high] = image(f, &lower, &upper).unwrap();
    if f.boxes().is_none() {
        same(&format!("{what}: monotone"), &low, &layer.forward(&lower).unwrap());
        same(&format!("{what}: monotone"), &high, &layer.forward(&upper).unwrap());
    }
    let mask = f.clipping().map(|clipping| {
        let (lower, upper) = if clipping.side() == Side::Before { (&lower, &upper) } else { (&low, &high) };
        values(&clipping.varying(lower, upper).unwrap())
    });
    let share =
        || Slope::Share(random.uniform(0.0, 1.0, lower.dims().to_vec(), lower.dtype(), lower.device()).unwrap());
    let choices = [Slope::Adaptive, Slope::Same, Slope::Zero, Slope::One, share(), share()];
    let over = |lines: &dyn Lines, s: &Slope| {
        let choice = Choice { lower: s.clone(), upper: if matches!(s, Slope::Share(_)) { share() } else { s.clone() } };
        lines.over(&lower, &upper, &choice).unwrap()
    };
    let lines = f.lines().map(|lines| choices.iter().map(|s| over(lines, s)).collect::<Vec<_>>());
    let radius = Tensor::new(&[scale], x.device()).unwrap();
    let outward = Region::around_outward(x, &radius, false).unwrap();
    let behind = outward.activation(layer, false).unwrap();
    let ends = (values(&behind.lower().unwrap()), values(&behind.upper().unwrap()));
    let (low, high) = (values(&low), values(&high));
    let mut first: Option<Vec<f64>> = None;
    for _ in 0..60 {
        // Corners too, where extremes lie.
        let t = (draw(random, 1, &layer.input) * 0.8).unwrap().clamp(-1.0, 1.0).unwrap();
        let point = (x + (&half * &t).unwrap()).unwrap();
        let y = values(&layer.forward(&point).unwrap());
        if let Some(lines) = &lines {
            for lines in lines {
                let [below, above] = lines.at(&point).unwrap().map(|t| values(&t));
                for (y, (below, above)) in y.iter().zip(below.iter().zip(&above)) {
                    assert!(below - 1e-12 <= *y && *y <= above + 1e-12, "{what}: {y} lies outside of its lines");
                }
            }
        }
        for (i, y) in y.iter().enumerate() {
            assert!(low[i] - 1e-12 <= *y && *y <= high[i] + 1e-12, "{what}: {y} lies outside of its box");
            let constant = mask.as_ref().is_some_and(|mask| mask[i] == 0.0);
            let before = first.as_ref().map_or(*y, |first| first[i]);
            assert!(!constant || *y == before, "{what}: a constant neuron moved");
        }
        first.get_or_insert(y);
        let t = (&t * scale).unwrap();
        let y = values(&layer.forward(&(x + &t).unwrap()).unwrap());
        for (i, y) in y.iter().enumerate() {
            assert!(ends.0[i] <= *y && *y <= ends.1[i], "{what}: {y} lies outside of its outward box");
        }
    }
    let grown = values(&behind.radius)[0];
    assert!(
        grown >= scale * f.facts().lipschitz && grown <= scale * f.facts().lipschitz * (1.0 + 1e-9) + 1e-11,
        "{what}: the ball"
    );
}

fn reshape(layer: &Layer, r: &dyn Reshape, random: &Generator, what: &str) {
    let x = draw(random, BATCH, &layer.input);
    let y = r.forward(&x).unwrap();
    same(&format!("{what}: the way back"), &r.inverse(&y).unwrap(), &x);
    let sorted = |t: &Tensor| {
        let mut all = values(&t.get(0).unwrap());
        all.sort_by(f64::total_cmp);
        all
    };
    assert_eq!(sorted(&x), sorted(&y), "{what}: the numbers stay");
    assert_eq!(r.keeps_order(), values(&x) == values(&y), "{what}: their order");
    let mask = x.ge(0.0).unwrap();
    assert_eq!(values(&r.forward(&mask).unwrap()), values(&y.ge(0.0).unwrap()), "{what}: masks go through alike");
}
