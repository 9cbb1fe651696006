//! A recorded step: where it reads a batch, the step's numbers and the optimiser's constants, and where it leaves what it found.

use super::asked::{Asked, Found, Kinds};
use crate::compute::checked;
use crate::compute::gpu::recording::{Recording, write};
use crate::compute::variables::changed;
use crate::train::optimizer::Optimizer;
use crate::train::vectors::Vectors;
use candle_core::{DType, Device, Result, Tensor, bail};

/// A recorded step, and where it reads and writes.
#[derive(Debug)]
pub struct Recorded {
    pub graph: Recording,
    /// What [`crate::compute::gpu::recording::place`] said.
    pub place: u64,
    /// Visits of the store of vectors.
    pub visits: Vec<u64>,
    pub kinds: Kinds,
    pub places: Places,
    pub found: Results,
}

impl Recorded {
    pub fn launch(&self, asked: &Asked, rows: &[u32], vectors: &Vectors) -> Result<Found> {
        let told = asked.optimizer.borrow_mut().next(asked.lr)?;
        self.places.fill(asked, rows, &told)?;
        changed();
        self.graph.launch()?;
        vectors.visited(&self.visits);
        self.found.read()
    }
}

/// What is known of a batch's values without reading them back: it holds of all batches of a key.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    largest_label: Option<i64>,
    images: bool,
}

impl Known {
    pub fn of(asked: &Asked) -> Self {
        Self { largest_label: checked::largest_label(asked.y), images: checked::is_image(asked.x) }
    }

    pub fn note(self, places: &Places) {
        if let Some(largest) = self.largest_label {
            checked::note_labels(&places.y, largest);
        }
        if self.images {
            checked::note_images(&places.x);
        }
    }
}

/// What a recorded step reads.
#[derive(Debug)]
pub struct Places {
    pub x: Tensor,
    pub y: Tensor,
    /// The images' rows in the store.
    pub rows: Tensor,
    /// The step's numbers, then the optimiser's constants, f64.
    pub numbers: Tensor,
}

impl Places {
    pub fn new(asked: &Asked, rows: &[u32], device: &Device) -> Result<Self> {
        let own = |t: &Tensor| t.to_device(device)?.force_contiguous();
        Ok(Self {
            x: own(asked.x)?,
            y: own(asked.y)?,
            rows: Tensor::new(rows, device)?,
            numbers: Tensor::zeros(asked.numbers.len() + Optimizer::TOLD, DType::F64, device)?,
        })
    }

    pub fn fill(&self, asked: &Asked, rows: &[u32], told: &[f64]) -> Result<()> {
        let device = self.x.device();
        write(&self.x, &asked.x.to_device(device)?)?;
        write(&self.y, &asked.y.to_device(device)?)?;
        write(&self.rows, &Tensor::new(rows, device)?)?;
        write(&self.numbers, &Tensor::new([asked.numbers, told].concat(), device)?)
    }
}

/// What a recorded step gives, side by side by number type.
#[derive(Debug)]
pub struct Results {
    pub kinds: Vec<(String, DType)>,
    rooms: Vec<(DType, Tensor)>,
}

impl Results {
    pub fn new(kinds: &[(String, DType)], device: &Device) -> Result<Self> {
        let mut rooms: Vec<(DType, usize)> = vec![];
        for (_, dtype) in kinds {
            match rooms.iter_mut().find(|(own, _)| own == dtype) {
                Some((_, count)) => *count += 1,
                None => rooms.push((*dtype, 1)),
            }
        }
        let rooms = rooms.into_iter().map(|(dtype, count)| Ok((dtype, Tensor::zeros(count, dtype, device)?)));
        Ok(Self { kinds: kinds.to_vec(), rooms: rooms.collect::<Result<_>>()? })
    }

    /// For each its name, its room and its place there.
    fn each(&self) -> impl Iterator<Item = (&str, &Tensor, usize)> {
        self.kinds.iter().enumerate().filter_map(|(i, (name, dtype))| {
            let before = self.kinds[..i].iter().filter(|(_, other)| other == dtype).count();
            self.rooms.iter().find(|(own, _)| own == dtype).map(|(_, room)| (name.as_str(), room, before))
        })
    }

    pub fn write(&self, found: &Found) -> Result<()> {
        if found.len() != self.kinds.len() {
            bail!("step_graph: a step gives {} values, the one before gave {}", found.len(), self.kinds.len());
        }
        for ((name, room, at), (own, value)) in self.each().zip(found) {
            if name != own || value.dtype() != room.dtype() || value.elem_count() != 1 {
                bail!("step_graph: a step gives `{own}` {:?} where the one before gave `{name}`", value.dims());
            }
            write(&room.narrow(0, at, 1)?, value)?;
        }
        Ok(())
    }

    /// Copies: the next launch writes over them.
    pub fn read(&self) -> Result<Found> {
        let mut found = vec![];
        let copies = self.rooms.iter().map(|(_, room)| room.copy()).collect::<Result<Vec<_>>>()?;
        for (name, room, at) in self.each() {
            let copy = copies.iter().find(|copy| copy.dtype() == room.dtype());
            if let Some(copy) = copy {
                found.push((name.to_string(), copy.narrow(0, at, 1)?.reshape(())?));
            }
        }
        Ok(found)
    }
}
