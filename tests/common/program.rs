//! The built program, run on a folder of files: what it prints, and its exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder with the given files; commands run in it, so that paths in messages are short and the same everywhere.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_workbench"));
        command.args(arguments).current_dir(self.path()).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
        command
    }

    /// Exit code, standard output and standard error as one text.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.shown(&self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// The prompt, fed with `input`.
    pub fn feed(&self, input: &str) -> String {
        let mut child = self.spawn(&[]);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        self.shown(&child.wait_with_output().unwrap())
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn shown(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_string();
        let code = output.status.code().map_or("none".into(), |code| code.to_string());
        let real = self.path().canonicalize().unwrap().display().to_string();
        format!("{}\n{}\nexit code {code}", text(&output.stdout), text(&output.stderr)).trim().replace(&real, "FOLDER")
    }
}

/// The text of a shipped script.
pub fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    std::fs::read_to_string(path).expect("a shipped script")
}

/// The data folder, if it holds `part`.
pub fn data(part: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WORKBENCH_DATA").map(PathBuf::from).filter(|f| f.join(part).is_dir());
    if folder.is_none() {
        eprintln!("skipped: WORKBENCH_DATA names no folder with {part}/ in it");
    }
    folder
}
