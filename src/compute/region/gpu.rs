//! Ball and box through an affine layer and the activation behind it on a device with kernels of our own
//!
//! ```text
//! products    W center, W middle, |W| half            of the region before, as center, middle and half-width
//! behind      m = W center + b     low, high = m -+ radius ||w_i||
//!             l = max(W middle + b - |W| half, low)     u = min(W middle + b + |W| half, high)
//!             center' = f(m)   middle' = (f(l) + f(u))/2   half' = (f(u) - f(l))/2     and which outputs can vary
//! ```
//!
//! The same with MaxMin for f, which sorts two halves of the channels. All that comes behind the products is one kernel, forward
//! and backward; l and u themselves are never written unless somebody asks for them ([`PreActivation::ends`]). That is 9 reads
//! and writes of the activations less each way. A region is lazy here: what is asked for decides which kernel runs.

use super::center_radius::{CenterRadius, SOURCE, in_layout, like};
use super::weights::{Map, OfWeight, WeightParts};
use crate::compute::autograd::tape::Tracked;
use crate::compute::autograd::{Argument, Arriving};
use crate::compute::gpu::{Arg, Blocks, Source, THREADS, WARPS, by_width, launch, pieces, room, width};
use crate::compute::layout;
use crate::compute::layout::Layout;
use candle_core::{DType, Result, Shape, Tensor, TensorId};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Blocks that keep a GPU busy, several for each of its processors.
const BUSY: usize = 512;
/// Most groups of samples whose sums are kept apart.
const GROUPS: usize = 64;

/// What lies behind a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ends = 0,
    Relu = 1,
    Clipped = 2,
    Sorted = 3,
    SortedClipped = 4,
}

impl Kind {
    fn sorts(self) -> bool {
        matches!(self, Self::Sorted | Self::SortedClipped)
    }

    /// Its source, and what it is called there.
    fn number(self) -> (Source, usize) {
        match self {
            Self::Sorted => (Source::Sorted, 0),
            Self::SortedClipped => (Source::Sorted, 1),
            other => (SOURCE, other as usize),
        }
    }
}

/// A region behind an affine layer, as the layer's products: what they make with bias and ball is computed together with
/// the activation behind.
#[derive(Clone, Debug)]
pub struct PreActivation(Rc<State>);

#[derive(Debug)]
struct State {
    /// W center and W middle, `[2 B, ...]`. Its gradient is that of all three products, the bias and the rows' norms, in one row.
    products: Tracked,
    /// In the graph, `[B]`.
    radius: Tensor,
    numbers: Numbers,
    /// The shape of each part, plane by plane.
    dims: Vec<usize>,
    ends: OnceCell<Tracked>,
    /// Behind the activation of this threshold, or a ReLU; and which outputs vary.
    activated: RefCell<Option<(Option<TensorId>, CenterRadius, Tensor)>>,
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
    layout: Layout,
    /// Is it a ball around images, so that `both` is W center alone, and `half` |W| 1 for all samples?
    around: bool,
}

/// What a layer's gradients go to, in their order: W, |W|, the norms of the rows, the bias.
fn arguments(w: &WeightParts, bias: Option<&Tensor>) -> Vec<Argument> {
    let of_weight = [OfWeight::Products, OfWeight::Absolute, OfWeight::Norms].map(|part| w.of(part));
    of_weight.into_iter().chain([bias.map_or(Argument::Constant, Argument::of)]).collect()
}

