//! One convolution of given sizes in cuDNN: described, an engine chosen for it, and ready to run
//!
//! Of the engines that cuDNN names, those count whose sums have a fixed order, so that a run repeats itself, and which compute in
//! the numbers that are asked for. Where a convolution is large enough to matter the fastest of them is found by measurement and
//! remembered ([`super::chosen`]); elsewhere it is the first.

use super::chosen;
use super::cudnn::{Descriptor, Handle};
use super::engines::{built, engines, fastest};
use super::graph::{Key, View, describe, run};
use candle_core::cuda::CudaDevice;
use candle_core::{Result, bail};

/// Multiply-adds below which an engine is not worth measuring.
const SMALL: usize = 50_000_000;
/// Engines that are measured at most.
const TRIED: usize = 10;

pub struct Plan {
    plan: Descriptor,
    /// Bytes.
    pub workspace: usize,
    view: View,
    /// What the plan refers to.
    _graph: Vec<Descriptor>,
}

impl Plan {
    pub fn new(handle: &Handle, device: &CudaDevice, key: &Key) -> Result<Self> {
        let described = describe(handle, key)?;
        let engines = engines(&described, key.numbers)?;
        let mut plans = engines.iter().filter_map(|engine| built(handle, engine).ok());
        let g = &key.geometry;
        let work = g.batch * g.output_len() * g.weight_len() / g.channels_out.max(1);
        let chosen = if work < SMALL || !chosen::wanted() {
            plans.next()
        } else {
            let mut plans: Vec<_> = plans.take(TRIED).collect();
            let at = chosen::or_measured(device, key, || fastest(handle, device, key, &plans))?;
            // What was remembered of another set of engines may name none of these.
            let at = if at < plans.len() { at } else { 0 };
            (!plans.is_empty()).then(|| plans.swap_remove(at))
        };
        match chosen {
            Some((plan, workspace)) => {
                let graph = described.into_iter().chain(engines).collect();
                Ok(Self { plan, workspace, view: key.view, _graph: graph })
            }
            None => bail!("conv2d: cuDNN has no engine for {key:?}"),
        }
    }

    /// Put it on the handle's stream: `a` and `b` to `to`, in the order that [`View`] names.
    ///
    /// # Safety
    /// The three are device addresses of as many numbers as the plan's sizes say, of its number type and alignment; `workspace`
    /// is one of at least [`Plan::workspace`] bytes.
    pub unsafe fn launch(&self, handle: &Handle, places: [u64; 3], workspace: u64) -> Result<()> {
        // SAFETY: as promised by the caller.
        unsafe { run(handle, &self.plan, self.view, places, workspace) }
    }
}
