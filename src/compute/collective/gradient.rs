//! The sum of a tensor over processes: on GPUs by NCCL, where all of them have it, else by way of main memory.

use super::group::Group;
use crate::compute::element::Host;
use candle_core::{DType, Device, Error, Result, Tensor};

impl Group {
    /// The sum over all processes of a vector of f32 or f64, wherever it lies, the same bits on each.
    pub fn sum_of(&self, own: &Tensor) -> Result<Tensor> {
        if self.is_alone() {
            return Ok(own.clone());
        }
        #[cfg(feature = "cuda")]
        if let Some(sum) = self.sum_on_gpus(own)? {
            return Ok(sum);
        }
        let (host, n) = (own.to_device(&Device::Cpu)?.force_contiguous()?, own.elem_count());
        let sum = match own.dtype() {
            DType::F64 => {
                let mut values = Host::of(&host).slice::<f64>()?.to_vec();
                self.sum(&mut values).map_err(Error::Msg)?;
                Tensor::from_vec(values, n, &Device::Cpu)?
            }
            _ => {
                let mut values = Host::of(&host).slice::<f32>()?.to_vec();
                self.sum(&mut values).map_err(Error::Msg)?;
                Tensor::from_vec(values, n, &Device::Cpu)?
            }
        };
        sum.to_device(own.device())
    }
}
