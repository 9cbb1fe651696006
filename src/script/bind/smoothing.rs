//! Randomised smoothing: votes on noisy copies, and what counts of votes prove.

use super::host::host;
use super::{args, upper};
use crate::base::random::Key;
use crate::bounds::smoothing;
use crate::script::language::options::Options;
use crate::script::language::{Res, candle};
use crate::script::values::{Model, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, INT, Map, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(smoothed).into());
}

fn votes(
    context: &NativeCallContext,
    model: &Model,
    x: &Tensor,
    sigma: &Dynamic,
    copies: INT,
    options: Map,
) -> Res<Tensor> {
    let op = "noisy_votes";
    let (sigma, copies) = (args::number(op, sigma)?, args::count(op, "the number of copies", copies)?);
    let mut options = Options::new(op, options);
    let batch = options.usize("batch", 1000, 1..)?;
    let phase = options.string("phase")?.unwrap_or_default();
    let index = match options.optional::<Array>("index", "an array of ints")? {
        Some(index) => args::places(op, &index)?,
        None => (0..x.0.dims().first().copied().unwrap_or(0) as u64).collect(),
    };
    let key = match options.string("entropy")? {
        Some(text) => upper::read_key(op, &text)?,
        None => Key::of_seed(host(context).seed),
    };
    options.finish()?;
    args::room(op, &[&[batch.min(copies)], x.0.dims().get(1..).unwrap_or(&[])].concat())?;
    let model = super::model::two_classes(op, model)?;
    let wanted = smoothing::VoteOptions { sigma, copies, batch, key, index, phase };
    smoothing::noisy_votes(&model.0, &x.0, &wanted).map(Tensor).map_err(candle)
}

fn counts(op: &str, first: INT, trials: INT) -> Res<(u64, u64)> {
    let count = |what: &str, n: INT| args::count(op, what, n).map(|n| n as u64);
    Ok((count("the number of successes", first)?, count("the number of trials", trials)?))
}

#[export_module]
mod smoothed {
    #[rhai_fn(return_raw)]
    pub fn binomial_lower(successes: INT, trials: INT, alpha: Dynamic) -> Res<FLOAT> {
        let (successes, trials) = counts("binomial_lower", successes, trials)?;
        smoothing::binomial_lower(successes, trials, args::number("binomial_lower", &alpha)?).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn binomial_p_value(first: INT, trials: INT) -> Res<FLOAT> {
        let (first, trials) = counts("binomial_p_value", first, trials)?;
        smoothing::binomial_p_value(first, trials).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn normal_quantile(p: Dynamic) -> Res<FLOAT> {
        smoothing::normal_quantile(args::number("normal_quantile", &p)?).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn smoothed_radius(lower: Dynamic, sigma: Dynamic) -> Res<Dynamic> {
        let op = "smoothed_radius";
        let found = smoothing::smoothed_radius(args::number(op, &lower)?, args::number(op, &sigma)?);
        found.map(|radius| radius.map_or(Dynamic::UNIT, Dynamic::from)).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn noisy_votes(
        context: NativeCallContext,
        model: Model,
        x: Tensor,
        sigma: Dynamic,
        copies: INT,
    ) -> Res<Tensor> {
        votes(&context, &model, &x, &sigma, copies, Map::new())
    }
    #[rhai_fn(name = "noisy_votes", return_raw)]
    pub fn noisy_votes_options(
        context: NativeCallContext,
        model: Model,
        x: Tensor,
        sigma: Dynamic,
        copies: INT,
        options: Map,
    ) -> Res<Tensor> {
        votes(&context, &model, &x, &sigma, copies, options)
    }
}
