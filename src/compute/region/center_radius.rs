//! A region between two layers on a device with kernels of our own: center, middle and half-width
//!
//! ```text
//! middle = (lower + upper)/2     half = (upper - lower)/2
//! ```
//!
//! What the products of the next layer want; lower and upper are made when somebody asks for them.

use crate::compute::autograd::tape::Tracked;
use crate::compute::gpu::{Arg, Blocks, Source, launch, pieces, room};
use crate::compute::layout;
use crate::compute::layout::Layout;
use candle_core::{Result, Shape, Tensor, TensorId};
use std::cell::OnceCell;
use std::rc::Rc;

pub(super) const SOURCE: Source = Source::Region;

pub(super) fn like(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    room(shape, x.dtype(), x.device())
}

/// A region as center, middle and half-width, `[3, B, ...]`, in either layout.
#[derive(Clone, Debug)]
pub struct CenterRadius {
    parts: Tracked,
    layout: Layout,
    /// The shape of each part, plane by plane.
    dims: Rc<[usize]>,
    planes: Rc<OnceCell<Tracked>>,
    ends: Rc<OnceCell<Tracked>>,
    /// Which numbers vary behind MaxMin clipped at these thresholds (the upper's identity).
    sorted: Option<(TensorId, Tensor)>,
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
    Ok(x.then(kernel, y, &xs, &xs, move |gradient, _| {
        let g = gradient.tensor.contiguous()?;
        let d = like(&g, g.shape())?;
        over_parts(adjoint, &[&g, &d], n)?;
        Ok((Some(d), None, None))
    }))
}

/// The same region in another layout.
pub(super) fn in_layout(x: &Tracked, from: Layout, to: Layout) -> Result<Tracked> {
    let xs = x.value();
    Ok(x.then("order", layout::turned(xs, from, to)?, xs, xs, move |gradient, _| {
        Ok((Some(layout::turned(&gradient.tensor, to, from)?), None, None))
    }))
}

impl CenterRadius {
    pub(super) fn new(parts: Tracked, layout: Layout, dims: &[usize]) -> Self {
        Self { parts, layout, dims: dims.into(), planes: Rc::default(), ends: Rc::default(), sorted: None }
    }

    /// With what is known of which numbers vary.
    pub(super) fn with_sorted(self, sorted: Option<(TensorId, Tensor)>) -> Self {
        Self { sorted, ..self }
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Which numbers vary, where these lie behind MaxMin clipped at `max`.
    pub fn sorted_mask(&self, max: &Tensor) -> Option<Tensor> {
        self.sorted.as_ref().filter(|(of, _)| *of == max.id()).map(|(_, mask)| mask.clone())
    }

    /// Center, middle and half-width, plane by plane.
    pub fn planes(&self) -> Result<Tracked> {
        if self.layout == Layout::Nchw {
            return Ok(self.parts.clone());
        }
        if let Some(known) = self.planes.get() {
            return Ok(known.clone());
        }
        let made = in_layout(&self.parts, self.layout, Layout::Nchw)?;
        Ok(self.planes.get_or_init(|| made).clone())
    }

    /// In the layout that a layer wants.
    pub(super) fn in_layout(&self, wanted: Layout) -> Result<Tracked> {
        match wanted {
            Layout::Nchw => self.planes(),
            _ if self.layout == wanted => Ok(self.parts.clone()),
            _ => in_layout(&self.parts, self.layout, wanted),
        }
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
        Ok(Self::new(Tracked::of(&z), Layout::Nchw, x.dims()))
    }

    /// From center, lower and upper.
    pub fn of_ends(ends: &Tracked) -> Result<Self> {
        let parts = turned(ends, ["region_middles", "region_middles_back"])?;
        let dims = ends.value().dims()[1..].to_vec();
        Ok(Self { ends: Rc::new(OnceCell::from(ends.clone())), ..Self::new(parts, Layout::Nchw, &dims) })
    }

    /// Center, lower and upper.
    pub fn ends(&self) -> Result<Tracked> {
        if let Some(known) = self.ends.get() {
            return Ok(known.clone());
        }
        let made = turned(&self.planes()?, ["region_ends", "region_ends_back"])?;
        Ok(self.ends.get_or_init(|| made).clone())
    }

    /// The same numbers in another shape, `[3, B, ...]`.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Ok(Self::new(self.planes()?.reshape(shape)?, Layout::Nchw, &shape[1..]))
    }

    /// How far the box reaches below and above the center, `[2, B, ...]`: at most 0, and at least 0.
    pub fn gaps(&self) -> Result<Tensor> {
        let planes = self.planes()?;
        let z = planes.value().contiguous()?;
        let (y, n) = (like(&z, [&[2], &z.dims()[1..]].concat())?, z.elem_count() / 3);
        over_parts("region_gaps", &[&z, &y], n)?;
        planes.out("gaps", y, move |g| {
            let d = like(&z, z.shape())?;
            over_parts("region_gaps_back", &[&z, &g.contiguous()?, &d], n)?;
            Ok(d)
        })
    }
}
