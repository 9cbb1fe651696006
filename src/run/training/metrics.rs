//! What a training loop logs: numbers, and tensors that may still be on the device. Tensors are read back together, when
//! something is to be shown or recorded, and averaged; of numbers (schedules) the last one counts. Values are gathered
//! twice: over the epoch and over a window of batches.

use crate::compute::numbers::numbers;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One logged value.
#[derive(Clone, Debug)]
pub enum Value {
    Number(f64),
    Tensor(Tensor),
}

/// A value that was not read back yet: its batch, its name, what it counts for, and whether it is another batch's.
type Pending = (usize, String, Value, (f64, bool));

/// The values of one epoch so far, and of the window of batches under way.
#[derive(Debug, Default)]
pub struct Metrics {
    pending: Vec<Pending>,
    epoch: Gathered,
    window: Gathered,
}

type Gathered = BTreeMap<String, Entry>;

/// Gathered values as a checkpoint holds them.
pub type Saved = Vec<(String, Entry)>;

/// What all processes of a run have logged, of what one of them has.
pub type AddUp<'a> = dyn Fn(Saved) -> std::result::Result<Saved, String> + 'a;

fn values_of(saved: Saved) -> std::result::Result<Vec<(String, f64)>, String> {
    Ok(saved.into_iter().map(|(name, entry)| (name, entry.value())).collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    Last(f64),
    Mean { sum: f64, count: usize },
}

impl Entry {
    fn value(self) -> f64 {
        match self {
            Self::Last(x) => x,
            // Of a batch whose last part is not there yet, too.
            Self::Mean { sum, count } => sum / count.max(1) as f64,
        }
    }
}

/// What several have logged, as one: means are added up, and of numbers that a script makes itself the first ones count.
pub fn together(all: impl IntoIterator<Item = Saved>) -> Saved {
    let mut sums = Gathered::new();
    for (name, entry) in all.into_iter().flatten() {
        match (sums.get_mut(&name), entry) {
            (Some(Entry::Mean { sum, count }), Entry::Mean { sum: more, count: batches }) => {
                *sum += more;
                *count = (*count).max(batches);
            }
            (Some(_), _) => {}
            (None, entry) => drop(sums.insert(name, entry)),
        }
    }
    sums.into_iter().collect()
}

impl Metrics {
    /// Values of a batch, or of the part of a batch that is here: then a mean over it counts for its share of the images, and the last
    /// part for another batch.
    pub fn log(&mut self, batch: usize, values: Vec<(String, Value)>, weight: (f64, bool)) -> Result<()> {
        for (name, value) in values {
            let value = match value {
                Value::Tensor(t) if t.elem_count() == 1 => Value::Tensor(t.detach()),
                Value::Tensor(t) => {
                    candle_core::bail!("run.log: `{name}` has shape {:?}; one number is wanted, reduce it", t.dims())
                }
                number => number,
            };
            self.pending.push((batch, name, value, weight));
        }
        Ok(())
    }

    /// Read back what is pending. The first value that is not finite is returned as (batch, name, value).
    pub fn read_back(&mut self) -> Result<Option<(usize, String, f64)>> {
        let pending = std::mem::take(&mut self.pending);
        let tensors = pending.iter().filter_map(|(_, _, value, _)| match value {
            Value::Tensor(t) => Some(t.clone()),
            Value::Number(_) => None,
        });
        let mut read = numbers(&tensors.collect::<Vec<_>>())?.into_iter();
        for (batch, name, value, (share, counts)) in pending {
            let (x, mean) = match value {
                Value::Number(x) => (x, false),
                Value::Tensor(_) => (read.next().unwrap_or(f64::NAN), true),
            };
            // What a stand-in comes to is nobody's.
            let is_nothing = mean && share == 0.0;
            let x = if is_nothing { 0.0 } else { x };
            if !x.is_finite() {
                return Ok(Some((batch, name, x)));
            }
            for gathered in [&mut self.epoch, &mut self.window] {
                let new = match gathered.get(&name) {
                    _ if !mean => Entry::Last(x),
                    Some(Entry::Mean { sum, count }) => {
                        Entry::Mean { sum: sum + share * x, count: count + usize::from(counts) }
                    }
                    _ => Entry::Mean { sum: share * x, count: usize::from(counts) },
                };
                gathered.insert(name.clone(), new);
            }
        }
        Ok(None)
    }

    /// The values of the epoch, of which `share` has been logged here.
    pub fn values(&self, share: f64) -> Vec<(String, f64)> {
        let shown = |entry: &Entry| match entry {
            Entry::Last(x) => *x,
            Entry::Mean { .. } => entry.value() / share,
        };
        self.epoch.iter().map(|(name, entry)| (name.clone(), shown(entry))).collect()
    }

    /// The values of the window, which ends here.
    pub fn take_window(&mut self, add_up: &AddUp) -> std::result::Result<Vec<(String, f64)>, String> {
        values_of(add_up(std::mem::take(&mut self.window).into_iter().collect())?)
    }

    /// The epoch is over: what others have logged is in it from now on.
    pub fn add_up_epoch(&mut self, add_up: &AddUp) -> std::result::Result<(), String> {
        self.epoch = add_up(std::mem::take(&mut self.epoch).into_iter().collect())?.into_iter().collect();
        Ok(())
    }

    /// The values of the epoch so far, with what others have logged.
    pub fn all_values(&self, add_up: &AddUp) -> std::result::Result<Vec<(String, f64)>, String> {
        values_of(add_up(self.epoch.iter().map(|(name, entry)| (name.clone(), *entry)).collect())?)
    }

    /// Epoch and window as they are kept; nothing may be pending.
    pub fn saved(&self) -> [Saved; 2] {
        [&self.epoch, &self.window].map(|gathered| gathered.iter().map(|(n, e)| (n.clone(), *e)).collect())
    }

    /// What [`Self::saved`] gave.
    pub fn restored([epoch, window]: [Saved; 2]) -> Self {
        Self { pending: vec![], epoch: epoch.into_iter().collect(), window: window.into_iter().collect() }
    }
}
