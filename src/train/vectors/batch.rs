//! The vectors of one batch: those at some image numbers, and the norms that read and replace them.

use super::buffer::Buffer;
use super::places::Places;
use super::store::{Kept, Vectors};
use super::whole::Whole;
use crate::bounds::{
    PowerOptions, SingularPair, SingularVectors, Start, in_halves, spectral_norm, spectral_norm_from, spectral_norms,
};
use crate::compute::collective::Slice;
use crate::compute::layout::{Layout, turned};
use crate::nn::Layer;
use candle_core::{DType, Result, Tensor, bail};
use std::collections::{BTreeSet, HashSet};

/// The vectors of one batch: those at some image numbers.
#[derive(Clone, Debug)]
pub struct BatchVectors {
    store: Vectors,
    /// Their rows.
    places: Places,
    uncertain: bool,
    /// Which part of a batch they are, and its first shard.
    lane: usize,
    shard: usize,
    /// The image of a stand-in, of which nothing is kept.
    stand_in: Option<u32>,
}

impl Vectors {
    /// The vectors of the images with these numbers.
    pub fn of(&self, images: &[u32]) -> Result<BatchVectors> {
        let store = self.0.borrow();
        Ok(self.of_rows(store.rows(images)?, (0, store.strata.own.start), None))
    }

    /// Those of a part of a batch that is dealt out.
    pub fn of_part(&self, images: &[u32], slice: &Slice) -> Result<BatchVectors> {
        let place = (slice.lane, slice.shard);
        match (slice.own, images) {
            (0, [image]) => Ok(self.of_rows(vec![0], place, Some(*image))),
            _ => Ok(self.of_rows(self.0.borrow().rows(images)?, place, None)),
        }
    }

    fn of_rows(&self, rows: Vec<u32>, (lane, shard): (usize, usize), stand_in: Option<u32>) -> BatchVectors {
        let places = match &self.0.borrow().recorded {
            Some((own, index)) if *own == rows => Places::at(rows, index.clone()),
            _ => Places::new(rows),
        };
        BatchVectors { store: self.clone(), places, uncertain: false, lane, shard, stand_in }
    }

    /// What `work` gives, and of which layers it has asked for vectors.
    pub fn asked_by<R>(&self, work: impl FnOnce() -> R) -> (R, BTreeSet<(usize, bool)>) {
        self.0.borrow_mut().asked.clear();
        let given = work();
        (given, self.0.borrow().asked.clone())
    }

    /// The rows of these images, if a step over them that asks for vectors of these layers can be recorded: each image once, all of them visited
    /// before, on a device with kernels.
    pub fn rows_to_record(&self, images: &[u32], asked: &BTreeSet<(usize, bool)>) -> Result<Option<Vec<u32>>> {
        let store = self.0.borrow();
        let rows = store.rows(images)?;
        let mut seen = HashSet::with_capacity(rows.len());
        let visited = |kept: &Kept| match &kept.local {
            Some(Buffer::Device(_)) => rows.iter().all(|row| kept.touched[*row as usize]),
            Some(Buffer::F16(_) | Buffer::F32(_) | Buffer::F64(_)) => false,
            // Drawn anew at every visit, which no recording takes.
            None => true,
        };
        let once = rows.iter().all(|row| seen.insert(*row));
        let mut wanted = store.layers.iter().filter(|kept| asked.contains(&(kept.index, kept.uncertain)));
        Ok((once && wanted.all(visited)).then_some(rows))
    }

