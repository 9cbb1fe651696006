//! A training step that a CUDA graph repeats, as a script asks for it.

use super::args;
use super::host::host;
use super::optimizers::how;
use crate::compute::gpu::recording::is_recording;
use crate::compute::precision::products_in;
use crate::data;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle, fail, thrown};
use crate::script::values::{Batch, Optimizer, StepGraph, Tensor, Trainer, Vectors, int};
use crate::train::{self, Asked, Dealt, Found};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, INT, Map, NativeCallContext};
use std::cell::RefCell;
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(step_graph).into());
}

fn made(optimizer: Optimizer, vectors: &Vectors, options: Map) -> Res<StepGraph> {
    let mut options = Options::new("step_graph", options);
    let records = options.bool("record", true)?;
    options.finish()?;
    let Some(model) = optimizer.1.clone() else {
        return Err(fail("step_graph: the optimiser is over parameters; make it over the model, as in adam(model)"));
    };
    let graph = train::StepGraph::new(model, vectors.0.clone(), records);
    Ok(StepGraph(Rc::new(RefCell::new(graph)), optimizer))
}

/// A step of a trainer.
fn run(
    context: &NativeCallContext,
    trainer: &Trainer,
    batch: Batch,
    [eps, kappa, lr]: [Dynamic; 3],
    iterations: INT,
) -> Res<Dynamic> {
    trainer.0.call_raw(context, None, [Dynamic::from(batch), eps, kappa, lr, iterations.into()])
}

/// What is to be said of the keys.
fn state<R>(graph: &StepGraph, of: impl FnOnce((usize, Vec<(&str, &str)>)) -> R) -> Res<R> {
    match graph.0.try_borrow() {
        Ok(graph) => Ok(of(graph.state())),
        Err(_) => Err(fail("step_graph: what is recorded is not known inside a step; ask behind it")),
    }
}

/// What the script's function gives, by name.
fn found(given: Dynamic) -> candle_core::Result<Found> {
    let kind = given.type_name().to_string();
    let Some(map) = given.try_cast::<Map>() else {
        candle_core::bail!("step_graph: the step must give a map of tensors with `loss` in it, it gave {kind}")
    };
    let one = |(name, value): (_, Dynamic)| {
        let kind = value.type_name().to_string();
        match value.try_cast::<Tensor>() {
            Some(t) if t.0.elem_count() == 1 => Ok((format!("{name}"), t.0)),
            Some(t) => candle_core::bail!("step_graph: `{name}` must be one number, it has shape {:?}", t.0.dims()),
            None => candle_core::bail!("step_graph: `{name}` must be a tensor, it is {kind}"),
        }
    };
    map.into_iter().map(one).collect()
}

#[export_module]
mod step_graph {
    #[rhai_fn(return_raw)]
    pub fn step_graph(optimizer: Optimizer, vectors: Vectors) -> Res<StepGraph> {
        made(optimizer, &vectors, Map::new())
    }
    #[rhai_fn(name = "step_graph", return_raw)]
    pub fn step_graph_options(optimizer: Optimizer, vectors: Vectors, options: Map) -> Res<StepGraph> {
        made(optimizer, &vectors, options)
    }
    #[rhai_fn(name = "step", pure, return_raw)]
    pub fn graphed_step(
        context: NativeCallContext,
        graph: &mut StepGraph,
        key: &str,
        batch: Batch,
        numbers: Array,
        lr: Dynamic,
        step: FnPtr,
    ) -> Res<Map> {
        let numbers = numbers.iter().map(|n| args::number("step_graph", n)).collect::<Res<Vec<_>>>()?;
        let (lr, over) = how(lr)?;
        let host = host(&context);
        let precision = host.precision.get();
        products_in(precision);
        let key = format!("{key}, {precision} {:?}", host.precision.layout());
        let slice = host.run.slice();
        let dealt = slice.map(|slice| Dealt { group: &host.run.ranks().group, slice, over });
        let data::Batch { x, y, index, .. } = &*batch.0;
        let optimizer = &*graph.1.0;
        let asked = Asked { key: &key, x, y, images: index, numbers: &numbers, lr, optimizer, dealt };
        let mut call = |x, y, numbers: Vec<candle_core::Tensor>| {
            let numbers: Array = numbers.into_iter().map(|t| Dynamic::from(Tensor(t))).collect();
            let own = data::Batch { x, y, ..data::Batch::clone(&batch.0) };
            let arguments = [Dynamic::from(Batch(Rc::new(own))), numbers.into()];
            // Of a recording that fails nothing goes on but what it says, and nothing has been drawn: the step is then taken as it is.
            let before = host.random.position();
            let given = step.call_raw(&context, None, arguments);
            if !is_recording() {
                return found(given.map_err(thrown::carried)?);
            }
            if host.random.position() != before {
                host.random.set_position(before);
                candle_core::bail!("it draws random numbers");
            }
            let reason = |e: Box<EvalAltResult>| e.to_string().lines().next().unwrap_or_default().to_string();
            found(given.map_err(|e| candle_core::Error::Msg(reason(e)))?)
        };
        let Ok(mut steps) = graph.0.try_borrow_mut() else {
            return Err(fail("step_graph: a step inside a step of the same graph; take one behind the other"));
        };
        let found = steps.run(asked, &mut call).map_err(candle)?;
        Ok(found.into_iter().map(|(name, t)| (name.into(), Dynamic::from(Tensor(t)))).collect())
    }
    /// What `methods::trainer` gives: `take` is a closure of batch, eps, kappa, learning rate and iterations.
    pub fn trainer_of(take: FnPtr, iterations: INT, graph: Dynamic) -> Trainer {
        Trainer(Rc::new(take), iterations, graph.try_cast::<StepGraph>())
    }
    #[rhai_fn(name = "run", pure, return_raw)]
    pub fn trainer_run(
        context: NativeCallContext,
        trainer: &mut Trainer,
        batch: Batch,
        eps: Dynamic,
        kappa: Dynamic,
        lr: Dynamic,
    ) -> Res<Dynamic> {
        let iterations = trainer.1;
        run(&context, trainer, batch, [eps, kappa, lr], iterations)
    }
    #[rhai_fn(name = "run", pure, return_raw)]
    pub fn trainer_run_iterations(
        context: NativeCallContext,
        trainer: &mut Trainer,
        batch: Batch,
        eps: Dynamic,
        kappa: Dynamic,
        lr: Dynamic,
        iterations: INT,
    ) -> Res<Dynamic> {
        run(&context, trainer, batch, [eps, kappa, lr], iterations)
    }
    #[rhai_fn(get = "graph", pure)]
    pub fn trainer_graph(trainer: &mut Trainer) -> Dynamic {
        trainer.2.clone().map_or(Dynamic::UNIT, Dynamic::from)
    }
    #[rhai_fn(get = "recorded", pure, return_raw)]
    pub fn recorded(graph: &mut StepGraph) -> Res<INT> {
        state(graph, |(recorded, _)| int(recorded))
    }
    #[rhai_fn(get = "refused", pure, return_raw)]
    pub fn refused(graph: &mut StepGraph) -> Res<Map> {
        state(graph, |(_, refused)| refused.into_iter().map(|(key, reason)| (key.into(), reason.into())).collect())
    }
}
