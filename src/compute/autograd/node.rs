//! The nodes of the graph, and where the gradients of their arguments go.
//!
//! A node knows its arguments; a tensor of candle's graph that a node has made knows its node ([`super::gateway`]), and is found
//! here by its identity, so that one of our operations on it hangs on the node and candle has no part in it. Nodes are numbered
//! as they are made: what a value depends on has a smaller number.

use super::arrived::Arrived;
use candle_core::{Result, Tensor, TensorId};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Gets what has arrived for the values, and which arguments' gradients are wanted; gives those.
pub type Backward = Box<dyn Fn(Arrived, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// One operation, or a tensor that candle's operations have made.
pub struct Node {
    pub number: u64,
    pub work: Work,
    /// Tensors of candle's graph that stand for it as long as it is there.
    known: Mutex<Vec<TensorId>>,
}

pub enum Work {
    Ours {
        name: &'static str,
        arguments: Vec<Argument>,
        backward: Backward,
        /// The gradients that it gives are nobody else's.
        owned: bool,
    },
    Candles(Tensor),
}

/// Where the gradient of an argument goes.
#[derive(Clone)]
pub enum Argument {
    /// Nowhere.
    Constant,
    /// A variable.
    Variable(Tensor),
    /// The value of a node, or some rows of it.
    Of(Arc<Node>, Option<Range<usize>>),
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => write!(f, "a constant"),
            Self::Variable(t) => write!(f, "a variable {:?}", t.dims()),
            Self::Of(node, rows) => write!(f, "node {}, rows {rows:?}", node.number),
        }
    }
}

/// The nodes of tensors in candle's graph.
type Nodes = HashMap<TensorId, (Weak<Node>, Option<Range<usize>>)>;

static NODES: LazyLock<Mutex<Nodes>> = LazyLock::new(Mutex::default);
static MADE: AtomicU64 = AtomicU64::new(0);

fn nodes<T>(with: impl FnOnce(&mut Nodes) -> T) -> T {
    with(&mut NODES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on the tensor of this identity stands for (these rows of) the node's value.
pub fn remember(id: TensorId, node: &Arc<Node>, rows: Option<Range<usize>>) {
    nodes(|all| all.insert(id, (Arc::downgrade(node), rows)));
}

/// `view`, which holds the numbers of `of` in another shape: what reads it goes on to where `of` has come from, past candle.
pub fn same_numbers(of: &Tensor, view: Tensor) -> Tensor {
    if let Argument::Of(node, rows) = Argument::of(of) {
        node.stands_for(&view, rows);
    }
    view
}

/// The tensor is gone.
pub fn forget(id: TensorId) {
    nodes(|all| all.remove(&id));
}

impl Node {
    fn stands_for(self: &Arc<Self>, tensor: &Tensor, rows: Option<Range<usize>>) {
        remember(tensor.id(), self, rows);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).push(tensor.id());
    }

    pub fn new(work: Work) -> Arc<Self> {
        Arc::new(Self { number: MADE.fetch_add(1, Ordering::Relaxed), work, known: Mutex::default() })
    }

    /// The value of an operation of these arguments, for its gradient; a constant where no argument has a gradient.
    /// The gradients that `backward` gives are its own.
    pub fn argument(
        name: &'static str,
        arguments: Vec<Argument>,
        backward: impl Fn(Arrived, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Argument {
        if !arguments.iter().any(Argument::is_wanted) {
            return Argument::Constant;
        }
        Argument::Of(Self::new(Work::Ours { name, arguments, backward: Box::new(backward), owned: true }), None)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.known.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(forget);
    }
}

impl Argument {
    pub fn of(tensor: &Tensor) -> Self {
        if tensor.is_variable() {
            return Self::Variable(tensor.clone());
        }
        if !tensor.track_op() {
            return Self::Constant;
        }
        let known = nodes(|all| all.get(&tensor.id()).and_then(|(node, rows)| Some((node.upgrade()?, rows.clone()))));
        if let Some((node, rows)) = known {
            return Self::Of(node, rows);
        }
        // One node for all who read it, so that candle walks behind it once.
        let node = Node::new(Work::Candles(tensor.clone()));
        node.stands_for(tensor, None);
        Self::Of(node, None)
    }

    /// Is it the other one, given twice?
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Variable(a), Self::Variable(b)) => a.id() == b.id(),
            (Self::Of(a, rows), Self::Of(b, others)) => Arc::ptr_eq(a, b) && rows == others,
            _ => false,
        }
    }

    /// These rows of it.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Constant => Self::Constant,
            Self::Of(node, None) => Self::Of(node.clone(), Some(rows)),
            Self::Variable(_) | Self::Of(_, Some(_)) => unreachable!("rows of the value of a node"),
        }
    }

    pub fn is_wanted(&self) -> bool {
        !matches!(self, Self::Constant)
    }
}
