//! What commands that run scripts share: threads and signals, a session, the words of a command line, how it ends.

use super::arguments::HostArguments;
use super::permissions::Permissions;
use super::signals;
use crate::base::files::path_word;
use crate::base::threads::Share;
use crate::base::{output, threads};
use crate::compute::collective::Ranks;
use crate::compute::device;
use crate::repl::terminal::{colours, complain};
use crate::script::explain::report::Failure;
use crate::script::session::{Config, Recording, Session, Source};
use crate::script::settings::Overrides;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a shell reports for a process that a closed pipe ended.
const BROKEN_PIPE: u8 = 141;

/// What a session is made of beside the host's arguments.
#[derive(Default)]
pub(super) struct Started {
    pub threads: usize,
    pub overrides: Overrides,
    pub script: Option<PathBuf>,
    pub source: Source,
    pub recording: Recording,
    pub ranks: Ranks,
}

impl Started {
    pub fn session(self, host: HostArguments, permissions: &Permissions) -> Result<Session, String> {
        let device = device::parse(host.device.as_deref().unwrap_or("cpu"))?;
        let (seed, data_dir) = (host.seed.unwrap_or(0), host.data_dir);
        let (allowed, limits) = (permissions.allowed(), permissions.limits());
        limits.hold_memory();
        let Self { threads, overrides, script, source, recording, ranks } = self;
        Ok(Session::new(Config {
            device,
            seed,
            threads,
            data_dir,
            overrides,
            script,
            source,
            recording,
            allowed,
            limits,
            ranks,
        }))
    }
}

/// Threads and signals; before any thread exists, since candle and rayon read the number of threads once.
pub(super) fn start(threads: Option<usize>) -> Result<usize, String> {
    let threads = start_threads(threads)?;
    signals::install();
    Ok(threads)
}

/// Report how the script ended; the exit code.
pub(super) fn end(result: Result<(), Failure>) -> ExitCode {
    let closed = output::closed();
    let usual = if closed { ExitCode::from(BROKEN_PIPE) } else { ExitCode::SUCCESS };
    let Err(failure) = result else { return usual };
    let text = failure.render(colours());
    if !text.is_empty() {
        let why = if closed { "nobody reads the output any more: " } else { "" };
        complain(&format!("{why}{text}"));
    }
    if closed {
        return usual;
    }
    ExitCode::from(u8::try_from(failure.exit_code()).unwrap_or(1))
}

/// The same for a process that shares its machine with others.
pub(super) fn start_among(threads: Option<usize>, share: Share) -> Result<usize, String> {
    let threads = threads::start_shared(threads, share)?;
    signals::install();
    Ok(threads)
}

fn start_threads(wanted: Option<usize>) -> Result<usize, String> {
    if let Some(threads) = wanted {
        // SAFETY: nothing has been started yet, so no other thread can be reading the environment.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };
    }
    threads::start(wanted)
}

/// What a script may touch and take, and where data is.
pub(super) fn words(permissions: &Permissions, host: &HostArguments) -> Vec<String> {
    let data = host.data_dir.iter().flat_map(|folder| ["--data-dir".into(), path_word(folder)]);
    let permissions = permissions.arguments().into_iter().map(|word| word.to_string_lossy().into_owned());
    data.chain(permissions).collect()
}

/// A folder to write into that nobody writes into.
pub(super) fn free(into: Option<&Path>) -> Result<Option<PathBuf>, String> {
    // A folder that is empty may be one that somebody has made for this run.
    let is_free =
        |folder: &Path| !folder.exists() || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    match into.filter(|into| !is_free(into)) {
        None => Ok(into.map(Path::to_path_buf)),
        Some(into) => {
            Err(format!("--into {}: it is there already; name a folder that is not, or --resume it", into.display()))
        }
    }
}
