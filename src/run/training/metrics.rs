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

/// The values of one epoch so far, and of the window of batches under way.
#[derive(Debug, Default)]
pub struct Metrics {
    pending: Vec<(usize, String, Value)>,
    epoch: Gathered,
    window: Gathered,
}

type Gathered = BTreeMap<String, Entry>;

/// Gathered values as a checkpoint holds them.
pub type Saved = Vec<(String, Entry)>;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    Last(f64),
    Mean { sum: f64, count: usize },
}

impl Entry {
    fn value(self) -> f64 {
        match self {
            Self::Last(x) => x,
            Self::Mean { sum, count } => sum / count as f64,
        }
    }
}

impl Metrics {
    pub fn log(&mut self, batch: usize, values: Vec<(String, Value)>) -> Result<()> {
        for (name, value) in values {
            let value = match value {
                Value::Tensor(t) if t.elem_count() == 1 => Value::Tensor(t.detach()),
                Value::Tensor(t) => {
                    candle_core::bail!("run.log: `{name}` has shape {:?}; one number is wanted, reduce it", t.dims())
                }
                number => number,
            };
            self.pending.push((batch, name, value));
        }
        Ok(())
    }

    /// Read back what is pending. The first value that is not finite is returned as (batch, name, value).
    pub fn read_back(&mut self) -> Result<Option<(usize, String, f64)>> {
        let pending = std::mem::take(&mut self.pending);
        let tensors = pending.iter().filter_map(|(.., value)| match value {
            Value::Tensor(t) => Some(t.clone()),
            Value::Number(_) => None,
        });
        let mut read = numbers(&tensors.collect::<Vec<_>>())?.into_iter();
        for (batch, name, value) in pending {
            let (x, mean) = match value {
                Value::Number(x) => (x, false),
                Value::Tensor(_) => (read.next().unwrap_or(f64::NAN), true),
            };
            if !x.is_finite() {
                return Ok(Some((batch, name, x)));
            }
            for gathered in [&mut self.epoch, &mut self.window] {
                let new = match gathered.get(&name) {
                    _ if !mean => Entry::Last(x),
                    Some(Entry::Mean { sum, count }) => Entry::Mean { sum: sum + x, count: count + 1 },
                    _ => Entry::Mean { sum: x, count: 1 },
                };
                gathered.insert(name.clone(), new);
            }
        }
        Ok(None)
    }

    /// The values of the epoch.
    pub fn values(&self) -> Vec<(String, f64)> {
        self.epoch.iter().map(|(name, entry)| (name.clone(), entry.value())).collect()
    }

    /// The values of the window, which ends here.
    pub fn take_window(&mut self) -> Vec<(String, f64)> {
        std::mem::take(&mut self.window).into_iter().map(|(name, entry)| (name, entry.value())).collect()
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
