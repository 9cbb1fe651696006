//! Functions of MPI from a library that is opened at run time
//!
//! Names and arguments are the same everywhere. What differs is how handles look, hence the three kinds:
//!
//! | kind     | libraries                                   | a handle is                      | names of the file            |
//! |----------|---------------------------------------------|----------------------------------|------------------------------|
//! | Standard | MPI 5.0's ABI: MPICH 5, Open MPI 6          | a pointer-sized number, fixed    | libmpi_abi.so.1              |
//! | Open     | Open MPI 4 and 5                            | the address of a global variable | libmpi.so.40                 |
//! | Mpich    | MPICH 3.1 to 5, Intel MPI, Cray, MVAPICH    | an int, fixed                    | libmpi.so.12, libmpich.so.12 |
//!
//! An int goes in the low half of the register that a pointer-sized argument goes in, on x86-64 and on 64-bit ARM alike, so one
//! signature serves all kinds. `MPI_Request` lies in memory: eight bytes have room for either.

use super::launch::{Launch, Launcher};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

pub type Handle = usize;
pub type Code = c_int;

/// How the library's handles look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Standard,
    Open,
    Mpich,
}

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        /// The functions that are needed.
        #[derive(Debug)]
        pub struct Functions { $(pub $field: unsafe extern "C" fn($($argument),*) -> Code,)* }

        impl Functions {
            fn of(library: &Library) -> Result<Self, String> {
                // SAFETY: these names are MPI's, with these arguments; see the module's first lines on handles.
                Ok(Self { $($field: unsafe { *library.get($symbol).map_err(|e| e.to_string())? },)* })
            }
        }
    };
}

functions! {
    init = b"MPI_Init_thread\0": fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    finalize = b"MPI_Finalize\0": fn();
    rank = b"MPI_Comm_rank\0": fn(Handle, *mut c_int);
    size = b"MPI_Comm_size\0": fn(Handle, *mut c_int);
    returns = b"MPI_Comm_set_errhandler\0": fn(Handle, Handle);
    abort = b"MPI_Abort\0": fn(Handle, c_int);
    words = b"MPI_Error_string\0": fn(c_int, *mut c_char, *mut c_int);
    version = b"MPI_Get_library_version\0": fn(*mut c_char, *mut c_int);
    bcast = b"MPI_Bcast\0": fn(*mut c_void, c_int, Handle, c_int, Handle);
    allreduce = b"MPI_Allreduce\0": fn(*const c_void, *mut c_void, c_int, Handle, Handle, Handle);
    iallreduce = b"MPI_Iallreduce\0": fn(*const c_void, *mut c_void, c_int, Handle, Handle, Handle, *mut u64);
    alltoall = b"MPI_Alltoall\0": fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, Handle);
    allgather = b"MPI_Allgather\0": fn(*const c_void, c_int, Handle, *mut c_void, c_int, Handle, Handle);
    test = b"MPI_Test\0": fn(*mut u64, *mut c_int, *mut c_void);
}

/// What the library calls things.
#[derive(Debug)]
pub struct Handles {
    pub world: Handle,
    pub float: Handle,
    pub double: Handle,
    pub byte: Handle,
    pub sum: Handle,
    pub max: Handle,
    pub errors_return: Handle,
    pub in_place: *const c_void,
    pub ignore_status: *mut c_void,
    /// `MPI_THREAD_SERIALIZED`.
    pub serialized: c_int,
}

/// A library that is open, and not begun.
#[derive(Debug)]
pub struct Opened {
    pub functions: Functions,
    pub handles: Handles,
    pub path: PathBuf,
}

/// The names to try, those first that belong to the launcher: a process that one MPI has started and another one greets would
/// believe that it is alone.
fn candidates(launch: &Launch) -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("WORKBENCH_MPI") {
        return vec![named.into()];
    }
    let (open, standard, mpich) = (["libmpi.so.40"], ["libmpi_abi.so.1"], ["libmpi.so.12", "libmpich.so.12"]);
    let names: Vec<&str> = match launch.by {
        Launcher::OpenMpi => open.into_iter().chain(standard).collect(),
        Launcher::Hydra => standard.into_iter().chain(mpich).collect(),
        // srun --mpi=pmi2 speaks as MPICH does, --mpi=pmix as Open MPI does.
        Launcher::Slurm if std::env::var_os("PMI_FD").is_some() => standard.into_iter().chain(mpich).collect(),
        Launcher::Slurm => open.into_iter().chain(standard).chain(mpich).collect(),
        Launcher::Torchrun => vec![],
    };
    // Beside the launcher that the shell would find, then wherever the loader looks.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = std::env::split_paths(&path).find_map(|folder| {
        let launcher = ["mpirun", "mpiexec"].into_iter().find_map(|name| folder.join(name).canonicalize().ok())?;
        Some(launcher.parent()?.parent()?.to_path_buf())
    });
    let folders: Vec<PathBuf> =
        beside.into_iter().flat_map(|prefix| [prefix.join("lib"), prefix.join("lib64")]).collect();
    let there = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).filter(|p| p.exists());
    there.chain(names.iter().map(PathBuf::from)).collect()
}

