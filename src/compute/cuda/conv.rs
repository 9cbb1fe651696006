//! The convolution and its two adjoints through cuDNN
//!
//! Descriptors, the choice of algorithm and the workspace's size are kept for each shape, and one workspace for each device
//! grows to the largest: a step of training asks for none of them anew. One handle for each device and thread, as the stream.

use super::super::conv::Geometry;
use super::super::precision::{Precision, current};
use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm, cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionMode_t as Mode, cudnnMathType_t as Math,
    cudnnTensorFormat_t as Format,
};
use candle_core::cuda::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType, CudnnError,
    FilterDescriptor, TensorDescriptor,
};
use candle_core::cuda::cudarc::driver::{CudaSlice, CudaViewMut, DeviceRepr};
use candle_core::cuda::{CudaDType, CudaDevice, CudaStorage, DeviceId};
use candle_core::{DType, Layout, Result, bail};
use half::bf16;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

/// Which of the three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// x, w to y.
    Forward,
    /// y, w to x.
    Input,
    /// x, y to w.
    Weight,
}

/// All that a plan depends on.
type Key = (View, Geometry, DType, Precision);

/// What one device needs, on this thread.
struct Room {
    handle: Arc<Cudnn>,
    plans: HashMap<Key, Rc<dyn Any>>,
    workspace: Option<CudaSlice<u8>>,
}

thread_local! {
    static ROOMS: RefCell<HashMap<DeviceId, Room>> = RefCell::new(HashMap::new());
}

/// Descriptors of one convolution in numbers of type T, summed in C.
struct Plan<T, C> {
    conv: ConvDescriptor<C>,
    x: TensorDescriptor<T>,
    w: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
    algorithm: Algorithm,
    /// Bytes.
    workspace: usize,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(ForwardAlgorithm),
    Input(DataAlgorithm),
    Weight(FilterAlgorithm),
}

impl<T: CudnnDataType, C: CudnnDataType> Plan<T, C> {
    fn new(handle: &Arc<Cudnn>, view: View, g: &Geometry, math: Math) -> Result<Self> {
        let four = |d: [usize; 4]| -> Result<[i32; 4]> {
            let mut out = [0; 4];
            for (to, from) in out.iter_mut().zip(d) {
                let Ok(size) = i32::try_from(from) else { bail!("conv2d: a size of {from} is too large for cuDNN") };
                *to = size;
            }
            Ok(out)
        };
        let two = |n: usize| [n as i32; 2];
        let (x, y) =
            ([g.batch, g.channels_in, g.input.0, g.input.1], [g.batch, g.channels_out, g.output.0, g.output.1]);
        let w = [g.channels_out, g.channels_in, g.kernel.0, g.kernel.1];
        let (window, plain) = (g.window, Format::CUDNN_TENSOR_NCHW);
        let mode = Mode::CUDNN_CROSS_CORRELATION;
        let mut conv = handle.create_conv2d::<C>(two(window.padding), two(window.stride), two(1), mode)?;
        conv.set_math_type(math)?;
        let mut plan = Self {
            conv,
            x: handle.create_4d_tensor(plain, four(x)?)?,
            w: handle.create_4d_filter(plain, four(w)?)?,
            y: handle.create_4d_tensor(plain, four(y)?)?,
            algorithm: Algorithm::Forward(ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
            workspace: 0,
        };
        let found = match view {
            View::Forward => Algorithm::Forward(plan.forward().pick_algorithm()?),
            View::Input => Algorithm::Input(plan.input().pick_algorithm()?),
            View::Weight => Algorithm::Weight(plan.weight().pick_algorithm()?),
        };
        // Where cuDNN has no ordered one for a shape, the one that it found.
        (plan.algorithm, plan.workspace) = match plan.bytes(ordered(found)) {
            Ok(bytes) => (ordered(found), bytes),
            Err(_) => (found, plan.bytes(found)?),
        };
        Ok(plan)
    }

    /// The workspace that an algorithm takes.
    fn bytes(&self, algorithm: Algorithm) -> std::result::Result<usize, CudnnError> {
        match algorithm {
            Algorithm::Forward(algorithm) => self.forward().get_workspace_size(algorithm),
            Algorithm::Input(algorithm) => self.input().get_workspace_size(algorithm),
            Algorithm::Weight(algorithm) => self.weight().get_workspace_size(algorithm),
        }
    }

    fn forward(&self) -> ConvForward<'_, T, C, T> {
        ConvForward { conv: &self.conv, x: &self.x, w: &self.w, y: &self.y }
    }

