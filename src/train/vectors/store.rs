//! The vectors of the power iterations, kept from one visit of a training image to the next (Algorithm 1: warm starts)
//!
//! For each affine layer but the last, one vector per image for the local norm, and one for the global norm. A block with one activation
//! has one too, for the map that it is with its slopes fixed, and the affine layers around that activation a second one, for their norms
//! where the slopes are uncertain ([`crate::nn::OneActivation`]). They start
//! as standard normal numbers, drawn when first needed, so that a store for 50,000 images costs no time at the start:
//! vector (layer, image) is a stream of its own, so it does not depend on the order of visits. Kept in the number type
//! that is asked for; f16 halves the memory of f32.

use super::buffer::Buffer;
use super::places::Places;
use super::whole::Whole;
use crate::base::memory::describe;
use crate::base::random::Generator;
use crate::bounds::{
    PowerOptions, SingularPair, SingularVectors, Start, spectral_norm, spectral_norm_from, spectral_norms,
};
use crate::compute::device::available_memory_on;
use crate::compute::layout::{Layout, turned};
use crate::nn::{Layer, Sequential};
use candle_core::{DType, Result, Tensor, bail};
use std::cell::RefCell;
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
    pub(super) count: usize,
    random: Generator,
    pub(super) draws: u64,
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
    pub global: Option<Whole>,
}

/// The vectors of one batch: those at some image numbers.
#[derive(Clone, Debug)]
pub struct BatchVectors {
    store: Vectors,
    places: Places,
    uncertain: bool,
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
        if let Some(unknown) = options.layers.iter().flatten().find(|i| !hidden(model).any(|l| l.index == **i)) {
            let known: Vec<_> = hidden(model).map(|l| l.index).collect();
            bail!("singular_vectors: layer {unknown} is no affine layer before the last; those are {known:?}");
        }
        let bytes = Self::bytes(model, count, options)?;
        let limit = options.memory.unwrap_or_else(|| available_memory_on(model.device()));
        if bytes > limit {
            bail!(
                "singular_vectors: {} for {count} images, {} are free; use {}fewer `layers`, or #{{ fresh: true }} to keep \
                 none (in the shipped scripts: --set vectors=fresh)",
                describe(bytes),
                describe(limit),
                if options.dtype == DType::F16 { "" } else { "#{ dtype: \"f16\" }, " }
            );
        }
        let layers = slots(model)
            .into_iter()
            .map(|(l, uncertain)| {
                let zeros = || Buffer::zeros(options.dtype, count, l, model.device());
                let local = options.keeps(l).then(zeros).transpose()?;
                let touched = vec![false; if local.is_some() { count } else { 0 }];
                Ok(Kept { index: l.index, uncertain, shape: l.input.clone(), local, touched, global: None })
            })
            .collect::<Result<_>>()?;
        let random = random.fork("singular vectors");
        Ok(Self(Rc::new(RefCell::new(Store { count, random, draws: 0, layers }))))
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

    /// The vectors of the images with these numbers.
    pub fn of(&self, images: &[u32]) -> Result<BatchVectors> {
        let count = self.0.borrow().count;
        if let Some(image) = images.iter().find(|i| **i as usize >= count) {
            bail!(
                "vectors: image {image} is out of range, the store was made for {count} images; make it for as many as the split has places, \
                 `data.train.places`"
            );
        }
        Ok(BatchVectors { store: self.clone(), places: Places::new(images.to_vec()), uncertain: false })
    }

    /// One line: what is kept and what it takes.
    pub fn describe(&self) -> String {
        let store = self.0.borrow();
        let bytes: usize = store.layers.iter().filter_map(|l| l.local.as_ref()).map(Buffer::bytes).sum();
        let kept: Vec<_> = store.layers.iter().filter(|l| l.local.is_some() && !l.uncertain).map(|l| l.index).collect();
        if kept.is_empty() {
            return "singular vectors: none kept per image; one per layer for its global norm".into();
        }
        format!("singular vectors: {} images, layers {kept:?}, {} in memory", store.count, describe(bytes as u64))
    }

