//! What a script has made that a checkpoint must hold: networks, optimisers, stores of vectors, in the order in which
//! they were made. A script that is resumed runs from its top and makes the same objects in the same order; their
//! values are put back where the loop begins.

use crate::nn::Sequential;
use crate::train::{self, WeakVectors};
use candle_core::Var;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// One object, as long as the script has a use for it.
enum Kind {
    Model(Weak<Sequential>),
    Optimizer(Weak<RefCell<train::Optimizer>>),
    Vectors(WeakVectors),
}

/// An object that is still there.
pub enum Live {
    Model(Rc<Sequential>),
    Optimizer(Rc<RefCell<train::Optimizer>>),
    Vectors(train::Vectors),
}

/// All objects, by the order in which they were made.
#[derive(Default)]
pub struct Objects {
    pub(super) made: u64,
    list: Vec<(u64, Kind)>,
}

impl Objects {
    pub fn model(&mut self, model: &Rc<Sequential>) {
        self.add(Kind::Model(Rc::downgrade(model)));
    }

    pub fn optimizer(&mut self, optimizer: &Rc<RefCell<train::Optimizer>>) {
        self.add(Kind::Optimizer(Rc::downgrade(optimizer)));
    }

    pub fn vectors(&mut self, vectors: &train::Vectors) {
        self.add(Kind::Vectors(vectors.downgrade()));
    }

    fn add(&mut self, kind: Kind) {
        self.list.retain(|(_, kind)| kind.live().is_some());
        self.list.push((self.made, kind));
        self.made += 1;
    }

    pub fn live(&self) -> impl Iterator<Item = (u64, Live)> {
        self.list.iter().filter_map(|(number, kind)| Some((*number, kind.live()?)))
    }
}

impl Kind {
    fn live(&self) -> Option<Live> {
        Some(match self {
            Self::Model(model) => Live::Model(model.upgrade()?),
            Self::Optimizer(optimizer) => Live::Optimizer(optimizer.upgrade()?),
            Self::Vectors(vectors) => Live::Vectors(vectors.upgrade()?),
        })
    }
}

impl Live {
    /// What must be the same for values to be put back.
    pub fn describe(&self) -> String {
        match self {
            Self::Model(model) => model.describe(),
            Self::Optimizer(optimizer) => {
                let optimizer = optimizer.borrow();
                let shapes: Vec<_> = optimizer.parameters().map(|(name, p)| format!("{name} {:?}", p.dims())).collect();
                format!("{} over {}", optimizer.describe(), shapes.join(", "))
            }
            Self::Vectors(vectors) => vectors.describe(),
        }
    }

    /// A count of the object's own.
    pub fn count(&self) -> u64 {
        match self {
            Self::Model(_) => 0,
            Self::Optimizer(optimizer) => optimizer.borrow().steps as u64,
            Self::Vectors(vectors) => vectors.draws(),
        }
    }

    pub fn parameters(&self) -> Vec<(String, Var)> {
        match self {
            Self::Model(model) => model.parameters().to_vec(),
            Self::Optimizer(o) => o.borrow().parameters().map(|(name, p)| (name.to_string(), p.clone())).collect(),
            Self::Vectors(_) => vec![],
        }
    }
}
