//! The convolution and its two adjoints through cuDNN
//!
//! Plans are kept for each shape, and one workspace for each device grows to the largest: a step of training asks for none of
//! them anew. One handle for each device and thread.

use super::cudnn::Handle;
use super::graph::{ALIGNED, Key, Numbers};
use super::plan::Plan;
use crate::compute::conv::Geometry;
use crate::compute::gpu::cuda::address;
use crate::compute::gpu::recording::moved;
use crate::compute::layout::Layout;
use crate::compute::precision::Precision;
use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::driver::{CudaSlice, DevicePtrMut};
use candle_core::cuda::{CudaDevice, CudaStorage, DeviceId};
use candle_core::{DType, Layout as Strides, Result, bail};
use half::{bf16, f16};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

pub use super::graph::View;

/// What one device needs, on this thread.
struct Room {
    handle: Handle,
    /// A plan, or that there is none.
    plans: HashMap<Key, Option<Rc<Plan>>>,
    workspace: Option<CudaSlice<u8>>,
}

thread_local! {
    static ROOMS: RefCell<HashMap<DeviceId, Room>> = RefCell::new(HashMap::new());
}

fn in_room<R>(device: &CudaDevice, work: impl FnOnce(&mut Room) -> Result<R>) -> Result<R> {
    ROOMS.with_borrow_mut(|rooms| {
        let room = match rooms.entry(device.id()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let handle = Handle::new(device.cuda_stream())?;
                place.insert(Room { handle, plans: HashMap::new(), workspace: None })
            }
        };
        work(room)
    })
}

impl Room {
    fn plan(&mut self, device: &CudaDevice, key: &Key) -> Result<Rc<Plan>> {
        if let Some(Some(known)) = self.plans.get(key) {
            return Ok(known.clone());
        }
        let plan = Plan::new(&self.handle, device, key).map(Rc::new);
        self.plans.insert(*key, plan.as_ref().ok().cloned());
        plan
    }

    /// Where a workspace of at least so many bytes begins.
    fn workspace(&mut self, device: &CudaDevice, bytes: usize) -> Result<u64> {
        if self.workspace.as_ref().is_none_or(|w| w.len() < bytes) {
            // The old one first: both may not fit.
            if self.workspace.take().is_some() {
                moved();
            }
        }
        let workspace = match &mut self.workspace {
            Some(workspace) => workspace,
            // SAFETY: cuDNN writes before it reads.
            none => none.insert(unsafe { device.alloc(bytes.max(1))? }),
        };
        let stream = device.cuda_stream();
        let (start, _record) = workspace.device_ptr_mut(&stream);
        Ok(start)
    }
}

/// The numbers that a convolution of tensors of this type computes in.
fn numbers(dtype: DType, precision: Precision) -> Result<Numbers> {
    match (dtype, precision) {
        (DType::F64, _) => Ok(Numbers::F64),
        (DType::F32, Precision::Bf16) => Ok(Numbers::Bf16),
        (DType::F32, precision) => Ok(Numbers::F32(precision)),
        (DType::F16, _) => Ok(Numbers::F16),
        (other, _) => bail!("conv2d: dtype {other:?} is not supported; use f16, f32 or f64"),
    }
}

/// Does cuDNN have this convolution?
pub fn supports(view: View, layout: Layout, g: &Geometry, dtype: DType, device: &CudaDevice) -> Result<bool> {
    let key = Key { view, layout, geometry: *g, numbers: numbers(dtype, g.window.precision)?, aligned: true };
    in_room(device, |room| {
        if let Some(known) = room.plans.get(&key) {
            return Ok(known.is_some());
        }
        Ok(room.plan(device, &key).is_ok())
    })
}

/// The map `view` of the two tensors `a` and `b`, both contiguous in this order of their axes, in the order that [`View`] names;
/// f16, f32 or f64.
pub fn run(
    view: View,
    layout: Layout,
    g: &Geometry,
    a: (&CudaStorage, &Strides),
    b: (&CudaStorage, &Strides),
) -> Result<CudaStorage> {
    let device = a.0.device().clone();
    let n = length(view, g);
    // SAFETY: what follows writes all of it.
    let mut to = unsafe {
        match a.0.dtype() {
            DType::F64 => CudaStorage::wrap_cuda_slice(device.alloc::<f64>(n)?, device),
            DType::F16 => CudaStorage::wrap_cuda_slice(device.alloc::<f16>(n)?, device),
            _ => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(n)?, device),
        }
    };
    run_into(view, layout, g, a, b, (&mut to, &Strides::contiguous(n)))?;
    Ok(to)
}

/// The same, written into a contiguous part of `to`.
pub fn run_into(
    view: View,
    layout: Layout,
    g: &Geometry,
    a: (&CudaStorage, &Strides),
    b: (&CudaStorage, &Strides),
    (to, strides): (&mut CudaStorage, &Strides),
) -> Result<()> {
    let (device, dtype) = (a.0.device().clone(), a.0.dtype());
    if dtype != b.0.dtype() || dtype != to.dtype() {
        bail!("conv2d: {dtype:?} and {:?} do not fit; convert one with to_dtype", b.0.dtype());
    }
    let Some((from, end)) = strides.contiguous_offsets() else { bail!("conv2d: a contiguous result is wanted") };
    let n = length(view, g);
    if end - from != n {
        bail!("conv2d: a result of {n} numbers does not fit {:?}", strides.dims());
    }
    let key = Key { view, layout, geometry: *g, numbers: numbers(dtype, g.window.precision)?, aligned: true };
    if key.numbers != Numbers::Bf16 {
        return launch(&device, &key, [start(a)?, start(b)?, address("conv2d", to, from)?]);
    }
    // Rounded on the way in; products are summed in f32, and rounded once more on the way out.
    let round = |(storage, strides): (&CudaStorage, &Strides)| storage.to_dtype(strides, DType::BF16);
    let (a, b) = (round(a)?, round(b)?);
    // SAFETY: the convolution writes all of it.
    let y = CudaStorage::wrap_cuda_slice(unsafe { device.alloc::<bf16>(n)? }, device.clone());
    launch(&device, &key, [address("conv2d", &a, 0)?, address("conv2d", &b, 0)?, address("conv2d", &y, 0)?])?;
    let wide = y.to_dtype(&Strides::contiguous(n), DType::F32)?;
    device.memcpy_dtod(wide.as_cuda_slice::<f32>()?, &mut to.as_cuda_slice_mut::<f32>()?.slice_mut(from..end))
}

fn launch(device: &CudaDevice, key: &Key, places: [u64; 3]) -> Result<()> {
    let key = Key { aligned: places.iter().all(|at| at % ALIGNED == 0), ..*key };
    in_room(device, |room| {
        let plan = room.plan(device, &key)?;
        let workspace = room.workspace(device, plan.workspace)?;
        // SAFETY: the tensors are as large as the plan's sizes say: the operations have checked their shapes.
        unsafe { plan.launch(&room.handle, places, workspace) }
    })
}

/// How many numbers the result has.
fn length(view: View, g: &Geometry) -> usize {
    match view {
        View::Forward => g.batch * g.output_len(),
        View::Input => g.batch * g.input_len(),
        View::Weight => g.weight_len(),
    }
}

/// Where a contiguous argument begins.
fn start((storage, layout): (&CudaStorage, &Strides)) -> Result<u64> {
    match layout.contiguous_offsets() {
        Some((from, _)) => address("conv2d", storage, from),
        None => bail!("conv2d: the argument must be contiguous"),
    }
}
