//! Which file `import "path"` means: a module of `std`, or a file, found relative to the file that imports it. A folder of the user's
//! that is called `std` is a folder like others: what the program has is the program's, and no file is shown by a name that begins
//! as those of modules do. A run that is repeated brings its own std: the loader of such a session knows no module of the program's.
//!
//! Imports reach the folder of the main script and what lies below it: a script from somebody else has no business
//! elsewhere.

use super::state::Loader;
use crate::base::suggest;
use crate::script::language::origin::is_std;
use std::path::{Component, Path, PathBuf};

impl Loader {
    /// Make `path` the main script: its folder is the one that imports reach. Returns the name to show.
    pub fn open_script(&self, path: &Path) -> Result<String, String> {
        self.state.borrow_mut().roots.clear();
        self.open_also(path)
    }

    /// Let imports reach the folder of one more script.
    pub fn open_also(&self, path: &Path) -> Result<String, String> {
        let shown = shown_as(path);
        let real = path.canonicalize().map_err(|e| format!("cannot read the script {shown}: {e}"))?;
        if !real.is_file() {
            return Err(format!("cannot read the script {shown}: it is not a file"));
        }
        let mut state = self.state.borrow_mut();
        state.roots.push(real.parent().map(Path::to_path_buf).unwrap_or_default());
        Ok(state.shown.entry(real).or_insert(shown).clone())
    }

    /// The file that `import "path"` in `importer` means, as a name to show.
    pub fn locate(&self, importer: Option<&str>, path: &str) -> Result<String, String> {
        let from_std = importer.is_some_and(is_std);
        if let Some(name) = path.strip_prefix("./").filter(|_| from_std) {
            return self.locate_std(name.trim_end_matches(".rhai"), path);
        }
        if let Some(name) = path.strip_prefix("std/").map(|name| name.trim_end_matches(".rhai")) {
            let own = self.beside(importer, path);
            return match (self.std.iter().any(|(known, _)| *known == name), own.is_file() && !from_std) {
                (true, true) => Err(format!(
                    "module \"{path}\" is one of the program's, and there is a file {} too; write \"./{path}\" for the file, or \
                     rename its folder",
                    own.display()
                )),
                (false, true) => self.locate_file(importer, path),
                (_, false) => self.locate_std(name, path),
            };
        }
        if from_std {
            return Err(format!("module \"{path}\" not found: a module of std imports only other modules of std"));
        }
        self.locate_file(importer, path)
    }

    /// Where the file `path` lies beside its importer.
    fn beside(&self, importer: Option<&str>, path: &str) -> PathBuf {
        let file = if path.ends_with(".rhai") { path.to_string() } else { format!("{path}.rhai") };
        let folder = importer.map(Path::new).and_then(Path::parent).unwrap_or(Path::new(""));
        tidy(&folder.join(file))
    }

    /// The file that `path` means, if imports reach it.
    fn locate_file(&self, importer: Option<&str>, path: &str) -> Result<String, String> {
        let place = self.beside(importer, path);
        if let Some(fetch) = self.fetch.borrow().as_ref().filter(|_| !place.exists()) {
            fetch(&place)?;
        }
        let Ok(real) = place.canonicalize() else {
            let bare = self.std.iter().any(|(name, _)| *name == path);
            let hint = if bare {
                format!("; did you mean \"std/{path}\"?")
            } else {
                let names: Vec<String> = self.std.iter().map(|(name, _)| format!("std/{name}")).collect();
                suggest::hint(path, names.iter().map(String::as_str)).replace('`', "\"")
            };
            return Err(format!("module \"{path}\" not found: there is no file {}{hint}", place.display()));
        };
        let mut state = self.state.borrow_mut();
        let roots: Vec<PathBuf> =
            state.roots.iter().map(|root| root.canonicalize().unwrap_or_else(|_| root.clone())).collect();
        if !roots.iter().any(|root| real.starts_with(root)) {
            let root = roots.first().cloned().unwrap_or_default();
            return Err(format!(
                "module \"{path}\" lies outside the script's own folder ({}), which is as far as imports reach; copy it \
                 there",
                root.display()
            ));
        }
        Ok(state.shown.entry(real).or_insert_with(|| shown_as(&place)).clone())
    }

