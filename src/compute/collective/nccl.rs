//! Sums of tensors that lie on GPUs, without a way through main memory: NCCL, opened at run time as MPI is, its 128 bytes of identity
//! carried by MPI. Work goes to the device's one stream, so nothing waits for it.
//!
//! ```text
//! ordered    parts change places (ncclSend and ncclRecv in a group), are added as a tree, and are gathered
//! fast       ncclAllReduce, whose order is NCCL's
//! ```

use super::mpi::Mpi;
use super::ordered::{Counter, Sum};
use crate::compute::gpu::cuda::address;
use candle_core::{CudaDevice, DType, Device, Result, Storage, Tensor, bail};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_void};

/// The library's names, the first that is there; WORKBENCH_NCCL=PATH names another.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

const FLOAT32: c_int = 7;
const FLOAT64: c_int = 8;
const SUM: c_int = 0;

/// What all processes know their communicator by.
#[repr(C)]
#[derive(Clone, Copy)]
struct Identity([u8; 128]);

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        #[derive(Debug)]
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) -> c_int,)* words: unsafe extern "C" fn(c_int) -> *const c_char }

        impl Functions {
            fn of(library: &Library) -> std::result::Result<Self, libloading::Error> {
                // SAFETY: these names are NCCL's, with these arguments since version 2.7.
                unsafe { Ok(Self { $($field: *library.get($symbol)?,)* words: *library.get(b"ncclGetErrorString\0")? }) }
            }
        }
    };
}

functions! {
    identity = b"ncclGetUniqueId\0": fn(*mut Identity);
    join = b"ncclCommInitRank\0": fn(*mut *mut c_void, c_int, Identity, c_int);
    reduce = b"ncclAllReduce\0": fn(u64, u64, usize, c_int, c_int, *mut c_void, *mut c_void);
    gather = b"ncclAllGather\0": fn(u64, u64, usize, c_int, *mut c_void, *mut c_void);
    send = b"ncclSend\0": fn(u64, usize, c_int, c_int, *mut c_void, *mut c_void);
    receive = b"ncclRecv\0": fn(u64, usize, c_int, c_int, *mut c_void, *mut c_void);
    begin = b"ncclGroupStart\0": fn();
    end = b"ncclGroupEnd\0": fn();
}

/// The processes' GPUs, which have found each other.
#[derive(Debug)]
pub struct Nccl {
    functions: Functions,
    communicator: *mut c_void,
    device: CudaDevice,
    world: usize,
}

/// The library, found on this machine.
pub struct Found(Functions);

impl Found {
    /// Look for it.
    pub fn look() -> std::result::Result<Self, String> {
        let mut failed = vec![];
        let named = std::env::var_os("WORKBENCH_NCCL");
        let names = named.map_or(NAMES.map(Into::into).to_vec(), |named| vec![named]);
        for name in names {
            // SAFETY: NCCL's initialisers have no needs of their own. It stays for as long as the process does.
            match unsafe { Library::new(&name) } {
                Ok(library) => {
                    let functions = Functions::of(&library).map_err(|e| format!("{}: {e}", name.display()))?;
                    std::mem::forget(library);
                    return Ok(Self(functions));
                }
                Err(e) => failed.push(e.to_string()),
            }
        }
        Err(failed.join("; "))
    }

    /// Join the others' GPUs with this one. All processes come here.
    pub fn join(self, mpi: &Mpi, device: &CudaDevice) -> std::result::Result<Nccl, String> {
        let (functions, rank, world) = (self.0, mpi.rank()?, mpi.size()?);
        let mut identity = Identity([0; 128]);
        // Behind the identity, whether there is one: the others wait for it either way.
        let mut made = 0;
        if rank == 0 {
            // SAFETY: room for an identity.
            made = unsafe { (functions.identity)(&raw mut identity) };
        }
        let mut message = [identity.0.as_slice(), &made.to_le_bytes()].concat();
        mpi.broadcast(&mut message)?;
        identity.0.copy_from_slice(&message[..128]);
        let made = c_int::from_le_bytes([message[128], message[129], message[130], message[131]]);
        checked(&functions, "ncclGetUniqueId", made)?;
        let mut communicator = std::ptr::null_mut();
        let (n, own) = (world as c_int, rank as c_int);
        // SAFETY: the device is the current one of this thread, which has opened it.
        let code = unsafe { (functions.join)(&raw mut communicator, n, identity, own) };
        checked(&functions, "ncclCommInitRank", code)?;
        Ok(Nccl { functions, communicator, device: device.clone(), world })
    }
}

