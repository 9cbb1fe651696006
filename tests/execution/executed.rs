//! A network executed in f32 by loops in every order that its sums may have.

use candle_core::Tensor;
use workbench::base::random::Generator;
use workbench::nn::layers::{AvgPool2d, Conv2d, Dense, Flatten, Fused, Normalize};
use workbench::nn::{Layer, Sequential};

/// In which order terms are added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    InTurn,
    Shuffled,
    /// Positive terms first: the partial sums are as large as they get.
    Descending,
    Pairwise,
    /// Two random partial sums become one, until one is left.
    Tree,
}

#[derive(Clone, Debug)]
pub struct How {
    pub order: Order,
    pub fma: bool,
    /// Subnormal numbers are read and written as 0.
    pub flush: bool,
    /// Which of the ways to normalise and to pool.
    pub form: usize,
    /// By the workbench's own products instead.
    pub own: bool,
    pub seed: u64,
}

impl How {
    /// The way of a round: all orders come up, the rest is drawn.
    pub fn of(round: usize, random: &Generator) -> Self {
        let orders = [Order::InTurn, Order::Shuffled, Order::Descending, Order::Pairwise, Order::Tree];
        let half = || random.unit() < 0.5;
        Self {
            order: orders[round % orders.len()],
            fma: half(),
            flush: half(),
            form: (random.unit() * 3.0) as usize,
            own: round == 15,
            seed: (random.unit() * 1e9) as u64,
        }
    }

    /// From the first term to the last, without FMA.
    pub fn in_turn() -> Self {
        Self { order: Order::InTurn, fma: false, flush: false, form: 0, own: false, seed: 0 }
    }

    fn flushed(&self, x: f32) -> f32 {
        if self.flush && x.is_subnormal() { 0.0 } else { x }
    }

    fn mul(&self, a: f32, b: f32) -> f32 {
        self.flushed(self.flushed(a) * self.flushed(b))
    }

    fn add(&self, a: f32, b: f32) -> f32 {
        self.flushed(self.flushed(a) + self.flushed(b))
    }

    fn fused(&self, a: f32, b: f32, c: f32) -> f32 {
        self.flushed(self.flushed(a).mul_add(self.flushed(b), self.flushed(c)))
    }

    /// The sum of products and a bias.
    fn sum(&self, mut terms: Vec<(f32, f32)>, bias: Option<f32>, random: &Generator) -> f32 {
        let pick = |n: usize| ((random.unit() * n as f64) as usize).min(n - 1);
        match self.order {
            Order::InTurn | Order::Pairwise | Order::Tree => {}
            Order::Shuffled => (1..terms.len()).rev().for_each(|i| terms.swap(i, pick(i + 1))),
            Order::Descending => terms.sort_by(|a, b| (b.0 * b.1).total_cmp(&(a.0 * a.1))),
        }
        if self.fma && matches!(self.order, Order::InTurn | Order::Shuffled | Order::Descending) {
            // The bias is where the sum begins, or the last to come.
            let early = random.unit() < 0.5;
            let start = if early { bias.unwrap_or(0.0) } else { 0.0 };
            let total = terms.into_iter().fold(start, |total, (w, a)| self.fused(w, a, total));
            return if early { total } else { self.add(total, bias.unwrap_or(0.0)) };
        }
        let mut parts: Vec<f32> = terms.into_iter().map(|(w, a)| self.mul(w, a)).chain(bias).collect();
        match self.order {
            Order::Tree => {
                while parts.len() > 1 {
                    let a = parts.swap_remove(pick(parts.len()));
                    let b = parts.swap_remove(pick(parts.len()));
                    parts.push(self.add(a, b));
                }
            }
            Order::Pairwise => {
                while parts.len() > 1 {
                    parts = parts.chunks(2).map(|p| p.iter().copied().reduce(|a, b| self.add(a, b)).unwrap()).collect();
                }
            }
            Order::InTurn | Order::Shuffled | Order::Descending => {
                return parts.into_iter().reduce(|a, b| self.add(a, b)).unwrap_or(0.0);
            }
        }
        parts.first().copied().unwrap_or(0.0)
    }
}

