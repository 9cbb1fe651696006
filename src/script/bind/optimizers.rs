//! Optimisers over a model or over an array of parameters.

use super::args;
use super::host::host;
use crate::compute::precision::products_in;
use crate::nn::Sequential;
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Gradients, Model, Optimizer, Tensor, int};
use crate::train::{self, Dealt, Lookahead, OptimizerKind, Over};
use candle_core::Var;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use std::cell::RefCell;
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(optimizer).into());
}

/// Parameters by name, and the model they belong to, if they belong to one.
type Trained = (Vec<(String, Var)>, Option<Rc<Sequential>>);

/// What is trained: a model, or an array of parameters.
fn parameters(op: &str, target: Dynamic) -> Res<Trained> {
    if let Some(model) = target.clone().try_cast::<Model>() {
        if model.0.is_frozen() {
            return Err(fail(format!(
                "{op}: the model is frozen, its parameters take no gradient; give the model itself or a copy()"
            )));
        }
        return Ok((model.0.trained(), Some(model.0)));
    }
    let kind = a_value_of(target.type_name());
    let Some(array) = target.try_cast::<Array>() else {
        return Err(fail(format!("{op}: a model or an array of parameters is wanted, got {kind}")));
    };
    if array.is_empty() {
        return Err(fail(format!(
            "{op}: the array holds no parameter, so nothing would be trained; `net.parameters` has them by name"
        )));
    }
    let list = args::tensors(op, array)?;
    let vars = list.into_iter().enumerate().map(|(i, t)| {
        if !t.is_variable() {
            return Err(fail(format!("{op}: tensor {i} is no parameter; make it one with tensor.parameter()")));
        }
        Var::from_tensor(&t).map(|v| (i.to_string(), v)).map_err(candle)
    });
    Ok((vars.collect::<Res<_>>()?, None))
}

fn made(context: &NativeCallContext, op: &'static str, target: Dynamic, options: Map) -> Res<Optimizer> {
    let mut options = Options::new(op, options);
    let (kind, lr, decay) = match op {
        "sgd" => (OptimizerKind::Sgd { momentum: options.float_in("momentum", 0.0, 0.0..1.0)? }, 1e-2, 0.0),
        _ => {
            let (beta1, beta2) =
                (options.float_in("beta1", 0.9, 0.0..1.0)?, options.float_in("beta2", 0.999, 0.0..1.0)?);
            let eps = options.float_in("eps", 1e-8, 0.0..)?;
            match op {
                "adamw" => (OptimizerKind::Adam { beta1, beta2, eps, decoupled: true }, 1e-3, 1e-2),
                "nadam" => {
                    let momentum_decay = options.float_in("momentum_decay", 4e-3, 0.0..)?;
                    let decoupled = options.bool("decoupled", false)?;
                    (OptimizerKind::Nadam { beta1, beta2, eps, momentum_decay, decoupled }, 2e-3, 0.0)
                }
                _ => {
                    let decoupled = options.bool("decoupled", false)?;
                    (OptimizerKind::Adam { beta1, beta2, eps, decoupled }, 1e-3, 0.0)
                }
            }
        }
    };
    // A NaN learning rate gets the optimiser's own message.
    let lr = options.any_float("lr", lr)?;
    let weight_decay = options.float_in("weight_decay", decay, 0.0..)?;
    let clip_norm = if options.has("clip_norm") { Some(options.float_in("clip_norm", 0.0, 0.0..)?) } else { None };
    options.finish()?;
    let (list, model) = parameters(op, target)?;
    let host = host(context);
    let mut optimizer = train::Optimizer::new(kind, &list, lr, weight_decay, clip_norm).map_err(candle)?;
    // What is made for a part of a batch is of that part.
    optimizer.is_local = host.run.slice().is_some();
    let optimizer = Rc::new(RefCell::new(optimizer));
    host.objects.borrow_mut().optimizer(&optimizer);
    Ok(Optimizer(optimizer, model))
}

/// The same optimiser, with slow weights.
fn with_lookahead(o: Optimizer, options: Map) -> Res<Optimizer> {
    let mut options = Options::new("lookahead", options);
    let (steps, share) = (options.usize("steps", 5, 1..)?, options.any_float("share", 0.5)?);
    options.finish()?;
    let lookahead = Lookahead::new(steps, share).map_err(candle)?;
    o.0.borrow_mut().look_ahead(lookahead).map_err(candle)?;
    Ok(o)
}

/// The learning rate of a step, a number or among options, and what its loss is over the batch.
pub fn how(given: Dynamic) -> Res<(Option<f64>, Over)> {
    let Some(map) = given.clone().try_cast::<Map>() else {
        return Ok((Some(args::number("step", &given)?), Over::Mean));
    };
    let mut options = Options::new("step", map);
    let lr = if options.has("lr") { Some(options.any_float("lr", 0.0)?) } else { None };
    let over = if options.choice("over", "mean", &["mean", "sum"])? == "sum" { Over::Sum } else { Over::Mean };
    options.finish()?;
    Ok((lr, over))
}