    /// While `work` is recorded, the batch of these rows has their numbers in `index`. What it counts as visits is given with what it
    /// gives, for [`Self::visited`]: they are made when it is launched.
    pub fn recorded<R>(&self, rows: &[u32], index: &Tensor, work: impl FnOnce() -> R) -> (R, Vec<u64>) {
        struct Restore<'a>(&'a Vectors, Vec<u64>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                let mut store = self.0.0.borrow_mut();
                store.recorded = None;
                store.draws = std::mem::take(&mut self.1);
            }
        }
        let before = self.0.borrow().draws.clone();
        self.0.borrow_mut().recorded = Some((rows.to_vec(), index.clone()));
        let restore = Restore(self, before);
        let given = work();
        let visits = self.0.borrow().draws.iter().zip(&restore.1).map(|(after, before)| after - before).collect();
        (given, visits)
    }

    /// The visits of a recorded step that has been launched.
    pub fn visited(&self, visits: &[u64]) {
        self.0.borrow_mut().draws.iter_mut().zip(visits).for_each(|(all, more)| *all += more);
    }

    /// Put in start vectors of one's own, `[count, ...]`, for the layer at `index`.
    pub fn set_local(&self, index: usize, values: &Tensor) -> Result<()> {
        let (count, strata) = (self.0.borrow().count, self.0.borrow().strata.clone());
        let images: Vec<u32> = (0..strata.rows(count)).map(|row| strata.image(row, count) as u32).collect();
        let own = if strata.is_whole() || values.dim(0)? != count {
            values.detach()
        } else {
            values.detach().index_select(&Tensor::new(images.as_slice(), values.device())?, 0)?
        };
        self.of(&images)?.put_local(index, &SingularVectors::of(own))
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
        let found = spectral_norm_from(
            layer,
            self.start(layer, columns, false, iterated(layer, options)?)?,
            columns,
            rows,
            options,
        )?;
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
        let (local, global) = spectral_norms(
            layer,
            self.start(layer, columns, true, iterated(layer, options)?)?,
            columns,
            rows,
            options,
        )?;
        self.put(layer.index, &local.u, Some(&global.u))?;
        Ok((local, global))
    }

    /// The unmasked norm of `layer`, `[1]`, from the kept vector, which is replaced.
    pub fn global_norm(&self, layer: &Layer, options: PowerOptions) -> Result<SingularPair> {
        let found = spectral_norm(layer, &self.global(layer)?, None, None, options)?;
        Whole::keep(&mut self.store.0.borrow_mut().layer(layer.index, false)?.global[self.lane], &found.u.unit()?)?;
        Ok(found)
    }

    /// The start vectors `[B, ...]` of `layer`: the kept ones, or new random ones where none are kept.
    pub fn local(&self, layer: &Layer) -> Result<Tensor> {
        let Start { u, layout, .. } = self.start(layer, None, false, numbers(layer)?.0)?;
        turned(&u, layout, Layout::Nchw)
    }

    /// The same as a power iteration wants them, with that of the whole map behind them if it is asked for; rows that are kept come as
    /// numbers of `own`, where a device's kernels make them.
    fn start(&self, layer: &Layer, columns: Option<&Tensor>, with_whole: bool, own: DType) -> Result<Start> {
        let (dtype, device) = numbers(layer)?;
        if with_whole {
            self.draw_global(layer)?;
        }
        let mut store = self.store.0.borrow_mut();
        store.draws[self.lane] += 1;
        store.asked.insert((layer.index, self.uncertain));
        let (visit, seed) = (store.draws[self.lane], store.random.fork(&format!("layer {}", layer.index)));
        let seed = if self.uncertain { seed.fork("uncertain") } else { seed };
        let (count, strata) = (store.count, store.strata.clone());
        let kept = store.layer(layer.index, self.uncertain)?;
        let n: usize = kept.shape.iter().product();
        let shape = [&[self.places.len()], kept.shape.as_slice()].concat();
        let buffer = kept.local.as_mut().filter(|_| self.stand_in.is_none());
        let Some(buffer) = buffer else {
            let own = seed.fork(&format!("visit {visit}"));
            let own = if strata.is_whole() { own } else { own.fork(&format!("shard {}", self.shard)) };
            let fresh = own.normal(0.0, 1.0, shape, dtype, &device)?;
            return match kept.global[self.lane].as_mut().filter(|_| with_whole) {
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
            buffer.fill(&new, n, |row| {
                let own = name.fork(&format!("image {}", strata.image(row as usize, count))).generator();
                move || own.gauss()
            })?;
        }
        let mask = columns.filter(|mask| mask.dims() == shape);
        let layout = buffer.layout();
        let whole = kept.global[self.lane].as_mut().filter(|_| with_whole);
        let whole = whole.map(|whole| whole.brought(dtype, &device, layout)).transpose()?;
        buffer.gather(&self.places, &kept.shape, own, &device, mask, whole)
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
        let keeps = self.stand_in.is_none();
        let into = match (&kept.local, whole) {
            // Written beside the others.
            (Some(Buffer::Device(_)), Some(whole)) if keeps => {
                kept.global[self.lane].as_ref().map(|kept| (whole, kept))
            }
            (_, Some(whole)) => {
                Whole::keep(&mut kept.global[self.lane], &whole.unit()?)?;
                None
            }
            (_, None) => None,
        };
        if let Some(buffer) = kept.local.as_mut().filter(|_| keeps) {
            buffer.scatter(&self.places, n, u, into)?;
            self.places.images().iter().for_each(|i| kept.touched[*i as usize] = true);
        }
        Ok(())
    }

    /// The start vector `[1, ...]` for the global norm of `layer`.
    pub fn global(&self, layer: &Layer) -> Result<Tensor> {
        let (dtype, device) = numbers(layer)?;
        self.draw_global(layer)?;
        match &self.store.0.borrow_mut().layer(layer.index, false)?.global[self.lane] {
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
        if kept.global[self.lane].is_none() {
            let drawn = seed.normal(0.0, 1.0, [&[1], kept.shape.as_slice()].concat(), dtype, &device)?;
            kept.global[self.lane] = Some(Whole::of(&drawn, Layout::Nchw)?);
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

/// The numbers of the vectors of such an iteration.
fn iterated(layer: &Layer, options: PowerOptions) -> Result<DType> {
    if in_halves(layer, options) { Ok(DType::F16) } else { numbers(layer).map(|(dtype, _)| dtype) }
}

fn numbers(layer: &Layer) -> Result<(DType, candle_core::Device)> {
    match layer.numbers() {
        Some(numbers) => Ok(numbers),
        None => {
            bail!("vectors: {} is not affine, it has no norm of its own", layer.title())
        }
    }
}
