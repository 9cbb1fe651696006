//! What power iterations begin from and end with: vectors of a batch in the layout of the layer, norms, how each sample ended.

use crate::bounds::norm::options::{Arithmetic, PowerOptions};
use crate::compute::gpu;
use crate::compute::layout::{self, Layout};
use crate::compute::power::gpu_passes::Norms;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Result, Tensor};

/// Singular vectors of a batch, `[B, ...]`, unit or zero, masked; kept as the iteration left them until somebody asks.
#[derive(Clone, Debug)]
pub struct SingularVectors {
    raw: Tensor,
    norms: Option<Norms>,
    pub layout: Layout,
}

impl SingularVectors {
    /// These vectors, unit or zero.
    pub fn of(unit: Tensor) -> Self {
        Self { raw: unit, norms: None, layout: Layout::Nchw }
    }

    /// From vectors of these norms, with their memory in this layout.
    pub(super) fn with_norms(raw: Tensor, norms: Norms, layout: Layout) -> Self {
        Self { raw, norms: Some(norms), layout }
    }

    /// The vectors, each of norm 1 or 0.
    pub fn unit(&self) -> Result<Tensor> {
        match &self.norms {
            Some(norms) => layout::turned(&norms.unit(&self.raw)?, self.layout, Layout::Nchw),
            None => Ok(self.raw.clone()),
        }
    }

    /// The vectors as they are, with their memory in the layout `wanted`, and their norms unless these are 1 or 0.
    pub fn unscaled(&self, wanted: Layout) -> Result<(Tensor, Option<&Norms>)> {
        let raw =
            if wanted == self.layout { self.raw.clone() } else { layout::turned(&self.raw, self.layout, wanted)? };
        Ok((raw, self.norms.as_ref()))
    }

    /// Are they as the iteration has left them, their norms beside them?
    pub fn has_norms(&self) -> bool {
        self.norms.is_some()
    }

    /// `count` of them, from one on.
    pub fn rows(&self, from: usize, count: usize) -> Result<Self> {
        let norms = self.norms.as_ref().map(|norms| norms.rows(from, count)).transpose()?;
        Ok(Self { raw: self.raw.narrow(0, from, count)?, norms, layout: self.layout })
    }

    /// The shape of the vectors, `[B, ...]`.
    pub fn dims(&self) -> Vec<usize> {
        match (self.layout, self.raw.dims()) {
            (Layout::Nhwc, &[b, h, w, c]) => vec![b, c, h, w],
            (_, dims) => dims.to_vec(),
        }
    }
}

/// The result of a power iteration over a batch.
#[derive(Clone, Debug)]
pub struct SingularPair {
    /// Spectral norms `[B]`, differentiable in the layer's weight.
    pub sigma: Tensor,
    /// Right singular vectors `[B, input...]`.
    pub u: SingularVectors,
    /// Left singular vectors `[B, output...]`.
    pub v: SingularVectors,
    /// Iterations used by each sample.
    pub iterations: Vec<u32>,
    /// Whether each sample met the tolerance; `false` where none was asked for.
    pub converged: Vec<bool>,
}

/// What is asked of an iteration: the norms of a layer between masks `[first, ...]`, then without masks from all further vectors.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub layer: &'a Layer,
    pub columns: Option<&'a Tensor>,
    pub rows: Option<&'a Tensor>,
    pub options: PowerOptions,
    pub first: usize,
}

impl Task<'_> {
    /// Are its vectors halves?
    pub fn in_halves(&self) -> bool {
        in_halves(self.layer, self.options)
    }

    /// Norms of all vectors as those of the first and of the others.
    pub fn split(&self, sigma: &Tensor) -> Result<[Tensor; 2]> {
        let others = sigma.dim(0)? - self.first;
        Ok([
            sigma.narrow(0, 0, self.first)?.force_contiguous()?,
            sigma.narrow(0, self.first, others)?.force_contiguous()?,
        ])
    }

    /// A mask of the first vectors as one of `count`.
    pub fn opened(&self, mask: Option<&Tensor>, count: usize) -> Result<Option<Tensor>> {
        let Some(mask) = mask.filter(|_| count > self.first) else { return mask.map(Tensor::contiguous).transpose() };
        let open = Tensor::ones([&[count - self.first], &mask.dims()[1..]].concat(), mask.dtype(), mask.device())?;
        Tensor::cat(&[&mask.contiguous()?, &open], 0).map(Some)
    }
}

/// What the iterations give before the gradient is attached.
pub(super) struct Iterated {
    /// Of the masked map, and of the whole one.
    pub sigma: [Tensor; 2],
    pub u: SingularVectors,
    pub v: SingularVectors,
    pub iterations: Vec<u32>,
    pub converged: Vec<bool>,
}

/// How one sample ended.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub sigma: f64,
    pub iterations: u32,
    pub converged: bool,
}

/// Where an iteration begins: vectors `[B, ...]` with their memory in this layout.
#[derive(Clone, Debug)]
pub struct Start {
    pub u: Tensor,
    pub layout: Layout,
    pub is_masked: bool,
}

impl Start {
    /// From vectors that nobody has masked, seen plane by plane.
    pub fn of(u: &Tensor) -> Self {
        Self { u: u.clone(), layout: Layout::Nchw, is_masked: false }
    }
}

/// Does an iteration with these options keep the vectors of this layer as halves ([`Arithmetic::F16`])?
pub fn in_halves(layer: &Layer, options: PowerOptions) -> bool {
    let weight = match layer.dense() {
        Some(Dense::Convolution { weight, .. } | Dense::Matrix { weight, .. }) => weight,
        Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => return false,
    };
    let asked = match options.arithmetic {
        Arithmetic::F16 => options.tolerance.is_none(),
        Arithmetic::Own | Arithmetic::Bf16 => false,
    };
    asked && weight.dtype() == DType::F32 && gpu::on(weight.device())
}

/// The layout of the vectors of this layer while they are iterated.
pub fn layout_of(layer: &Layer) -> Layout {
    match layer.dense() {
        Some(Dense::Convolution { weight, .. }) => layout::wanted(weight.dtype(), weight.device(), &layer.precision),
        Some(Dense::EachChannel { .. } | Dense::Matrix { .. } | Dense::Diagonal { .. }) | None => Layout::Nchw,
    }
}