    fn input(&self) -> ConvBackwardData<'_, T, C, T> {
        ConvBackwardData { conv: &self.conv, dx: &self.x, w: &self.w, dy: &self.y }
    }

    fn weight(&self) -> ConvBackwardFilter<'_, T, C, T> {
        ConvBackwardFilter { conv: &self.conv, x: &self.x, dw: &self.w, dy: &self.y }
    }
}

impl Room {
    fn new(device: &CudaDevice) -> Result<Self> {
        Ok(Self { handle: Cudnn::new(device.cuda_stream())?, plans: HashMap::new(), workspace: None })
    }

    fn plan<T: CudnnDataType + 'static, C: CudnnDataType + 'static>(
        &mut self,
        key: Key,
        math: Math,
    ) -> Result<Rc<Plan<T, C>>> {
        if let Some(known) = self.plans.get(&key).and_then(|p| p.clone().downcast().ok()) {
            return Ok(known);
        }
        let plan = Rc::new(Plan::<T, C>::new(&self.handle, key.0, &key.1, math)?);
        self.plans.insert(key, plan.clone());
        Ok(plan)
    }

    /// A workspace of at least so many bytes.
    fn workspace(&mut self, device: &CudaDevice, bytes: usize) -> Result<&mut CudaSlice<u8>> {
        if self.workspace.as_ref().is_none_or(|w| w.len() < bytes) {
            // The old one first: both may not fit.
            self.workspace = None;
        }
        match &mut self.workspace {
            Some(workspace) => Ok(workspace),
            // SAFETY: cuDNN writes before it reads.
            none => Ok(none.insert(unsafe { device.alloc(bytes.max(1))? })),
        }
    }
}

/// An algorithm whose sums do not depend on the order in which threads finish, in the place of one whose sums do.
fn ordered(found: Algorithm) -> Algorithm {
    match found {
        Algorithm::Input(DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0) => {
            Algorithm::Input(DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
        }
        Algorithm::Weight(
            FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 | FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        ) => Algorithm::Weight(FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1),
        other => other,
    }
}

/// The map `view` of the two tensors `a` and `b`, both contiguous, in the order that [`View`] names; f32 or f64.
pub fn run(view: View, g: &Geometry, a: (&CudaStorage, &Layout), b: (&CudaStorage, &Layout)) -> Result<CudaStorage> {
    let device = a.0.device().clone();
    let n = lengths(view, g)[2];
    // SAFETY: what follows writes all of it.
    let mut to = unsafe {
        match a.0.dtype() {
            DType::F64 => CudaStorage::wrap_cuda_slice(device.alloc::<f64>(n)?, device),
            _ => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(n)?, device),
        }
    };
    run_into(view, g, a, b, (&mut to, &Layout::contiguous(n)))?;
    Ok(to)
}