/// One step, and what follows it in a model: thresholds back to where the bounds hold.
fn stepped(
    context: &NativeCallContext,
    o: &Optimizer,
    over: Over,
    step: impl FnOnce(&mut train::Optimizer, Option<&Dealt>) -> candle_core::Result<()>,
) -> Res<()> {
    let host = host(context);
    products_in(host.precision.get());
    let slice = host.run.slice();
    let dealt = slice.map(|slice| Dealt { group: &host.run.ranks().group, slice, over });
    step(&mut o.0.borrow_mut(), dealt.as_ref()).map_err(candle)?;
    o.1.as_ref().map_or(Ok(()), |m| m.after_step()).map_err(candle)
}

#[export_module]
mod optimizer {
    #[rhai_fn(return_raw)]
    pub fn adam(context: NativeCallContext, target: Dynamic) -> Res<Optimizer> {
        made(&context, "adam", target, Map::new())
    }
    #[rhai_fn(name = "adam", return_raw)]
    pub fn adam_options(context: NativeCallContext, target: Dynamic, options: Map) -> Res<Optimizer> {
        made(&context, "adam", target, options)
    }
    #[rhai_fn(return_raw)]
    pub fn adamw(context: NativeCallContext, target: Dynamic) -> Res<Optimizer> {
        made(&context, "adamw", target, Map::new())
    }
    #[rhai_fn(name = "adamw", return_raw)]
    pub fn adamw_options(context: NativeCallContext, target: Dynamic, options: Map) -> Res<Optimizer> {
        made(&context, "adamw", target, options)
    }
    #[rhai_fn(return_raw)]
    pub fn nadam(context: NativeCallContext, target: Dynamic) -> Res<Optimizer> {
        made(&context, "nadam", target, Map::new())
    }
    #[rhai_fn(name = "nadam", return_raw)]
    pub fn nadam_options(context: NativeCallContext, target: Dynamic, options: Map) -> Res<Optimizer> {
        made(&context, "nadam", target, options)
    }
    #[rhai_fn(return_raw)]
    pub fn lookahead(o: Optimizer) -> Res<Optimizer> {
        with_lookahead(o, Map::new())
    }
    #[rhai_fn(name = "lookahead", return_raw)]
    pub fn lookahead_options(o: Optimizer, options: Map) -> Res<Optimizer> {
        with_lookahead(o, options)
    }
    #[rhai_fn(name = "sgd", return_raw)]
    pub fn sgd_plain(context: NativeCallContext, target: Dynamic) -> Res<Optimizer> {
        made(&context, "sgd", target, Map::new())
    }
    #[rhai_fn(return_raw)]
    pub fn sgd(context: NativeCallContext, target: Dynamic, options: Map) -> Res<Optimizer> {
        made(&context, "sgd", target, options)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn step(context: NativeCallContext, o: &mut Optimizer, loss: Tensor) -> Res<()> {
        stepped(&context, o, Over::Mean, |o, dealt| o.step_in(&loss.0, None, dealt))
    }
    #[rhai_fn(name = "step", pure, return_raw)]
    pub fn step_lr(context: NativeCallContext, o: &mut Optimizer, loss: Tensor, lr: Dynamic) -> Res<()> {
        let (lr, over) = how(lr)?;
        stepped(&context, o, over, |o, dealt| o.step_in(&loss.0, lr, dealt))
    }
    #[rhai_fn(name = "step", pure, return_raw)]
    pub fn step_gradients(context: NativeCallContext, o: &mut Optimizer, gradients: Gradients) -> Res<()> {
        stepped(&context, o, Over::Mean, |o, dealt| o.apply(&gradients.0, None, dealt))
    }
    #[rhai_fn(name = "step", pure, return_raw)]
    pub fn step_gradients_lr(
        context: NativeCallContext,
        o: &mut Optimizer,
        gradients: Gradients,
        lr: Dynamic,
    ) -> Res<()> {
        let (lr, over) = how(lr)?;
        stepped(&context, o, over, |o, dealt| o.apply(&gradients.0, lr, dealt))
    }
    #[rhai_fn(get = "steps", pure)]
    pub fn steps(o: &mut Optimizer) -> INT {
        int(o.0.borrow().steps)
    }
    #[rhai_fn(get = "lr", pure)]
    pub fn lr(o: &mut Optimizer) -> f64 {
        o.0.borrow().lr
    }
    #[rhai_fn(get = "state", pure, return_raw)]
    pub fn state(o: &mut Optimizer) -> Res<Map> {
        let state = o.0.borrow().state().map_err(candle)?;
        Ok(state.into_iter().map(|(n, t)| (n.into(), Dynamic::from(Tensor(t)))).collect())
    }
}
