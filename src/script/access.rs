//! What a script may read, write and fetch. Every path that a script names comes through here, and every address through
//! [`Access::fetch`].
//!
//! ```text
//! reads     its own folder and what lies below, the run's folder, paths that `--set` or `--allow-read` name, data sets by name
//! writes    the run's folder (but not the run's own record), and what `--allow-write` names
//! fetches   from the hub what `--set` or `--allow-fetch` names
//! ```
//!
//! What counts is the command line of this run: what `--set` named when a run that is repeated or goes on was recorded
//! grants nothing. What was given now and what was recorded are kept apart from the command line to here. Only data
//! whose digest is then checked are read where a recorded run found them.
//!
//! Paths are compared after links have been followed, so neither `..` nor a link leads out; devices and pipes are refused. At
//! the prompt a person acts, with all rights of a person, until a script has been loaded there: what it defines could be
//! called. From then on the working folder counts as own.

use super::language::loader::Loader;
use super::settings::Overrides;
use crate::base::files::{quoted, quoted_path};
use crate::run::{Run, RunFolder, link_out};
use std::cell::RefCell;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// What the command line allows beside the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Files, and folders with what lies below.
    pub read: Vec<PathBuf>,
    /// Files, and folders with what lies below; what may be written may be read.
    pub write: Vec<PathBuf>,
    /// Beginnings of addresses on the hub.
    pub fetch: Vec<String>,
}

/// The judge of paths of one session.
pub struct Access {
    allowed: Allowed,
    script: Option<PathBuf>,
    loader: Rc<Loader>,
    overrides: Rc<RefCell<Overrides>>,
    run: Rc<Run>,
}

/// The most entries of a folder of data that are looked at for links.
const ENTRIES: usize = 10_000_000;

impl Access {
    /// For a session that runs `script`, or the prompt.
    pub fn new(
        allowed: Allowed,
        script: Option<PathBuf>,
        loader: Rc<Loader>,
        overrides: Rc<RefCell<Overrides>>,
        run: Rc<Run>,
    ) -> Self {
        Self { allowed, script, loader, overrides, run }
    }

    fn contained(&self) -> bool {
        self.script.is_some() || self.loader.holds_files()
    }

    fn readable(&self) -> Vec<PathBuf> {
        let mut roots = self.loader.roots();
        roots.extend(self.run.folder());
        let given = self.overrides.borrow().named_now();
        let given = given.into_iter().map(PathBuf::from).filter(|path| path.exists());
        roots.extend(given.chain(self.allowed.read.iter().cloned()).chain(self.allowed.write.iter().cloned()));
        roots.iter().filter_map(|root| real(root)).collect()
    }

    fn writable(&self) -> Vec<PathBuf> {
        let run = self.run.folder();
        run.iter().chain(&self.allowed.write).filter_map(|root| real(root)).collect()
    }

    /// The path to read for `path`, which a script names in a call of `op`: a file, or a folder. A relative one counts from
    /// the working folder, else from the script's own.
    pub fn read(&self, op: &str, path: &str) -> Result<PathBuf, String> {
        let given = Path::new(path);
        if !self.contained() {
            return Ok(self.run.read_of(given));
        }
        let own = self.script.as_deref().and_then(Path::parent).filter(|_| given.is_relative());
        let candidates = [Some(given.to_path_buf()), own.map(|own| own.join(given))];
        let roots = self.readable();
        let inside = |path: &PathBuf| real(path).is_some_and(|real| roots.iter().any(|root| real.starts_with(root)));
        let allowed: Vec<PathBuf> = candidates.into_iter().flatten().filter(inside).collect();
        let there = allowed.iter().find(|path| path.exists());
        // What is there but not allowed is told apart from what is nowhere.
        let found = there.or(allowed.first().filter(|_| !given.exists())).cloned();
        let Some(found) = found else {
            return Err(format!(
                "{op}: {} lies outside what this script may read: {}; {}add --allow-read {}",
                leads_to(given),
                names(&roots),
                self.why(path),
                quoted_path(given)
            ));
        };
        match found.metadata() {
            Ok(meta) if !meta.is_file() && !meta.is_dir() => Err(no_file(op, path, &meta)),
            _ => Ok(self.run.read_of(&found)),
        }
    }

    /// The same for data at a path: a folder, or a manifest in the folder of its files. No link in it may lead out.
    pub fn read_data(&self, op: &str, path: &str) -> Result<PathBuf, String> {
        let found = self.read(op, path)?;
        if self.contained() {
            let folder = if found.is_dir() { Some(found.as_path()) } else { found.parent() };
            let roots = self.readable();
            let mut left = ENTRIES;
            if let Some(link) = folder.and_then(|folder| link_out(folder, &roots, &mut left)) {
                return Err(format!(
                    "{op}: {} is a link that leads outside what this script may read: {}; if it is meant to, add \
                     --allow-read {}",
                    link.display(),
                    names(&roots),
                    quoted_path(&link)
                ));
            }
        }
        Ok(found)
    }

