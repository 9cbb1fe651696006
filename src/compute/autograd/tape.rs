//! Large tensors that stay outside of candle's graph: a value, and the node that its gradient goes to
//!
//! A region's center, lower and upper are such a tensor. A gradient is handed over whole to the operation that made the tensor, and
//! may be overwritten there where nobody else holds it.

use super::arrived::{Arrived, Arriving};
use super::gateway::gateway;
use super::node::{Argument, Node, Work};
use super::operation::Of;
use candle_core::{Result, Shape, Tensor};

/// A tensor whose gradient candle does not see. Cloning shares both.
#[derive(Clone, Debug)]
pub struct Tracked {
    value: Tensor,
    to: Argument,
    /// Do rows of the value and of its gradient, where that goes to, lie along the same first axis?
    same_rows: bool,
}

impl Tracked {
    /// From a tensor of candle's graph, or outside of it.
    pub fn of(tensor: &Tensor) -> Self {
        Self { value: tensor.detach(), to: Argument::of(tensor), same_rows: true }
    }

    /// What an operation has made of other tensors; the value's gradient is of this shape.
    pub fn made(
        name: &'static str,
        value: Tensor,
        shape: Shape,
        arguments: Vec<Argument>,
        backward: impl Fn(Arriving, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Self {
        let same_rows = value.shape() == &shape;
        let backward = move |arrived: Arrived, wanted: &[bool]| backward(arrived.whole(&shape)?, wanted);
        Self { value, to: Node::argument(name, arguments, backward), same_rows }
    }

    /// The numbers, outside of the graph.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Does any parameter stand behind it?
    pub fn track_op(&self) -> bool {
        self.to.is_wanted()
    }

    /// As a tensor of candle's graph.
    pub fn tensor(&self) -> Result<Tensor> {
        if !self.track_op() {
            return Ok(self.value.clone());
        }
        self.out("tape", self.value.force_contiguous()?, |g| Ok(g.clone()))
    }

    /// Its part `at` along the first axis, as a tensor of candle's graph.
    pub fn part(&self, at: usize) -> Result<Tensor> {
        let value = self.value.get(at)?;
        match &self.to {
            Argument::Constant => Ok(value),
            Argument::Of(node, None) if self.same_rows => gateway(value.force_contiguous()?, node, Some(at..at + 1)),
            Argument::Variable(_) | Argument::Of(..) => self.tensor()?.get(at),
        }
    }

    /// The same numbers in another shape.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let value = self.value.reshape(shape.into())?;
        let same_rows = self.same_rows && value.dims().first() == self.value.dims().first();
        Ok(Self { value, to: self.to.clone(), same_rows })
    }

    /// A tensor of candle's graph that is computed from this; `backward` makes its gradient that of this. Nobody else may hold `value`.
    pub fn out(
        &self,
        name: &'static str,
        value: Tensor,
        backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        if !self.track_op() {
            return Ok(value);
        }
        let shape = value.shape().clone();
        let backward =
            move |arrived: Arrived, _: &[bool]| Ok(vec![Some(backward(&arrived.whole(&shape)?.tensor.contiguous()?)?)]);
        let node = Work::Ours { name, arguments: vec![self.to.clone()], backward: Box::new(backward), owned: false };
        gateway(value, &Node::new(node), None)
    }

    /// `value`, computed from this, `a` and `b`. `backward` gets the value's gradient, and whether that of this is wanted; the
    /// gradients that it returns are its own, or made in place of the one it got.
    pub fn then(
        &self,
        name: &'static str,
        value: Tensor,
        a: &Tensor,
        b: &Tensor,
        backward: impl Fn(Arriving, bool) -> Result<Of> + Send + Sync + 'static,
    ) -> Self {
        let shape = value.shape().clone();
        self.then_of(name, value, shape, vec![Argument::of(a), Argument::of(b)], move |g, wanted| {
            let (own, of_a, of_b) = backward(g, wanted)?;
            Ok(vec![own, of_a, of_b])
        })
    }

    /// The same from any arguments beside this, in the order of the gradients; the value's gradient is of this shape.
    pub fn then_of(
        &self,
        name: &'static str,
        value: Tensor,
        shape: Shape,
        others: Vec<Argument>,
        backward: impl Fn(Arriving, bool) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Self {
        let arguments = [self.to.clone()].into_iter().chain(others).collect();
        Self::made(name, value, shape, arguments, move |g, wanted| backward(g, wanted[0]))
    }
}
