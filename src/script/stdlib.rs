//! The modules `std/...`, embedded in the binary. To add one, put the file into `stdlib/` and a line here.

/// Modules of std: name without `std/`, source.
pub type Modules = &'static [(&'static str, &'static str)];

/// Name (as in `import "std/NAME"`, without `std/`) and source of every embedded module.
const MODULES: Modules = &[
    ("attacks", include_str!("../../stdlib/attacks.rhai")),
    ("cascade", include_str!("../../stdlib/cascade.rhai")),
    ("certify", include_str!("../../stdlib/certify.rhai")),
    ("evaluate", include_str!("../../stdlib/evaluate.rhai")),
    ("falsify", include_str!("../../stdlib/falsify.rhai")),
    ("local_lip", include_str!("../../stdlib/local_lip.rhai")),
    ("losses", include_str!("../../stdlib/losses.rhai")),
    ("methods", include_str!("../../stdlib/methods.rhai")),
    ("networks", include_str!("../../stdlib/networks.rhai")),
    ("probe", include_str!("../../stdlib/probe.rhai")),
    ("schedule", include_str!("../../stdlib/schedule.rhai")),
    ("train", include_str!("../../stdlib/train.rhai")),
];

/// The embedded modules: name without `std/`, source.
pub fn stdlib() -> Modules {
    MODULES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("stdlib/ exists")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rhai").map(str::to_string))
            .collect();
        files.sort();
        let table: Vec<&str> = stdlib().iter().map(|(name, _)| *name).collect();
        assert_eq!(table, files, "src/script/stdlib.rs lists the files of stdlib/ in alphabetical order");
    }
}
