//! A store of vectors in parts that a checkpoint holds, for each of the run's shards: for each layer the local vectors `[rows, n]`, the
//! images that have been visited `[rows]`, and the vector of the global norm `[1, ...]`.

use super::store::{Store, Vectors};
use super::whole::Whole;
use crate::compute::collective::Strata;
use candle_core::{DType, Result, Tensor, bail};
use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::Range;
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

    /// Visits so far, by which fresh vectors are named.
    pub fn draws(&self) -> u64 {
        self.0.borrow().draws[0]
    }

    pub fn set_draws(&self, draws: u64) {
        self.0.borrow_mut().draws.fill(draws);
    }

    /// The shards of this process.
    pub fn strata(&self) -> Strata {
        self.0.borrow().strata.clone()
    }

    /// What there is to keep of one of its shards: nothing of a layer whose norms were never asked for. The vector of the whole map is
    /// with the first shard of the part of a batch that it belongs to.
    pub fn parts(&self, shard: usize) -> Vec<Part> {
        let store = self.0.borrow();
        let mut parts = vec![];
        for layer in &store.layers {
            let mut add = |kind: &str, dtype, shape| {
                parts.push(Part { name: format!("{}/{kind}", layer.name()), dtype, shape });
            };
            let rows = store.rows_of(shard);
            if let Some(buffer) = layer.local.as_ref().filter(|_| layer.touched.contains(&true)) {
                add(LOCAL, buffer.dtype(), vec![rows.len(), layer.shape.iter().product()]);
                add(TOUCHED, DType::U8, vec![rows.len()]);
            }
            if let Some(global) = store.lane_of(shard).and_then(|lane| layer.global[lane].as_ref()) {
                add(GLOBAL, global.dtype(), global.dims());
            }
        }
        parts
    }

    /// The numbers of a part of a shard, little-endian.
    pub fn write_part(&self, shard: usize, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let store = self.0.borrow();
        let found =
            name.split_once('/').and_then(|(own, kind)| Some((store.layers.iter().find(|l| l.name() == own)?, kind)));
        let rows = store.rows_of(shard);
        match found {
            Some((layer, LOCAL)) => {
                let n = layer.shape.iter().product();
                layer.local.as_ref().map_or(Ok(()), |buffer| buffer.write(rows, n, out))
            }
            Some((layer, TOUCHED)) => {
                out.write_all(&layer.touched[rows].iter().map(|visited| u8::from(*visited)).collect::<Vec<_>>())
            }
            Some((layer, GLOBAL)) => {
                let Some(global) = store.lane_of(shard).and_then(|lane| layer.global[lane].as_ref()) else {
                    return Ok(());
                };
                out.write_all(&safetensors::View::data(&global.planes().map_err(io::Error::other)?))
            }
            _ => Err(io::Error::other(format!("the store has no part `{name}`"))),
        }
    }

    /// Put back a part of shard `shard` of a run that had `shards`, as far as it is this process's now. `global` is the tensor of one
    /// that is called so.
    pub fn read_part(
        &self,
        (shard, shards): (usize, usize),
        name: &str,
        bytes: &[u8],
        global: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        let mut store = self.0.borrow_mut();
        let moves = store.moves(shard, shards);
        let was = Strata { shards, own: shard..shard + 1, by_shard: false }.rows(store.count);
        let lanes = store.lanes_behind(shard, shards);
        let found = name.split_once('/');
        let layer = found.and_then(|(own, _)| store.layers.iter_mut().find(|l| l.name() == own));
        let (Some(layer), Some((_, kind))) = (layer, found) else { bail!("the store of vectors has no part `{name}`") };
        match kind {
            LOCAL => {
                let n: usize = layer.shape.iter().product();
                match &mut layer.local {
                    Some(buffer) if was * n * buffer.dtype().size_in_bytes() == bytes.len() => {
                        let size = n * buffer.dtype().size_in_bytes();
                        for (from, to) in moves {
                            buffer.read(to, n, &bytes[from.start * size..from.end * size])?;
                        }
                    }
                    _ => bail!("the store of vectors keeps other vectors in `{name}`"),
                }
            }
            TOUCHED if was == bytes.len() => {
                for (from, to) in moves {
                    layer.touched[to].iter_mut().zip(&bytes[from]).for_each(|(visited, byte)| *visited = *byte != 0);
                }
            }
            GLOBAL => {
                let global = global()?;
                if global.dims() != [&[1], layer.shape.as_slice()].concat() {
                    bail!("the store of vectors wants another shape in `{name}`");
                }
                for lane in lanes {
                    Whole::keep(&mut layer.global[lane], &global)?;
                }
            }
            _ => bail!("the store of vectors has no part `{name}` of this length"),
        }
        Ok(())
    }
}

impl Store {
    /// The rows of one of this process's shards.
    fn rows_of(&self, shard: usize) -> Range<usize> {
        let first = self.strata.first_row(shard, self.count);
        first..first + self.strata.len_of(shard, self.count)
    }

    /// The part of a batch that begins with this shard.
    fn lane_of(&self, shard: usize) -> Option<usize> {
        self.strata.parts().iter().position(|part| part.start == shard)
    }

    /// The parts of a batch for which the whole map's vectors of shard `shard` of `shards` are the nearest from below, those of shards
    /// that come later put in their place; whoever has them reads the shards in their order.
    fn lanes_behind(&self, shard: usize, shards: usize) -> Vec<usize> {
        let place = |own: usize, of: usize| own as f64 / of as f64;
        let parts = self.strata.parts();
        let behind = |start: usize| place(start, self.strata.shards) >= place(shard, shards);
        (0..parts.len()).filter(|lane| behind(parts[*lane].start)).collect()
    }

    /// Rows of shard `shard` of `shards`, and the rows here that they go to.
    fn moves(&self, shard: usize, shards: usize) -> Vec<(Range<usize>, Range<usize>)> {
        if shards == self.strata.shards {
            let own = self.strata.own.contains(&shard).then(|| self.rows_of(shard));
            return own.map(|rows| (0..rows.len(), rows)).into_iter().collect();
        }
        let images = (shard..self.count).step_by(shards).enumerate();
        images
            .filter_map(|(from, image)| Some((from, self.strata.row(image, self.count)?)))
            .map(|(a, b)| (a..a + 1, b..b + 1))
            .collect()
    }
}
