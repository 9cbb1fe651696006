//! A store of vectors in parts that a checkpoint holds: for each layer the local vectors `[count, n]`, the images that
//! have been visited `[count]`, and the vector of the global norm `[1, ...]`.

use super::store::{Store, Vectors};
use super::whole::Whole;
use crate::compute::layout::Layout;
use candle_core::{DType, Result, Tensor, bail};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::{Rc, Weak};

/// A part of a store: what it is called, its number type and shape.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

/// A store that is let go when the script has no more use for it.
#[derive(Clone, Debug)]
pub struct WeakVectors(Weak<RefCell<Store>>);

impl WeakVectors {
    pub fn upgrade(&self) -> Option<Vectors> {
        self.0.upgrade().map(Vectors)
    }
}

/// The kinds of parts.
const LOCAL: &str = "local";
const TOUCHED: &str = "touched";
const GLOBAL: &str = "global";

impl Vectors {
    pub fn downgrade(&self) -> WeakVectors {
        WeakVectors(Rc::downgrade(&self.0))
    }

    /// Numbers that have been drawn so far, without those that are kept.
    pub fn draws(&self) -> u64 {
        self.0.borrow().draws
    }

    pub fn set_draws(&self, draws: u64) {
        self.0.borrow_mut().draws = draws;
    }

    /// What there is to keep: nothing of a layer whose norms were never asked for.
    pub fn parts(&self) -> Vec<Part> {
        let store = self.0.borrow();
        let mut parts = vec![];
        for layer in &store.layers {
            let mut add = |kind: &str, dtype, shape| {
                parts.push(Part { name: format!("{}/{kind}", layer.name()), dtype, shape });
            };
            if let Some(buffer) = layer.local.as_ref().filter(|_| layer.touched.contains(&true)) {
                add(LOCAL, buffer.dtype(), vec![store.count, layer.shape.iter().product()]);
                add(TOUCHED, DType::U8, vec![store.count]);
            }
            if let Some(global) = &layer.global {
                add(GLOBAL, global.dtype(), global.dims());
            }
        }
        parts
    }

    /// The numbers of a part, little-endian.
    pub fn write_part(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let store = self.0.borrow();
        let found =
            name.split_once('/').and_then(|(own, kind)| Some((store.layers.iter().find(|l| l.name() == own)?, kind)));
        match found {
            Some((layer, LOCAL)) => layer.local.as_ref().map_or(Ok(()), |buffer| buffer.write(out)),
            Some((layer, TOUCHED)) => {
                out.write_all(&layer.touched.iter().map(|visited| u8::from(*visited)).collect::<Vec<_>>())
            }
            Some((layer, GLOBAL)) => {
                let Some(global) = &layer.global else { return Ok(()) };
                out.write_all(&safetensors::View::data(&global.planes().map_err(io::Error::other)?))
            }
            _ => Err(io::Error::other(format!("the store has no part `{name}`"))),
        }
    }

    /// Put back a part. `global` is the tensor of one that is called so.
    pub fn read_part(&self, name: &str, bytes: &[u8], global: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        let mut store = self.0.borrow_mut();
        let found = name.split_once('/');
        let layer = found.and_then(|(own, _)| store.layers.iter_mut().find(|l| l.name() == own));
        let (Some(layer), Some((_, kind))) = (layer, found) else { bail!("the store of vectors has no part `{name}`") };
        match kind {
            LOCAL => match &mut layer.local {
                Some(buffer) if buffer.bytes() == bytes.len() => buffer.read(bytes)?,
                _ => bail!("the store of vectors keeps other vectors in `{name}`"),
            },
            TOUCHED if layer.touched.len() == bytes.len() => {
                layer.touched.iter_mut().zip(bytes).for_each(|(visited, byte)| *visited = *byte != 0);
            }
            GLOBAL => {
                let global = global()?;
                if global.dims() != [&[1], layer.shape.as_slice()].concat() {
                    bail!("the store of vectors wants another shape in `{name}`");
                }
                layer.global = Some(Whole::of(&global, Layout::Nchw)?);
            }
            _ => bail!("the store of vectors has no part `{name}` of this length"),
        }
        Ok(())
    }
}
