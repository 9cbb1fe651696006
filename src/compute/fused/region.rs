//! Ball and box through an affine layer and the activation behind it on a device with kernels of our own
//!
//! ```text
//! products    W center, W middle, |W| half            of the region before, as center, middle and half-width
//! behind      m = W center + b     low, high = m -+ radius ||w_i||
//!             l = max(W middle + b - |W| half, low)     u = min(W middle + b + |W| half, high)
//!             center' = f(m)   middle' = (f(l) + f(u))/2   half' = (f(u) - f(l))/2     and which outputs can vary
//! ```
//!
//! All that comes behind the products is one kernel, forward and backward; l and u themselves are never written unless
//! somebody asks for them ([`Behind::ends`]). A region between two layers is kept as middle and half-width, which is what the
//! next products want.

use super::weights::{Map, WeightParts, gradient_of_weight};
use crate::compute::kernels::{Arg, Blocks, Source, THREADS, WARPS, by_width, launch, pieces, room, width};
use crate::compute::tape::{Arriving, Tracked};
use candle_core::{DType, Result, Shape, Tensor, TensorId};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

const SOURCE: Source = Source::Region;
/// Blocks that keep a GPU busy, several for each of its processors.
const BUSY: usize = 512;
/// Most groups of samples whose sums are kept apart.
const GROUPS: usize = 64;

fn like(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    room(shape, x.dtype(), x.device())
}

/// A region as center, middle and half-width, `[3, B, ...]`.
#[derive(Clone, Debug)]
pub struct Middles {
    pub parts: Tracked,
    ends: Rc<OnceCell<Tracked>>,
}

/// One kernel over `n` numbers of each of three parts.
fn over_parts(kernel: &'static str, tensors: &[&Tensor], n: usize) -> Result<()> {
    let args: Vec<Arg> = tensors.iter().map(|t| Arg::Tensor(t)).chain([Arg::Count(n)]).collect();
    launch(SOURCE, kernel, tensors[0], Blocks::Elements(n), &args)
}

/// Another form of the same region, by a kernel and its adjoint.
fn turned(x: &Tracked, [kernel, adjoint]: [&'static str; 2]) -> Result<Tracked> {
    let xs = x.value().contiguous()?;
    let (y, n) = (like(&xs, xs.shape())?, xs.elem_count() / 3);
    over_parts(kernel, &[&xs, &y], n)?;
    x.then(kernel, y, &xs, &xs, move |gradient, _| {
        let g = gradient.tensor.contiguous()?;
        let d = like(&g, g.shape())?;
        over_parts(adjoint, &[&g, &d], n)?;
        Ok((Some(d), None, None))
    })
}

impl Middles {
    fn new(parts: Tracked) -> Self {
        Self { parts, ends: Rc::default() }
    }

    /// The ball of `radius` `[B]` around each image of `x` and its box, held to [0, 1] for `images`; no gradient.
    pub fn around(x: &Tensor, radius: &Tensor, images: bool) -> Result<Self> {
        let (x, radius) = (x.detach().contiguous()?, radius.detach().contiguous()?);
        let (batch, all) = (x.dim(0)?, x.elem_count());
        let (z, n) = (like(&x, [&[3], x.dims()].concat())?, all / batch.max(1));
        let pieces = pieces(n, 1);
        let counts = [all, n, pieces, usize::from(images)].map(Arg::Count);
        let args = [&[(&x).into(), (&radius).into(), (&z).into()][..], &counts].concat();
        launch(SOURCE, "region_around", &x, Blocks::Exactly(batch * pieces), &args)?;
        Ok(Self::new(Tracked::of(&z)?))
    }

    /// From center, lower and upper.
    pub fn of_ends(ends: &Tracked) -> Result<Self> {
        let parts = turned(ends, ["region_middles", "region_middles_back"])?;
        Ok(Self { parts, ends: Rc::new(OnceCell::from(ends.clone())) })
    }

    /// Center, lower and upper.
    pub fn ends(&self) -> Result<Tracked> {
        if let Some(known) = self.ends.get() {
            return Ok(known.clone());
        }
        let made = turned(&self.parts, ["region_ends", "region_ends_back"])?;
        Ok(self.ends.get_or_init(|| made).clone())
    }

    /// The same numbers in another shape, `[3, B, ...]`.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Ok(Self::new(self.parts.reshape(shape)?))
    }

    /// How far the box reaches below and above the center, `[2, B, ...]`: at most 0, and at least 0.
    pub fn gaps(&self) -> Result<Tensor> {
        let z = self.parts.value().contiguous()?;
        let (y, n) = (like(&z, [&[2], &z.dims()[1..]].concat())?, z.elem_count() / 3);
        over_parts("region_gaps", &[&z, &y], n)?;
        self.parts.out("gaps", y, move |g| {
            let d = like(&z, z.shape())?;
            over_parts("region_gaps_back", &[&z, &g.contiguous()?, &d], n)?;
            Ok(d)
        })
    }
}

