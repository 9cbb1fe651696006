//! A node's value as a tensor of candle's graph, for operations that are candle's.
//!
//! candle makes a tensor of its graph out of a custom operation on one that has a gradient. That one is a variable that nobody
//! reads, and is given no gradient: candle's walk ends here, hands over what it has found, and the walk over our nodes goes on
//! from it. The operation takes the value's storage over, without a copy.

use super::node::{Argument, Node, forget, remember};
use super::taken::Taken;
use super::walk::receive;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, DeviceLocation, Layout, Result, Shape, Tensor, TensorId, Var,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// `value`, or the rows of the node's value that it is. Nobody else may hold it: its storage moves into the graph.
pub fn gateway(value: Tensor, node: &Arc<Node>, rows: Option<Range<usize>>) -> Result<Tensor> {
    // Of nothing there is no gradient, and candle may have handed over an argument's own storage.
    if value.elem_count() == 0 {
        return Ok(value.detach());
    }
    let (shape, id) = (value.shape().clone(), Arc::new(OnceLock::new()));
    let to = Argument::Of(node.clone(), rows.clone());
    let made = root(value.device())?.apply_op1(Gateway { shape, value: Taken::of(&value)?, to, id: id.clone() })?;
    remember(made.id(), node, rows);
    id.get_or_init(|| made.id());
    Ok(made)
}

/// The variable behind all gateways on a device.
fn root(device: &Device) -> Result<Tensor> {
    static ROOTS: LazyLock<Mutex<HashMap<DeviceLocation, Var>>> = LazyLock::new(Mutex::default);
    let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = device.location();
    if let Some(known) = roots.get(&place) {
        return Ok(known.as_tensor().clone());
    }
    let made = Var::zeros(1, DType::F32, device)?;
    Ok(roots.entry(place).or_insert(made).as_tensor().clone())
}

struct Gateway {
    shape: Shape,
    value: Taken,
    to: Argument,
    id: Arc<OnceLock<TensorId>>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            forget(*id);
        }
    }
}

impl CustomOp1 for Gateway {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((self.value.cpu()?, self.shape.clone()))
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((self.value.cuda()?, self.shape.clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        receive(&self.to, g.detach(), false)?;
        Ok(None)
    }
}
