//! One convolution as a graph of cuDNN: its tensors, its window, its operation; and a plan of it put on the stream

use super::cudnn::{Descriptor, Handle, Kind, Name, ok};
use crate::compute::conv::Geometry;
use crate::compute::layout::Layout;
use crate::compute::precision::Precision;
use candle_core::Result;
use candle_core::cuda::cudarc::cudnn::sys;
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
    /// Summed in f32.
    F16,
}

/// All that a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub view: View,
    pub layout: Layout,
    pub geometry: Geometry,
    pub numbers: Numbers,
    /// Does every tensor begin at a multiple of [`ALIGNED`] bytes?
    pub aligned: bool,
}

/// What the widest accesses to memory want.
pub const ALIGNED: u64 = 16;

/// Names of the three tensors in a graph.
const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;

/// The graph of the one operation, last, and what it refers to.
pub fn describe(handle: &Handle, key: &Key) -> Result<Vec<Descriptor>> {
    use sys::cudnnDataType_t::{CUDNN_DATA_BFLOAT16, CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF};
    let (g, layout) = (&key.geometry, key.layout);
    let (stored, sums) = match key.numbers {
        Numbers::F64 => (CUDNN_DATA_DOUBLE, CUDNN_DATA_DOUBLE),
        Numbers::F32(_) => (CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT),
        Numbers::Bf16 => (CUDNN_DATA_BFLOAT16, CUDNN_DATA_FLOAT),
        Numbers::F16 => (CUDNN_DATA_HALF, CUDNN_DATA_FLOAT),
    };
    let bytes = match key.numbers {
        Numbers::F64 => 8,
        Numbers::F32(_) => 4,
        Numbers::Bf16 | Numbers::F16 => 2,
    };
    let tensor = |name: i64, sizes: [usize; 4]| {
        let [n, c, h, w] = sizes.map(|size| size as i64);
        let strides = match layout {
            Layout::Nchw => [c * h * w, h * w, w, 1],
            Layout::Nhwc => [h * w * c, 1, w * c, c],
        };
        Descriptor::new(Kind::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?
            .with(Name::CUDNN_ATTR_TENSOR_DATA_TYPE, &[stored])?
            .with(Name::CUDNN_ATTR_TENSOR_DIMENSIONS, &[n, c, h, w])?
            .with(Name::CUDNN_ATTR_TENSOR_STRIDES, &strides)?
            .with(Name::CUDNN_ATTR_TENSOR_UNIQUE_ID, &[name])?
            .with(Name::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[if key.aligned { ALIGNED as i64 } else { bytes }])?
            .sealed("a tensor of a convolution")
    };
    let x = tensor(X, [g.batch, g.channels_in, g.input.0, g.input.1])?;
    let w = tensor(W, [g.channels_out, g.channels_in, g.kernel.0, g.kernel.1])?;
    let y = tensor(Y, [g.batch, g.channels_out, g.output.0, g.output.1])?;
    let (stride, padding) = ([g.window.stride as i64; 2], [g.window.padding as i64; 2]);
    let window = Descriptor::new(Kind::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2i64])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_COMP_TYPE, &[sums])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_CONV_MODE, &[sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &padding)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &padding)?
        .with(Name::CUDNN_ATTR_CONVOLUTION_DILATIONS, &[1i64, 1])?
        .with(Name::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &stride)?
        .sealed("the window of a convolution")?;
    macro_rules! operation {
        ($Kind:ident, $Window:ident, $X:ident, $W:ident, $Y:ident, $Alpha:ident, $Beta:ident) => {{
            let operation = Descriptor::new(Kind::$Kind)?
                .with(Name::$Window, &[window.0])?
                .with(Name::$X, &[x.0])?
                .with(Name::$W, &[w.0])?
                .with(Name::$Y, &[y.0])?;
            match key.numbers {
                Numbers::F64 => operation.with(Name::$Alpha, &[1f64])?.with(Name::$Beta, &[0f64])?,
                _ => operation.with(Name::$Alpha, &[1f32])?.with(Name::$Beta, &[0f32])?,
            }
        }};
    }
    let operation = match key.view {
        View::Forward => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA
        ),
        View::Input => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA
        ),
        View::Weight => operation!(
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA
        ),
    }
    .sealed("the operation of a convolution")?;
    let graph = Descriptor::new(Kind::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, &[handle.raw])?
        .with(Name::CUDNN_ATTR_OPERATIONGRAPH_OPS, &[operation.0])?
        .sealed("the graph of a convolution")?;
    Ok(vec![x, w, y, window, operation, graph])
}

/// Put a plan on the handle's stream: the first two places to the third, in the order that [`View`] names.
///
/// # Safety
/// The three are device addresses of as many numbers as the graph's sizes say, of its number type and alignment; `workspace` is one
/// of as many bytes as the plan wants.
pub unsafe fn run(handle: &Handle, plan: &Descriptor, view: View, places: [u64; 3], workspace: u64) -> Result<()> {
    let names = match view {
        View::Forward => [X, W, Y],
        View::Input => [Y, W, X],
        View::Weight => [X, Y, W],
    };
    let tensors = Descriptor::new(Kind::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &names)?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &places.map(|at| at as *const c_void))?
        .with(Name::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &[workspace as *const c_void])?
        .sealed("the tensors of a convolution")?;
    // SAFETY: as promised by the caller.
    ok("a convolution", unsafe { sys::cudnnBackendExecute(handle.raw, plan.0, tensors.0) })
}
