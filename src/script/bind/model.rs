//! Networks: built from layers, applied, looked at.

use super::args;
use super::host::{Host, host};
use crate::base::suggest;
use crate::compute::variables::assign;
use crate::nn::Sequential;
use crate::script::language::error::{Res, candle, fail};
use crate::script::language::options::Options;
use crate::script::values::{Layer, LayerSpec, Model, Tensor, int};
use candle_core::DType;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(model).into());
}

pub(super) fn trainable(op: &str, dtype: DType) -> Res<()> {
    if matches!(dtype, DType::F32 | DType::F64) {
        return Ok(());
    }
    Err(fail(format!("{op}: the parameters cannot be {}; use f32 or f64", dtype.as_str())))
}

fn build(context: &NativeCallContext, shape: &Array, layers: Array, options: Map) -> Res<Model> {
    let host = host(context);
    let mut options = Options::new("sequential", options);
    let dtype = match options.string("dtype")? {
        Some(name) => args::dtype("sequential", &name)?,
        None => host.dtype,
    };
    options.finish()?;
    trainable("sequential", dtype)?;
    let specs: Vec<_> = args::all_of("sequential", "a layer", layers)?.into_iter().map(|s: LayerSpec| s.0).collect();
    let input = args::shape("sequential", shape)?;
    Sequential::new(&input, &specs, dtype, &host.device, &host.random).map(|m| made(&host, m)).map_err(candle)
}

/// A network that checkpoints hold from now on.
pub(super) fn made(host: &Host, model: Sequential) -> Model {
    let model = Rc::new(model.computed_in(&host.precision));
    host.objects.borrow_mut().model(&model);
    Model(model)
}

/// A network with one logit as one of two classes; others as they are.
pub(super) fn two_classes(op: &str, model: &Model) -> Res<Model> {
    if model.0.output() != [1] {
        return Ok(model.clone());
    }
    let two = model.0.two_classes().map_err(candle)?;
    two.map(|two| Model(Rc::new(two))).ok_or_else(|| {
        fail(format!(
            "{op}: the network has one logit, which is two classes by its sign where a linear layer gives it; here the last layer is {}: \
             end the list of layers with linear(1), by itself and without a `weight` of its own, or with linear(2)",
            model.0.layers().last().map_or(String::new(), |layer| layer.spec.describe())
        ))
    })
}

#[export_module]
mod model {
    #[rhai_fn(return_raw)]
    pub fn sequential(context: NativeCallContext, shape: Array, layers: Array) -> Res<Model> {
        build(&context, &shape, layers, Map::new())
    }
    #[rhai_fn(name = "sequential", return_raw)]
    pub fn sequential_options(context: NativeCallContext, shape: Array, layers: Array, options: Map) -> Res<Model> {
        build(&context, &shape, layers, options)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn forward(model: &mut Model, x: Tensor) -> Res<Tensor> {
        model.0.forward(&x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "layers", pure, return_raw)]
    pub fn layers(model: &mut Model) -> Res<Array> {
        let now = model.0.current().map_err(candle)?;
        Ok(now.layers().iter().map(|l| Dynamic::from(Layer(l.clone()))).collect())
    }
    #[rhai_fn(get = "all_layers", pure, return_raw)]
    pub fn all_layers(model: &mut Model) -> Res<Array> {
        let now = model.0.current().map_err(candle)?;
        Ok(now.all_layers().into_iter().map(|l| Dynamic::from(Layer(l.clone()))).collect())
    }
    #[rhai_fn(get = "input", pure)]
    pub fn input_shape(model: &mut Model) -> Array {
        model.0.input().iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "classes", pure)]
    pub fn classes(model: &mut Model) -> INT {
        int(model.0.output().iter().product())
    }
    #[rhai_fn(get = "dtype", pure)]
    pub fn model_dtype(model: &mut Model) -> String {
        model.0.dtype().as_str().to_string()
    }
    #[rhai_fn(get = "digest", pure, return_raw)]
    pub fn model_digest(model: &mut Model) -> Res<String> {
        model.0.digest().map_err(candle)
    }
    #[rhai_fn(get = "parameters", pure)]
    pub fn parameters(model: &mut Model) -> Map {
        let entry = |(name, var): &(String, candle_core::Var)| {
            (name.as_str().into(), Dynamic::from(Tensor(var.as_tensor().clone())))
        };
        model.0.parameters().iter().map(entry).collect()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn param(model: &mut Model, name: &str) -> Res<Tensor> {
        let names = || model.0.parameters().iter().map(|(n, _)| n.as_str());
        let unknown = || {
            fail(format!(
                "param: no parameter `{name}`{}; there are {}",
                suggest::hint(name, names()),
                suggest::list(names())
            ))
        };
        model.0.parameter(name).map(|v| Tensor(v.as_tensor().clone())).ok_or_else(unknown)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn set_param(context: NativeCallContext, model: &mut Model, name: &str, value: Tensor) -> Res<()> {
        let Some(var) = model.0.parameter(name) else {
            let names = || model.0.parameters().iter().map(|(n, _)| n.as_str());
            let rest = suggest::hint_and_list(name, "parameters", names);
            return Err(fail(format!("set_param: no parameter `{name}`{rest}")));
        };
        if value.0.dims() != var.dims() {
            return Err(fail(format!(
                "set_param: `{name}` has shape {:?}, the value {:?}",
                var.dims(),
                value.0.dims()
            )));
        }
        if value.0.track_op() && !value.0.is_variable() {
            // An average of weights means the numbers alone; a weight that is computed from others does not.
            host(&context).note_once(
                "note: set_param takes the numbers of a value that is computed from parameters; no gradient flows through it. \
                 x.detach() says that this is meant",
            );
        }
        args::finite(&format!("set_param: the value for `{name}`"), &value.0)?;
        // A number of a wider type may lie beyond this one's.
        let value = value.0.detach().to_dtype(var.dtype()).map_err(candle)?;
        args::finite(&format!("set_param: the value for `{name}`, as {},", var.dtype().as_str()), &value)?;
        assign(var, &value).map_err(candle)
    }
    #[rhai_fn(pure)]
    pub fn frozen(model: &mut Model) -> Model {
        Model(Rc::new(model.0.frozen()))
    }
    #[rhai_fn(pure, return_raw)]
    pub fn two_classes(model: &mut Model) -> Res<Model> {
        super::two_classes("two_classes", model)
    }
    #[rhai_fn(name = "to_dtype", pure, return_raw)]
    pub fn model_to_dtype(context: NativeCallContext, model: &mut Model, dtype: &str) -> Res<Model> {
        let dtype = args::dtype("to_dtype", dtype)?;
        trainable("to_dtype", dtype)?;
        model.0.to_dtype(dtype).map(|m| made(&host(&context), m)).map_err(candle)
    }
    #[rhai_fn(name = "cpu", pure, return_raw)]
    pub fn model_on_host(context: NativeCallContext, model: &mut Model) -> Res<Model> {
        model.0.on_host().map(|m| made(&host(&context), m)).map_err(candle)
    }
    #[rhai_fn(name = "copy", pure, return_raw)]
    pub fn model_copy(context: NativeCallContext, model: &mut Model) -> Res<Model> {
        model.0.to_dtype(model.0.dtype()).map(|m| made(&host(&context), m)).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn project_thresholds(model: &mut Model) -> Res<()> {
        model.0.project_thresholds().map_err(candle)
    }
}
