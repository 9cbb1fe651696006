//! Texts about where a run stands.

use crate::run::front::State;
use std::time::Duration;

pub(in crate::run) fn not_finite(state: &State, batch: usize, name: &str, x: f64) -> String {
    format!(
        "run.log: `{name}` is {x} at {}; training has diverged. Lower the learning rate, lengthen the ramp of epsilon, or \
         clip the gradients: adam(model, #{{ clip_norm: 1.0 }})",
        place(state, batch)
    )
}

pub(in crate::run) fn place(state: &State, batch: usize) -> String {
    let epoch = head(state).replace("  ", " ");
    if state.batches == 0 { epoch } else { format!("{epoch}, batch {batch} of {}", state.batches) }
}

/// `robust epoch  3/20`.
pub(in crate::run) fn head(state: &State) -> String {
    let width = state.epochs.to_string().len();
    let label = if state.label.is_empty() { String::new() } else { format!("{} ", state.label) };
    format!("{label}epoch {:>width$}/{}", state.epoch + 1, state.epochs)
}

/// From the pace of this sitting: `done` whole epochs and `share` of the next.
pub(in crate::run) fn time_left(state: &State, done: usize, share: f64) -> Option<Duration> {
    let (elapsed, begun_at) = state.pace()?;
    let left = state.epochs as f64 - done as f64 - share;
    let done = done.saturating_sub(begun_at) as f64 + share;
    (done > 0.0 && left > 0.0).then(|| elapsed.mul_f64(left / done))
}
