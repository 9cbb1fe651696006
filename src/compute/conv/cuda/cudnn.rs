//! cuDNN's handle and the descriptors of its graphs, given back when they are dropped
//!
//! An operation is described once, by descriptors whose attributes are set and then sealed, and run any number of times. The older
//! calls (`cudnnConvolutionForward` and its like, which cudarc's wrappers take) build the same from nothing at every call, which
//! takes the processor longer than the GPU takes for a convolution: half of a step's time.

use candle_core::cuda::cudarc::cudnn::sys;
use candle_core::cuda::cudarc::driver::CudaStream;
use candle_core::{Error, Result};
use std::ffi::c_void;
use std::sync::Arc;

pub use sys::cudnnBackendAttributeName_t as Name;
pub use sys::cudnnBackendDescriptorType_t as Kind;

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

/// What an attribute holds: numbers and addresses as cuDNN has them in memory.
pub trait Value: Copy {
    const TYPE: sys::cudnnBackendAttributeType_t;
}

macro_rules! values {
    ($($Value:ty => $Type:ident),* $(,)?) => {
        $(impl Value for $Value { const TYPE: sys::cudnnBackendAttributeType_t = sys::cudnnBackendAttributeType_t::$Type; })*
    };
}

values! {
    sys::cudnnHandle_t => CUDNN_TYPE_HANDLE,
    sys::cudnnDataType_t => CUDNN_TYPE_DATA_TYPE,
    i64 => CUDNN_TYPE_INT64,
    f32 => CUDNN_TYPE_FLOAT,
    f64 => CUDNN_TYPE_DOUBLE,
    *const c_void => CUDNN_TYPE_VOID_PTR,
    sys::cudnnConvolutionMode_t => CUDNN_TYPE_CONVOLUTION_MODE,
    sys::cudnnBackendHeurMode_t => CUDNN_TYPE_HEUR_MODE,
    sys::cudnnBackendNumericalNote_t => CUDNN_TYPE_NUMERICAL_NOTE,
    sys::cudnnBackendBehaviorNote_t => CUDNN_TYPE_BEHAVIOR_NOTE,
    sys::cudnnBackendDescriptor_t => CUDNN_TYPE_BACKEND_DESCRIPTOR,
}

/// A descriptor; those that it refers to must live as long.
pub struct Descriptor(pub sys::cudnnBackendDescriptor_t);

impl Descriptor {
    pub fn new(kind: Kind) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: written by the call.
        let status = unsafe { sys::cudnnBackendCreateDescriptor(kind, &raw mut raw) };
        ok("cudnnBackendCreateDescriptor", status).map(|()| Self(raw))
    }

    /// With an attribute.
    pub fn with<V: Value>(self, name: Name, values: &[V]) -> Result<Self> {
        let from = values.as_ptr().cast();
        // SAFETY: as many values as are said, of the type that is said; cuDNN checks that against the name.
        let status = unsafe { sys::cudnnBackendSetAttribute(self.0, name, V::TYPE, values.len() as i64, from) };
        ok(&format!("{name:?}"), status).map(|()| self)
    }

    /// Sealed: cuDNN checks it, and it changes no more.
    pub fn sealed(self, what: &str) -> Result<Self> {
        // SAFETY: its attributes are set, and what they refer to is there.
        let status = unsafe { sys::cudnnBackendFinalize(self.0) };
        ok(what, status).map(|()| self)
    }

    /// An attribute's values, written over the first of `room`; how many there are.
    pub fn read<V: Value>(&self, name: Name, room: &mut [V]) -> Result<usize> {
        let mut count = 0;
        let to = room.as_mut_ptr().cast();
        // SAFETY: as much room as is said, of the type that is said.
        let status =
            unsafe { sys::cudnnBackendGetAttribute(self.0, name, V::TYPE, room.len() as i64, &raw mut count, to) };
        ok(&format!("{name:?}"), status).map(|()| room.len().min(count.max(0) as usize))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody uses it any more.
        unsafe { sys::cudnnBackendDestroyDescriptor(self.0) };
    }
}
