//! The gradients that a walk has found, and the nodes that wait for their turn in it.

use super::arrived::Arrived;
use super::node::{Argument, Node};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, bail};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Gradients by the tensors that they belong to.
#[derive(Clone, Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// That of a variable; `None` if the loss does not depend on it.
    pub fn get(&self, variable: &Tensor) -> Option<&Tensor> {
        self.0.get(&variable.id())
    }

    fn add(&mut self, id: TensorId, gradient: Tensor) -> Result<()> {
        let sum = match self.0.get(&id) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.0.insert(id, sum);
        Ok(())
    }

    pub(super) fn add_all(&mut self, store: &GradStore) -> Result<()> {
        store.get_ids().filter_map(|id| Some((*id, store.get_id(*id)?.clone()))).try_for_each(|(id, g)| self.add(id, g))
    }
}

/// One call of [`super::backward`].
#[derive(Default)]
pub struct Walk {
    waiting: BTreeMap<u64, (Arc<Node>, Arrived)>,
    pub found: Gradients,
}

thread_local! {
    /// The walk of this thread, behind those that it was begun within: candle's operations have no other way to it.
    static WALKS: RefCell<Vec<Walk>> = const { RefCell::new(vec![]) };
}

/// What the walk of this thread is asked.
pub fn walk<T>(with: impl FnOnce(&mut Walk) -> Result<T>) -> Result<T> {
    WALKS.with_borrow_mut(|walks| match walks.last_mut() {
        Some(walk) => with(walk),
        None => bail!("a gradient of this graph is found by workbench's `backward` alone, not by candle's"),
    })
}

/// Hand a gradient to an argument.
pub fn receive(to: &Argument, gradient: Tensor, alone: bool) -> Result<()> {
    walk(|walk| match to {
        Argument::Constant => Ok(()),
        Argument::Variable(variable) => walk.found.add(variable.id(), gradient.reshape(variable.shape())?),
        Argument::Of(node, rows) => walk.wait(node, rows.clone(), gradient, alone),
    })
}

impl Walk {
    fn wait(&mut self, node: &Arc<Node>, rows: Option<Range<usize>>, gradient: Tensor, alone: bool) -> Result<()> {
        let (_, arrived) = self.waiting.entry(node.number).or_insert_with(|| (node.clone(), Arrived::default()));
        arrived.add(rows, gradient, alone)
    }

    /// The node whose turn it is.
    pub fn next(&mut self) -> Option<(Arc<Node>, Arrived)> {
        self.waiting.pop_last().map(|(_, next)| next)
    }
}

/// Takes the walk away, whatever ended it.
pub struct Begun;

impl Begun {
    pub fn new() -> Self {
        WALKS.with_borrow_mut(|walks| walks.push(Walk::default()));
        Self
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        WALKS.with_borrow_mut(Vec::pop);
    }
}
