//! One convolution of given sizes in cuDNN: its descriptors, its algorithm, the workspace that it takes
//!
//! The algorithm is the first that cuDNN's heuristic names whose sums have a fixed order, so that a run repeats itself; with
//! `WORKBENCH_CUDNN=measured` the fastest such by cuDNN's own measurement at the first call, which may differ from run to run.

use super::cudnn::{Activation, Convolution, Filter, Handle, ok};
use crate::compute::geometry::Geometry;
use crate::compute::order::Order;
use crate::compute::precision::Precision;
use candle_core::cuda::CudaDevice;
use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::cudarc::driver::DevicePtrMut;
use candle_core::{Result, bail};
use std::ffi::c_void;

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

/// Numbers in memory, and what products of them are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numbers {
    F64,
    F32(Precision),
    Bf16,
}

/// All that a plan depends on.
pub type Key = (View, Order, Geometry, Numbers);

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Input(sys::cudnnConvolutionBwdDataAlgo_t),
    Weight(sys::cudnnConvolutionBwdFilterAlgo_t),
}

pub struct Plan {
    x: Activation,
    w: Filter,
    y: Activation,
    convolution: Convolution,
    algorithm: Algorithm,
    /// Bytes.
    pub workspace: usize,
    double: bool,
}

/// Workspace that an algorithm may take while they are measured.
const MOST: usize = 256 << 20;

fn measured() -> bool {
    std::env::var("WORKBENCH_CUDNN").is_ok_and(|choice| choice == "measured")
}

impl Plan {
    pub fn new(handle: &Handle, device: &CudaDevice, (view, order, g, numbers): &Key) -> Result<Self> {
        use sys::cudnnDataType_t::{CUDNN_DATA_BFLOAT16, CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT};
        use sys::cudnnMathType_t::{CUDNN_FMA_MATH, CUDNN_TENSOR_OP_MATH};
        let (stored, sums, math) = match numbers {
            Numbers::F64 => (CUDNN_DATA_DOUBLE, CUDNN_DATA_DOUBLE, CUDNN_FMA_MATH),
            Numbers::F32(Precision::F32) => (CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH),
            Numbers::F32(_) => (CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_TENSOR_OP_MATH),
            Numbers::Bf16 => (CUDNN_DATA_BFLOAT16, CUDNN_DATA_FLOAT, CUDNN_TENSOR_OP_MATH),
        };
        let w = [g.channels_out, g.channels_in, g.kernel.0, g.kernel.1];
        let mut plan = Self {
            x: Activation::new(stored, *order, [g.batch, g.channels_in, g.input.0, g.input.1])?,
            w: Filter::new(stored, *order, w)?,
            y: Activation::new(stored, *order, [g.batch, g.channels_out, g.output.0, g.output.1])?,
            convolution: Convolution::new(g.window.padding, g.window.stride, sums, math)?,
            algorithm: Algorithm::Forward(sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
            workspace: 0,
            double: *numbers == Numbers::F64,
        };
        let candidates = if measured() { plan.tried(handle, device, *view, g)? } else { plan.named(handle, *view)? };
        // Ordered ones first, and of the others an ordered one in its place where the shape has one.
        let ordered = candidates.iter().filter(|(_, ordered)| *ordered).map(|(a, _)| *a);
        let replaced = candidates.iter().map(|(a, _)| in_order(*a));
        for algorithm in ordered.chain(replaced).chain(candidates.iter().map(|(a, _)| *a)) {
            if let Ok(bytes) = plan.bytes(handle, algorithm) {
                (plan.algorithm, plan.workspace) = (algorithm, bytes);
                return Ok(plan);
            }
        }
        bail!("conv2d: cuDNN has no algorithm for {view:?} of {g:?} in {numbers:?}, {order:?}")
    }

    /// The workspace that an algorithm takes.
    fn bytes(&self, handle: &Handle, algorithm: Algorithm) -> Result<usize> {
        let (x, w, y, k) = (self.x.0, self.w.0, self.y.0, self.convolution.0);
        let mut bytes = 0;
        // SAFETY: descriptors of this plan.
        let status = unsafe {
            match algorithm {
                Algorithm::Forward(a) => {
                    sys::cudnnGetConvolutionForwardWorkspaceSize(handle.raw, x, w, k, y, a, &raw mut bytes)
                }
                Algorithm::Input(a) => {
                    sys::cudnnGetConvolutionBackwardDataWorkspaceSize(handle.raw, w, y, k, x, a, &raw mut bytes)
                }
                Algorithm::Weight(a) => {
                    sys::cudnnGetConvolutionBackwardFilterWorkspaceSize(handle.raw, x, y, k, w, a, &raw mut bytes)
                }
            }
        };
        ok("the workspace of a convolution", status).map(|()| bytes)
    }

    /// What the heuristic names, the best first, and whether its sums have a fixed order.
    fn named(&self, handle: &Handle, view: View) -> Result<Vec<(Algorithm, bool)>> {
        let (x, w, y, k) = (self.x.0, self.w.0, self.y.0, self.convolution.0);
        asked(view, |count, found| {
            // SAFETY: descriptors of this plan, and room for as many results as are asked for.
            unsafe {
                match found {
                    Room::Forward(r) => sys::cudnnGetConvolutionForwardAlgorithm_v7(
                        handle.raw,
                        x,
                        w,
                        k,
                        y,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                    ),
                    Room::Input(r) => sys::cudnnGetConvolutionBackwardDataAlgorithm_v7(
                        handle.raw,
                        w,
                        y,
                        k,
                        x,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                    ),
                    Room::Weight(r) => sys::cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                        handle.raw,
                        x,
                        y,
                        k,
                        w,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                    ),
                }
            }
        })
    }

