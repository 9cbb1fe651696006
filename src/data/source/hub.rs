//! Files from the Hugging Face hub: `hf://owner/repo/path/in/repo[@revision]`, downloaded once into the hub's own cache
//!
//! HF_HOME, HF_TOKEN and HF_ENDPOINT are read as the hub's other clients read them, and the cache is shared with them.
//! HF_HUB_OFFLINE=1 reads the cache alone. A revision may be a branch, a tag or a commit; a commit pins the content.
//!
//! A download that was cut off goes on where it stopped, also in a later process; a busy or failing server is asked again
//! after a while. What has arrived is checked before it is handed on: its length against what the server announced, and its
//! SHA-256 where the hub names the file by it, as it does all large ones; that also each time it is taken from the cache.

use super::hub_problem::{Problem, Then};
use crate::base::interrupt;
use crate::data::digest;
use crate::data::error::{Error, Result};
use hf_hub::api::Progress;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a server that fails is asked, and the first pause; each further one is twice as long.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// How long another process's download of the same file is waited for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What kind of repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Weights and scripts.
    Model,
    /// Data sets.
    Dataset,
}

/// A file in a repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// Models or data sets.
    pub kind: Kind,
    /// `owner/name`.
    pub repository: String,
    /// Path inside the repository.
    pub path: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl HubFile {
    /// Is this an address on the hub rather than a path?
    pub fn is_address(text: &str) -> bool {
        text.starts_with("hf://")
    }

    /// Read an address of a model's file.
    pub fn parse(address: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("`{address}` is no address on the hub; write hf://OWNER/REPOSITORY/PATH@REVISION");
        let rest = address.strip_prefix("hf://").ok_or_else(wrong)?;
        let (rest, revision) = rest.rsplit_once('@').unwrap_or((rest, "main"));
        let mut parts = rest.splitn(3, '/');
        let inside = |text: &str| !text.split('/').any(|part| matches!(part, "" | "." | ".."));
        let mut next = || parts.next().filter(|part| inside(part));
        match (next(), next(), next()) {
            (Some(owner), Some(name), Some(path)) if inside(revision) => Ok(Self {
                kind: Kind::Model,
                repository: format!("{owner}/{name}"),
                path: path.into(),
                revision: revision.into(),
            }),
            _ => Err(wrong()),
        }
    }

    /// The file on this machine, downloaded if it is not in the cache.
    pub fn fetch(&self) -> Result<PathBuf> {
        if let Some(path) = self.cached() {
            match check_name(&path) {
                Ok(()) => return Ok(path),
                Err(message) => {
                    crate::base::output::note(&format!("{self}: in the cache, {message}"));
                    self.forget(&path);
                }
            }
        }
        if offline() {
            return Err(self
                .failed("not in the cache, and HF_HUB_OFFLINE keeps from downloading it; unset it, or copy the file"));
        }
        let started = Instant::now();
        let (mut attempt, mut pause, mut waited) = (1, PAUSE, false);
        loop {
            let problem = match self.try_download()? {
                Ok(path) => return Ok(path),
                Err(problem) => problem,
            };
            if problem.then == Then::StartOver {
                self.forget_parts();
            }
            if problem.then == Then::WaitForOther && !waited {
                crate::base::output::note(&format!("{self}: {}; waiting for it", problem.message));
                waited = true;
            }
            let waits = match problem.then {
                Then::Stop => false,
                Then::WaitForOther => started.elapsed() < PATIENCE,
                Then::Retry | Then::StartOver => attempt < ATTEMPTS,
            };
            if !waits {
                return Err(self.failed(&problem.message));
            }
            if problem.then == Then::WaitForOther {
                sleep(PAUSE)?;
            } else {
                attempt += 1;
                crate::base::output::note(&format!(
                    "{self}: {}; trying again ({attempt} of {ATTEMPTS})",
                    problem.message
                ));
                sleep(pause)?;
                pause *= 2;
            }
            // Whoever downloaded it in the meantime has done our work.
            if let Some(path) = self.cached().filter(|path| check_name(path).is_ok()) {
                return Ok(path);
            }
        }
    }

    /// The file in the cache, if it is there.
    pub fn cached(&self) -> Option<PathBuf> {
        Cache::from_env().repo(self.repo()).get(&self.path)
    }

    fn repo(&self) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.repository.clone(), kind, self.revision.clone())
    }

    /// Removes what earlier attempts have left in this repository, but for what another process is at.
    fn forget_parts(&self) {
        let blobs = Cache::from_env().path().join(self.repo().folder_name()).join("blobs");
        let parts = std::fs::read_dir(blobs).into_iter().flatten().flatten().map(|entry| entry.path());
        for part in parts.filter(|p| p.extension().is_some_and(|e| e == "part")) {
            let lock = std::fs::File::open(part.with_extension("lock"));
            if lock.map_or(true, |lock| lock.try_lock().is_ok()) {
                let _ = std::fs::remove_file(part);
            }
        }
    }

    /// Removes the file at `path` from the hub's cache: its name in the snapshot, and the content that this stands for.
    pub fn forget(&self, path: &Path) {
        let inside = |file: &Path| Cache::from_env().path().canonicalize().is_ok_and(|cache| file.starts_with(cache));
        if let Ok(blob) = path.canonicalize()
            && inside(&blob)
        {
            let _ = std::fs::remove_file(blob);
        }
        // Also where another name of the same content has taken that away already.
        if path.parent().and_then(|folder| folder.canonicalize().ok()).is_some_and(|folder| inside(&folder)) {
            let _ = std::fs::remove_file(path);
        }
    }

    fn failed(&self, message: &str) -> Error {
        Error::Hub { file: self.to_string(), message: message.into() }
    }

    /// One attempt, on a thread of its own, so that Ctrl-C need not wait for a slow server; what has arrived by then stays
    /// for the next time. The outer error is the interruption.
    fn try_download(&self) -> Result<std::result::Result<PathBuf, Problem>> {
        let (sender, receiver) = channel();
        let file = self.clone();
        let work = move || {
            let _ = sender.send(file.download());
        };
        if let Err(e) = std::thread::Builder::new().name("download".into()).spawn(work) {
            return Ok(Err(Problem::stop(format!("no thread could be started: {e}"))));
        }
        loop {
            match receiver.recv_timeout(Duration::from_millis(50)) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) if interrupt::requested() => return Err(Error::Interrupted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Err(Problem::stop("the download ended without a word".into())));
                }
            }
        }
    }

    fn download(&self) -> std::result::Result<PathBuf, Problem> {
        let token = std::env::var("HF_TOKEN").ok().filter(|t| !t.is_empty());
        let token = token.or_else(|| Cache::from_env().token());
        let api = ApiBuilder::from_env().with_token(token).build().map_err(|e| Problem::of(&e))?;
        let announced = Arc::new(AtomicU64::new(0));
        let bar = Bar { bar: bar(), announced: announced.clone() };
        let path = api.repo(self.repo()).download_with_progress(&self.path, bar).map_err(|e| Problem::of(&e))?;
        match check(&path, announced.load(Ordering::Relaxed)) {
            Ok(()) => Ok(path),
            Err(message) => {
                self.forget(&path);
                Err(Problem { message, then: Then::Retry })
            }
        }
    }
}