impl Opened {
    /// Open the launcher's MPI.
    pub fn find(launch: &Launch) -> Result<Self, String> {
        if launch.by == Launcher::Torchrun {
            return Err(format!(
                "torchrun has started {} processes, but no MPI, by which they would reach each other; start them with mpirun -n {0} or \
                 srun, or with --processes {0}",
                launch.world
            ));
        }
        let mut failed = vec![];
        for path in candidates(launch) {
            match open(&path) {
                Ok(library) => return Self::of(library, path),
                Err(e) => failed.push(format!("  {e}")),
            }
        }
        Err(format!(
            "{} has started {} processes, but its MPI library cannot be opened:\n{}\nput its folder on LD_LIBRARY_PATH, or name the \
             library: WORKBENCH_MPI=PATH",
            launch.by,
            launch.world,
            failed.join("\n")
        ))
    }

    fn of(library: Library, path: PathBuf) -> Result<Self, String> {
        let functions = Functions::of(&library).map_err(|e| format!("{} is no MPI library: {e}", path.display()))?;
        let kind = kind(&library, &functions, &path)?;
        let handles = handles(kind, &library)?;
        // The library stays for as long as the process does: its threads and exit handlers do too.
        std::mem::forget(library);
        Ok(Self { functions, handles, path })
    }
}

#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
    // SAFETY: an MPI library's initialisers have no needs of their own. Global: Open MPI's parts look for its symbols.
    unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_GLOBAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: as above.
    unsafe { Library::new(path) }
}

/// The address of a global variable of the library.
fn global(library: &Library, name: &[u8]) -> Option<Handle> {
    // SAFETY: only looked for.
    unsafe { library.get::<*const c_void>(name).ok().map(|symbol| *symbol as Handle) }
}

fn kind(library: &Library, functions: &Functions, path: &Path) -> Result<Kind, String> {
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libmpi_abi")) {
        return Ok(Kind::Standard);
    }
    if global(library, b"ompi_mpi_comm_world\0").is_some() {
        return Ok(Kind::Open);
    }
    let version = version(functions);
    if ["MPICH", "Intel", "MVAPICH"].iter().any(|known| version.contains(known)) {
        return Ok(Kind::Mpich);
    }
    Err(format!(
        "{}: an MPI of an unknown kind, {version}; known are MPI 5.0's standard ABI, Open MPI 4 and 5, MPICH and its kin",
        path.display()
    ))
}

fn handles(kind: Kind, library: &Library) -> Result<Handles, String> {
    let open = |name: &[u8]| global(library, name).ok_or("Open MPI without its own symbols");
    Ok(match kind {
        Kind::Standard => Handles {
            world: 0x101,
            float: 0x210,
            double: 0x214,
            byte: 0x247,
            sum: 0x21,
            max: 0x23,
            errors_return: 0x143,
            in_place: std::ptr::without_provenance(1),
            ignore_status: std::ptr::null_mut(),
            serialized: 2048,
        },
        Kind::Mpich => Handles {
            world: 0x4400_0000,
            float: 0x4c00_040a,
            double: 0x4c00_080b,
            byte: 0x4c00_010d,
            sum: 0x5800_0003,
            max: 0x5800_0001,
            errors_return: 0x5400_0001,
            in_place: std::ptr::without_provenance(usize::MAX),
            ignore_status: std::ptr::without_provenance_mut(1),
            serialized: 2,
        },
        Kind::Open => Handles {
            world: open(b"ompi_mpi_comm_world\0")?,
            float: open(b"ompi_mpi_float\0")?,
            double: open(b"ompi_mpi_double\0")?,
            byte: open(b"ompi_mpi_byte\0")?,
            sum: open(b"ompi_mpi_op_sum\0")?,
            max: open(b"ompi_mpi_op_max\0")?,
            errors_return: open(b"ompi_mpi_errors_return\0")?,
            in_place: std::ptr::without_provenance(1),
            ignore_status: std::ptr::null_mut(),
            serialized: 2,
        },
    })
}

/// The library's name and version.
pub fn version(functions: &Functions) -> String {
    let (mut text, mut length) = ([0 as c_char; 16384], 0);
    // SAFETY: longer than any library's MPI_MAX_LIBRARY_VERSION_STRING; may be called before MPI is begun.
    unsafe { (functions.version)(text.as_mut_ptr(), &raw mut length) };
    // SAFETY: MPI ends it with 0.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
    text.lines().next().unwrap_or("").split(", package").next().unwrap_or("").replace('\t', " ")
}
