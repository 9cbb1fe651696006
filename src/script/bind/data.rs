//! Data sets, their splits, batches.

use super::args;
use super::host::{Host, host};
use super::loading::{from_arrays, load};
use super::run::stopped;
use crate::base::interrupt;
use crate::compute::gpu::recording::is_recording;
use crate::data::{self, BatchOrder};
use crate::run::Pass;
use crate::script::language::error::{Res, candle, fail, interrupted};
use crate::script::language::options::Options;
use crate::script::values::{Batch, Dataset, Split, Tensor, int};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Batches>("Batches");
    engine.register_iterator_result::<Batches, Batch>();
    engine.register_global_module(rhai::exported_module!(datasets).into());
}

/// `for batch in split.batches(size)`: tells the run where the loop is, and stops it on Ctrl-C.
#[derive(Clone)]
pub struct Batches {
    inner: data::Batches,
    host: Rc<Host>,
    /// The epoch's pass, if it is one: between two of its batches the run can be interrupted.
    pass: Option<Pass>,
}

impl Iterator for Batches {
    type Item = Res<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if interrupt::requested() {
            return Some(Err(interrupted()));
        }
        let begins = self.inner.begins_a_batch();
        if let Some(pass) = &mut self.pass {
            pass.end_part(&self.host.random);
            if begins && let Err(why) = pass.next_batch(self.inner.count_in_pass()) {
                return Some(Err(stopped(why)));
            }
        }
        let batch = self.inner.next()?;
        if let Ok(batch) = &batch {
            if begins {
                self.host.run.begin_batch(batch.number, batch.count);
            }
            if let Some(pass) = &mut self.pass {
                pass.begin_part(batch.slice, &self.host.random);
            }
        }
        Some(batch.map(|b| Batch(Rc::new(b))).map_err(candle))
    }
}

/// The loop is over, or was left in the middle of a batch.
impl Drop for Batches {
    fn drop(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.end_part(&self.host.random);
        }
    }
}

fn pass(context: &NativeCallContext, split: &Split, size: INT, options: Map) -> Res<Batches> {
    let host = host(context);
    let mut options = Options::new("batches", options);
    let shuffle = options.bool("shuffle", split.0.name() == "train")?;
    let number = if options.has("pass") { Some(options.usize("pass", 0, ..)? as u64) } else { None };
    let drop_last = options.bool("drop_last", false)?;
    let augment = options.bool("augment", true)? && !split.0.augmentation().is_none();
    options.finish()?;
    let size = args::count("batches", "the batch size", size)?;
    // Without a number of its own, every pass of the session has another order and augmentation.
    let random = shuffle || augment;
    let pass = number.unwrap_or_else(|| if random { host.passes.replace(host.passes.get() + 1) } else { 0 });
    let order = if shuffle { BatchOrder::Shuffled { seed: split.0.seed(), pass } } else { BatchOrder::Sequential };
    let made = split.0.batches(size, order).and_then(|b| if drop_last { b.drop_last() } else { Ok(b) });
    let made = made.map(|b| if augment { b.augmented(pass) } else { b });
    let inner = made.map_err(|e| fail(format!("batches: {e}")))?;
    let pass = if random { Pass::begin(&host.run).map_err(fail)? } else { None };
    let strata = &host.run.ranks().strata;
    // Only the epoch's own pass is dealt out: any other is whole on every process.
    let inner = match &pass {
        Some(_) if !strata.is_whole() => inner.dealt(strata).map_err(|e| fail(format!("batches: {e}")))?,
        _ => inner,
    };
    let inner = inner.from_batch(pass.as_ref().map_or(0, Pass::done));
    Ok(Batches { inner, host, pass })
}

/// A recorded step is repeated with the numbers of the batch that it was recorded with.
fn unrecorded(what: &str) -> Res<()> {
    if is_recording() {
        return Err(fail(format!(
            "it reads batch.{what}, which changes from step to step; put what depends on it into the key"
        )));
    }
    Ok(())
}

