//! MPI, begun: what processes say to each other. One thread at a time calls it (MPI_THREAD_SERIALIZED).

use super::abi::{Code, Handle, Opened, version};
use super::launch::{Launch, Launcher};
use std::ffi::{CStr, c_char, c_int};

/// The processes of a launcher, all of which have greeted each other.
#[derive(Debug)]
pub struct Mpi(Opened);

/// Numbers that are summed.
pub trait Number: Copy + Default + std::ops::AddAssign + Send + 'static {
    fn handle(mpi: &Mpi) -> Handle;
}

impl Number for f32 {
    fn handle(mpi: &Mpi) -> Handle {
        mpi.0.handles.float
    }
}

impl Number for f64 {
    fn handle(mpi: &Mpi) -> Handle {
        mpi.0.handles.double
    }
}

/// A maximum that is under way; its values stay put until it is over.
#[derive(Debug)]
pub struct Request(u64);

/// The most bytes of one message, far below what MPI's int can count.
const PIECE: usize = 1 << 28;

impl Mpi {
    /// Open the launcher's MPI and greet it. An error unless it knows of as many processes as the launcher has started.
    pub fn begin(launch: &Launch) -> Result<Self, String> {
        let mpi = Self(Opened::find(launch)?);
        let (Opened { functions, handles, path }, mut given) = (&mpi.0, 0);
        // SAFETY: MPI takes null for the arguments; it has not been begun.
        let code =
            unsafe { (functions.init)(std::ptr::null_mut(), std::ptr::null_mut(), handles.serialized, &raw mut given) };
        if code != 0 || given < handles.serialized {
            return Err(format!("{}: MPI_Init_thread: code {code}, threads {given}", path.display()));
        }
        // SAFETY: handles of this library.
        mpi.checked("MPI_Comm_set_errhandler", unsafe { (functions.returns)(handles.world, handles.errors_return) })?;
        let (rank, size) = (mpi.rank()?, mpi.size()?);
        if (rank, size) != (launch.rank, launch.world) {
            let srun = if launch.by == Launcher::Slurm { ", or srun wants --mpi=pmi2 or --mpi=pmix" } else { "" };
            return Err(format!(
                "{} has started {} processes, of which this is number {}, but {} ({}) takes it for number {rank} of {size}: the library \
                 belongs to another launcher{srun}; name the right one: WORKBENCH_MPI=PATH",
                launch.by,
                launch.world,
                launch.rank,
                path.display(),
                mpi.version()
            ));
        }
        Ok(mpi)
    }

    /// The library's name and version.
    pub fn version(&self) -> String {
        version(&self.0.functions)
    }

