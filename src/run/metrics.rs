//! What a training loop logs: numbers, and tensors that may still be on the device. Tensors are read back together, when
//! something is to be shown, and averaged over the epoch; of numbers (schedules) the last one counts.

use super::format::{ORDER, metric};
use candle_core::{DType, Result, Tensor};
use std::collections::BTreeMap;

/// One logged value.
#[derive(Clone, Debug)]
pub enum Value {
    Number(f64),
    Tensor(Tensor),
}

/// The values of one epoch so far.
#[derive(Debug, Default)]
pub struct Metrics {
    pending: Vec<(usize, String, Tensor)>,
    shown: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Last(f64),
    Mean { sum: f64, count: usize },
}

impl Metrics {
    pub fn log(&mut self, batch: usize, values: Vec<(String, Value)>) -> Result<()> {
        for (name, value) in values {
            match value {
                Value::Number(x) => {
                    self.shown.insert(name, Entry::Last(x));
                }
                Value::Tensor(t) if t.elem_count() == 1 => self.pending.push((batch, name, t.detach())),
                Value::Tensor(t) => {
                    candle_core::bail!("run.log: `{name}` has shape {:?}; one number is wanted, reduce it", t.dims())
                }
            }
        }
        Ok(())
    }

    /// Read back what is pending. The first value that is not finite is returned as (batch, name, value).
    pub fn read_back(&mut self) -> Result<Option<(usize, String, f64)>> {
        for (batch, name, tensor) in std::mem::take(&mut self.pending) {
            let x = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
            if !x.is_finite() {
                return Ok(Some((batch, name, x)));
            }
            let entry = self.shown.entry(name).or_insert(Entry::Mean { sum: 0.0, count: 0 });
            *entry = match *entry {
                Entry::Mean { sum, count } => Entry::Mean { sum: sum + x, count: count + 1 },
                Entry::Last(_) => Entry::Mean { sum: x, count: 1 },
            };
        }
        Ok(None)
    }

    /// `loss 0.51  clean 93.1 %  ...` of what has been read back.
    pub fn line(&self) -> String {
        let place = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
        let mut names: Vec<_> = self.shown.keys().collect();
        names.sort_by_key(|n| (place(n), (*n).clone()));
        let show = |name: &&String| metric(name, self.value(name).unwrap_or(f64::NAN));
        names.iter().map(show).collect::<Vec<_>>().join("  ")
    }

    /// The mean or last value of `name`.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.shown.get(name).map(|entry| match entry {
            Entry::Last(x) => *x,
            Entry::Mean { sum, count } => sum / *count as f64,
        })
    }

    /// All values.
    pub fn values(&self) -> Vec<(String, f64)> {
        self.shown.keys().filter_map(|n| self.value(n).map(|v| (n.clone(), v))).collect()
    }
}