impl PreActivation {
    /// The region `x` through the layer of this weight and bias, to `output` for each sample; `radius` `[B]` is that of the ball
    /// before it.
    pub fn new(
        x: &CenterRadius,
        (w, bias): (&WeightParts, Option<&Tensor>),
        radius: &Tensor,
        map: Map,
        output: &[usize],
    ) -> Result<Self> {
        let x = x.in_layout(map.layout())?;
        let xs = x.value().contiguous()?;
        let (weight, absolute, shape) = (w.weight.clone(), w.absolute.clone(), w.dims().to_vec());
        let batch = xs.dim(1)?;
        let (before, half) = (xs.narrow(0, 0, 2)?.flatten(0, 1)?, xs.get(2)?);
        let both = map.apply(&before, &weight)?.contiguous()?;
        let wide = map.apply(&half, &absolute)?.contiguous()?;
        let numbers = Numbers::new([&both, &wide], (w, bias), radius, map)?;
        let (channels, n) = (numbers.channels, numbers.n);
        let all = 3 * batch * n;
        let behind = numbers.half.dims()[1..].to_vec();
        let backward = move |gradient: Arriving, wanted: bool| {
            let row = gradient.tensor;
            let d = row.narrow(0, 0, all)?.reshape([&[3 * batch], &behind[..]].concat())?;
            let (of_bias, of_norms) = (row.narrow(0, all, channels)?, row.narrow(0, all + channels, channels)?);
            let (g_both, g_half) = (d.narrow(0, 0, 2 * batch)?, d.narrow(0, 2 * batch, batch)?);
            let of_w = |x: &Tensor, g: &Tensor| map.weight(x, g, &shape)?.contiguous();
            let (products, of_absolute) = (of_w(&before, &g_both)?, of_w(&half, &g_half)?);
            let of_x = wanted.then(|| {
                let of_x = like(&xs, [&[3 * batch], &xs.dims()[2..]].concat())?;
                map.adjoint_into(&g_both, &weight, &of_x.narrow(0, 0, 2 * batch)?)?;
                map.adjoint_into(&g_half, &absolute, &of_x.narrow(0, 2 * batch, batch)?)?;
                of_x.reshape(xs.shape())
            });
            Ok(vec![of_x.transpose()?, Some(products), Some(of_absolute), Some(of_norms), Some(of_bias)])
        };
        let row = Shape::from(all + 2 * channels);
        let products = x.then_of("affine", both, row, arguments(w, bias), backward);
        Ok(Self::of(products, radius, numbers, output))
    }

    /// The same for a ball of `radius` around images `x` `[B, ...]` and its box, neither with a gradient
    ///
    /// ```text
    /// middle = center, half = radius:   W middle = W center,   |W| half = radius (|W| 1)
    /// ```
    pub fn around(
        x: &Tensor,
        (w, bias): (&WeightParts, Option<&Tensor>),
        radius: &Tensor,
        map: Map,
        output: &[usize],
    ) -> Result<Self> {
        let xs = layout::turned(&x.detach(), Layout::Nchw, map.layout())?;
        let ones = Tensor::ones([&[1], &xs.dims()[1..]].concat(), xs.dtype(), xs.device())?;
        let shape = w.dims().to_vec();
        let (both, sums) = (map.apply(&xs, &w.weight)?.contiguous()?, map.apply(&ones, &w.absolute)?.contiguous()?);
        let batch = xs.dim(0)?;
        let numbers = Numbers { around: true, ..Numbers::new([&both, &sums], (w, bias), radius, map)? };
        let (channels, n) = (numbers.channels, numbers.n);
        let (all, behind) = (batch * n, both.dims()[1..].to_vec());
        let backward = move |gradient: Arriving, _: &[bool]| {
            let row = gradient.tensor;
            let part =
                |from, count, samples: usize| row.narrow(0, from, count)?.reshape([&[samples], &behind[..]].concat());
            let (d, of_sums) = (part(0, all, batch)?, part(all, n, 1)?);
            let [of_bias, of_norms] = [0, channels].map(|from| row.narrow(0, all + n + from, channels));
            let of_w = |x: &Tensor, g: &Tensor| map.weight(x, g, &shape)?.contiguous();
            Ok(vec![Some(of_w(&xs, &d)?), Some(of_w(&ones, &of_sums)?), Some(of_norms?), Some(of_bias?)])
        };
        let row = Shape::from(all + n + 2 * channels);
        Ok(Self::of(Tracked::made("affine", both, row, arguments(w, bias), backward), radius, numbers, output))
    }

