//! CUDA: our own kernels through NVRTC, convolutions through cuDNN
//!
//! Tested on an H100, and at every change on a GPU in software (`tools/cuda/software`).
//!
//! All work of a device goes to one stream, whichever thread asks for it, so that it happens in the order of the calls and
//! memory may be given back as soon as its last use has been asked for. candle's tracking of events is off: every tensor would
//! have two events made, recorded and destroyed. The driver's pool keeps freed memory, which it would else give back whenever
//! somebody waits.

use super::{Job, Source, THREADS};
use candle_core::backend::BackendStorage;
use candle_core::cuda::cudarc::driver::{CudaFunction, DevicePtr, LaunchConfig, PushKernelArg, sys};
use candle_core::cuda::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda::{CudaDevice, CudaStorage, DeviceId, WrapErr};
use candle_core::{DType, Device, Error, Result, bail};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A kernel on a device: which, and whether T is double.
type Key = (DeviceId, &'static str, bool);
/// A source for a compute capability, compiled.
type Programs = HashMap<(Source, bool, (i32, i32)), Arc<str>>;

thread_local! {
    /// Loaded kernels: looking one up by name at every launch would take as long as launching it.
    static KERNELS: RefCell<HashMap<Key, CudaFunction>> = RefCell::new(HashMap::new());
}

static PROGRAMS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

/// The device, with one stream for all threads.
pub fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: there is one stream, so that nothing is used on another before it is there or after it is gone. Otherwise
        // each tensor would have two events made and destroyed, and each use of it recorded.
        unsafe { cuda.disable_event_tracking() };
        keep_freed_memory(cuda)?;
    }
    Ok(device)
}

/// Freed memory stays with the process: unless told so, the driver gives it back whenever somebody waits for the device, and
/// the next step has all of it mapped anew.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    let (mut pool, mut threshold) = (std::ptr::null_mut(), u64::MAX);
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: a pool of this device, and a number of the size that the attribute has.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result().w()?;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast()).result().w()
    }
}

/// Put a kernel on the device's stream.
pub fn launch(device: &CudaDevice, job: &Job) -> Result<()> {
    KERNELS.with_borrow_mut(|kernels| {
        let function = match kernels.entry((device.id(), job.kernel, job.double)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(load(device, job)?),
        };
        let config =
            LaunchConfig { grid_dim: (job.blocks, 1, 1), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
        let stream = device.cuda_stream();
        let mut builder = stream.launch_builder(function);
        job.words.iter().for_each(|word| {
            builder.arg(word);
        });
        // SAFETY: the words are the kernel's arguments, eight bytes each, and its pointers come from tensors that the
        // caller holds; their memory goes back in this stream's order.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    })
}

fn load(device: &CudaDevice, job: &Job) -> Result<CudaFunction> {
    let capability = device.cuda_stream().context().compute_capability().w()?;
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let program = match programs.entry((job.source, job.double, capability)) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(compile(job.source, job.double, capability)?.into()),
    };
    let module = format!("workbench_{}_{}", job.source.name(), if job.double { "f64" } else { "f32" });
    Ok(device.get_or_load_custom_func(job.kernel, &module, program)?.into_cuda_function())
}

/// The PTX of a source. No fast mathematics, and no product and sum in one: what two kernels compute alike is then the same number,
/// on the host too.
fn compile(source: Source, double: bool, (major, minor): (i32, i32)) -> Result<String> {
    let options = CompileOptions {
        options: vec![
            format!("--gpu-architecture=compute_{major}{minor}"),
            "--std=c++17".into(),
            "--fmad=false".into(),
        ],
        name: Some(format!("{}.cu", source.name())),
        ..Default::default()
    };
    let failed = |e| {
        Error::Msg(format!(
            "the kernels `{}` do not compile for compute capability {major}.{minor}: {e:?}; is NVRTC's version older than \
             the GPU?",
            source.name()
        ))
    };
    Ok(compile_ptx_with_opts(source.program(double), options).map_err(failed)?.to_src())
}

/// Where the elements of a storage lie from number `from` on.
pub fn address(kernel: &str, storage: &CudaStorage, from: usize) -> Result<u64> {
    let dtype = storage.dtype();
    let device = storage.device();
    let stream = device.cuda_stream();
    macro_rules! start {
        ($T:ty) => {{
            let (start, _record) = storage.as_cuda_slice::<$T>()?.device_ptr(&stream);
            start
        }};
    }
    let start = match dtype {
        DType::U8 => start!(u8),
        DType::U32 => start!(u32),
        DType::I64 => start!(i64),
        DType::F16 => start!(half::f16),
        DType::BF16 => start!(half::bf16),
        DType::F32 => start!(f32),
        DType::F64 => start!(f64),
        _ => bail!("{kernel}: {dtype:?} is no type of its arguments"),
    };
    Ok(start + (from * dtype.size_in_bytes()) as u64)
}

/// A storage of one byte on the device of another, to stand in its place.
pub fn nothing(like: &CudaStorage) -> Result<CudaStorage> {
    let device = like.device().clone();
    // SAFETY: nobody reads it.
    let byte = unsafe { device.alloc::<u8>(1)? };
    Ok(CudaStorage::wrap_cuda_slice(byte, device))
}