/// What one f32 image becomes before the last layer and behind it.
pub fn features_and_logits(net: &Sequential, x: &Tensor, how: &How) -> (Vec<f64>, Vec<f64>) {
    let random = Generator::new(how.seed);
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect();
    let mut values = numbers(x);
    let mut features = wide(&values);
    for layer in net.layers() {
        features = wide(&values);
        values = executed(layer, &values, how, &random);
    }
    (features, wide(&values))
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.detach().to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn executed(layer: &Layer, x: &[f32], how: &How, random: &Generator) -> Vec<f32> {
    let n = x.len();
    let pairs = |f: &dyn Fn(f32, f32) -> (f32, f32)| -> Vec<f32> {
        let sorted: Vec<(f32, f32)> = (0..n / 2).map(|i| f(x[i], x[i + n / 2])).collect();
        sorted.iter().map(|p| p.0).chain(sorted.iter().map(|p| p.1)).collect()
    };
    // Comparisons read subnormal numbers as 0 too.
    let (least, most) =
        (|a: f32, b: f32| how.flushed(a).min(how.flushed(b)), |a: f32, b: f32| how.flushed(a).max(how.flushed(b)));
    if layer.spec.is::<Flatten>() {
        return x.to_vec();
    }
    if let Some(form) = layer.fused() {
        return match form {
            Fused::Clip { threshold: None } => x.iter().map(|x| most(*x, 0.0)).collect(),
            Fused::Clip { threshold: Some(threshold) } => {
                x.iter().zip(numbers(&threshold)).map(|(x, t)| most(least(*x, t), 0.0)).collect()
            }
            Fused::Sort { thresholds: None } => pairs(&|p, q| (most(p, q), least(p, q))),
            Fused::Sort { thresholds: Some((max, min)) } => {
                let (top, bottom) = (numbers(&max), numbers(&min));
                let of = |t: &[f32], i: usize| t[i % t.len()];
                let mut sorted = pairs(&|p, q| (most(p, q), least(p, q)));
                for i in 0..n / 2 {
                    sorted[i] = least(sorted[i], of(&top, i));
                    sorted[i + n / 2] = most(sorted[i + n / 2], of(&bottom, i));
                }
                sorted
            }
        };
    }
    match layer.dense().expect("every other layer is affine") {
        Dense::Matrix { weight, bias, .. } => {
            let (weight, bias) = (numbers(&weight), bias.as_ref().map(numbers));
            let row = |i: usize| weight[i * n..][..n].iter().copied().zip(x.iter().copied()).collect();
            (0..layer.output[0]).map(|i| how.sum(row(i), bias.as_ref().map(|b| b[i]), random)).collect()
        }
        Dense::Convolution { weight, bias, .. } => {
            let &Conv2d { kernel, stride, padding, .. } = layer.spec.get().expect("a convolution");
            let (weight, bias) = (numbers(&weight), bias.as_ref().map(numbers));
            let channels = layer.input[0];
            let mut out = vec![];
            for o in 0..layer.output[0] {
                for place in places(layer) {
                    let mut terms = vec![];
                    for c in 0..channels {
                        for (at, pixel) in window(layer, place, kernel, stride, padding) {
                            terms.push((weight[(o * channels + c) * kernel * kernel + at], x[c * area(layer) + pixel]));
                        }
                    }
                    out.push(how.sum(terms, bias.as_ref().map(|b| b[o]), random));
                }
            }
            out
        }
        Dense::EachChannel { .. } => {
            let &AvgPool2d { kernel, stride } = layer.spec.get().expect("a pool");
            let count = (kernel * kernel) as f32;
            let mut out = vec![];
            for c in 0..layer.output[0] {
                for place in places(layer) {
                    let pixels =
                        window(layer, place, kernel, stride, 0).into_iter().map(|(_, p)| x[c * area(layer) + p]);
                    out.push(match how.form {
                        0 => how.sum(pixels.map(|p| (1.0 / count, p)).collect(), None, random),
                        1 => how.flushed(how.sum(pixels.map(|p| (1.0, p)).collect(), None, random) / count),
                        _ => how.mul(how.sum(pixels.map(|p| (1.0, p)).collect(), None, random), 1.0 / count),
                    });
                }
            }
            out
        }
        Dense::Diagonal { scale } => {
            let Normalize { mean, std } = layer.spec.get().expect("a normalisation");
            let shift = layer.add_bias(&scale.zeros_like().unwrap()).unwrap();
            let (scale, shift) = (numbers(&scale), numbers(&shift));
            let one = |(i, x): (usize, &f32)| {
                let c = i / area(layer);
                let (mean, std) = (mean[c] as f32, std[c] as f32);
                match how.form {
                    0 if how.fma => how.fused(*x, scale[c], shift[c]),
                    0 => how.add(how.mul(*x, scale[c]), shift[c]),
                    1 => how.flushed(how.add(*x, -mean) / std),
                    _ => how.mul(how.add(*x, -mean), 1.0 / std),
                }
            };
            x.iter().enumerate().map(one).collect()
        }
    }
}

fn area(layer: &Layer) -> usize {
    layer.input[1..].iter().product()
}

fn places(layer: &Layer) -> Vec<(usize, usize)> {
    (0..layer.output[1]).flat_map(|i| (0..layer.output[2]).map(move |j| (i, j))).collect()
}

/// Places in the kernel, and in the picture, that meet at one place of the output.
fn window(layer: &Layer, (i, j): (usize, usize), kernel: usize, stride: usize, padding: usize) -> Vec<(usize, usize)> {
    let (h, w) = (layer.input[1], layer.input[2]);
    let mut found = vec![];
    for a in 0..kernel {
        for b in 0..kernel {
            let (row, column) = (i * stride + a, j * stride + b);
            if row >= padding && column >= padding && row - padding < h && column - padding < w {
                found.push((a * kernel + b, (row - padding) * w + column - padding));
            }
        }
    }
    found
}