/// What lies behind a layer, by the number that the kernels know.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ends = 0,
    Relu = 1,
    Clipped = 2,
}

/// A region behind an affine layer, as the layer's products: what they make with bias and ball is computed together with
/// the activation behind.
#[derive(Clone, Debug)]
pub struct Behind(Rc<State>);

#[derive(Debug)]
struct State {
    /// W center and W middle, `[2 B, ...]`. Its gradient is that of all three products, the bias and the rows' norms, in one row.
    products: Tracked,
    /// In the graph, `[B]`.
    radius: Tensor,
    numbers: Numbers,
    ends: OnceCell<Tracked>,
    /// Behind the activation of this threshold, or a ReLU; and which outputs vary.
    activated: RefCell<Option<(Option<TensorId>, Middles, Tensor)>>,
}

/// What the kernels read, and its sizes.
#[derive(Clone, Debug)]
struct Numbers {
    both: Tensor,
    half: Tensor,
    radius: Tensor,
    norms: Tensor,
    bias: Option<Tensor>,
    batch: usize,
    channels: usize,
    /// Numbers of a sample.
    n: usize,
}

impl Behind {
    /// The region `x` through the layer of this weight and bias, `radius` `[B]` being that of the ball before it.
    pub fn new(x: &Middles, weight: &Tensor, bias: Option<&Tensor>, radius: &Tensor, map: Map) -> Result<Self> {
        let (x, xs) = (&x.parts, x.parts.value().contiguous()?);
        let w = WeightParts::new(weight)?;
        let batch = xs.dim(1)?;
        let (before, half) = (xs.narrow(0, 0, 2)?.flatten(0, 1)?, xs.get(2)?);
        let both = map.apply(&before, &w.weight)?.contiguous()?;
        let wide = map.apply(&half, &w.absolute)?.contiguous()?;
        let (channels, n) = (w.weight.dim(0)?, wide.elem_count() / batch.max(1));
        let numbers = Numbers {
            both: both.clone(),
            half: wide,
            radius: radius.detach().contiguous()?,
            norms: w.norms.clone(),
            bias: bias.map(|b| b.detach().contiguous()).transpose()?,
            batch,
            channels,
            n,
        };
        let all = 3 * batch * n;
        let behind = numbers.half.dims()[1..].to_vec();
        let with_bias = bias.is_some();
        let backward = move |gradient: Arriving, wanted: bool| {
            let row = gradient.tensor;
            let d = row.narrow(0, 0, all)?.reshape([&[3 * batch], &behind[..]].concat())?;
            let (of_bias, of_norms) = (row.narrow(0, all, channels)?, row.narrow(0, all + channels, channels)?);
            let (g_both, g_half) = (d.narrow(0, 0, 2 * batch)?, d.narrow(0, 2 * batch, batch)?);
            let products = [map.weight(&before, &g_both, &w.weight)?, map.weight(&half, &g_half, &w.weight)?];
            let of_w = gradient_of_weight(&w, products, &of_norms)?;
            let of_x = wanted.then(|| {
                let of_x = like(&xs, [&[3 * batch], &xs.dims()[2..]].concat())?;
                map.adjoint_into(&g_both, &w.weight, &of_x.narrow(0, 0, 2 * batch)?)?;
                map.adjoint_into(&g_half, &w.absolute, &of_x.narrow(0, 2 * batch, batch)?)?;
                of_x.reshape(xs.shape())
            });
            Ok((of_x.transpose()?, Some(of_w), with_bias.then_some(of_bias)))
        };
        let row = Shape::from(all + 2 * channels);
        let products = x.then_shaped("affine", both, row, weight, bias.unwrap_or(weight), backward)?;
        let (ends, activated) = (OnceCell::new(), RefCell::default());
        Ok(Self(Rc::new(State { products, radius: radius.clone(), numbers, ends, activated })))
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        self.0.numbers.half.dims()
    }

    /// Center, lower and upper.
    pub fn ends(&self) -> Result<Tracked> {
        if let Some(known) = self.0.ends.get() {
            return Ok(known.clone());
        }
        let (made, _) = self.0.behind(Kind::Ends, None)?;
        Ok(self.0.ends.get_or_init(|| made).clone())
    }

    /// Behind a ReLU, or clipped at `threshold` `[1, ...]`, and which outputs can vary there, `[B, ...]` u8.
    pub fn activated(&self, threshold: Option<&Tensor>) -> Result<(Middles, Tensor)> {
        let id = threshold.map(Tensor::id);
        if let Some((_, middles, mask)) = self.0.activated.borrow().as_ref().filter(|(of, ..)| *of == id) {
            return Ok((middles.clone(), mask.clone()));
        }
        let kind = if threshold.is_some() { Kind::Clipped } else { Kind::Relu };
        let (parts, mask) = self.0.behind(kind, threshold)?;
        let made = Middles::new(parts);
        *self.0.activated.borrow_mut() = Some((id, made.clone(), mask.clone()));
        Ok((made, mask))
    }
}

