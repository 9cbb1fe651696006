//! The vectors of the power iterations, kept from one visit of a training image to the next (Algorithm 1: warm starts)
//!
//! For each affine layer but the last, one vector per image for the local norm, and one for the global norm. A block with one activation
//! has one too, for the map that it is with its slopes fixed, and the affine layers around that activation a second one, for their norms
//! where the slopes are uncertain ([`crate::nn::OneActivation`]). They start
//! as standard normal numbers, drawn when first needed, so that a store for 50,000 images costs no time at the start:
//! vector (layer, image) is a stream of its own, so it does not depend on the order of visits. Kept in the number type
//! that is asked for; f16 halves the memory of f32. Of a run on several processes each keeps those of its own shards ([`Strata`]).

use super::buffer::Buffer;
use super::whole::Whole;
use crate::base::memory::describe;
use crate::base::random::Generator;
use crate::compute::collective::Strata;
use crate::compute::device::available_memory_on;
use crate::nn::{Layer, Sequential};
use candle_core::{DType, Result, Tensor, bail};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What to keep.
#[derive(Clone, Debug)]
pub struct VectorsOptions {
    pub dtype: DType,
    /// Positions of the layers whose local vectors are kept; `None`: all affine layers but the last.
    pub layers: Option<Vec<usize>>,
    /// Keep nothing: every visit starts from fresh random vectors.
    pub fresh: bool,
    /// Bytes that may be taken; `None`: what the machine has free.
    pub memory: Option<u64>,
}

/// The store for `count` images. Shared by all batches that are taken from it.
#[derive(Clone, Debug)]
pub struct Vectors(pub(super) Rc<RefCell<Store>>);

#[derive(Debug)]
pub struct Store {
    /// Images, and which of them have rows here.
    pub(super) count: usize,
    pub(super) strata: Strata,
    pub(super) random: Generator,
    /// Visits so far, by parts of a batch.
    pub(super) draws: Vec<u64>,
    /// The rows of a batch whose step is recorded, and where they stand on the device.
    pub(super) recorded: Option<(Vec<u32>, Tensor)>,
    /// The layers whose vectors have been asked for since somebody wanted to know, and whether as second ones.
    pub(super) asked: BTreeSet<(usize, bool)>,
    pub(super) layers: Vec<Kept>,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub index: usize,
    /// Is it a layer's second vector?
    pub uncertain: bool,
    pub shape: Vec<usize>,
    pub local: Option<Buffer>,
    pub touched: Vec<bool>,
    /// By parts of a batch, see [`Strata::parts`].
    pub global: Vec<Option<Whole>>,
}

/// The affine layers before the last layer: those that have a norm of their own.
fn hidden(model: &Sequential) -> impl Iterator<Item = &Layer> {
    before_the_last(model).filter(|l| l.is_affine())
}

fn before_the_last(model: &Sequential) -> impl Iterator<Item = &Layer> {
    let layers = model.layers();
    layers[..layers.len() - 1].iter().flat_map(Layer::all)
}

/// What has vectors: layers, and whether it is their second one.
pub(super) fn slots(model: &Sequential) -> Vec<(&Layer, bool)> {
    let mut all: Vec<_> = hidden(model).map(|layer| (layer, false)).collect();
    for block in before_the_last(model) {
        let Some(parts) = block.one_activation() else { continue };
        all.push((block, false));
        all.extend([parts.first, parts.second].into_iter().flatten().map(|layer| (layer, true)));
    }
    all
}

impl Kept {
    /// What it is called in a checkpoint.
    pub fn name(&self) -> String {
        format!("{}{}", self.index, if self.uncertain { "u" } else { "" })
    }
}

impl VectorsOptions {
    fn keeps(&self, layer: &Layer) -> bool {
        !self.fresh && self.layers.as_ref().is_none_or(|kept| kept.contains(&layer.index))
    }
}

impl Vectors {
    /// A store for `count` images of `model`'s training set.
    pub fn new(model: &Sequential, count: usize, options: &VectorsOptions, random: &Generator) -> Result<Self> {
        Self::dealt(model, count, options, random, &Strata::default())
    }

