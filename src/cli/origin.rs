//! What `workbench run` is given, and the script that it leads to: a .rhai file, the name of a script that comes with
//! the program, the folder of a run, a pack, or an address on the hub. What comes from a run or a pack brings its own
//! modules of std and is what it was, whatever the program has now.

use crate::base::output;
use crate::data::source::hub::HubFile;
use crate::run::Record;
use crate::run::archive::{Pack, check_scripts, is_pack};
use crate::script::presets;
use crate::script::session::Source;
use crate::script::shipped;
use crate::script::stdlib::Modules;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use tempfile::TempDir;

/// A script to run.
pub struct Origin {
    /// The file.
    pub script: PathBuf,
    /// What comes with it.
    pub source: Source,
    /// The run that it is from, if it is.
    pub record: Option<Record>,
    /// Settings that its name stands for; the command line's own win.
    pub settings: Vec<(String, String)>,
    /// Goes away with the session.
    _folder: Option<TempDir>,
}

impl Origin {
    /// Where `given` leads.
    pub fn find(given: &Path) -> Result<Self, String> {
        let text = given.to_string_lossy();
        if HubFile::is_address(&text) {
            return Self::on_hub(&text);
        }
        if is_pack(given) {
            let mut pack = Pack::open(given)?;
            let folder = temporary()?;
            pack.unpack(folder.path(), |name| name.starts_with("source/") || name.starts_with("stdlib/"))?;
            return Self::of_run(given, folder.path(), pack.record).map(|found| found.lying_in(folder));
        }
        if given.is_dir() {
            let record = Record::read(given)?;
            check_scripts(&record, given)?;
            return Self::of_run(given, given, record);
        }
        if let Some(preset) = presets::find(given) {
            output::line(&format!("note: {} is {}{}", preset.name, preset.script, preset.flags()));
            return Ok(Self { settings: preset.settings(), ..Self::find(Path::new(preset.script))? });
        }
        if let Some((name, text)) = shipped::find(given) {
            return Self::shipped(name, text);
        }
        if !given.exists() {
            return Err(shipped::missing(given));
        }
        Ok(Self { script: given.into(), source: Source::default(), record: None, settings: vec![], _folder: None })
    }

    /// A script that comes with the program.
    fn shipped(name: &str, text: &str) -> Result<Self, String> {
        let folder = temporary()?;
        let script = folder.path().join(format!("{name}.rhai"));
        std::fs::write(&script, text).map_err(|e| format!("{}: {e}", script.display()))?;
        let source = Source { shown: Some(name.into()), ..Source::default() };
        Ok(Self { script, source, record: None, settings: vec![], _folder: None }.lying_in(folder))
    }

    /// The folder is a temporary one, and goes away with the session.
    fn lying_in(self, folder: TempDir) -> Self {
        let source = Source { temporary: Some(folder.path().to_path_buf()), ..self.source };
        Self { source, _folder: Some(folder), ..self }
    }

    /// The script and the modules of the run in `folder`, which was `given`.
    fn of_run(given: &Path, folder: &Path, record: Record) -> Result<Self, String> {
        let source = Source {
            std: Some(modules(folder, &record)?),
            shown: Some(given.display().to_string()),
            data: record.data.clone(),
            entropy: record.entropy.clone(),
            was: record.script.clone().into(),
            arithmetic: Some(record.arithmetic),
            ..Source::default()
        };
        let script = folder.join("source").join(&record.main);
        Ok(Self { script, source, record: Some(record), settings: vec![], _folder: None })
    }

    /// A script on the hub, with what it imports from beside it, all of one commit.
    fn on_hub(address: &str) -> Result<Self, String> {
        let wanted = HubFile::parse(address)?;
        if !wanted.path.ends_with(".rhai") {
            return Err(format!("{address}: a script ends in .rhai"));
        }
        let path = wanted.fetch().map_err(|e| e.to_string())?;
        let commit =
            commit(&path).ok_or_else(|| format!("{address}: the hub's cache does not say which commit it is"))?;
        let pinned = HubFile { revision: commit, ..wanted.clone() };
        if pinned.revision != wanted.revision {
            output::line(&format!("note: {wanted} is, at this moment, {pinned}"));
        }
        let (inside, name) = pinned.path.rsplit_once('/').unwrap_or(("", &pinned.path));
        let inside = if inside.is_empty() { String::new() } else { format!("{inside}/") };
        let folder = temporary()?;
        let root = folder.path().to_path_buf();
        let script = root.join(name);
        let copy = |from: &Path, to: &Path| {
            let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::copy(from, to)).map_err(|e| format!("{}: {e}", to.display()))
        };
        copy(&path, &script)?;
        let (repository, top) = (pinned.clone(), root.clone());
        let fetch = move |wanted: &Path| {
            let below =
                wanted.strip_prefix(&top).ok().filter(|p| p.components().all(|c| matches!(c, Component::Normal(_))));
            let Some(below) = below.and_then(Path::to_str) else { return Ok(false) };
            let file = HubFile { path: format!("{inside}{}", below.replace('\\', "/")), ..repository.clone() };
            let found = file.fetch().map_err(|e| e.to_string())?;
            copy(&found, wanted).map(|_| true)
        };
        let source = Source { fetch: Some(Rc::new(fetch)), shown: Some(pinned.to_string()), ..Source::default() };
        Ok(Self { script, source, record: None, settings: vec![], _folder: None }.lying_in(folder))
    }
}

fn temporary() -> Result<TempDir, String> {
    TempDir::with_prefix("workbench-").map_err(|e| format!("no temporary folder: {e}"))
}

/// `.../snapshots/COMMIT/path`, as the hub's cache has it.
fn commit(path: &Path) -> Option<String> {
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.find(|part| part == "snapshots")?;
    parts.next()
}

/// The modules of std that a run imported, for as long as the process lives.
fn modules(folder: &Path, record: &Record) -> Result<Modules, String> {
    let mut found = vec![];
    for file in record.files.keys() {
        let Some(name) = file.strip_prefix("stdlib/").and_then(|name| name.strip_suffix(".rhai")) else { continue };
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        found.push((&*name.to_string().leak(), &*text.leak()));
    }
    Ok(found.leak())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_commit_is_read_from_the_cache() {
        let path = std::path::Path::new("/h/hub/models--o--r/snapshots/abc/dir/a.rhai");
        assert_eq!(super::commit(path).as_deref(), Some("abc"));
    }
}