    fn checked(&self, what: &str, code: Code) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        let (mut text, mut length) = ([0 as c_char; 4096], 0);
        // SAFETY: longer than any library's MPI_MAX_ERROR_STRING.
        unsafe { (self.0.functions.words)(code, text.as_mut_ptr(), &raw mut length) };
        // SAFETY: MPI ends it with 0.
        Err(format!("{what}: {}", unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy()))
    }

    /// Which of the processes this is.
    pub fn rank(&self) -> Result<usize, String> {
        let mut rank = 0;
        // SAFETY: one int is written, here and below.
        let code = unsafe { (self.0.functions.rank)(self.0.handles.world, &raw mut rank) };
        self.checked("MPI_Comm_rank", code)?;
        usize::try_from(rank).map_err(|e| e.to_string())
    }

    /// How many there are.
    pub fn size(&self) -> Result<usize, String> {
        let mut size = 0;
        // SAFETY: as above.
        let code = unsafe { (self.0.functions.size)(self.0.handles.world, &raw mut size) };
        self.checked("MPI_Comm_size", code)?;
        usize::try_from(size).map_err(|e| e.to_string())
    }

    /// End every process. Does not return where it works.
    pub fn abort(&self, code: i32) {
        // SAFETY: may be called at any time.
        unsafe { (self.0.functions.abort)(self.0.handles.world, code) };
    }

    /// Nothing is said any more.
    pub fn finalize(&self) -> Result<(), String> {
        // SAFETY: nothing is under way.
        self.checked("MPI_Finalize", unsafe { (self.0.functions.finalize)() })
    }

    /// Process 0's bytes, for all.
    pub fn broadcast(&self, bytes: &mut [u8]) -> Result<(), String> {
        let (functions, handles) = (&self.0.functions, &self.0.handles);
        bytes.chunks_mut(PIECE).try_for_each(|piece| {
            let n = count(piece.len())?;
            // SAFETY: as everywhere below, slices are as long as is said, and no other thread is inside MPI.
            let code = unsafe { (functions.bcast)(piece.as_mut_ptr().cast(), n, handles.byte, 0, handles.world) };
            self.checked("MPI_Bcast", code)
        })
    }

    /// The sum in the library's own order.
    pub fn allreduce<T: Number>(&self, values: &mut [T]) -> Result<(), String> {
        let (function, handles) = (self.0.functions.allreduce, &self.0.handles);
        values.chunks_mut(PIECE / size_of::<T>()).try_for_each(|piece| {
            let (n, at) = (count(piece.len())?, piece.as_mut_ptr().cast());
            // SAFETY: see `broadcast`.
            let code = unsafe { function(handles.in_place, at, n, T::handle(self), handles.sum, handles.world) };
            self.checked("MPI_Allreduce", code)
        })
    }

    /// Begin the largest of each value over all processes; `values` stay put until [`Self::is_done`] says so.
    pub fn begin_largest(&self, values: &mut [f64]) -> Result<Request, String> {
        let (n, mut request, handles) = (count(values.len())?, 0, &self.0.handles);
        let (at, begin) = (values.as_mut_ptr().cast(), self.0.functions.iallreduce);
        // SAFETY: see `broadcast`; the caller keeps the values.
        let code =
            unsafe { begin(handles.in_place, at, n, handles.double, handles.max, handles.world, &raw mut request) };
        self.checked("MPI_Iallreduce", code)?;
        Ok(Request(request))
    }

    /// Is it over?
    pub fn is_done(&self, request: &mut Request) -> Result<bool, String> {
        let mut done = 0;
        // SAFETY: a request of this library.
        let code = unsafe { (self.0.functions.test)(&raw mut request.0, &raw mut done, self.0.handles.ignore_status) };
        self.checked("MPI_Test", code)?;
        Ok(done != 0)
    }

    /// Part j of `from`, `each` numbers, goes to process j, whose part i is what process i sent. Both are `each` times the world long.
    pub fn all_to_all<T: Number>(&self, from: &[T], to: &mut [T], each: usize) -> Result<(), String> {
        let (n, handles, own) = (count(each)?, &self.0.handles, T::handle(self));
        let (a, b) = (from.as_ptr().cast(), to.as_mut_ptr().cast());
        // SAFETY: see `broadcast`.
        let code = unsafe { (self.0.functions.alltoall)(a, n, own, b, n, own, handles.world) };
        self.checked("MPI_Alltoall", code)
    }

    /// Every process's `own`, in the order of the processes; `all` is the world times as long.
    pub fn all_gather<T: Copy>(&self, own: &[T], all: &mut [T]) -> Result<(), String> {
        let (n, handles) = (count(size_of_val(own))?, &self.0.handles);
        let (a, b) = (own.as_ptr().cast(), all.as_mut_ptr().cast());
        // SAFETY: see `broadcast`; plain numbers as bytes.
        let code = unsafe { (self.0.functions.allgather)(a, n, handles.byte, b, n, handles.byte, handles.world) };
        self.checked("MPI_Allgather", code)
    }
}

fn count(n: usize) -> Result<c_int, String> {
    c_int::try_from(n).map_err(|_| format!("{n} elements at once are more than MPI's int can say"))
}