    fn locate_std(&self, name: &str, path: &str) -> Result<String, String> {
        if self.std.iter().any(|(known, _)| *known == name) {
            return Ok(format!("std/{name}"));
        }
        let names = || self.std.iter().map(|(known, _)| *known);
        let known = names().map(|n| format!("\"std/{n}\"")).collect::<Vec<_>>().join(", ");
        Err(match suggest::nearest(name, names()) {
            Some(near) => {
                format!("module \"{path}\" not found; did you mean \"std/{near}\"? The modules of std are {known}")
            }
            None => format!("module \"{path}\" not found; the modules of std are {known}"),
        })
    }
}

/// The name that a file is shown by.
fn shown_as(path: &Path) -> String {
    let shown = path.display().to_string();
    if is_std(&shown) { format!("./{shown}") } else { shown }
}

/// `a/./b/../c` is `a/c`: what is shown should be what a person would write.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STD: &[(&str, &str)] = &[("local_lip", "fn a() { 1 }"), ("evaluate", "fn b() { 1 }")];

    #[test]
    fn std_modules_are_found_and_suggested() {
        let loader = Loader::new(STD);
        assert_eq!(loader.locate(Some("x/main.rhai"), "std/local_lip").unwrap(), "std/local_lip");
        assert_eq!(loader.locate(Some("std/evaluate"), "./local_lip").unwrap(), "std/local_lip");
        insta::assert_snapshot!(loader.locate(None, "std/local_lib").unwrap_err(), @r#"module "std/local_lib" not found; did you mean "std/local_lip"? The modules of std are "std/local_lip", "std/evaluate""#);
        insta::assert_snapshot!(loader.locate(None, "evaluate").unwrap_err(), @r#"module "evaluate" not found: there is no file evaluate.rhai; did you mean "std/evaluate"?"#);
    }

    #[test]
    fn files_are_found_next_to_the_importer_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("own/lib")).unwrap();
        for name in ["own/main.rhai", "own/lib/a.rhai", "own/lib/b.rhai", "secret.rhai"] {
            std::fs::write(at(name), "").unwrap();
        }
        let loader = Loader::new(STD);
        let main = loader.open_script(&at("own/main.rhai")).unwrap();
        let a = loader.locate(Some(&main), "lib/a").unwrap();
        assert!(a.ends_with("own/lib/a.rhai"));
        assert!(loader.locate(Some(&a), "b").unwrap().ends_with("own/lib/b.rhai"));
        assert_eq!(loader.locate(Some(&a), "../lib/./a.rhai").unwrap(), a);
        assert!(loader.locate(Some(&a), "../../secret").unwrap_err().contains("outside the script's own folder"));
        assert!(loader.open_script(&at("own")).is_err());
    }

    #[test]
    fn a_folder_called_std_is_a_folder_like_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("own/std")).unwrap();
        for name in ["own/main.rhai", "own/std/mine.rhai", "own/std/more.rhai", "own/std/evaluate.rhai"] {
            std::fs::write(at(name), "").unwrap();
        }
        let loader = Loader::new(STD);
        let main = loader.open_script(&at("own/main.rhai")).unwrap();
        let mine = loader.locate(Some(&main), "std/mine").unwrap();
        assert!(mine.ends_with("own/std/mine.rhai") && !is_std(&mine), "{mine}");
        assert!(loader.locate(Some(&mine), "more").unwrap().ends_with("own/std/more.rhai"));
        assert_eq!(loader.locate(Some(&mine), "std/local_lip").unwrap(), "std/local_lip");
        assert!(loader.locate(Some(&main), "./std/evaluate").unwrap().ends_with("own/std/evaluate.rhai"));
        let both = loader.locate(Some(&main), "std/evaluate").unwrap_err();
        assert!(both.contains("write \"./std/evaluate\" for the file"), "{both}");
        assert_eq!(shown_as(Path::new("std/main.rhai")), "./std/main.rhai");
    }
}