#[export_module]
mod datasets {
    #[rhai_fn(return_raw)]
    pub fn dataset(context: NativeCallContext, name: &str) -> Res<Dataset> {
        load(&context, name, Map::new())
    }
    #[rhai_fn(name = "dataset", return_raw)]
    pub fn dataset_options(context: NativeCallContext, name: &str, options: Map) -> Res<Dataset> {
        load(&context, name, options)
    }
    #[rhai_fn(return_raw)]
    pub fn dataset_from(
        context: NativeCallContext,
        train_x: Tensor,
        train_y: Dynamic,
        test_x: Tensor,
        test_y: Dynamic,
    ) -> Res<Dataset> {
        from_arrays(&context, [train_x, test_x], [train_y, test_y], Map::new())
    }
    #[rhai_fn(name = "dataset_from", return_raw)]
    pub fn dataset_from_options(
        context: NativeCallContext,
        train_x: Tensor,
        train_y: Dynamic,
        test_x: Tensor,
        test_y: Dynamic,
        options: Map,
    ) -> Res<Dataset> {
        from_arrays(&context, [train_x, test_x], [train_y, test_y], options)
    }
    #[rhai_fn(get = "train", pure, return_raw)]
    pub fn train(data: &mut Dataset) -> Res<Split> {
        data.0.training().map(|split| Split(split.clone())).map_err(|e| fail(e.to_string()))
    }
    #[rhai_fn(get = "test", pure)]
    pub fn test(data: &mut Dataset) -> Split {
        Split(data.0.test.clone())
    }
    #[rhai_fn(get = "validation", pure, return_raw)]
    pub fn validation(data: &mut Dataset) -> Res<Split> {
        data.0.validation().map(|split| Split(split.clone())).map_err(|e| fail(e.to_string()))
    }
    #[rhai_fn(get = "shape", pure)]
    pub fn image_shape(data: &mut Dataset) -> Array {
        data.0.shape.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "mean", pure, return_raw)]
    pub fn data_mean(data: &mut Dataset) -> Res<Array> {
        let found = normalisation(data)?;
        Ok(found.mean.iter().map(|m| Dynamic::from(*m)).collect())
    }
    #[rhai_fn(get = "std", pure, return_raw)]
    pub fn data_std(data: &mut Dataset) -> Res<Array> {
        let found = normalisation(data)?;
        Ok(found.std.iter().map(|s| Dynamic::from(*s)).collect())
    }
    #[rhai_fn(get = "classes", pure)]
    pub fn data_classes(data: &mut Dataset) -> INT {
        int(data.0.classes)
    }
    #[rhai_fn(get = "class_names", pure)]
    pub fn class_names(data: &mut Dataset) -> Array {
        data.0.class_names.iter().map(|name| Dynamic::from(name.clone())).collect()
    }
    #[rhai_fn(get = "name", pure)]
    pub fn data_name(data: &mut Dataset) -> String {
        data.0.name.clone()
    }
    #[rhai_fn(name = "len", pure)]
    pub fn split_len(split: &mut Split) -> INT {
        int(split.0.len())
    }
    #[rhai_fn(get = "places", pure)]
    pub fn split_places(split: &mut Split) -> INT {
        int(split.0.places())
    }
    #[rhai_fn(get = "digest", pure, return_raw)]
    pub fn split_digest(split: &mut Split) -> Res<String> {
        split.0.fingerprint().map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn take(split: &mut Split, n: INT) -> Res<Split> {
        match args::count("take", "the number of images", n)? {
            0 => Err(fail("take: 0 images leave nothing to work on; take at least 1")),
            n => Ok(Split(split.0.take(n))),
        }
    }
    #[rhai_fn(pure, return_raw)]
    pub fn per_class(split: &mut Split, n: INT) -> Res<Split> {
        let n = args::count("per_class", "the number of images", n)?;
        split.0.per_class(n).map(Split).map_err(|e| fail(e.to_string()))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn batches(context: NativeCallContext, split: &mut Split, size: INT) -> Res<Batches> {
        pass(&context, split, size, Map::new())
    }
    #[rhai_fn(name = "batches", pure, return_raw)]
    pub fn batches_options(context: NativeCallContext, split: &mut Split, size: INT, options: Map) -> Res<Batches> {
        pass(&context, split, size, options)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn images(split: &mut Split, numbers: Array) -> Res<Tensor> {
        let numbers = places("images", split, &numbers)?;
        split.0.images(&numbers).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn labels(split: &mut Split, numbers: Array) -> Res<Tensor> {
        let numbers = places("labels", split, &numbers)?;
        split.0.labels(&numbers).map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "x", pure)]
    pub fn x(batch: &mut Batch) -> Tensor {
        Tensor(batch.0.x.clone())
    }
    #[rhai_fn(get = "y", pure)]
    pub fn y(batch: &mut Batch) -> Tensor {
        Tensor(batch.0.y.clone())
    }
    #[rhai_fn(get = "index", pure, return_raw)]
    pub fn batch_index(batch: &mut Batch) -> Res<Array> {
        unrecorded("index").map(|()| batch.0.index.iter().map(|n| Dynamic::from(INT::from(*n))).collect())
    }
    #[rhai_fn(get = "beside", pure, return_raw)]
    pub fn batch_beside(batch: &mut Batch) -> Res<INT> {
        unrecorded("beside").map(|()| int(batch.0.beside))
    }
    #[rhai_fn(get = "number", pure, return_raw)]
    pub fn batch_number(batch: &mut Batch) -> Res<INT> {
        unrecorded("number").map(|()| int(batch.0.number))
    }
    #[rhai_fn(get = "count", pure, return_raw)]
    pub fn batch_count(batch: &mut Batch) -> Res<INT> {
        unrecorded("count").map(|()| int(batch.0.count))
    }
    #[rhai_fn(name = "len", pure)]
    pub fn batch_len(batch: &mut Batch) -> INT {
        int(batch.0.index.len())
    }
}

fn places(op: &str, split: &Split, numbers: &Array) -> Res<Vec<u32>> {
    let numbers = args::shape(op, numbers)?;
    if let Some(n) = numbers.iter().find(|n| **n >= split.0.len()) {
        let beside =
            if *n < split.0.places() { "; it is one that stands beside it, which only batches hold" } else { "" };
        return Err(fail(format!(
            "{op}: image {n} is out of range, {} has {} images{beside}",
            split.0.name(),
            split.0.len()
        )));
    }
    Ok(numbers.into_iter().map(|n| n as u32).collect())
}

fn normalisation(data: &Dataset) -> Res<&data::Normalisation> {
    let wanting = || {
        let name = &data.0.name;
        fail(format!(
            "mean, std: the manifest of data set `{name}` names no normalisation; compute them from its images"
        ))
    };
    data.0.normalisation.as_ref().ok_or_else(wanting)
}
