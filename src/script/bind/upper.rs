//! Upper bounds on spectral norms that are true, certified margins.

use super::args;
use super::host::host;
use crate::base::random::Key;
use crate::bounds::{self, UpperMethod, UpperOptions};
use crate::run::Drawn;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Execution, Layer, Model, NormBound, Region, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, INT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(upper).into());
}

/// How many samples two masks are for; one where there are none.
fn samples(columns: Option<&candle_core::Tensor>, rows: Option<&candle_core::Tensor>) -> Option<usize> {
    columns.or(rows).map(|mask| mask.dims().first().copied().unwrap_or(0))
}

fn read_options(context: &NativeCallContext, map: Map, batch: Option<usize>) -> Res<UpperOptions> {
    let op = "norm_bound";
    let host = host(context);
    let mut options = Options::new(op, map);
    let method = options.choice_of("method", UpperMethod::Cholesky, &UpperMethod::NAMES, &UpperMethod::FORMER)?;
    let steps = match method {
        UpperMethod::GramIteration => options.usize("squarings", 10, 0..=60)?,
        UpperMethod::Lanczos => options.usize("steps", 400, 1..)?,
        _ => 0,
    };
    let failure = if method == UpperMethod::Lanczos { options.float_in("failure", 1e-12, 0.0..1.0)? } else { 0.0 };
    let tolerance =
        if method == UpperMethod::GramIteration { 1.0 } else { options.float_in("tolerance", 1e-3, 0.0..=1.0)? };
    let index = options.optional::<Array>("index", "an array of ints")?;
    let key = match (options.string("entropy")?, method) {
        (Some(text), _) => read_key(op, &text)?,
        // Random numbers that a network could be made for are none.
        (None, UpperMethod::Lanczos) => host.bits().map_err(fail)?,
        // Elsewhere they choose what is tried first, and no more.
        (None, UpperMethod::Cholesky | UpperMethod::GramIteration | UpperMethod::Circulant) => Key::of_seed(host.seed),
    };
    let turn = match options.optional::<INT>("turn", "an int")? {
        Some(turn) => {
            u64::try_from(turn).map_err(|_| fail(format!("{op}: `turn` is {turn}, it must be at least 0")))?
        }
        // Numbers that nothing else uses.
        None => (1 << 32) + host.stores.replace(host.stores.get() + 1),
    };
    options.finish()?;
    let index = match (index, batch) {
        (None, batch) => (0..batch.unwrap_or(1) as u64).collect(),
        (Some(index), batch) => {
            let index = args::places(op, &index)?;
            if let Some(batch) = batch.filter(|b| *b != index.len()) {
                return Err(fail(format!("{op}: the masks are of {batch} samples, `index` names {}", index.len())));
            }
            index
        }
    };
    Ok(UpperOptions { method, tolerance, failure, steps, key, index, turn })
}

pub(super) fn read_key(op: &str, text: &str) -> Res<Key> {
    let wrong =
        || fail(format!("{op}: \"{text}\" is no entropy; give 64 hexadecimal digits, as entropy().key has them"));
    Key::parse(text).ok_or_else(wrong)
}

fn bound(context: &NativeCallContext, layer: &Layer, columns: Dynamic, rows: Dynamic, options: Map) -> Res<NormBound> {
    let columns = args::optional_tensor("norm_bound", columns)?;
    let rows = args::optional_tensor("norm_bound", rows)?;
    let options = read_options(context, options, samples(columns.as_ref(), rows.as_ref()))?;
    bounds::norm_bound(&layer.0, columns.as_ref(), rows.as_ref(), &options)
        .map(|n| NormBound(Rc::new(n)))
        .map_err(candle)
}

#[export_module]
mod upper {
    #[rhai_fn(return_raw)]
    pub fn entropy(context: NativeCallContext) -> Res<Map> {
        let (key, drawn) = host(&context).run.entropy().map_err(fail)?;
        let drawn = match drawn {
            Drawn::Now => "now",
            Drawn::Before => "before",
        };
        Ok([("key".into(), key.to_string().into()), ("drawn".into(), drawn.into())].into())
    }
    #[rhai_fn(name = "entropy", return_raw)]
    pub fn given_entropy(key: &str) -> Res<Map> {
        let own = read_key("entropy", key)?;
        Ok([("key".into(), own.to_string().into()), ("drawn".into(), "given".into())].into())
    }
    #[rhai_fn(return_raw)]
    pub fn norm_bound(context: NativeCallContext, layer: Layer, columns: Dynamic, rows: Dynamic) -> Res<NormBound> {
        bound(&context, &layer, columns, rows, Map::new())
    }
    #[rhai_fn(name = "norm_bound", return_raw)]
    pub fn norm_bound_options(
        context: NativeCallContext,
        layer: Layer,
        columns: Dynamic,
        rows: Dynamic,
        options: Map,
    ) -> Res<NormBound> {
        bound(&context, &layer, columns, rows, options)
    }
    #[rhai_fn(return_raw)]
    pub fn factor_cost(layer: Layer, columns: Dynamic, rows: Dynamic) -> Res<Array> {
        let columns = args::optional_tensor("factor_cost", columns)?;
        let rows = args::optional_tensor("factor_cost", rows)?;
        let batch = samples(columns.as_ref(), rows.as_ref()).unwrap_or(1);
        let costs = bounds::factor_cost(&layer.0, columns.as_ref(), rows.as_ref(), batch).map_err(candle)?;
        Ok(costs.into_iter().map(|c| Dynamic::from(c as FLOAT)).collect())
    }
    #[rhai_fn(get = "upper", pure)]
    pub fn upper_of(norm: &mut NormBound) -> Tensor {
        Tensor(norm.0.upper.clone())
    }
    #[rhai_fn(get = "lower", pure)]
    pub fn lower_of(norm: &mut NormBound) -> Tensor {
        Tensor(norm.0.lower.clone())
    }
    #[rhai_fn(get = "steps", pure)]
    pub fn steps(norm: &mut NormBound) -> Array {
        norm.0.steps.iter().map(|n| Dynamic::from(INT::from(*n))).collect()
    }
    #[rhai_fn(get = "rounding", pure)]
    pub fn rounding(region: &mut Region) -> Dynamic {
        region.0.rounding.clone().map_or(Dynamic::UNIT, |r| Dynamic::from(Tensor(r)))
    }
    #[rhai_fn(return_raw)]
    pub fn certified_margins(model: Model, bounds: Map, y: Tensor) -> Res<Tensor> {
        let part = |key: &str| bounds.get(key).cloned().unwrap_or(Dynamic::UNIT);
        let (Some(region), Some(radius)) = (part("region").try_cast::<Region>(), part("radius").try_cast::<Tensor>())
        else {
            return Err(fail(
                "certified_margins: the bounds must hold `region` (an outward Region before the last layer) and `radius` (a Tensor [B])",
            ));
        };
        let now = model.0.current().map_err(candle)?;
        let last = now.layers().last().ok_or_else(|| fail("certified_margins: the model has no layers"))?;
        let execution = part("execution").try_cast::<Execution>();
        let execution = execution.as_ref().map(|e| &e.0);
        bounds::certified_margins(last, &region.0, &radius.0, &y.0, execution).map(Tensor).map_err(candle)
    }
}