    /// Put in start vectors of one's own, `[count, ...]`, for the layer at `index`.
    pub fn set_local(&self, index: usize, values: &Tensor) -> Result<()> {
        let images: Vec<u32> = (0..self.0.borrow().count as u32).collect();
        self.of(&images)?.put_local(index, &SingularVectors::of(values.detach()))
    }

    /// Put in the start vector `[1, ...]` of the global norm of the layer at `index`.
    pub fn set_global(&self, index: usize, value: &Tensor) -> Result<()> {
        let mut store = self.0.borrow_mut();
        let kept = store.layer(index, false)?;
        if value.dims() != [&[1], kept.shape.as_slice()].concat() {
            bail!("vectors: layer {index} wants a vector of shape [1, {:?}], got {:?}", kept.shape, value.dims());
        }
        kept.global = Some(Whole::of(value, Layout::Nchw)?);
        Ok(())
    }
}

impl BatchVectors {
    /// The second vectors of layers around the activation of a block.
    pub fn uncertain(&self) -> Self {
        Self { uncertain: true, ..self.clone() }
    }

    /// The masked norms of `layer`, one per image: power iteration from the kept vectors, which are replaced. See
    /// [`spectral_norm`].
    pub fn local_norm(
        &self,
        layer: &Layer,
        columns: Option<&Tensor>,
        rows: Option<&Tensor>,
        options: PowerOptions,
    ) -> Result<SingularPair> {
        let found = spectral_norm_from(layer, self.start(layer, columns, false)?, columns, rows, options)?;
        self.put_local(layer.index, &found.u)?;
        Ok(found)
    }

    /// The masked norms of `layer`, one per image, and its unmasked one, `[1]`: [`Self::local_norm`] and [`Self::global_norm`] as one
    /// batch, the same up to rounding. See [`spectral_norms`].
    pub fn both_norms(
        &self,
        layer: &Layer,
        columns: Option<&Tensor>,
        rows: Option<&Tensor>,
        options: PowerOptions,
    ) -> Result<(SingularPair, SingularPair)> {
        // Where each sample has a map of its own there is no whole one beside them.
        // Of one image on the CPU, all threads share each product of one vector.
        let alone = self.len() == 1 && numbers(layer)?.1.is_cpu();
        if self.uncertain || alone || layer.each_sample()?.is_some() {
            return Ok((self.local_norm(layer, columns, rows, options)?, self.global_norm(layer, options)?));
        }
        let (local, global) = spectral_norms(layer, self.start(layer, columns, true)?, columns, rows, options)?;
        self.put(layer.index, &local.u, Some(&global.u))?;
        Ok((local, global))
    }

    /// The unmasked norm of `layer`, `[1]`, from the kept vector, which is replaced.
    pub fn global_norm(&self, layer: &Layer, options: PowerOptions) -> Result<SingularPair> {
        let found = spectral_norm(layer, &self.global(layer)?, None, None, options)?;
        self.store.set_global(layer.index, &found.u.unit()?)?;
        Ok(found)
    }

    /// The start vectors `[B, ...]` of `layer`: the kept ones, or new random ones where none are kept.
    pub fn local(&self, layer: &Layer) -> Result<Tensor> {
        let Start { u, layout, .. } = self.start(layer, None, false)?;
        turned(&u, layout, Layout::Nchw)
    }

    /// The same as a power iteration wants them, with that of the whole map behind them if it is asked for.
    fn start(&self, layer: &Layer, columns: Option<&Tensor>, with_whole: bool) -> Result<Start> {
        let (dtype, device) = numbers(layer)?;
        if with_whole {
            self.draw_global(layer)?;
        }
        let mut store = self.store.0.borrow_mut();
        store.draws += 1;
        let (visit, seed) = (store.draws, store.random.fork(&format!("layer {}", layer.index)));
        let seed = if self.uncertain { seed.fork("uncertain") } else { seed };
        let kept = store.layer(layer.index, self.uncertain)?;
        let n: usize = kept.shape.iter().product();
        let shape = [&[self.places.len()], kept.shape.as_slice()].concat();
        let Some(buffer) = &mut kept.local else {
            let fresh = seed.fork(&format!("visit {visit}")).normal(0.0, 1.0, shape, dtype, &device)?;
            return match kept.global.as_mut().filter(|_| with_whole) {
                Some(whole) => Ok(Start::of(&Tensor::cat(&[&fresh, whole.brought(dtype, &device, Layout::Nchw)?], 0)?)),
                None => Ok(Start::of(&fresh)),
            };
        };
        let mut new = vec![];
        for image in self.places.images() {
            if !std::mem::replace(&mut kept.touched[*image as usize], true) {
                new.push(*image);
            }
        }
        if !new.is_empty() {
            let name = seed.name();
            buffer.fill(&new, n, |image| {
                let own = name.fork(&format!("image {image}")).generator();
                move || own.gauss()
            })?;
        }
        let mask = columns.filter(|mask| mask.dims() == shape);
        let layout = buffer.layout();
        let whole = kept.global.as_mut().filter(|_| with_whole);
        let whole = whole.map(|whole| whole.brought(dtype, &device, layout)).transpose()?;
        buffer.gather(&self.places, &kept.shape, dtype, &device, mask, whole)
    }

