//! `workbench new`: a copy of a script, with a head that says what it is a variant of and what to do with it.

use crate::base::files::quoted_path;
use crate::base::output;
use crate::base::suggest;
use crate::script::language::lexical;
use crate::script::presets;
use crate::script::shipped::shipped;
use crate::script::stdlib::stdlib;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The text of that name in a list of the program's own.
fn built_in(list: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    list.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Write `name`.rhai, a copy of `from`: a script of the program, a module of std, or a file.
pub fn make(name: &str, from: &str) -> Result<(), String> {
    let path = target(name)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let preset = presets::find(Path::new(from));
    let plain = preset.map_or(from.strip_suffix(".rhai").unwrap_or(from), |preset| preset.script);
    // A file in a folder of that name is a file.
    let module = from.strip_prefix("std/").filter(|_| !Path::new(from).is_file());
    let (text, origin) = if let Some(module) = module {
        let names = || stdlib().iter().map(|(name, _)| *name);
        let text = built_in(stdlib(), module.trim_end_matches(".rhai"));
        let text = text.ok_or_else(|| {
            format!("new: no module `{from}`{}", suggest::hint_and_list(module, "modules of std", names))
        })?;
        (text.to_string(), format!("{from} of workbench {version}"))
    } else if let Some(text) =
        built_in(shipped(), plain.strip_prefix("scripts/").unwrap_or(plain)).filter(|_| !Path::new(from).is_file())
    {
        (text.to_string(), format!("{plain}, a script of workbench {version}"))
    } else {
        (file(Path::new(from), &path)?, from.to_string())
    };
    let head = if module.is_some() { module_head(&stem, from, &origin) } else { script_head(&stem, &origin) };
    // The head's lines end as the script's do.
    let head = if text.contains("\r\n") { head.replace('\n', "\r\n") } else { head };
    let whole = head + text.as_str();
    let mut options = OpenOptions::new();
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("new: {} is there already; choose another name, or remove it", path.display())
        }
        _ => format!("new: {}: {e}", path.display()),
    };
    let mut to = options.write(true).create_new(true).open(&path).map_err(failed)?;
    if let Err(e) = to.write_all(whole.as_bytes()) {
        let _ = std::fs::remove_file(&path);
        return Err(failed(e));
    }
    output::line(&format!("{} is a copy of {origin}", path.display()));
    let path = quoted_path(&path);
    output::line(&match module.is_some() {
        true => format!("import it with: import \"{stem}\" as {stem};"),
        false => format!(
            "next: workbench check {path}, then workbench run {path}{}",
            preset.map_or(String::new(), |p| p.flags())
        ),
    });
    Ok(())
}

/// The file to make.
fn target(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(if name.ends_with(".rhai") { name.to_string() } else { format!("{name}.rhai") });
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let good = stem.starts_with(|c: char| c.is_alphabetic())
        && stem.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if !good {
        return Err(format!("new: `{name}` is no name for a script; use letters, digits, `_` and `-`, a letter first"));
    }
    Ok(path)
}

/// The text of the script at `from`, if a copy of it can stand at `to`.
fn file(from: &Path, to: &Path) -> Result<String, String> {
    if !from.is_file() {
        let shown = from.display().to_string();
        let names = || shipped().iter().map(|(name, _)| *name);
        return Err(format!(
            "new: there is no script `{shown}`{}; a path of a file and std/NAME do as well",
            suggest::hint_and_list(&shown, "scripts", names)
        ));
    }
    let text = crate::base::text::read(from).map_err(|e| format!("new: {}: {e}", from.display()))?;
    let folder = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        parent.canonicalize().ok()
    };
    let ours = |import: &str| {
        let module = import.strip_prefix("std/").map(|module| module.trim_end_matches(".rhai"));
        module.is_some_and(|module| built_in(stdlib(), module).is_some())
    };
    let beside = lexical::imports(&text).into_iter().find(|import| !ours(import));
    match beside.filter(|_| folder(from) != folder(to)) {
        Some(module) => Err(format!(
            "new: {} imports \"{module}\" from its own folder, which a copy elsewhere does not find; make the copy there: \
             workbench new {} --from {}",
            from.display(),
            quoted_path(&from.with_file_name(to.file_stem().unwrap_or_default())),
            quoted_path(from)
        )),
        None => Ok(text),
    }
}

fn script_head(name: &str, origin: &str) -> String {
    format!(
        "\
//! {name}: a variant of {origin}. What it changes: nothing yet.
//!
//!     workbench check {name}.rhai                 misspelt names and options, before a run
//!     workbench run {name}.rhai --set KEY=VALUE   a run; the keys are in `settings` below
//!     workbench sweep {name}.rhai --set KEY=A,B   a run for each value
//!     workbench compare RUN RUN                   settings that differ, results side by side
//!     workbench doc NAME                          what a function does: conv2d, lip::bounds, std/train
//!
//! `settings` may be changed here or by --set; the network is the list in `sequential`; the loop is what you see. To change
//! what a function of std does, take it from a copy of its module (workbench new parts --from std/methods) under a new name.
//!
//! The original begins here.
//!
"
    )
}

fn module_head(name: &str, from: &str, origin: &str) -> String {
    format!(
        "\
//! {name}: a copy of {origin}, to vary. A script beside it imports it with
//!
//!     import \"{name}\" as {name};
//!
//! A function's name is unique over all files of a run. Other modules may load {from} itself, so keep here what you
//! change, under names of your own, and call the rest in {from}.
//!
//! The original begins here.
//!
"
    )
}
