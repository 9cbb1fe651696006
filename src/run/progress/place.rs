//! Where a run stands, in words.

/// The epoch and the batch at hand, of the loop under way or of the last one.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The loop's name, where the script gives it one.
    pub label: String,
    /// From 0.
    pub epoch: usize,
    pub epochs: usize,
    /// From 1; 0 before the first.
    pub batch: usize,
    pub batches: usize,
}

impl Place {
    /// `robust epoch  3/20`.
    pub fn head(&self) -> String {
        let width = self.epochs.to_string().len();
        let label = if self.label.is_empty() { String::new() } else { format!("{} ", self.label) };
        format!("{label}epoch {:>width$}/{}", self.epoch + 1, self.epochs)
    }

    /// `robust epoch 3/20, batch 5 of 60`, where `batch` is one of the epoch at hand.
    pub fn at(&self, batch: usize) -> String {
        let epoch = self.head().replace("  ", " ");
        if self.batches == 0 { epoch } else { format!("{epoch}, batch {batch} of {}", self.batches) }
    }

    /// The error that a value which is not finite makes.
    pub fn not_finite(&self, batch: usize, name: &str, x: f64) -> String {
        format!(
            "run.log: `{name}` is {x} at {}; training has diverged. Lower the learning rate, lengthen the ramp of epsilon, or \
             clip the gradients: adam(model, #{{ clip_norm: 1.0 }})",
            self.at(batch)
        )
    }
}
