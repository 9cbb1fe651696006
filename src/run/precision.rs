//! What the script has chosen to multiply in, written down with the run.

use crate::run::front::Run;
use crate::compute::precision::Precision;

impl Run {
    /// The script has chosen; `on_gpu` says whether the choice makes a difference where it runs.
    pub fn set_precision(&self, precision: Precision, on_gpu: bool) -> Result<(), String> {
        if precision != Precision::F32 && !on_gpu {
            self.note(&format!("precision {precision} holds on CUDA devices; here everything f32 is computed in f32"));
        }
        // What has been computed, not what was wished for.
        self.recorder.borrow_mut().record.precision = if on_gpu { precision } else { Precision::F32 };
        self.write_record()
    }
}
