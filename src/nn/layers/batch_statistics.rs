//! Layers whose numbers are statistics of the batch in training: `batch_norm2d`, `batch_centering`. In training there is no map before a batch
//! is there; frozen they are [`Scaling`]s by the running statistics.

use super::affine::{Affine, Dense, Rounding, Structure};
use super::normalize::Scaling;
use crate::compute::precision::Precision;
use crate::compute::variables::assign;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::fmt::Debug;
use std::rc::Rc;

/// What such a layer says.
pub trait Statistics: Clone + Debug + 'static {
    /// Its name in scripts.
    const NAME: &'static str;
    /// The map by the statistics of a batch, which enter the running ones.
    fn of_batch(&self, x: &Tensor) -> Result<Scaling>;
    /// The map by the running ones, without a graph.
    fn running(&self) -> Result<Scaling>;
    /// Does what it multiplies by take gradients of its own?
    fn scale_is_trained(&self) -> bool;
    /// One of its parameters.
    fn a_parameter(&self) -> &Tensor;
}

/// `[B, C, ...]` as the numbers of each channel, `[C, n]`; `what` one number alone does not have.
pub fn by_channel(name: &str, x: &Tensor, what: &str) -> Result<(Tensor, usize)> {
    let dims = x.dims();
    let pixels: usize = dims[2..].iter().product();
    let n = dims[0] * pixels;
    if n < 2 {
        let each = if dims.len() > 2 { format!("with {pixels} pixels ") } else { String::new() };
        bail!("{name}: a batch of {} {each}has no {what}; take a frozen network, or more inputs", dims[0]);
    }
    Ok((x.transpose(0, 1)?.reshape((dims[1], n))?, n))
}

/// `running` goes to `now` by the share `momentum`, in a network in training only; `factor` makes of a batch's number a running one.
pub fn enter(running: &Tensor, now: &Tensor, momentum: f64, factor: f64) -> Result<()> {
    if !running.is_variable() {
        return Ok(());
    }
    let kept = (running.detach() * (1.0 - momentum))?;
    assign(&Var::from_tensor(running)?, &(kept + (now.detach() * (momentum * factor))?)?)
}

/// The layer in training.
#[derive(Clone, Debug)]
pub struct InTraining<S>(pub S);

impl<S: Statistics> InTraining<S> {
    fn none<T>(&self, op: &str) -> Result<T> {
        bail!(
            "{op}: a {} in training has the statistics of a batch; take layer.seen(x), or model.frozen() for the running ones",
            S::NAME
        )
    }
}

impl<S: Statistics> Affine for InTraining<S> {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.0.of_batch(x)?.forward(x, precision)
    }

    fn apply(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none("apply")
    }

    fn adjoint(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none("adjoint")
    }

    fn apply_absolute(&self, _: &Tensor, _: Precision) -> Result<Tensor> {
        self.none("apply_absolute")
    }

    fn row_norms(&self) -> Result<Tensor> {
        self.none("row_norms")
    }

    fn add_bias(&self, _: &Tensor) -> Result<Tensor> {
        self.none("add_bias")
    }

    fn rounding(&self) -> Result<Rounding> {
        self.none("affine")
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.0.scale_is_trained()
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn terms(&self) -> usize {
        1
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        let parameter = self.0.a_parameter();
        (parameter.dtype(), parameter.device().clone())
    }

    fn dense(&self) -> Option<Dense> {
        None
    }

    /// By the running statistics. Where these cannot be taken the layer stays what it is, and says so when it is asked.
    fn frozen(&self) -> Rc<dyn Affine> {
        match self.0.running() {
            Ok(scaling) => scaling.frozen(),
            Err(_) => Rc::new(self.clone()),
        }
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, x: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(Some(Rc::new(self.0.of_batch(x)?)))
    }
}