/// The same, written into a contiguous part of `to`.
pub fn run_into(
    view: View,
    g: &Geometry,
    a: (&CudaStorage, &Layout),
    b: (&CudaStorage, &Layout),
    (to, layout): (&mut CudaStorage, &Layout),
) -> Result<()> {
    let device = a.0.device().clone();
    if a.0.dtype() != b.0.dtype() {
        bail!("conv2d: {:?} and {:?} do not fit; convert one with to_dtype", a.0.dtype(), b.0.dtype());
    }
    let Some((from, end)) = layout.contiguous_offsets() else { bail!("conv2d: a contiguous result is wanted") };
    let n = lengths(view, g)[2];
    if end - from != n {
        bail!("conv2d: a result of {n} numbers does not fit {:?}", layout.dims());
    }
    match (a.0.dtype(), current()) {
        (DType::F64, _) => {
            let key = (view, *g, DType::F64, Precision::F32);
            let mut to = to.as_cuda_slice_mut::<f64>()?.slice_mut(from..end);
            typed::<f64, f64>(&device, key, Math::CUDNN_FMA_MATH, part(a)?, part(b)?, &mut to)
        }
        (DType::F32, Precision::Bf16) => {
            // Rounded on the way in; products are summed in f32, and rounded once more on the way out.
            let round = |(storage, layout): (&CudaStorage, &Layout)| storage.to_dtype(layout, DType::BF16);
            let (a, b) = (round(a)?, round(b)?);
            let (a, b) = (a.as_cuda_slice::<bf16>()?, b.as_cuda_slice::<bf16>()?);
            let key = (view, *g, DType::BF16, Precision::Bf16);
            // SAFETY: the convolution writes all of it.
            let mut y = unsafe { device.alloc::<bf16>(n)? };
            typed::<bf16, f32>(&device, key, Math::CUDNN_TENSOR_OP_MATH, (a, 0), (b, 0), &mut y.slice_mut(0..n))?;
            let wide = CudaStorage::wrap_cuda_slice(y, device.clone()).to_dtype(&Layout::contiguous(n), DType::F32)?;
            let mut to = to.as_cuda_slice_mut::<f32>()?.slice_mut(from..end);
            device.memcpy_dtod(wide.as_cuda_slice::<f32>()?, &mut to)
        }
        (DType::F32, precision) => {
            let math = if precision == Precision::Tf32 { Math::CUDNN_TENSOR_OP_MATH } else { Math::CUDNN_FMA_MATH };
            let mut to = to.as_cuda_slice_mut::<f32>()?.slice_mut(from..end);
            typed::<f32, f32>(&device, (view, *g, DType::F32, precision), math, part(a)?, part(b)?, &mut to)
        }
        (other, _) => bail!("conv2d: dtype {other:?} is not supported; use f32 or f64"),
    }
}

/// How many numbers the two arguments and the result have.
fn lengths(view: View, g: &Geometry) -> [usize; 3] {
    let (inputs, outputs) = (g.batch * g.input_len(), g.batch * g.output_len());
    match view {
        View::Forward => [inputs, g.weight_len(), outputs],
        View::Input => [outputs, g.weight_len(), inputs],
        View::Weight => [inputs, outputs, g.weight_len()],
    }
}

/// A contiguous argument: its memory, and where it begins there.
type Part<'a, T> = (&'a CudaSlice<T>, usize);

fn part<'a, T: CudaDType>((storage, layout): (&'a CudaStorage, &Layout)) -> Result<Part<'a, T>> {
    match layout.contiguous_offsets() {
        Some((from, _)) => Ok((storage.as_cuda_slice::<T>()?, from)),
        None => bail!("conv2d: the argument must be contiguous"),
    }
}

fn typed<T, C>(device: &CudaDevice, key: Key, math: Math, a: Part<T>, b: Part<T>, to: &mut CudaViewMut<T>) -> Result<()>
where
    T: CudnnDataType + DeviceRepr + Number + 'static,
    C: CudnnDataType + 'static,
{
    let [of_a, of_b, _] = lengths(key.0, &key.1);
    let (a, b) = (a.0.slice(a.1..a.1 + of_a), b.0.slice(b.1..b.1 + of_b));
    ROOMS.with_borrow_mut(|rooms| {
        let room = match rooms.entry(device.id()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Room::new(device)?),
        };
        let plan = room.plan::<T, C>(key, math)?;
        let workspace = Some(room.workspace(device, plan.workspace)?);
        let once = (T::ONE, T::ZERO);
        // SAFETY: the slices are as long as the descriptors say, and of their type.
        unsafe {
            match plan.algorithm {
                Algorithm::Forward(algorithm) => plan.forward().launch(algorithm, workspace, once, &a, &b, to),
                Algorithm::Input(algorithm) => plan.input().launch(algorithm, workspace, once, to, &b, &a),
                Algorithm::Weight(algorithm) => plan.weight().launch(algorithm, workspace, once, &a, to, &b),
            }
        }?;
        Ok(())
    })
}

/// 1 and 0 of a number type.
trait Number {
    const ONE: Self;
    const ZERO: Self;
}

impl Number for f32 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;
}

impl Number for f64 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;
}

impl Number for bf16 {
    const ONE: Self = bf16::ONE;
    const ZERO: Self = bf16::ZERO;
}