    fn of(products: Tracked, radius: &Tensor, numbers: Numbers, output: &[usize]) -> Self {
        let (ends, activated) = (OnceCell::new(), RefCell::default());
        let dims = [&[numbers.batch], output].concat();
        Self(Rc::new(State { products, radius: radius.clone(), numbers, dims, ends, activated }))
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        &self.0.dims
    }

    /// Center, lower and upper.
    pub fn ends(&self) -> Result<Tracked> {
        if let Some(known) = self.0.ends.get() {
            return Ok(known.clone());
        }
        let (made, _) = self.0.pre_activation(Kind::Ends, None)?;
        let layout = self.0.numbers.layout;
        let made = if layout == Layout::Nchw { made } else { in_layout(&made, layout, Layout::Nchw)? };
        Ok(self.0.ends.get_or_init(|| made).clone())
    }

    /// Behind a ReLU, or clipped at `threshold` `[1, ...]`, and which outputs can vary there, `[B, ...]` u8.
    pub fn activated(&self, threshold: Option<&Tensor>) -> Result<(CenterRadius, Tensor)> {
        let id = threshold.map(Tensor::id);
        if let Some((_, middles, mask)) = self.0.activated.borrow().as_ref().filter(|(of, ..)| *of == id) {
            return Ok((middles.clone(), mask.clone()));
        }
        let kind = if threshold.is_some() { Kind::Clipped } else { Kind::Relu };
        let (parts, mask) = self.0.pre_activation(kind, threshold)?;
        let made = CenterRadius::new(parts, self.0.numbers.layout, &self.0.dims);
        let mask = layout::seen(&mask, self.0.numbers.layout)?;
        *self.0.activated.borrow_mut() = Some((id, made.clone(), mask.clone()));
        Ok((made, mask))
    }

    /// Behind MaxMin, or MaxMin clipped at `max` and `min` `[1, C / 2, ...]`.
    pub fn sorted(&self, thresholds: Option<(&Tensor, &Tensor)>) -> Result<CenterRadius> {
        let kind = if thresholds.is_some() { Kind::SortedClipped } else { Kind::Sorted };
        let both = thresholds.map(|(max, min)| Tensor::cat(&[max, min], 1)).transpose()?;
        let (parts, mask) = self.0.pre_activation(kind, both.as_ref())?;
        let seen = |max: &Tensor| Ok::<_, candle_core::Error>((max.id(), layout::seen(&mask, self.0.numbers.layout)?));
        let sorted = thresholds.map(|(max, _)| seen(max)).transpose()?;
        Ok(CenterRadius::new(parts, self.0.numbers.layout, &self.0.dims).with_sorted(sorted))
    }
}