    /// The same, of which this process keeps the rows of its own shards.
    pub fn dealt(
        model: &Sequential,
        count: usize,
        options: &VectorsOptions,
        random: &Generator,
        strata: &Strata,
    ) -> Result<Self> {
        let rows = strata.rows(count);
        if let Some(unknown) = options.layers.iter().flatten().find(|i| !hidden(model).any(|l| l.index == **i)) {
            let known: Vec<_> = hidden(model).map(|l| l.index).collect();
            bail!("singular_vectors: layer {unknown} is no affine layer before the last; those are {known:?}");
        }
        let bytes = Self::bytes(model, rows, options)?;
        let limit = options.memory.unwrap_or_else(|| available_memory_on(model.device()));
        if bytes > limit {
            bail!(
                "singular_vectors: {} for {rows} images, {} are free; use {}fewer `layers`, or #{{ fresh: true }} to keep \
                 none (in the shipped scripts: --set vectors=fresh)",
                describe(bytes),
                describe(limit),
                if options.dtype == DType::F16 { "" } else { "#{ dtype: \"f16\" }, " }
            );
        }
        let layers = slots(model)
            .into_iter()
            .map(|(l, uncertain)| {
                let zeros = || Buffer::zeros(options.dtype, rows, l, model.device());
                let local = options.keeps(l).then(zeros).transpose()?;
                let touched = vec![false; if local.is_some() { rows } else { 0 }];
                let global = (0..strata.lanes()).map(|_| None).collect();
                Ok(Kept { index: l.index, uncertain, shape: l.input.clone(), local, touched, global })
            })
            .collect::<Result<_>>()?;
        let random = random.fork("singular vectors");
        let (strata, draws) = (strata.clone(), vec![0; strata.lanes()]);
        Ok(Self(Rc::new(RefCell::new(Store {
            count,
            strata,
            random,
            draws,
            recorded: None,
            asked: BTreeSet::new(),
            layers,
        }))))
    }

    /// Memory that a store would take, in bytes.
    pub fn bytes(model: &Sequential, count: usize, options: &VectorsOptions) -> Result<u64> {
        if !matches!(options.dtype, DType::F16 | DType::F32 | DType::F64) {
            bail!("singular_vectors: dtype {:?} cannot be kept; use f16, f32 or f64", options.dtype);
        }
        let size = options.dtype.size_in_bytes() as u64;
        let kept = slots(model).into_iter().filter(|(l, _)| options.keeps(l));
        let per_image = kept.map(|(l, _)| l.input_len() as u64).sum::<u64>();
        Ok(per_image.saturating_mul(count as u64).saturating_mul(size))
    }

    /// One line: what is kept and what it takes.
    pub fn describe(&self) -> String {
        let store = self.0.borrow();
        // Of all images, whoever keeps them.
        let of_layer =
            |l: &Kept| l.local.as_ref().map(|b| b.dtype().size_in_bytes() * l.shape.iter().product::<usize>());
        let bytes = store.layers.iter().filter_map(of_layer).sum::<usize>() * store.count;
        let kept: Vec<_> = store.layers.iter().filter(|l| l.local.is_some() && !l.uncertain).map(|l| l.index).collect();
        if kept.is_empty() {
            return "singular vectors: none kept per image; one per layer for its global norm".into();
        }
        format!("singular vectors: {} images, layers {kept:?}, {} in memory", store.count, describe(bytes as u64))
    }

    /// Put in the start vector `[1, ...]` of the global norm of the layer at `index`.
    pub fn set_global(&self, index: usize, value: &Tensor) -> Result<()> {
        let mut store = self.0.borrow_mut();
        let kept = store.layer(index, false)?;
        if value.dims() != [&[1], kept.shape.as_slice()].concat() {
            bail!("vectors: layer {index} wants a vector of shape [1, {:?}], got {:?}", kept.shape, value.dims());
        }
        for own in &mut kept.global {
            Whole::keep(own, value)?;
        }
        Ok(())
    }
}

impl Store {
    /// Where the vectors of some images are.
    pub(super) fn rows(&self, images: &[u32]) -> Result<Vec<u32>> {
        images.iter().map(|image| self.row(*image)).collect()
    }

    fn row(&self, image: u32) -> Result<u32> {
        let Self { count, strata, .. } = self;
        match strata.row(image as usize, *count) {
            Some(row) => Ok(row as u32),
            None if image as usize >= *count => bail!(
                "vectors: image {image} is out of range, the store was made for {count} images; make it for as many as the split has places, \
                 `data.train.places`"
            ),
            None => bail!(
                "vectors: image {image} is of shard {} of {}, whose vectors another process keeps; this one has shards {} to {}: take the \
                 vectors of batches of the epoch's pass, or fresh_vectors for others",
                image as usize % strata.shards,
                strata.shards,
                strata.own.start,
                strata.own.end - 1
            ),
        }
    }

    pub(super) fn layer(&mut self, index: usize, uncertain: bool) -> Result<&mut Kept> {
        match self.layers.iter_mut().find(|l| l.index == index && l.uncertain == uncertain) {
            Some(kept) => Ok(kept),
            None if uncertain => {
                bail!("vectors: layer {index} has no second one; layers around the only activation of a block have")
            }
            None => bail!("vectors: layer {index} has none; only affine layers before the last have"),
        }
    }
}
