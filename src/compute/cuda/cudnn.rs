//! cuDNN's handle and descriptors, given back when they are dropped
//!
//! cudarc's own wrappers keep their pointers to themselves; what is needed beside them here is the channels-last order and the
//! measured choice of an algorithm.

use crate::compute::order::Order;
use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::cudarc::driver::CudaStream;
use candle_core::{Error, Result};
use std::ffi::c_int;
use std::sync::Arc;

/// A call's answer as a result that names the call.
pub fn ok(call: &str, status: sys::cudnnStatus_t) -> Result<()> {
    match status {
        sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS => Ok(()),
        other => Err(Error::Msg(format!("cuDNN: {call}: {other:?}"))),
    }
}

/// A handle whose work goes to one stream.
pub struct Handle {
    pub raw: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
}

impl Handle {
    pub fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the stream lives as long as the handle.
        unsafe {
            ok("cudnnCreate", sys::cudnnCreate(&raw mut raw))?;
            let handle = Self { raw, stream };
            ok("cudnnSetStream", sys::cudnnSetStream(raw, handle.stream.cu_stream().cast()))?;
            Ok(handle)
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody uses it any more.
        unsafe { sys::cudnnDestroy(self.raw) };
    }
}

fn format(order: Order) -> sys::cudnnTensorFormat_t {
    match order {
        Order::Planes => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
        Order::Last => sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
    }
}

fn sizes(dims: [usize; 4]) -> Result<[c_int; 4]> {
    let mut out = [0; 4];
    for (to, from) in out.iter_mut().zip(dims) {
        *to = c_int::try_from(from)
            .map_err(|_| Error::Msg(format!("conv2d: a size of {from} is too large for cuDNN")))?;
    }
    Ok(out)
}

/// An activation of sizes N, C, H, W.
pub struct Activation(pub sys::cudnnTensorDescriptor_t);

impl Activation {
    pub fn new(numbers: sys::cudnnDataType_t, order: Order, dims: [usize; 4]) -> Result<Self> {
        let ([n, c, h, w], mut raw) = (sizes(dims)?, std::ptr::null_mut());
        // SAFETY: created, then set.
        unsafe {
            ok("cudnnCreateTensorDescriptor", sys::cudnnCreateTensorDescriptor(&raw mut raw))?;
            let own = Self(raw);
            let set = sys::cudnnSetTensor4dDescriptor(raw, format(order), numbers, n, c, h, w);
            ok("cudnnSetTensor4dDescriptor", set)?;
            Ok(own)
        }
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody uses it any more.
        unsafe { sys::cudnnDestroyTensorDescriptor(self.0) };
    }
}

/// A weight of sizes O, I, KH, KW.
pub struct Filter(pub sys::cudnnFilterDescriptor_t);

impl Filter {
    pub fn new(numbers: sys::cudnnDataType_t, order: Order, dims: [usize; 4]) -> Result<Self> {
        let ([o, i, h, w], mut raw) = (sizes(dims)?, std::ptr::null_mut());
        // SAFETY: created, then set.
        unsafe {
            ok("cudnnCreateFilterDescriptor", sys::cudnnCreateFilterDescriptor(&raw mut raw))?;
            let own = Self(raw);
            let set = sys::cudnnSetFilter4dDescriptor(raw, numbers, format(order), o, i, h, w);
            ok("cudnnSetFilter4dDescriptor", set)?;
            Ok(own)
        }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody uses it any more.
        unsafe { sys::cudnnDestroyFilterDescriptor(self.0) };
    }
}

/// Stride and padding, the same in both directions, and what the products are summed in.
pub struct Convolution(pub sys::cudnnConvolutionDescriptor_t);

impl Convolution {
    pub fn new(padding: usize, stride: usize, sums: sys::cudnnDataType_t, math: sys::cudnnMathType_t) -> Result<Self> {
        let ([padding, stride, ..], mut raw) = (sizes([padding, stride, 0, 0])?, std::ptr::null_mut());
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // SAFETY: created, then set.
        unsafe {
            ok("cudnnCreateConvolutionDescriptor", sys::cudnnCreateConvolutionDescriptor(&raw mut raw))?;
            let own = Self(raw);
            let set = sys::cudnnSetConvolution2dDescriptor(raw, padding, padding, stride, stride, 1, 1, mode, sums);
            ok("cudnnSetConvolution2dDescriptor", set)?;
            ok("cudnnSetConvolutionMathType", sys::cudnnSetConvolutionMathType(raw, math))?;
            Ok(own)
        }
    }
}

impl Drop for Convolution {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody uses it any more.
        unsafe { sys::cudnnDestroyConvolutionDescriptor(self.0) };
    }
}
