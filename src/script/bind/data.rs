//! Data sets, their splits, batches.

use super::args;
use super::host::host;
use super::types::{Batch, Dataset, Split, Tensor, int};
use crate::compute::interrupt;
use crate::data::{self, Augmentation, BatchOrder};
use crate::run::Run;
use crate::script::error::{Res, candle, fail, interrupted};
use crate::script::options::Options;
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
    run: Rc<Run>,
}

impl Iterator for Batches {
    type Item = Res<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if interrupt::requested() {
            return Some(Err(interrupted()));
        }
        let batch = self.inner.next()?;
        if let Ok(batch) = &batch {
            self.run.begin_batch(batch.number, batch.count);
        }
        Some(batch.map(|b| Batch(Rc::new(b))).map_err(candle))
    }
}

fn load(context: &NativeCallContext, name: &str, options: Map) -> Res<Dataset> {
    let host = host(context);
    let mut options = Options::new("dataset", options);
    let limit = |options: &mut Options, key: &'static str| -> Res<Option<usize>> {
        // 0 stands for "all", so that a setting can switch the limit off.
        Ok(Some(options.usize(key, 0, ..)?).filter(|n| *n > 0))
    };
    let wanted = data::Options {
        data_dir: host.data_dir.clone(),
        train_limit: limit(&mut options, "train_limit")?,
        test_limit: limit(&mut options, "test_limit")?,
        dtype: match options.string("dtype")? {
            Some(name) => args::dtype("dataset", &name)?,
            None => host.dtype,
        },
        device: host.device.clone(),
        seed: host.seed,
        augmentation: Augmentation { crop: options.usize("crop", 0, ..)?, flip: options.bool("flip", false)? },
    };
    options.finish()?;
    // A manifest given by a relative path lies beside the script, not beside whoever runs it.
    let beside = host.script_folder.as_ref().filter(|_| data::is_path(name)).map(|f| f.join(name));
    let name = beside.as_deref().and_then(|p| p.to_str()).unwrap_or(name);
    let found = data::Dataset::load(name, &wanted).map_err(|e| match e {
        data::Error::Interrupted => interrupted(),
        e => fail(format!("dataset: {e}")),
    })?;
    for warning in &found.warnings {
        host.run.print(&format!("note: {warning}"));
    }
    Ok(Dataset(Rc::new(found)))
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
    made.map(|inner| Batches { inner, run: host.run.clone() }).map_err(|e| fail(format!("batches: {e}")))
}

#[export_module]
mod datasets {
    /// A data set by name ("digits", "mnist", "cifar10", "tiny_imagenet") or by the path of a manifest.
    #[rhai_fn(return_raw)]
    pub fn dataset(context: NativeCallContext, name: &str) -> Res<Dataset> {
        load(&context, name, Map::new())
    }
    /// A data set. Options: `train_limit`, `test_limit` (the first so many images; 0 is all), `dtype` ("f32"), and for the
    /// batches of training images `crop` (0: zeros around an image, of which a random window is taken) and `flip` (false:
    /// reflect every other image).
    #[rhai_fn(name = "dataset", return_raw)]
    pub fn dataset_options(context: NativeCallContext, name: &str, options: Map) -> Res<Dataset> {
        load(&context, name, options)
    }
    /// The images to train on.
    #[rhai_fn(get = "train", pure)]
    pub fn train(data: &mut Dataset) -> Split {
        Split(data.0.train.clone())
    }
    /// The images to test on.
    #[rhai_fn(get = "test", pure)]
    pub fn test(data: &mut Dataset) -> Split {
        Split(data.0.test.clone())
    }
    /// Shape of one image, [channels, height, width].
    #[rhai_fn(get = "shape", pure)]
    pub fn image_shape(data: &mut Dataset) -> Array {
        data.0.shape.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    /// Number of classes.
    #[rhai_fn(get = "classes", pure)]
    pub fn data_classes(data: &mut Dataset) -> INT {
        int(data.0.classes)
    }
    /// Short name.
    #[rhai_fn(get = "name", pure)]
    pub fn data_name(data: &mut Dataset) -> String {
        data.0.name.clone()
    }
    /// Number of images.
    #[rhai_fn(name = "len", pure)]
    pub fn split_len(split: &mut Split) -> INT {
        int(split.0.len())
    }
    /// The first `n` images.
    #[rhai_fn(pure, return_raw)]
    pub fn take(split: &mut Split, n: INT) -> Res<Split> {
        match args::count("take", "the number of images", n)? {
            0 => Err(fail("take: 0 images leave nothing to work on; take at least 1")),
            n => Ok(Split(split.0.take(n))),
        }
    }
    /// All batches of one pass: in a new seeded order for training images, in order for test images.
    #[rhai_fn(pure, return_raw)]
    pub fn batches(context: NativeCallContext, split: &mut Split, size: INT) -> Res<Batches> {
        pass(&context, split, size, Map::new())
    }
    /// Batches. Options: `shuffle` (true for training images), `pass` (number of the order and the augmentation; else a new
    /// one each time), `drop_last` (false), `augment` (true: crop and flip as the data set was asked to).
    #[rhai_fn(name = "batches", pure, return_raw)]
    pub fn batches_options(context: NativeCallContext, split: &mut Split, size: INT, options: Map) -> Res<Batches> {
        pass(&context, split, size, options)
    }
    /// Images by their numbers, [n, channels, height, width], values in [0, 1]; never augmented.
    #[rhai_fn(pure, return_raw)]
    pub fn images(split: &mut Split, numbers: Array) -> Res<Tensor> {
        let numbers = places("images", split, &numbers)?;
        split.0.images(&numbers).map(Tensor).map_err(candle)
    }
    /// Labels by image numbers, [n].
    #[rhai_fn(pure, return_raw)]
    pub fn labels(split: &mut Split, numbers: Array) -> Res<Tensor> {
        let numbers = places("labels", split, &numbers)?;
        split.0.labels(&numbers).map(Tensor).map_err(candle)
    }
    /// Images, [B, channels, height, width].
    #[rhai_fn(get = "x", pure)]
    pub fn x(batch: &mut Batch) -> Tensor {
        Tensor(batch.0.x.clone())
    }
    /// Labels, [B].
    #[rhai_fn(get = "y", pure)]
    pub fn y(batch: &mut Batch) -> Tensor {
        Tensor(batch.0.y.clone())
    }
    /// Numbers of the images in their split.
    #[rhai_fn(get = "index", pure)]
    pub fn batch_index(batch: &mut Batch) -> Array {
        batch.0.index.iter().map(|n| Dynamic::from(INT::from(*n))).collect()
    }
    /// The batch's number in its pass, from 0.
    #[rhai_fn(get = "number", pure)]
    pub fn batch_number(batch: &mut Batch) -> INT {
        int(batch.0.number)
    }
    /// Batches in the pass.
    #[rhai_fn(get = "count", pure)]
    pub fn batch_count(batch: &mut Batch) -> INT {
        int(batch.0.count)
    }
    /// Images in the batch.
    #[rhai_fn(name = "len", pure)]
    pub fn batch_len(batch: &mut Batch) -> INT {
        int(batch.0.index.len())
    }
}

fn places(op: &str, split: &Split, numbers: &Array) -> Res<Vec<u32>> {
    let numbers = args::shape(op, numbers)?;
    if let Some(n) = numbers.iter().find(|n| **n >= split.0.len()) {
        return Err(fail(format!("{op}: image {n} is out of range, {} has {} images", split.0.name(), split.0.len())));
    }
    Ok(numbers.into_iter().map(|n| n as u32).collect())
}