impl Nccl {
    fn stream(&self) -> *mut c_void {
        self.device.cuda_stream().cu_stream().cast()
    }

    fn checked(&self, what: &str, code: c_int) -> Result<()> {
        checked(&self.functions, what, code).map_err(candle_core::Error::Msg)
    }

    /// The sum over all processes of a vector of f32 or f64 on the device.
    pub fn sum(&self, own: &Tensor, order: Sum) -> Result<Tensor> {
        let kind = match own.dtype() {
            DType::F32 => FLOAT32,
            DType::F64 => FLOAT64,
            other => bail!("a sum over processes: {other:?} is no type of gradients"),
        };
        let (n, own) = (own.elem_count(), own.force_contiguous()?);
        match order {
            Sum::Fast => {
                let at = start(&own)?;
                // SAFETY: in place, `n` numbers of memory of its own, in the stream's order, as everything below.
                let code = unsafe { (self.functions.reduce)(at, at, n, kind, SUM, self.communicator, self.stream()) };
                self.checked("ncclAllReduce", code)?;
                Ok(own)
            }
            Sum::Ordered => {
                let each = n.div_ceil(self.world);
                let room = each * self.world - n;
                let padded = if room == 0 { own } else { own.pad_with_zeros(0, 0, room)?.force_contiguous()? };
                let parts = Tensor::zeros((self.world, each), padded.dtype(), padded.device())?;
                self.exchange(&padded, &parts, each, kind)?;
                let mut rows = Counter::default();
                for row in 0..self.world {
                    rows.add(parts.get(row)?, |a: Tensor, b: Tensor| a + b)?;
                }
                let Some(own) = rows.take(|a, b| a + b)? else { bail!("a sum over no processes") };
                let own = own.force_contiguous()?;
                let all = Tensor::zeros(each * self.world, own.dtype(), own.device())?;
                let (from, to) = (start(&own)?, start(&all)?);
                // SAFETY: `all` is the world times as long.
                let code = unsafe { (self.functions.gather)(from, to, each, kind, self.communicator, self.stream()) };
                self.checked("ncclAllGather", code)?;
                all.narrow(0, 0, n)
            }
        }
    }

    /// Part j of `from`, `each` numbers, goes to process j, whose part i is what process i sent.
    fn exchange(&self, from: &Tensor, to: &Tensor, each: usize, kind: c_int) -> Result<()> {
        let size = (each * from.dtype().size_in_bytes()) as u64;
        let (from, to, functions) = (start(from)?, start(to)?, &self.functions);
        // SAFETY: a group is one call to all of them at once; each part is `each` numbers long.
        unsafe {
            self.checked("ncclGroupStart", (functions.begin)())?;
            for other in 0..self.world {
                let (at, rank) = (other as u64 * size, other as c_int);
                self.checked(
                    "ncclSend",
                    (functions.send)(from + at, each, kind, rank, self.communicator, self.stream()),
                )?;
                self.checked(
                    "ncclRecv",
                    (functions.receive)(to + at, each, kind, rank, self.communicator, self.stream()),
                )?;
            }
            self.checked("ncclGroupEnd", (functions.end)())
        }
    }
}

/// Where a tensor's numbers lie on its device.
fn start(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => address("a sum over processes", storage, layout.start_offset()),
        _ => bail!("a sum over GPUs: the tensor lies elsewhere"),
    }
}

/// The device, if it is a GPU.
pub fn gpu_of(device: &Device) -> Option<&CudaDevice> {
    match device {
        Device::Cuda(device) => Some(device),
        _ => None,
    }
}

fn checked(functions: &Functions, what: &str, code: c_int) -> std::result::Result<(), String> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: a text of the library's own, which ends with 0.
    let words = unsafe { CStr::from_ptr((functions.words)(code)) };
    Err(format!("{what}: {} (code {code})", words.to_string_lossy()))
}
