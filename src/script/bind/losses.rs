//! Losses, margins and accuracies; the l2 attack.

use super::args;
use super::host::host;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, Model, Region, Tensor};
use crate::train::{self, losses};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(loss).into());
}

fn attack(
    context: &NativeCallContext,
    model: &Model,
    x: &Tensor,
    y: &Tensor,
    epsilon: &Dynamic,
    options: Map,
) -> Res<Tensor> {
    let epsilon = size("pgd: epsilon", epsilon)?;
    let mut options = Options::new("pgd", options);
    let known = ["strong", "published", "apgd_ce", "apgd_t", "apgd"];
    let mut wanted = match options.choice("attack", "strong", &known)? {
        "published" => train::AttackOptions::published(epsilon),
        "apgd_ce" => train::AttackOptions::auto(epsilon, train::Objective::CrossEntropy),
        "apgd_t" => train::AttackOptions::auto(epsilon, train::Objective::Ratio),
        "apgd" => train::AttackOptions::auto(epsilon, train::Objective::CrossEntropyThenRatio),
        _ => train::AttackOptions::strong(epsilon),
    };
    wanted.steps = options.usize("steps", wanted.steps, ..)?;
    if let Some(given) = options.dynamic("step_size") {
        wanted.step_size = size("pgd: option `step_size`", &given)?;
    }
    wanted.schedule =
        match options.choice("schedule", name_of(wanted.schedule), &["falling", "constant", "adaptive"])? {
            "falling" => train::Schedule::Falling,
            "adaptive" => train::Schedule::Adaptive,
            _ => train::Schedule::Constant,
        };
    let losses = ["targets", "margin", "cross_entropy", "dlr", "cross_entropy_dlr"];
    wanted.objective = match options.choice("loss", climbed(wanted.objective), &losses)? {
        "targets" => train::Objective::Targets,
        "margin" => train::Objective::Margin,
        "dlr" => train::Objective::Ratio,
        "cross_entropy_dlr" => train::Objective::CrossEntropyThenRatio,
        _ => train::Objective::CrossEntropy,
    };
    wanted.targets = options.usize("targets", wanted.targets, 1..)?;
    (wanted.start, wanted.streams) = start(&mut options)?;
    let once = !matches!(wanted.start, train::Start::Random);
    wanted.restarts = options.usize("restarts", if once { 1 } else { wanted.restarts }, 1..)?;
    wanted.clip = options.bool("clip", wanted.clip)?;
    wanted.stop_early = options.bool("stop_early", wanted.stop_early)?;
    options.finish()?;
    let model = super::model::two_classes("pgd", model)?;
    train::pgd(&model.0, &x.0, &y.0, wanted, &host(context).random).map(Tensor).map_err(candle)
}

/// A number, or one for each image: a tensor `[B]` or an array.
fn size(what: &str, value: &Dynamic) -> Res<train::Size> {
    if let Some(tensor) = value.clone().try_cast::<Tensor>() {
        if tensor.0.elem_count() > 1 && tensor.0.rank() != 1 {
            let dims = tensor.0.dims();
            return Err(fail(format!("{what}: {dims:?} is not a number, nor one for each image: [B]")));
        }
        let read = || tensor.0.detach().to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>();
        return read().map(train::Size::Each).map_err(candle);
    }
    match value.as_array_ref() {
        Ok(array) => args::numbers(what, &array).map(train::Size::Each),
        Err(_) => args::number(what, value).map(train::Size::All),
    }
}

fn name_of(schedule: train::Schedule) -> &'static str {
    match schedule {
        train::Schedule::Falling => "falling",
        train::Schedule::Constant => "constant",
        train::Schedule::Adaptive => "adaptive",
    }
}

fn climbed(objective: train::Objective) -> &'static str {
    match objective {
        train::Objective::Targets => "targets",
        train::Objective::Margin => "margin",
        train::Objective::CrossEntropy => "cross_entropy",
        train::Objective::Ratio => "dlr",
        train::Objective::CrossEntropyThenRatio => "cross_entropy_dlr",
    }
}

/// Where an attack begins, `start` or `random_start`, and the `streams` of its random starts.
fn start(options: &mut Options) -> Res<(train::Start, Option<Vec<u64>>)> {
    let random = options.bool("random_start", true)?;
    let start = match options.optional::<Tensor>("start", "a Tensor")? {
        Some(points) => train::Start::Points(points.0),
        None if random => train::Start::Random,
        None => train::Start::Center,
    };
    let Some(streams) = options.optional::<Array>("streams", "an array of ints")? else { return Ok((start, None)) };
    let stream = |v: &Dynamic| v.as_int().ok().and_then(|i| u64::try_from(i).ok());
    let list: Option<Vec<u64>> = streams.iter().map(stream).collect();
    match list {
        Some(list) => Ok((start, Some(list))),
        None => Err(fail("pgd: `streams` holds ints from 0, one for each image")),
    }
}

#[export_module]
mod loss {
    #[rhai_fn(return_raw)]
    pub fn cross_entropy(logits: Tensor, y: Tensor) -> Res<Tensor> {
        losses::cross_entropy(&logits.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn cross_entropies(logits: Tensor, y: Tensor) -> Res<Tensor> {
        losses::cross_entropies(&logits.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn gloro_logits(logits: Tensor, worst: Tensor, y: Tensor) -> Res<Tensor> {
        losses::gloro_logits(&logits.0, &worst.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn lmt_logits(logits: Tensor, radius: Tensor, y: Tensor) -> Res<Tensor> {
        losses::lmt_logits(&logits.0, &radius.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn accuracy(logits: Tensor, y: Tensor) -> Res<Tensor> {
        crate::bounds::accuracy(&logits.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn correct(logits: Tensor, y: Tensor) -> Res<Tensor> {
        crate::bounds::correct(&logits.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn margins(logits: Tensor, y: Tensor) -> Res<Tensor> {
        crate::bounds::margins(&logits.0, &y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn sparsity(activation: Layer, region: Region, theta_weight: Dynamic) -> Res<Tensor> {
        let t = args::number("sparsity", &theta_weight)?;
        losses::sparsity(&activation.0, &region.0, t).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn pgd(context: NativeCallContext, model: Model, x: Tensor, y: Tensor, epsilon: Dynamic) -> Res<Tensor> {
        attack(&context, &model, &x, &y, &epsilon, Map::new())
    }
    #[rhai_fn(name = "pgd", return_raw)]
    pub fn pgd_options(
        context: NativeCallContext,
        model: Model,
        x: Tensor,
        y: Tensor,
        epsilon: Dynamic,
        options: Map,
    ) -> Res<Tensor> {
        attack(&context, &model, &x, &y, &epsilon, options)
    }
}