/// Is what has arrived what was announced?
fn check(path: &Path, announced: u64) -> std::result::Result<(), String> {
    let io = |e: std::io::Error| format!("what was downloaded cannot be read: {e}");
    let found = std::fs::metadata(path).map_err(io)?.len();
    if found != announced {
        return Err(format!("{found} bytes came, the server had announced {announced}; nothing was kept"));
    }
    check_name(path)
}

/// Is its content what its name says? Large files are named by their SHA-256, small ones by another kind of hash.
fn check_name(path: &Path) -> std::result::Result<(), String> {
    let io = |e: std::io::Error| format!("what was downloaded cannot be read: {e}");
    let blob = path.canonicalize().map_err(io)?;
    let name = blob.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        let sum = digest::of_file(path).map_err(io)?;
        if sum != name {
            return Err(format!("wrong content: its SHA-256 is {sum}, the hub says {name}; nothing was kept"));
        }
    }
    Ok(())
}

fn offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !matches!(v.as_str(), "" | "0"))
}

fn sleep(pause: Duration) -> Result<()> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Bytes on a terminal, nothing elsewhere; and the length that the server announced.
struct Bar {
    bar: ProgressBar,
    announced: Arc<AtomicU64>,
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl Progress for Bar {
    fn init(&mut self, size: usize, file: &str) {
        self.announced.store(size as u64, Ordering::Relaxed);
        self.bar.set_length(size as u64);
        self.bar.set_position(0);
        self.bar.set_message(file.rsplit('/').next().unwrap_or(file).to_owned());
    }

    fn update(&mut self, bytes: usize) {
        self.bar.inc(bytes as u64);
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl std::fmt::Display for HubFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.kind == Kind::Dataset { "datasets/" } else { "" };
        write!(f, "hf://{kind}{}/{}@{}", self.repository, self.path, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let file = HubFile::parse("hf://ada/nets/mnist/a.safetensors@v1").expect("an address");
        assert_eq!((file.repository.as_str(), file.path.as_str()), ("ada/nets", "mnist/a.safetensors"));
        assert_eq!(file.to_string(), "hf://ada/nets/mnist/a.safetensors@v1");
        assert_eq!(HubFile::parse("hf://a/b/c").expect("an address").revision, "main");
        for bad in [
            "hf://a/b",
            "hf:///b/c",
            "hf://a/b/../c",
            "hf://a/b/c@",
            "a/b/c",
            "hf://a/b//etc/x",
            "hf://a/b/./c",
            "hf://a/b/c@../../x",
            "hf://../b/c",
        ] {
            assert!(HubFile::parse(bad).is_err(), "{bad}");
        }
    }
}
