//! The scripts that come with the program, to begin a variant from.

use super::presets::{plain, presets};
use super::stdlib::Modules;
use crate::base::embedded::SCRIPTS;
use crate::base::suggest;
use std::path::Path;

/// The scripts: name, source.
pub fn shipped() -> Modules {
    SCRIPTS
}

/// The script that `given` names, as on a command line: `quickstart`, `quickstart.rhai`, `scripts/quickstart.rhai`. What is a
/// file is a file.
pub fn find(given: &Path) -> Option<(&'static str, &'static str)> {
    if given.exists() {
        return None;
    }
    let plain = plain(given)?;
    SCRIPTS.iter().find(|(name, _)| *name == plain).copied()
}

/// Scripts and presets, in alphabetical order.
fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = SCRIPTS.iter().map(|(name, _)| *name).collect();
    names.extend(presets().iter().map(|preset| preset.name));
    names.sort_unstable();
    names
}

/// What to say where there is no script at `given`.
pub fn missing(given: &Path) -> String {
    let shown = given.display().to_string();
    let plain = given.file_stem().map_or(shown.clone(), |stem| stem.to_string_lossy().into_owned());
    let rest = suggest::hint_and_list(&plain, "scripts that come with the program", names);
    format!("there is no script {shown}{rest}; one of your own begins as a copy: workbench new NAME --from quickstart")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_folder_and_ending() {
        for name in ["quickstart", "quickstart.rhai", "scripts/quickstart", "./nowhere/quickstart.rhai"] {
            let found = find(Path::new(name)).map(|(name, _)| name);
            assert_eq!(found, (!name.starts_with('.')).then_some("quickstart"), "{name}");
        }
        assert!(missing(Path::new("quikstart.rhai")).contains("did you mean `quickstart`?"));
    }

    #[test]
    fn every_preset_is_of_a_script_and_has_a_name_of_its_own() {
        let names = names();
        for preset in presets() {
            assert!(SCRIPTS.iter().any(|(name, _)| *name == preset.script), "{preset:?}");
            assert_eq!(names.iter().filter(|name| **name == preset.name).count(), 1, "{preset:?}");
        }
    }
}