    /// The path to write for `path`: a file that is there, or is to be made, or a folder of such.
    pub fn write(&self, op: &str, path: &str) -> Result<PathBuf, String> {
        let given = Path::new(path);
        if !self.contained() {
            return self.run.aside_of(given);
        }
        let roots = self.writable();
        let Some(target) = real(given).filter(|real| roots.iter().any(|root| real.starts_with(root))) else {
            return Err(format!(
                "{op}: {} lies outside what this script may write: {}; write run.path(\"{}\"), or add --allow-write {}",
                leads_to(given),
                if roots.is_empty() { "its run's folder".to_string() } else { names(&roots) },
                given.file_name().map_or("FILE".into(), |name| name.to_string_lossy()),
                quoted_path(given)
            ));
        };
        if let Some(inside) =
            self.run.folder().and_then(|run| target.strip_prefix(real(&run)?).ok().map(Path::to_path_buf))
            && RunFolder::is_own(&inside)
        {
            return Err(format!("{op}: {path} is a part of the run's own record; choose another name"));
        }
        match target.metadata() {
            Ok(meta) if !meta.is_file() && !meta.is_dir() => Err(no_file(op, path, &meta)),
            _ => self.run.aside_of(given),
        }
    }

    /// What to say before the flag that would grant `named`.
    fn why(&self, named: &str) -> &'static str {
        match self.overrides.borrow().named_before().iter().any(|word| word == named) {
            true => "the run's record has it from --set, and what is recorded grants nothing; if you mean it, ",
            false => "if it is meant to, ",
        }
    }

    /// Does this command line name `path`? Then it counts from the working folder.
    pub fn is_named(&self, path: &str) -> bool {
        self.overrides.borrow().named_now().iter().any(|word| word == path)
    }

    /// Does this command line let the script read what is at `path`?
    pub fn may_read(&self, path: &Path) -> bool {
        let roots = self.readable();
        !self.contained() || real(path).is_some_and(|real| roots.iter().any(|root| real.starts_with(root)))
    }

    /// May `address` be fetched from the hub?
    pub fn fetch(&self, op: &str, address: &str) -> Result<(), String> {
        let begins = |allowed: &String| {
            address
                .strip_prefix(allowed.as_str())
                .is_some_and(|rest| rest.is_empty() || allowed.ends_with('/') || rest.starts_with(['/', '@']))
        };
        let named = self.overrides.borrow().named_now().iter().any(|value| value == address);
        if !self.contained() || named || self.allowed.fetch.iter().any(begins) {
            return Ok(());
        }
        Err(format!(
            "{op}: a script fetches nothing by itself; {}add --allow-fetch {}",
            self.why(address),
            quoted(address)
        ))
    }
}

/// The absolute path with all links followed, as far as it exists; nothing for one that goes up where nothing is.
fn real(path: &Path) -> Option<PathBuf> {
    let mut rest = vec![];
    let mut there = std::path::absolute(path).ok()?;
    loop {
        if let Ok(found) = there.canonicalize() {
            return Some(rest.iter().rev().fold(found, |path, part| path.join(part)));
        }
        // A link to nothing leads somewhere all the same.
        if there.symlink_metadata().is_ok() {
            return None;
        }
        match there.components().next_back()? {
            Component::Normal(name) => rest.push(name.to_os_string()),
            _ => return None,
        }
        there.pop();
    }
}

fn no_file(op: &str, path: &str, meta: &Metadata) -> String {
    let kind = if meta.file_type().is_symlink() { "a link" } else { "a device or pipe" };
    format!("{op}: {path} is {kind}; a script reads and writes files only")
}

/// The path as given, and where it leads if that is elsewhere.
fn leads_to(path: &Path) -> String {
    match path.canonicalize() {
        Ok(real) if std::path::absolute(path).is_ok_and(|whole| whole != real) => {
            format!("{}, which is {},", path.display(), real.display())
        }
        _ => path.display().to_string(),
    }
}

fn names(roots: &[PathBuf]) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    let name = |root: &PathBuf| match root.strip_prefix(&here) {
        Ok(inside) if inside.as_os_str().is_empty() => "the working folder".to_string(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => root.display().to_string(),
    };
    roots.iter().map(name).collect::<Vec<_>>().join(", ")
}
