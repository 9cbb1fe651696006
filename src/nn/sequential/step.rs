//! What follows an optimiser's step.

use super::network::Sequential;
use crate::compute::gpu::{self, Source, launch_over};
use crate::compute::variables::{assign, changed};
use crate::nn::{Layer, LayerSpec};
use candle_core::Result;

impl Sequential {
    /// Put every parameter that bounds want at 0 or above (the thresholds of ReLU-theta) back there; done after each optimiser step.
    pub fn project_thresholds(&self) -> Result<()> {
        let all =
            self.parameters.iter().filter(|(name, _)| self.nonnegative.contains(name)).map(|(_, var)| var.as_tensor());
        let (by_kernel, others): (Vec<_>, Vec<_>) = all.partition(|t| gpu::has_kernel(t) && t.is_contiguous());
        changed();
        launch_over(Source::Train, "at_least_zero", &by_kernel.iter().map(|t| vec![*t]).collect::<Vec<_>>(), &[])?;
        for (_, var) in self.parameters.iter().filter(|(_, var)| others.iter().any(|t| t.id() == var.id())) {
            assign(var, &var.as_tensor().detach().relu()?)?;
        }
        Ok(())
    }

    /// What follows an optimiser's step: thresholds are put back ([`Self::project_thresholds`]), and layers move on what they keep beside their
    /// parameters.
    pub fn after_step(&self) -> Result<()> {
        self.project_thresholds()?;
        let made = self.made.borrow();
        let layers = made.iter().flat_map(|made| &made.layers).flat_map(Layer::all);
        layers.filter_map(|layer| layer.activation("after_step").ok()).try_for_each(|f| f.after_step())
    }

    /// Can its steps be recorded: are its weights its parameters, neither made of these nor of statistics, which live on from step to step?
    pub fn can_be_recorded(&self) -> bool {
        !self.specs.iter().any(LayerSpec::is_derived)
    }
}