impl State {
    fn behind(&self, kind: Kind, threshold: Option<&Tensor>) -> Result<(Tracked, Tensor)> {
        let numbers = self.numbers.clone();
        let t = threshold.map(|t| t.detach().contiguous()).transpose()?;
        let Numbers { batch, n, .. } = numbers;
        let shape = numbers.half.dims();
        let z = like(&numbers.half, [&[3], shape].concat())?;
        let mask = room(if kind == Kind::Ends { &[1][..] } else { shape }, DType::U8, z.device())?;
        let width = width(n, &numbers.read_by_width(&z, t.as_ref()))?;
        let (kernel, pieces) = (by_width(width, ["region_forward_1", "region_forward_4"]), pieces(n, width));
        let counts = [batch * n, n, n / numbers.channels, pieces, kind as usize].map(Arg::Count);
        let args = [&numbers.read(t.as_ref())[..], &[(&z).into(), (&mask).into()], &counts].concat();
        launch(SOURCE, kernel, &z, Blocks::Exactly(batch * pieces), &args)?;
        let shape_of_t = threshold.map(|t| t.dims().to_vec());
        let backward = move |gradient: Arriving, _: bool| {
            let found = numbers.backward(kind, t.as_ref(), &gradient.tensor.contiguous()?)?;
            let of_threshold = found.threshold.zip(shape_of_t.as_ref()).map(|(d, shape)| d.reshape(shape.as_slice()));
            Ok((Some(found.row), Some(found.radius), of_threshold.transpose()?))
        };
        let made = self.products.then("behind", z, &self.radius, threshold.unwrap_or(&self.radius), backward)?;
        Ok((made, mask))
    }
}

struct Found {
    /// The gradient of all three products, the bias and the rows' norms.
    row: Tensor,
    radius: Tensor,
    threshold: Option<Tensor>,
}

impl Numbers {
    /// What is read several numbers at a time.
    fn read_by_width<'a>(&'a self, other: &'a Tensor, threshold: Option<&'a Tensor>) -> Vec<&'a Tensor> {
        [&self.both, &self.half, other].into_iter().chain(threshold).collect()
    }

    /// What forward and backward kernel read alike.
    fn read<'a>(&'a self, threshold: Option<&'a Tensor>) -> [Arg<'a>; 6] {
        let [both, half, radius, norms] = [&self.both, &self.half, &self.radius, &self.norms].map(Arg::Tensor);
        [both, half, radius, norms, self.bias.as_ref().into(), threshold.into()]
    }

    fn backward(&self, kind: Kind, threshold: Option<&Tensor>, g: &Tensor) -> Result<Found> {
        let Self { batch, channels, n, .. } = *self;
        let (all, positions) = (3 * batch * n, n / channels);
        let row = like(g, all + 2 * channels)?;
        let [d, of_bias, of_norms] =
            [row.narrow(0, 0, all)?, row.narrow(0, all, channels)?, row.narrow(0, all + channels, channels)?];
        let of_radius = like(g, batch)?;
        let of_threshold = threshold.map(|t| like(g, t.elem_count())).transpose()?;
        let width = width(n, &[&self.read_by_width(g, threshold)[..], &[&d]].concat())?;
        // As many groups of samples as keep the device busy.
        let tiles = n.div_ceil(THREADS * width);
        let group = batch.div_ceil(BUSY.div_ceil(tiles).min(GROUPS));
        let groups = batch.div_ceil(group);
        let wide = |shape: &[usize]| room(shape, DType::F64, g.device());
        let (parts, radii) = (wide(&[groups, 3, n])?, wide(&[batch, tiles, WARPS])?);
        let sizes = [batch, n, positions, tiles, group, kind as usize].map(Arg::Count);
        let args = [&self.read(threshold)[..], &[g, &d, &parts, &radii].map(Arg::Tensor), &sizes].concat();
        let kernel = by_width(width, ["region_backward_1", "region_backward_4"]);
        launch(SOURCE, kernel, g, Blocks::Exactly(groups * tiles), &args)?;
        let tensors = [Arg::Tensor(&parts), Arg::Tensor(&radii), of_threshold.as_ref().into()];
        let results = [&of_bias, &of_norms, &of_radius].map(Arg::Tensor);
        let sizes = [channels, positions, groups, tiles].map(Arg::Count);
        let args = [&tensors[..], &results, &sizes].concat();
        launch(SOURCE, "region_sums", g, Blocks::Exactly(channels + batch), &args)?;
        Ok(Found { row, radius: of_radius, threshold: of_threshold })
    }
}
