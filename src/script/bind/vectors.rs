//! The store of power-iteration vectors, and the two norms that read and write it.

use super::args;
use super::bounds::power;
use super::host::{Host, host};
use crate::base::random::Generator;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle};
use crate::script::values::{Batch, BatchVectors, Layer, Model, SpectralNorm, Tensor, Vectors, int};
use crate::train;
use candle_core::DType;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(vectors).into());
}

fn store(context: &NativeCallContext, model: &Model, count: INT, options: Map) -> Res<Vectors> {
    let mut options = Options::new("singular_vectors", options);
    let wanted = train::VectorsOptions {
        dtype: match options.choice("dtype", "f32", &["f16", "f32", "f64"])? {
            "f16" => DType::F16,
            "f64" => DType::F64,
            _ => DType::F32,
        },
        layers: options.sizes("layers")?,
        fresh: options.bool("fresh", false)?,
        memory: if options.has("memory") { Some(options.usize("memory", 0, ..)? as u64) } else { None },
    };
    options.finish()?;
    let count = args::count("singular_vectors", "the number of images", count)?;
    let host = host(context);
    let random = if wanted.fresh { another(&host) } else { Generator::new(host.seed) };
    let strata = &host.run.ranks().strata;
    let store = train::Vectors::dealt(&model.0, count, &wanted, &random, strata).map_err(candle)?;
    host.objects.borrow_mut().vectors(&store);
    Ok(Vectors(store))
}

/// Numbers of its own for every store of fresh vectors.
fn another(host: &Host) -> Generator {
    Generator::stream(host.seed, host.stores.replace(host.stores.get() + 1))
}

#[export_module]
mod vectors {
    #[rhai_fn(return_raw)]
    pub fn singular_vectors(context: NativeCallContext, model: Model, count: INT) -> Res<Vectors> {
        store(&context, &model, count, Map::new())
    }
    #[rhai_fn(name = "singular_vectors", return_raw)]
    pub fn singular_vectors_options(
        context: NativeCallContext,
        model: Model,
        count: INT,
        options: Map,
    ) -> Res<Vectors> {
        store(&context, &model, count, options)
    }
    #[rhai_fn(return_raw)]
    pub fn fresh_vectors(context: NativeCallContext, model: Model, count: INT) -> Res<BatchVectors> {
        let count = args::count("fresh_vectors", "the number of images", count)?;
        let wanted = train::VectorsOptions { dtype: model.0.dtype(), layers: None, fresh: false, memory: None };
        let made = train::Vectors::new(&model.0, count, &wanted, &another(&host(&context)));
        let all: Vec<u32> = (0..count as u32).collect();
        made.and_then(|store| store.of(&all)).map(BatchVectors).map_err(candle)
    }
    #[rhai_fn(name = "fresh_vectors", return_raw)]
    pub fn fresh_vectors_of(context: NativeCallContext, model: Model, places: Array) -> Res<BatchVectors> {
        let places = args::places("fresh_vectors", &places)?;
        train::fresh_vectors(&model.0, host(&context).seed, &places).map(BatchVectors).map_err(candle)
    }
    #[rhai_fn(name = "of", pure, return_raw)]
    pub fn of_batch(vectors: &mut Vectors, batch: Batch) -> Res<BatchVectors> {
        vectors.0.of_part(&batch.0.index, &batch.0.slice).map(BatchVectors).map_err(candle)
    }
    #[rhai_fn(name = "of", pure, return_raw)]
    pub fn of_images(vectors: &mut Vectors, images: Array) -> Res<BatchVectors> {
        let images: Vec<u32> = args::shape("of", &images)?.into_iter().map(|image| image as u32).collect();
        vectors.0.of(&images).map(BatchVectors).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn first(vectors: &mut Vectors, count: INT) -> Res<BatchVectors> {
        let all: Vec<u32> = (0..args::count("first", "the number of images", count)? as u32).collect();
        vectors.0.of(&all).map(BatchVectors).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn set_local(vectors: &mut Vectors, index: INT, values: Tensor) -> Res<()> {
        let index = args::count("set_local", "the layer", index)?;
        vectors.0.set_local(index, &values.0).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn set_global(vectors: &mut Vectors, index: INT, value: Tensor) -> Res<()> {
        let index = args::count("set_global", "the layer", index)?;
        vectors.0.set_global(index, &value.0).map_err(candle)
    }
    #[rhai_fn(get = "uncertain", pure)]
    pub fn uncertain(vectors: &mut BatchVectors) -> BatchVectors {
        BatchVectors(vectors.0.uncertain())
    }
    #[rhai_fn(name = "len", pure)]
    pub fn vectors_len(vectors: &mut BatchVectors) -> INT {
        int(vectors.0.len())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn local(vectors: &mut BatchVectors, layer: Layer) -> Res<Tensor> {
        vectors.0.local(&layer.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn global(vectors: &mut BatchVectors, layer: Layer) -> Res<Tensor> {
        vectors.0.global(&layer.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn global_norm(layer: Layer, vectors: BatchVectors, iterations: Dynamic) -> Res<SpectralNorm> {
        let options = power("global_norm", &iterations)?;
        vectors.0.global_norm(&layer.0, options).map(|n| SpectralNorm(Rc::new(n))).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn both_norms(
        layer: Layer,
        vectors: BatchVectors,
        columns: Dynamic,
        rows: Dynamic,
        iterations: Dynamic,
    ) -> Res<rhai::Map> {
        let columns = args::optional_tensor("both_norms", columns)?;
        let rows = args::optional_tensor("both_norms", rows)?;
        let options = power("both_norms", &iterations)?;
        let (local, global) =
            vectors.0.both_norms(&layer.0, columns.as_ref(), rows.as_ref(), options).map_err(candle)?;
        let own = |pair| Dynamic::from(SpectralNorm(Rc::new(pair)));
        Ok([("local".into(), own(local)), ("global".into(), own(global))].into())
    }
    #[rhai_fn(return_raw)]
    pub fn local_norm(
        layer: Layer,
        vectors: BatchVectors,
        columns: Dynamic,
        rows: Dynamic,
        iterations: Dynamic,
    ) -> Res<SpectralNorm> {
        let columns = args::optional_tensor("local_norm", columns)?;
        let rows = args::optional_tensor("local_norm", rows)?;
        let options = power("local_norm", &iterations)?;
        vectors
            .0
            .local_norm(&layer.0, columns.as_ref(), rows.as_ref(), options)
            .map(|n| SpectralNorm(Rc::new(n)))
            .map_err(candle)
    }
}
