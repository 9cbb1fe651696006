//! The sources of the CUDA kernels compiled for the host, one library for each source and number type.

use candle_core::{Error, Result};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use workbench::compute::gpu::{Job, Source, THREADS, with_launcher};

/// Blocks in x, y, z, then threads of a block; where each argument lies.
type Entry = unsafe extern "C" fn(*const u32, *const *mut u64);

/// Kernels by name and number type, as addresses; or why there are none.
type Entries = std::result::Result<HashMap<(&'static str, bool), usize>, String>;

static ENTRIES: OnceLock<Entries> = OnceLock::new();

/// Run `work` with all kernels on the host; `None`, with the reason printed, where there is no C++ compiler.
pub fn on_the_host<R>(work: impl FnOnce() -> R) -> Option<R> {
    match ENTRIES.get_or_init(build) {
        Ok(_) => Some(with_launcher(std::rc::Rc::new(run), work)),
        Err(reason) if reason.starts_with("no C++ compiler") => {
            println!("skipped: {reason}");
            None
        }
        Err(reason) => panic!("{reason}"),
    }
}

fn run(job: &Job) -> Result<()> {
    let entries = ENTRIES.get().and_then(|e| e.as_ref().ok());
    let Some(entry) = entries.and_then(|e| e.get(&(job.kernel, job.double))) else {
        return Err(Error::Msg(format!("there is no kernel `{}`", job.kernel)));
    };
    let mut words = job.words.clone();
    let places: Vec<*mut u64> = words.iter_mut().map(|word| word as *mut u64).collect();
    let shape = [job.blocks, 1, 1, THREADS as u32, 1, 1];
    // SAFETY: the address is that of the entry of this name, and the words are the kernel's arguments.
    unsafe { std::mem::transmute::<usize, Entry>(*entry)(shape.as_ptr(), places.as_ptr()) };
    Ok(())
}

fn build() -> Entries {
    let compilers = std::env::var("CXX").into_iter().chain(["c++", "g++", "clang++"].map(String::from));
    let works = |c: &String| Command::new(c).arg("--version").output().is_ok_and(|o| o.status.success());
    let Some(compiler) = compilers.into_iter().find(works) else {
        return Err("no C++ compiler (CXX, c++, g++, clang++) to compile the kernels for the host".into());
    };
    // Kept for the process: the libraries stay loaded.
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?.keep();
    let header = folder.join("threads.hpp");
    std::fs::write(&header, include_str!("../../tools/cuda/software/threads.hpp")).map_err(|e| e.to_string())?;
    let mut entries = HashMap::new();
    for (source, double) in Source::ALL.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let library = compile(&compiler, &header, &folder, source, double)?;
        let path = CString::new(library.to_string_lossy().as_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: a library of ours without initialisers.
        let handle: *mut c_void = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(format!("{} cannot be loaded", library.display()));
        }
        for kernel in source.kernels() {
            let name = CString::new(format!("entry_{kernel}")).map_err(|e| e.to_string())?;
            // SAFETY: the handle is open.
            let entry = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if entry.is_null() {
                return Err(format!("{} has no kernel `{kernel}`", library.display()));
            }
            entries.insert((kernel, double), entry as usize);
        }
    }
    let _ = std::fs::remove_dir_all(folder);
    Ok(entries)
}

fn compile(
    compiler: &str,
    header: &Path,
    folder: &Path,
    source: Source,
    double: bool,
) -> std::result::Result<PathBuf, String> {
    let name = format!("{}_{double}", source.name());
    let (program, library) = (folder.join(format!("{name}.cpp")), folder.join(format!("{name}.so")));
    let entries: String = source.kernels().iter().map(|k| format!("ENTRY({k})\n")).collect();
    let text = format!("#include \"{}\"\n{}\n{entries}", header.display(), source.program(double));
    std::fs::write(&program, text).map_err(|e| e.to_string())?;
    let mut command = Command::new(compiler);
    command
        .args(["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-o"])
        .arg(&library)
        .arg(&program);
    let out = command.output().map_err(|e| e.to_string())?;
    if out.status.success() {
        return Ok(library);
    }
    Err(format!("{compiler} does not compile {name}:\n{}", String::from_utf8_lossy(&out.stderr)))
}
