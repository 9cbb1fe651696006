//! A value that a kernel has computed, as a function of other tensors.

use super::arrived::Arrived;
use super::gateway::gateway;
use super::node::{Argument, Node, Work};
use candle_core::{Result, Tensor};

/// The gradient of each argument, as far as one is wanted.
pub type Of = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// `value` as a function of `args`; `backward` gets the value's gradient, contiguous, and which arguments' gradients are
/// wanted. Nobody else may hold `value`: its storage moves into the graph. Give an argument twice where there are fewer.
pub fn differentiable(
    name: &'static str,
    value: Tensor,
    args: [&Tensor; 3],
    backward: impl Fn(&Tensor, [bool; 3]) -> Result<Of> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !args.iter().any(|arg| arg.track_op()) {
        return Ok(value);
    }
    let shape = value.shape().clone();
    let backward = move |arrived: Arrived, wanted: &[bool]| {
        let (a, b, c) = backward(&arrived.whole(&shape)?.tensor.contiguous()?, [wanted[0], wanted[1], wanted[2]])?;
        Ok(vec![a, b, c])
    };
    let arguments = args.map(Argument::of).to_vec();
    gateway(value, &Node::new(Work::Ours { name, arguments, backward: Box::new(backward), owned: false }), None)
}

/// The value of a node as a tensor of candle's graph; outside of it where nothing wants a gradient. Nobody else may hold `value`.
pub fn value_of(node: &Argument, value: Tensor) -> Result<Tensor> {
    match node {
        Argument::Of(node, rows) => gateway(value, node, rows.clone()),
        Argument::Constant | Argument::Variable(_) => Ok(value),
    }
}

/// `value`, which is known, as a function of `arg` whose gradient is `gradient(gradient of the value)`. The value is copied.
pub fn with_gradient(
    name: &'static str,
    arg: &Tensor,
    value: &Tensor,
    gradient: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !arg.track_op() {
        return Ok(value.detach());
    }
    let own = value.detach().force_contiguous()?;
    differentiable(name, own, [arg; 3], move |g, _| Ok((Some(gradient(g)?), None, None)))
}