    /// The same by measurement, on memory of its own.
    fn tried(&self, handle: &Handle, device: &CudaDevice, view: View, g: &Geometry) -> Result<Vec<(Algorithm, bool)>> {
        let (x, w, y, k) = (self.x.0, self.w.0, self.y.0, self.convolution.0);
        let stream = device.cuda_stream();
        let sizes = [g.batch * g.input_len(), g.weight_len(), g.batch * g.output_len()];
        let mut rooms = vec![];
        for bytes in sizes.map(|n| n * if self.double { 8 } else { 4 }).into_iter().chain([MOST]) {
            rooms.push(device.alloc_zeros::<u8>(bytes)?);
        }
        let mut address = |at: usize| rooms[at].device_ptr_mut(&stream).0 as *mut c_void;
        let [of_x, of_w, of_y, workspace] = [address(0), address(1), address(2), address(3)];
        asked(view, |count, found| {
            // SAFETY: descriptors of this plan, memory as large as they say, and room for the results.
            unsafe {
                match found {
                    Room::Forward(r) => sys::cudnnFindConvolutionForwardAlgorithmEx(
                        handle.raw,
                        x,
                        of_x,
                        w,
                        of_w,
                        k,
                        y,
                        of_y,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                        workspace,
                        MOST,
                    ),
                    Room::Input(r) => sys::cudnnFindConvolutionBackwardDataAlgorithmEx(
                        handle.raw,
                        w,
                        of_w,
                        y,
                        of_y,
                        k,
                        x,
                        of_x,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                        workspace,
                        MOST,
                    ),
                    Room::Weight(r) => sys::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                        handle.raw,
                        x,
                        of_x,
                        y,
                        of_y,
                        k,
                        w,
                        of_w,
                        r.len() as i32,
                        count,
                        r.as_mut_ptr(),
                        workspace,
                        MOST,
                    ),
                }
            }
        })
    }

    /// Put it on the handle's stream: `a` and `b` to `to`, in the order that [`View`] names.
    ///
    /// # Safety
    /// The three are device addresses of as many numbers as the plan's sizes say, of its number type; `workspace` is one of
    /// as many bytes as given, at least [`Plan::workspace`].
    pub unsafe fn launch(&self, handle: &Handle, [a, b, to]: [u64; 3], (workspace, bytes): (u64, usize)) -> Result<()> {
        let (x, w, y, k) = (self.x.0, self.w.0, self.y.0, self.convolution.0);
        let (a, b, to, workspace) =
            (a as *const c_void, b as *const c_void, to as *mut c_void, workspace as *mut c_void);
        let (one, zero) = (1f32, 0f32);
        let (one_wide, zero_wide) = (1f64, 0f64);
        let (once, nothing): (*const c_void, *const c_void) = match self.double {
            false => ((&raw const one).cast(), (&raw const zero).cast()),
            true => ((&raw const one_wide).cast(), (&raw const zero_wide).cast()),
        };
        // SAFETY: as promised by the caller.
        let status = unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => sys::cudnnConvolutionForward(
                    handle.raw, once, x, a, w, b, k, algorithm, workspace, bytes, nothing, y, to,
                ),
                Algorithm::Input(algorithm) => sys::cudnnConvolutionBackwardData(
                    handle.raw, once, w, b, y, a, k, algorithm, workspace, bytes, nothing, x, to,
                ),
                Algorithm::Weight(algorithm) => sys::cudnnConvolutionBackwardFilter(
                    handle.raw, once, x, a, y, b, k, algorithm, workspace, bytes, nothing, w, to,
                ),
            }
        };
        ok("a convolution", status)
    }
}

/// Room for what cuDNN knows of its algorithms.
enum Room<'a> {
    Forward(&'a mut [sys::cudnnConvolutionFwdAlgoPerf_t]),
    Input(&'a mut [sys::cudnnConvolutionBwdDataAlgoPerf_t]),
    Weight(&'a mut [sys::cudnnConvolutionBwdFilterAlgoPerf_t]),
}

/// Ask for the algorithms of a view; those that would work, the best first, and whether their sums have a fixed order.
fn asked(view: View, ask: impl FnOnce(*mut i32, Room) -> sys::cudnnStatus_t) -> Result<Vec<(Algorithm, bool)>> {
    const WANTED: usize = 8;
    let mut count = 0;
    let ordered = |d: sys::cudnnDeterminism_t| d == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
    macro_rules! of {
        ($Kind:ident) => {{
            // SAFETY: plain numbers, which cuDNN writes; zeros name an algorithm each.
            let mut found = [unsafe { std::mem::zeroed() }; WANTED];
            ok("the algorithms of a convolution", ask(&raw mut count, Room::$Kind(&mut found)))?;
            let works = found[..count.clamp(0, WANTED as i32) as usize]
                .iter()
                .filter(|f| f.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS);
            works.map(|f| (Algorithm::$Kind(f.algo), ordered(f.determinism))).collect()
        }};
    }
    Ok(match view {
        View::Forward => of!(Forward),
        View::Input => of!(Input),
        View::Weight => of!(Weight),
    })
}

/// An algorithm whose sums do not depend on the order in which threads finish, in the place of one whose sums do.
fn in_order(found: Algorithm) -> Algorithm {
    use sys::cudnnConvolutionBwdDataAlgo_t as Data;
    use sys::cudnnConvolutionBwdFilterAlgo_t as Filter;
    match found {
        Algorithm::Input(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0) => {
            Algorithm::Input(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
        }
        Algorithm::Weight(
            Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 | Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        ) => Algorithm::Weight(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1),
        other => other,
    }
}