    /// Keep `u` `[B, ...]` for the next visit; nothing happens for a layer whose vectors are not kept.
    pub fn put_local(&self, index: usize, u: &SingularVectors) -> Result<()> {
        self.put(index, u, None)
    }

    /// The same, and the vector of the whole map.
    fn put(&self, index: usize, u: &SingularVectors, whole: Option<&SingularVectors>) -> Result<()> {
        let mut store = self.store.0.borrow_mut();
        let kept = store.layer(index, self.uncertain)?;
        let n: usize = kept.shape.iter().product();
        let dims = u.dims();
        if dims != [&[self.places.len()], kept.shape.as_slice()].concat() {
            bail!("vectors: layer {index} wants {} vectors of shape {:?}, got {dims:?}", self.places.len(), kept.shape);
        }
        let into = match (&kept.local, whole) {
            // Written beside the others.
            (Some(Buffer::Device(_)), Some(whole)) => kept.global.as_ref().map(|kept| (whole, kept)),
            (_, Some(whole)) => {
                kept.global = Some(Whole::of(&whole.unit()?, Layout::Nchw)?);
                None
            }
            (_, None) => None,
        };
        if let Some(buffer) = &mut kept.local {
            buffer.scatter(&self.places, n, u, into)?;
            self.places.images().iter().for_each(|i| kept.touched[*i as usize] = true);
        }
        Ok(())
    }

    /// The start vector `[1, ...]` for the global norm of `layer`.
    pub fn global(&self, layer: &Layer) -> Result<Tensor> {
        let (dtype, device) = numbers(layer)?;
        self.draw_global(layer)?;
        match &self.store.0.borrow_mut().layer(layer.index, false)?.global {
            Some(whole) => whole.planes()?.to_dtype(dtype)?.to_device(&device),
            None => bail!("vectors: layer {} has no vector of its whole map", layer.index),
        }
    }

    /// Draw it where it was never wanted.
    fn draw_global(&self, layer: &Layer) -> Result<()> {
        let (dtype, device) = numbers(layer)?;
        let mut store = self.store.0.borrow_mut();
        let seed = store.random.fork(&format!("global {}", layer.index));
        let kept = store.layer(layer.index, false)?;
        if kept.global.is_none() {
            let drawn = seed.normal(0.0, 1.0, [&[1], kept.shape.as_slice()].concat(), dtype, &device)?;
            kept.global = Some(Whole::of(&drawn, Layout::Nchw)?);
        }
        Ok(())
    }

    /// Number of images in the batch.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl Store {
    fn layer(&mut self, index: usize, uncertain: bool) -> Result<&mut Kept> {
        match self.layers.iter_mut().find(|l| l.index == index && l.uncertain == uncertain) {
            Some(kept) => Ok(kept),
            None if uncertain => {
                bail!("vectors: layer {index} has no second one; layers around the only activation of a block have")
            }
            None => bail!("vectors: layer {index} has none; only affine layers before the last have"),
        }
    }
}

fn numbers(layer: &Layer) -> Result<(DType, candle_core::Device)> {
    match layer.numbers() {
        Some(numbers) => Ok(numbers),
        None => {
            bail!("vectors: {} is not affine, it has no norm of its own", layer.title())
        }
    }
}