impl State {
    fn pre_activation(&self, kind: Kind, threshold: Option<&Tensor>) -> Result<(Tracked, Tensor)> {
        let numbers = self.numbers.clone();
        let t = threshold.map(|t| layout::turned(&t.detach(), Layout::Nchw, numbers.layout)).transpose()?;
        let Numbers { batch, n, .. } = numbers;
        let shape = &[&[batch], &numbers.half.dims()[1..]].concat()[..];
        let z = like(&numbers.half, [&[3], shape].concat())?;
        let masked = !matches!(kind, Kind::Ends | Kind::Sorted);
        let mask = room(if masked { shape } else { &[1][..] }, DType::U8, z.device())?;
        let [positions, channels, last] = numbers.channels();
        let (source, number) = kind.number();
        // Of pairs half as many, and in the one order as long as half of the channels.
        let (own, row) = if kind.sorts() { (n / 2, if last == 1 { channels / 2 } else { n / 2 }) } else { (n, n) };
        let width = width(row, &numbers.read_by_width(&z, t.as_ref()))?;
        let pieces = pieces(own, width);
        let kernels = match kind.sorts() {
            false => ["region_forward_1", "region_forward_4"],
            true => ["sorted_forward_1", "sorted_forward_4"],
        };
        let around = usize::from(numbers.around);
        let counts = [batch * n, n, positions, channels, last, pieces, number, around].map(Arg::Count);
        let args = [&numbers.read(t.as_ref())[..], &[(&z).into(), (&mask).into()], &counts].concat();
        launch(source, by_width(width, kernels), &z, Blocks::Exactly(batch * pieces), &args)?;
        let shape_of_t = threshold.map(|t| t.dims().to_vec());
        let backward = move |gradient: Arriving, _: bool| {
            let found = numbers.backward(kind, t.as_ref(), &gradient.tensor.contiguous()?)?;
            let of_threshold = found.threshold.zip(shape_of_t.as_ref()).map(|(d, shape)| d.reshape(shape.as_slice()));
            Ok((Some(found.row), Some(found.radius), of_threshold.transpose()?))
        };
        let made = self.products.then("behind", z, &self.radius, threshold.unwrap_or(&self.radius), backward);
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
    /// Of a region that is no ball around images: its products.
    fn new(
        [both, half]: [&Tensor; 2],
        (w, bias): (&WeightParts, Option<&Tensor>),
        radius: &Tensor,
        map: Map,
    ) -> Result<Self> {
        Ok(Self {
            both: both.clone(),
            half: half.clone(),
            radius: radius.detach().contiguous()?,
            norms: w.norms.clone(),
            bias: bias.map(|b| b.detach().contiguous()).transpose()?,
            batch: radius.dim(0)?,
            channels: w.dims()[0],
            n: half.elem_count() / half.dim(0)?.max(1),
            layout: map.layout(),
            around: false,
        })
    }

    /// Positions of a channel, channels, and whether the channels of a position are side by side.
    fn channels(&self) -> [usize; 3] {
        [self.n / self.channels, self.channels, usize::from(self.layout == Layout::Nhwc)]
    }

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
        let (all, [positions, _, last]) = (if self.around { batch * n } else { 3 * batch * n }, self.channels());
        let behind = if self.around { n } else { 0 };
        let row = like(g, all + behind + 2 * channels)?;
        let part = |from, count| row.narrow(0, from, count);
        let [d, of_bias, of_norms] =
            [part(0, all)?, part(all + behind, channels)?, part(all + behind + channels, channels)?];
        let of_sums = self.around.then(|| part(all, n)).transpose()?;
        let of_radius = like(g, batch)?;
        let of_threshold = threshold.map(|t| like(g, t.elem_count())).transpose()?;
        let (source, number) = kind.number();
        let (width, own) = match kind.sorts() {
            false => (width(n, &[&self.read_by_width(g, threshold)[..], &[&d]].concat())?, n),
            true => (1, n / 2),
        };
        // As many groups of samples as keep the device busy.
        let tiles = own.div_ceil(THREADS * width);
        let group = batch.div_ceil(BUSY.div_ceil(tiles).min(GROUPS));
        let groups = batch.div_ceil(group);
        let wide = |shape: &[usize]| room(shape, DType::F64, g.device());
        let (parts, radii) = (wide(&[groups, 4, n])?, wide(&[batch, tiles, WARPS])?);
        let around = usize::from(self.around);
        let sizes = [batch, n, positions, channels, last, tiles, group, number, around].map(Arg::Count);
        let args = [&self.read(threshold)[..], &[g, &d, &parts, &radii].map(Arg::Tensor), &sizes].concat();
        let kernel = match kind.sorts() {
            false => by_width(width, ["region_backward_1", "region_backward_4"]),
            true => "sorted_backward",
        };
        launch(source, kernel, g, Blocks::Exactly(groups * tiles), &args)?;
        let tensors = [Arg::Tensor(&parts), Arg::Tensor(&radii), of_threshold.as_ref().into(), of_sums.as_ref().into()];
        let results = [&of_bias, &of_norms, &of_radius].map(Arg::Tensor);
        let sizes = [channels, positions, last, groups, tiles].map(Arg::Count);
        let args = [&tensors[..], &results, &sizes].concat();
        launch(SOURCE, "region_sums", g, Blocks::Exactly(channels + batch), &args)?;
        Ok(Found { row, radius: of_radius, threshold: of_threshold })
    }
}
